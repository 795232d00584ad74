"""Every rule rejects what breaks it, for that reason alone; the measures and the gate follow."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import case_row, case_table
from mondegreen import params, quality
from mondegreen.cases import BAD_AUDIO
from mondegreen.rules import MEASURES, RULES

SETTINGS = params.Validate(
    min_duration=0.1,
    max_duration=30.0,
    duration_tolerance=0.5,
    max_words_per_second=12.0,
    min_sample_rate=8000,
    max_characters=2000,
    clock_skew=300.0,
)
GATE = params.Gate(completeness=0.95, consistency=0.9, validity=0.95, uniqueness=1.0)

NO_AUDIO = dict.fromkeys(
    ["audio_sha256", "audio_bytes", "audio_ext", "sample_rate", "frames", "channels", "pcm_sha256"]
)
TEXT_ONLY = NO_AUDIO | {"duration": None, "recording_id": "call", "start": 1.0, "end": 3.0}

BROKEN: dict[str, dict[str, Any]] = {
    "missing_audio": NO_AUDIO | {"duration": None, "source_path": "gone.wav"},
    "audio_lost": NO_AUDIO | {"audio_sha256": "f" * 64, "duration": None},
    "missing_text": {"corrected_transcript": "  "},
    "undecodable_audio": {"audio_error": "cannot be decoded", "frames": None, "sample_rate": None, "duration": None},
    "bad_audio": {"audio_error": BAD_AUDIO},
    "too_short": {"corrected_transcript": "o", "frames": 1599, "duration": 1599 / 16000, "original_transcript": "a"},
    "too_long": {"frames": 480_001, "duration": 480_001 / 16000},
    "low_sample_rate": {"sample_rate": 7999},
    "markup_in_text": {"corrected_transcript": "kiss the <inaudible>"},
    "no_words": {"corrected_transcript": "..."},
    "unreadable_text": {"corrected_transcript": "kiss the sk\ufffd"},
    "too_many_characters": {"corrected_transcript": "k" * 2001},
    "not_a_failure": {"original_transcript": "kiss the sky", "corrected_transcript": "Kiss the sky."},
    "confirmed": {"original_transcript": "kiss the sky", "corrected_transcript": "kiss the sky"},
    "end_before_start": {"start": 5.0, "end": 5.0} | NO_AUDIO,
    "duration_mismatch": {"start": 1.0, "end": 3.6},
    "implausible_rate": {"corrected_transcript": " ".join(map(str, range(25)))},
    "corrected_too_early": {"recorded_at": pd.Timestamp("2026-01-02 00:05:01", tz="UTC")},
    "text_without_speech": {"is_speech": False},
}


def judge(*rows: dict[str, Any], require_audio: bool = True) -> dict[str, list[str]]:
    """Return the reasons per rejected case_id."""
    found = quality.sort_out(case_table(list(rows)), SETTINGS, require_audio=require_audio)
    assert sorted([*found.valid["case_id"], *found.rejected["case_id"]]) == sorted(row["case_id"] for row in rows)
    return dict(zip(found.rejected["case_id"], found.rejected["reasons"], strict=True))


def test_a_good_case_passes():
    assert judge(case_row(0), case_row(1)) == {}


@pytest.mark.parametrize("reason", BROKEN)
def test_canary(reason: str):
    audio_free = reason == "end_before_start"  # its row has no audio, which another rule would name too
    rows = [case_row(number) for number in range(3)] + [case_row(9, **BROKEN[reason])]
    assert judge(*rows, require_audio=not audio_free) == {"case-00009": [reason]}


@pytest.mark.parametrize(
    ("reason", "one", "other", "rejected"),
    [
        (
            "conflicting_reference",
            {"pcm_sha256": "a"},
            {"pcm_sha256": "a", "corrected_transcript": "miss the sky"},
            [1, 2],
        ),
        (
            "conflicting_reference",
            TEXT_ONLY,
            TEXT_ONLY | {"corrected_transcript": "miss the sky", "speaker_id": "speaker-1"},
            [1, 2],
        ),
        (
            "conflicting_reference",
            TEXT_ONLY | {"start": None, "end": None, "corrected_transcript": "how many tornadoes"},
            TEXT_ONLY | {"start": None, "end": None, "corrected_transcript": "oh how many tornadoes"},
            [1, 2],
        ),
        (
            "duplicate_audio",
            {"pcm_sha256": "a", "corrected_transcript": "x"},
            {"pcm_sha256": "a", "corrected_transcript": "x"},
            [1],
        ),
        (
            "duplicate_utterance",
            TEXT_ONLY | {"original_transcript": "a", "corrected_transcript": "b"},
            TEXT_ONLY | {"original_transcript": "a", "corrected_transcript": "b"},
            [1],
        ),
    ],
)
def test_canary_of_rules_between_rows(reason: str, one: dict, other: dict, rejected: list[int]):
    rows = [case_row(1, **{"speaker_id": "speaker-1", **one}), case_row(2, **{"speaker_id": "speaker-1", **other})]
    found = judge(*rows, case_row(3), require_audio=reason == "duplicate_audio")
    assert found == {f"case-{number:05d}": [reason] for number in rejected}


def test_every_rule_has_a_canary():
    between_rows = {"conflicting_reference", "duplicate_audio", "duplicate_utterance"}
    assert set(BROKEN) | between_rows == set(RULES)


def test_all_reasons_of_a_row_are_kept():
    bad = case_row(1, **NO_AUDIO | {"duration": 0.01, "corrected_transcript": "<noise>"})
    assert judge(bad)["case-00001"] == ["missing_audio", "too_short", "markup_in_text", "no_words"]


def test_what_is_not_a_duplicate():
    """The same words in another recording, another span or another take are another case."""
    rows = [
        case_row(n, **NO_AUDIO, duration=None, corrected_transcript="Thank you.", recording_id=None) for n in range(5)
    ]
    rows += [case_row(n, **TEXT_ONLY | {"start": float(n), "end": n + 2.0}) for n in range(5, 8)]
    rows += [case_row(n, recording_id="one call") for n in range(8, 10)]
    assert judge(*rows, require_audio=False) == {}


def test_the_newest_duplicate_stays_unless_it_is_bad_itself():
    rows = [case_row(n, pcm_sha256="a", corrected_transcript="kiss the sky") for n in (1, 2)]
    assert judge(*rows, case_row(3, pcm_sha256="a", corrected_transcript="[noise]")) == {
        "case-00001": ["duplicate_audio"],
        "case-00003": ["markup_in_text", "no_words"],
    }


def test_form_is_a_failure_where_the_agent_said_so():
    assert (
        judge(
            case_row(1, original_transcript="THIS IS IT", corrected_transcript="This is it.", error_types=["all_caps"])
        )
        == {}
    )


def test_silence_is_a_valid_case():
    silent = case_row(1, original_transcript="the", corrected_transcript="", is_speech=False)
    assert judge(silent) == {}


@pytest.mark.parametrize("text", ["आप कैसे हैं", "你好吗", "お元気ですか", "как дела", "¿qué tal?", "١٢٣"])
def test_every_script_has_words(text: str):
    assert judge(case_row(1, original_transcript="hello", corrected_transcript=text)) == {}


def test_candidates_are_corrected_and_not_withdrawn(make_cases: Callable[..., pd.DataFrame]):
    cases = make_cases(3)
    cases.loc[0, "corrected_transcript"] = None
    cases.loc[1, "withdrawn"] = True
    assert list(quality.candidates(cases)) == [False, False, True]


@given(st.lists(st.sampled_from([None, *BROKEN]), min_size=1, max_size=30))
def test_no_row_is_lost_and_the_measures_count_right(kinds: list[str | None]):
    rows = [case_row(number, **BROKEN[kind] if kind else {}) for number, kind in enumerate(kinds)]
    found = quality.sort_out(case_table(rows), SETTINGS, require_audio=True)
    assert len(found.valid) + len(found.rejected) == len(rows)
    shares = quality.measure(found)
    reasons = list(found.rejected["reasons"])
    for name in MEASURES[:3]:
        broken = sum(any(RULES[reason].measure == name for reason in row) for row in reasons)
        assert shares[name] == pytest.approx(1 - broken / len(rows))
    assert shares["overall_score"] == pytest.approx(sum(shares[name] for name in MEASURES) / 4)


def test_uniqueness_is_counted_from_the_rows(make_cases: Callable[..., pd.DataFrame]):
    cases = make_cases(4)
    cases.loc[3, "pcm_sha256"] = cases.loc[2, "pcm_sha256"]
    doubled = quality.Sorted(cases, cases.head(0).assign(reasons=[]))
    assert quality.measure(doubled)["uniqueness"] == 0.5


def test_the_report_counts_everything_and_lists_a_few():
    rows = [case_row(number) for number in range(10)]
    rows += [case_row(number, corrected_transcript="<noise> x") for number in range(10, 50)]
    rows += [case_row(50, corrected_transcript=None), case_row(51, withdrawn=True)]
    cases = case_table(rows)
    found = quality.sort_out(cases[quality.candidates(cases)], SETTINGS, require_audio=True)
    report = quality.report(cases, found, quality.measure(found), GATE, "0" * 64)
    assert report["passed"] is False
    assert report["counts"] == {
        "cases": 52,
        "candidates": 50,
        "valid": 10,
        "rejected": 40,
        "uncorrected": 1,
        "withdrawn": 1,
    }
    assert report["rejected_by_reason"]["markup_in_text"] == 40
    assert report["issues"][0]["count"] == 40
    assert len(report["issues"][0]["cases"]) == quality.LISTED


@pytest.mark.parametrize("measure", MEASURES)
def test_the_gate_compares_what_the_report_shows(measure: str):
    shares = {"completeness": 0.95, "consistency": 0.9, "validity": 0.95, "uniqueness": 1.0}
    assert quality.missed(shares, GATE) == {}
    assert quality.missed({**shares, measure: shares[measure] - 1e-9}, GATE) == {}
    low = shares[measure] - 0.0001
    assert quality.missed({**shares, measure: low}, GATE) == {measure: (low, shares[measure])}


def test_the_verdict_says_what_is_wrong_how_far_and_what_to_do():
    rows = [case_row(n, **BROKEN["markup_in_text"] if n < 3 else {}) for n in range(20)]
    cases = case_table(rows)
    found = quality.sort_out(cases[quality.candidates(cases)], SETTINGS, require_audio=True)
    report = quality.report(cases, found, quality.measure(found), GATE, "0" * 64)
    verdict = quality.verdict(report, GATE, "data/rejected.parquet")
    assert "validity          0.8500     0.9500   misses by 0.1000" in verdict
    assert "3  markup_in_text" in verdict
    assert "data/rejected.parquet" in verdict
    assert "params.yaml" in verdict


@pytest.mark.parametrize(
    "reason", ["missing_audio", "audio_lost", "undecodable_audio", "too_short", "low_sample_rate", "duration_mismatch"]
)
def test_pairs_of_texts_need_no_audio(reason: str):
    assert judge(case_row(9, **BROKEN[reason]), require_audio=False) == {}
