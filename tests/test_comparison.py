"""Comparison of two models: lists, verdicts that know when they know nothing, symmetry."""

import json
from pathlib import Path

import numpy as np
import pytest

from mondegreen import cli
from mondegreen.comparison import LISTS, Comparison, compare, reason
from mondegreen.errors import DataError
from mondegreen.evaluation import Evaluation, evaluate
from mondegreen.predictions import read_references
from test_evaluation import dataset, predictions, repository

RIGHT, WRONG, WORSE = "kiss the sky", "kiss this sky", "kiss this guy"


def models(folder: Path, *hypotheses: list[str], texts: list[str] | None = None, **columns) -> list[Evaluation]:
    references = read_references(dataset(folder, texts or [RIGHT] * len(hypotheses[0]), **columns), "test")
    return [evaluate(references, each, normaliser="basic-1") for each in hypotheses]


def compared(folder: Path, before: list[str], after: list[str], **columns) -> Comparison:
    return compare(*models(folder, before, after, **columns))


def test_lists_and_differences_by_hand(tmp_path):
    before = [WRONG] * 7 + [RIGHT, WRONG, WORSE, WRONG, RIGHT]
    after = [RIGHT] * 7 + [WRONG, WORSE, WRONG, WRONG, RIGHT]
    types = [["substitution", "names"]] * 7 + [["substitution"]] * 4 + [[]]
    found = compared(tmp_path, before, after, error_types=types)
    assert found.fixed == tuple(f"c{n:03d}" for n in range(7))
    assert found.regressed == ("c007",)
    assert found.still_failing == ("c008", "c009", "c010")
    assert (found.fewer_errors, found.more_errors) == (1, 1)
    assert found.wer.difference == pytest.approx((5 - 11) / 36)
    assert found.by_error_type == {
        "substitution": {"cases": 11, "fixed": 7, "regressed": 1, "still_failing": 3},
        "names": {"cases": 7, "fixed": 7, "regressed": 0, "still_failing": 0},
        None: {"cases": 1, "fixed": 0, "regressed": 0, "still_failing": 0},
    }
    assert found.test.segments == 12
    assert found.test.mean == pytest.approx(-0.5)


def test_clearly_better_and_clearly_worse(tmp_path):
    some = [WRONG if n % 3 else RIGHT for n in range(60)]
    speakers = [f"s{n // 5}" for n in range(60)]
    better = compared(tmp_path, some, [RIGHT] * 60, speaker_id=speakers)
    assert (better.verdict, better.needed, better.wer.probability_of_improvement) == ("better", None, 1.0)
    assert better.wer.high < 0
    assert better.as_dict()["improvement"] > 0
    assert reason(better) == "the interval of the difference leaves out 0, over 12 speakers"
    worse = compared(tmp_path, [RIGHT] * 60, some, speaker_id=speakers)
    assert (worse.verdict, worse.wer.probability_of_improvement) == ("worse", 0.0)


def test_nobody_can_tell_says_how_many_more_it_would_take(tmp_path):
    generator = np.random.default_rng(1)
    before, after = ([WRONG if generator.random() < rate else RIGHT for _ in range(120)] for rate in (0.32, 0.28))
    found = compared(tmp_path, before, after, speaker_id=[f"s{n % 12}" for n in range(120)])
    assert found.verdict == "can't tell"
    assert found.wer.low < 0 < found.wer.high
    assert found.needed.more_blocks > 0
    assert found.needed.more_cases == 10 * found.needed.more_blocks
    assert found.needed.more_blocks == found.needed.blocks - 12
    assert "more speakers like these" in reason(found)


def test_next_to_no_difference_is_called_that(tmp_path):
    half = [WRONG] * 100 + [RIGHT] * 100
    found = compared(tmp_path, half, [RIGHT] * 99 + [WRONG] * 101)
    assert found.wer.difference == pytest.approx(1 / 600)
    assert "more than 100 times as many cases would not tell" in reason(found)


def test_agreement_of_a_few_is_no_proof(tmp_path):
    found = compared(tmp_path, [WRONG] * 5 + [RIGHT] * 95, [RIGHT] * 100)
    assert (len(found.fixed), found.verdict) == (5, "can't tell")
    assert "differ in 5 speakers only" in reason(found)
    assert found.needed.more_cases >= 20
    few = compared(tmp_path / "few", [WRONG] * 5, [RIGHT] * 5)
    assert (few.verdict, few.wer.low) == ("can't tell", None)
    assert "it takes 6 cases" in reason(few)


def test_capitals_and_punctuation_are_no_difference(tmp_path):
    found = compared(tmp_path, ["Kiss the sky."] * 10 + [WRONG], ["KISS THE SKY!"] * 10 + ["Kiss this sky?"])
    assert (found.fixed, found.regressed, found.still_failing) == ((), (), ("c010",))
    assert (found.wer.difference, found.test.z, found.test.p_value) == (0.0, 0.0, 1.0)
    assert (found.verdict, found.needed) == ("can't tell", None)
    assert (
        reason(found)
        == "both make equally many errors in every case with speech; words heard in silence are counted apart"
    )


