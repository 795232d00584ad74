"""Suspect corrections: each sign is found, and a wrong one comes to the top."""

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import case_row, case_table
from mondegreen import suspects, witnesses
from mondegreen.shelf import Shelf

TEXTS = (
    "the harbour was empty when we came back",
    "she plays the second violin in an orchestra",
    "nobody told him that the train had left",
    "put the blue parcel on top of the cupboard",
    "our neighbour grows tomatoes on the roof",
    "it rained for three days without a break",
)
NO_CORRECTIONS = pd.DataFrame({name: pd.Series(dtype="str") for name in ("case_id", "method", "author")}).assign(
    corrected_transcript=pd.Series(dtype="str"), undone=pd.Series(dtype="bool")
)


def heard(text: str) -> str:
    return text.replace("the", "a").replace("was", "is").replace("on", "and")


def rows(**changes: Any) -> list[dict[str, Any]]:
    """Return 24 honest cases of four recordings, number 7 changed."""
    made = []
    for number in range(24):
        text = f"{TEXTS[number % 6]} {('north', 'south', 'east', 'west')[number // 6]}"
        known = {"corrected_transcript": text, "original_transcript": heard(text), "model_confidence": number / 24}
        known |= {"recording_id": f"r{number // 6}", "start": 10.0 * number, "end": 10.0 * number + 2}
        made.append(case_row(number, **known | (changes if number == 7 else {})))
    return made


Heard = dict[str, dict[str, str]]


def rank(made: list[dict[str, Any]], corrections: pd.DataFrame = NO_CORRECTIONS, heard: Heard | None = None) -> Any:
    return suspects.rank(case_table(made), corrections, heard or {}).to_pandas()


def first(made: list[dict[str, Any]], corrections: pd.DataFrame = NO_CORRECTIONS, heard: Heard | None = None) -> Any:
    ranked = rank(made, corrections, heard)
    assert len(ranked) == len(made)
    assert ranked["score"].between(0, 1).all()
    assert ranked["score"].is_monotonic_decreasing
    assert {reason for found in ranked["reasons"] for reason in found} <= set(suspects.SIGNS)
    return ranked.iloc[0]


def test_honest_corrections_are_not_suspect():
    ranked = suspects.rank(case_table(rows()), NO_CORRECTIONS, {})
    assert suspects.summary(ranked)["cases"] == 0
    assert suspects.warning(suspects.summary(ranked), len(ranked)) == []


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("speaking_rate", {"duration": 0.3}),
        ("words_dropped", {"corrected_transcript": "rain", "original_transcript": heard(" ".join(TEXTS))}),
        ("nothing_in_common", {"corrected_transcript": "zigzag jukebox hymn by pyx", "model_confidence": 1.0}),
        ("text_of_a_neighbour", {"corrected_transcript": f"{TEXTS[2]} south"}),
    ],
)
def test_a_wrong_correction_comes_first(reason: str, changes: dict[str, Any]):
    found = first(rows(**changes))
    assert found["case_id"] == "case-00007"
    assert reason in found["reasons"]


def test_another_recogniser_hears_what_the_first_one_did():
    made = rows(corrected_transcript="she paints in an old orchard house south")
    original = made[7]["original_transcript"]
    found = first(made, heard={"case-00007": {"asr-2": original}})
    assert found["case_id"] == "case-00007"
    assert found["reasons"][0] == "second_opinion"


def test_people_who_disagree():
    made = rows(conflicting_corrections=1)
    texts = ["she plays the second violin", "a storm is coming", "taken back"]
    corrections = pd.DataFrame(
        {"case_id": "case-00007", "method": "manual", "author": list("abc"), "corrected_transcript": texts}
    ).assign(undone=[False, False, True])
    found = first(made, corrections)
    assert (found["case_id"], list(found["reasons"])) == ("case-00007", ["annotators_apart"])
    alike = corrections.assign(corrected_transcript=["kiss the sky", "Kiss the sky.", ""])
    assert first(made, alike)["score"] < found["score"]


