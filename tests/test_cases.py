"""Folding: which correction of a case stands, after reviewers decided, took back and disagreed."""

from typing import Any

import pandas as pd
import pytest

from mondegreen import Recorder, live
from mondegreen.cases import BAD_AUDIO
from mondegreen.errors import RecordError


def fold(recorder: Recorder) -> tuple[pd.Series, pd.DataFrame]:
    """Return the one case of a spool, and its corrections, best last."""
    cases, ranked = live.read_cases(recorder.path)
    return cases.iloc[0], ranked


def correct(recorder: Recorder, text: str, author: str = "ann", method: str = "manual") -> dict[str, Any]:
    return recorder.record("correction", case_id="c", corrected_transcript=text, method=method, author=author)


@pytest.fixture
def case(recorder: Recorder) -> Recorder:
    recorder.failure(None, original_transcript="kiss this guy", case_id="c")
    return recorder


def test_an_undone_correction_stays_in_the_log_and_counts_for_nothing(case: Recorder):
    correct(case, "kiss the skye", method="model:whisper")
    wrong = correct(case, "miss the sky")
    case.record("review", case_id="c", decision="undo", undoes=wrong["event_id"], author="ann")
    row, ranked = fold(case)
    assert (row["corrected_transcript"], row["correction_count"]) == ("kiss the skye", 1)
    assert ranked[["corrected_transcript", "undone", "won"]].values.tolist() == [
        ["miss the sky", True, False],
        ["kiss the skye", False, True],
    ]


def test_a_case_whose_only_correction_was_undone_is_not_corrected(case: Recorder):
    wrong = correct(case, "miss the sky")
    case.record("review", case_id="c", decision="undo", undoes=wrong["event_id"])
    row, _ = fold(case)
    assert pd.isna(row["corrected_transcript"])


@pytest.mark.parametrize(
    ("texts", "conflicts"),
    [
        ({"ann": "sky", "bob": "sky"}, 0),
        ({"ann": "sky", "bob": "guy"}, 1),
        ({"ann": "sky", "bob": "guy", "eve": "guy "}, 0),
        ({"ann": "sky", "bob": "sky", "eve": "guy"}, 1),
        ({"ann": "sky", "bob": "guy", "eve": "kite"}, 2),
    ],
)
def test_a_majority_that_the_last_belongs_to_settles_a_dispute(case: Recorder, texts: dict[str, str], conflicts: int):
    for author, text in texts.items():
        correct(case, text, author)
    row, _ = fold(case)
    assert row["conflicting_corrections"] == conflicts


def test_audio_that_a_person_calls_bad_is_an_error_until_that_person_corrects_the_case(case: Recorder):
    correct(case, "kiss the sky", "bob")
    case.record("review", case_id="c", decision="bad_audio", author="ann")
    assert fold(case)[0]["audio_error"] == BAD_AUDIO
    correct(case, "kiss the sky", "ann")
    assert pd.isna(fold(case)[0]["audio_error"])


@pytest.mark.parametrize("fields", [{"decision": "undo"}, {"decision": "skip", "undoes": "e"}, {"decision": "like"}])
def test_a_review_that_means_nothing_is_refused(recorder: Recorder, fields: dict[str, str]):
    with pytest.raises(RecordError):
        recorder.record("review", case_id="c", **fields)
