"""Pairs of texts: each is met once, and a frozen one is the one that stays."""

import pandas as pd

from conftest import case_row, case_table
from mondegreen import ledger, pairs, traits

TEXTS = {"original_transcript": "kiss this guy", "corrected_transcript": "Kiss the sky."}


def frozen(**splits: str) -> pd.DataFrame:
    rows = [(case_id.replace("_", "-"), split, "v1") for case_id, split in splits.items()]
    return pd.DataFrame(rows, columns=list(ledger.COLUMNS))


def repeated_pairs(cases: pd.DataFrame, ledgered: pd.DataFrame) -> pd.Series:
    return pairs.repeated_pairs(traits.traits(cases, min_shared_words=12), ledgered)


def test_the_newest_of_equal_pairs_stays_whatever_its_form():
    rows = [case_row(1, **TEXTS), case_row(2, **TEXTS | {"corrected_transcript": "kiss the sky"}), case_row(3)]
    assert repeated_pairs(case_table(rows), ledger.empty()).tolist() == [True, False, False]


def test_one_side_alone_makes_no_pair():
    rows = [case_row(1, **TEXTS), case_row(2, **TEXTS | {"original_transcript": "miss this guy"})]
    assert not repeated_pairs(case_table(rows), ledger.empty()).any()


def test_a_frozen_pair_stays_and_of_two_the_one_in_test():
    rows = [case_row(number, **TEXTS) for number in range(1, 5)]
    found = repeated_pairs(case_table(rows), frozen(case_00001="test", case_00002="validation"))
    assert found.tolist() == [False, True, True, True]