def test_a_model_that_says_nothing_is_worse(tmp_path):
    found = compared(tmp_path, [WRONG] * 10 + ["oh"], [""] * 11, texts=[RIGHT] * 10 + [""])
    assert (found.verdict, found.wer.difference) == ("worse", pytest.approx(2 / 3))
    assert found.fixed == ("c010",)  # silence is not in the WER, but it is in the lists
    assert found.wer.cases == found.test.segments == 10


def test_the_other_way_round_is_the_negative(tmp_path):
    generator = np.random.default_rng(2)
    one, two = (list(generator.choice([RIGHT, WRONG, WORSE, ""], 80, p=chances)) for chances in _CHANCES)
    columns = {"speaker_id": [f"s{n % 9}" for n in range(80)]}
    there, back = compared(tmp_path, one, two, **columns), compared(tmp_path, two, one, **columns)
    for a, b in ((there.wer, back.wer), (there.cer, back.cer)):
        assert (a.difference, a.low, a.high) == pytest.approx((-b.difference, -b.high, -b.low))
        assert a.probability_of_improvement == pytest.approx(1 - b.probability_of_improvement)
    assert (there.test.z, there.test.p_value) == pytest.approx((-back.test.z, back.test.p_value))
    assert (there.fixed, there.regressed, there.still_failing) == (back.regressed, back.fixed, back.still_failing)
    assert (there.fewer_errors, there.needed) == (back.more_errors, back.needed)
    assert {there.verdict, back.verdict} in ({"better", "worse"}, {"can't tell"})


_CHANCES = ((0.3, 0.3, 0.2, 0.2), (0.5, 0.3, 0.15, 0.05))


def test_the_difference_is_that_of_the_evaluations(tmp_path):
    generator = np.random.default_rng(2)
    before, after = models(tmp_path, *(list(generator.choice([RIGHT, WRONG, ""], 50)) for _ in range(2)))
    found = compare(before, after)
    assert found.wer.difference == pytest.approx(after.normalised.wer.value - before.normalised.wer.value)
    assert found.cer.difference == pytest.approx(after.normalised.cer.value - before.normalised.cer.value)


def test_every_case_is_accounted_for(tmp_path):
    generator = np.random.default_rng(3)
    one, two = (list(generator.choice([RIGHT, WRONG, WORSE], 40)) for _ in range(2))
    found = compared(tmp_path, one, two)
    lists = [set(getattr(found, name)) for name in LISTS]
    both_right = sum(pair == (RIGHT, RIGHT) for pair in zip(one, two, strict=True))
    assert sum(map(len, lists)) == len(set.union(*lists)) == 40 - both_right


def test_figures_of_different_test_sets_or_normalisers_are_never_compared(tmp_path):
    (one,) = models(tmp_path / "a", [RIGHT] * 3)
    (fewer,) = models(tmp_path / "b", [RIGHT] * 2)
    with pytest.raises(DataError, match="test_set"):
        compare(one, fewer)
    references = read_references(tmp_path / "a", "test")
    with pytest.raises(DataError, match="normaliser basic-1 and none-1"):
        compare(one, evaluate(references, [RIGHT] * 3, normaliser="none-1"))


def test_the_command(tmp_path, monkeypatch, capsys):
    root = repository(tmp_path / "clone", [RIGHT] * 40, monkeypatch, error_types=[["\x1b[31mnames"], []] * 20)
    predictions(root / "a.jsonl", [WRONG] * 20 + [RIGHT] * 20)
    predictions(root / "b.jsonl", [RIGHT] * 15 + [WORSE] * 5 + [RIGHT] * 20)
    assert cli.main(["evaluate", "--compare", "a.jsonl", "b.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "before: a.jsonl" in said
    assert "WER                   16.7%     8.3%       -8.33  " in said
    assert "verdict: " in said
    assert "fixed 15: c000, c001" in said
    assert "and 5 more" in said
    assert "of these, 0 with fewer errors than before, 5 with more" in said
    assert "\x1b" not in said
    assert not (root / "data/inbox").exists()
    assert cli.main(["evaluate", "--compare", "a.jsonl", "b.jsonl", "--json", "--output", "c.json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["fixed"]) == 15
    assert told["wer"]["difference"] == -told["improvement"] == pytest.approx(-10 / 120, abs=1e-6)
    assert told["before"]["test_set"] == told["after"]["test_set"]
    written = json.loads((root / "c.json").read_text())
    assert len(written["before"].pop("results")) == len(written["after"].pop("results")) == 40
    assert written == told


def test_a_model_that_crashed_on_half_of_the_cases_is_not_compared(tmp_path, monkeypatch, capsys):
    root = repository(tmp_path / "clone", [RIGHT] * 40, monkeypatch)
    predictions(root / "a.jsonl", [WRONG] * 40)
    predictions(root / "b.jsonl", [RIGHT] * 20)
    assert cli.main(["evaluate", "--compare", "a.jsonl", "b.jsonl"]) == 1
    said = capsys.readouterr()
    assert "b.jsonl: cannot be measured" in said.err
    assert "20 missing: c020" in said.err
    assert said.out == ""