def test_what_else_was_heard():
    same = {"pcm_sha256": "f" * 64}
    made = [case_row(number, **same, model_version=("asr-1", "ears", "x")[number]) for number in range(3)]
    made[2]["withdrawn"] = True
    corrections = pd.DataFrame(
        {
            "case_id": ["case-00000", "case-00000", "case-00000"],
            "method": ["model:whisper/small", "model:consensus", "model:asr-2"],
            "corrected_transcript": ["kiss a sky", "no witness", "no witness"],
            "undone": False,
        }
    )
    hearings = pd.DataFrame(
        {
            "event_id": list("123"),
            "case_id": "case-00000",
            "model_version": ["w2v", "asr-9", "deaf"],
            "transcript": ["kiss the pie", "no witness", " "],
        }
    )
    table = case_table(made)
    others = witnesses.transcripts(table, corrections, hearings)
    assert others.of_all(table) == {case["case_id"]: others.of(case) for case in table.to_dict("records")}
    assert others.of(made[0]) == {"ears": "kiss this guy 1", "whisper/small": "kiss a sky", "w2v": "kiss the pie"}
    assert others.of(made[1]) == {"asr-1": "kiss this guy 0"}


def test_versions_of_one_recogniser_are_one_family():
    assert witnesses.family("asr-1") == witnesses.family("ASR-2.5") == "asr"
    assert witnesses.family("pocketsphinx-wide") == witnesses.family("pocketsphinx-5.1.1-en-us")
    assert witnesses.family("faster-whisper/small") == witnesses.family("transformers/openai/whisper-tiny") == "whisper"
    assert witnesses.family(None) == ""
    assert witnesses.family("7b") == "7b"


def test_what_was_compared_before_counts_only_while_the_texts_nearby_are_the_same(tmp_path: Path):
    shelf, made = Shelf(tmp_path), rows()
    said, original = "corrected_transcript", "original_transcript"
    changes = [(7, said, f"{TEXTS[2]} south"), (8, original, "nobody knows"), (7, said, "nobody knows"), (20, said, "")]
    for number, column, text in changes:
        made[number][column] = text
        anew = suspects.rank(case_table(made), NO_CORRECTIONS, {})
        for _ in range(2):
            assert suspects.rank(case_table(made), NO_CORRECTIONS, {}, shelf=shelf) == anew
    for kept in tmp_path.iterdir():
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    assert suspects.rank(case_table(made), NO_CORRECTIONS, {}, shelf=shelf) == anew


def misheard(text: str, rng: random.Random, share: float) -> str:
    """Return `text` with that share of its words replaced by others."""
    words = " ".join(TEXTS).split()
    return " ".join(rng.choice(words) if rng.random() < share else word for word in text.split())


def test_a_second_opinion_finds_more_wrong_corrections():
    """Of 120 cases misheard in half of their words, ten are corrected wrongly: without their last third."""
    rng = random.Random(7)
    words = " ".join(TEXTS).split()
    texts = [" ".join(rng.choice(words) for _ in range(rng.randrange(9, 16))) for _ in range(120)]
    wrong = set(rng.sample(range(120), 10))
    made, opinions = [], Heard()
    for number, text in enumerate(texts):
        said = " ".join(text.split()[: len(text.split()) * 2 // 3]) if number in wrong else text
        original = misheard(text, rng, 0.5)
        made.append(case_row(number, corrected_transcript=said, original_transcript=original, duration=len(text) / 14))
        opinions[made[-1]["case_id"]] = {"whisper": misheard(text, rng, 0.1)}

    def found(heard: Heard) -> int:
        first = rank(made, heard=heard)["case_id"][:10]
        return sum(int(case_id.removeprefix("case-")) in wrong for case_id in first)

    assert found(opinions) >= 8
    assert found(opinions) > found({})


def test_a_recogniser_that_hears_the_correction_speaks_for_it():
    made = rows(corrected_transcript="zigzag jukebox hymn by pyx", model_confidence=1.0)
    accused = first(made)
    ranked = rank(made, heard={"case-00007": {"asr-2": "zigzag jukebox hymn by pyx"}}).set_index("case_id")
    assert (accused["case_id"], ranked.loc["case-00007", "score"]) == ("case-00007", 0)
