"""How good automatic corrections are, counted by hand."""

import pandas as pd

from conftest import case_row, case_table
from mondegreen.precision import judge, precision


def test_precision_by_hand():
    texts = {"original_transcript": "kiss this guy", "corrected_transcript": "Kiss the sky."}
    cases = case_table(
        [
            *(case_row(number, **texts) for number in range(3)),
            case_row(3, **texts, correction_method="rule:x"),
            case_row(4, **texts, withdrawn=True),
        ]
    )
    proposed = ["kiss this guy", "kiss the sky", "Kiss  the sky.", "kiss the guy", "no no no no no", "no", "no"]
    corrections = pd.DataFrame(
        {
            "case_id": [f"case-{number:05d}" for number in (0, 0, 1, 2, 3, 4, 9)],
            "method": "rule:x",
            "corrected_transcript": proposed,
            "undone": False,
        }
    )
    taken_back = corrections[2:3].assign(method="model:y", undone=True)
    people = corrections[2:3].assign(method="manual")
    found = judge(cases, pd.concat([corrections, taken_back, people]), "basic-1")
    assert {method: precision(counts) for method, counts in found.items()} == {
        "rule:x": {
            **{"corrections": 4, "judged": 3, "same_words": 2 / 3, "exact": 1 / 3, "better": 1.0, "worse": 0.0},
            **{"wer": 1 / 9, "original_wer": 6 / 9},
        }
    }


def test_without_a_person_nothing_is_judged():
    cases = case_table([case_row(0, correction_method="rule:x")])
    corrections = pd.DataFrame(
        {"case_id": ["case-00000"], "method": ["rule:x"], "corrected_transcript": ["x"], "undone": [False]}
    )
    found = precision(*judge(cases, corrections, "basic-1").values())
    assert found["judged"] == 0
    assert found["same_words"] is found["wer"] is None
    assert judge(cases, corrections[:0], "basic-1") == {}
