"""Selection: scores, seeded draws, quotas that refill, tempering and the cap."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mondegreen.balancing import (
    SPLITS,
    apportion,
    cap_applies,
    draws,
    largest_capped,
    primary_error_types,
    select,
    selection_scores,
    split_quotas,
    type_quotas,
)

RATIOS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def test_the_primary_type_is_the_first_detected_then_the_agents_own():
    cases = pd.DataFrame(
        {"detected_error_types": [["a", "b"], np.array([]), []], "error_types": [["c"], np.array(["c", "d"]), []]}
    )
    assert primary_error_types(cases).tolist() == ["a", "c", "unknown"]


@pytest.mark.parametrize(
    ("error_score", "wer", "heard", "score"),
    [
        (0.3, 0.9, "x", 0.3),
        (0.0, 0.9, "x", 0.0),
        (None, 0.9, "x", 0.9),
        (None, 3.0, "x", 1.0),
        (None, None, "x", 1.0),
        (None, None, " ", 0.0),
    ],
)
def test_the_score_is_the_agents_else_the_wer_else_what_was_heard_in_silence(error_score, wer, heard, score):
    cases = pd.DataFrame({"error_score": [error_score], "wer": [wer], "original_transcript": [heard]})
    assert selection_scores(cases).tolist() == [score]


def test_draws_are_the_same_everywhere_and_depend_on_the_case_alone():
    case_ids = pd.Series(["a", "b", "ü"])
    assert draws(case_ids, purpose="selection", seed=1).tolist() == PINNED
    assert draws(case_ids.iloc[[2]], purpose="selection", seed=1).tolist() == PINNED[2:]
    assert draws(case_ids, purpose="selection", seed=2).tolist() != PINNED
    assert draws(case_ids, purpose="other", seed=1).tolist() != PINNED


PINNED = [5034644592435414392, 8602871992182540040, 4160520856423747470]

bounds = st.lists(st.tuples(st.floats(0.001, 1000), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6)


@given(st.integers(0, 400), bounds)
def test_apportion_keeps_to_the_bounds_and_sums_up(total, rows):
    weights, lower, extra = zip(*rows, strict=True)
    upper = [low + more for low, more in zip(lower, extra, strict=True)]
    parts = apportion(total, weights, lower, upper)
    assert all(low <= part <= high for low, part, high in zip(lower, parts, upper, strict=True))
    assert sum(parts) == min(max(total, sum(lower)), sum(upper))


def test_apportion_is_proportional_and_refills():
    assert apportion(100, [0.8, 0.1, 0.1], [0] * 3, [1000] * 3) == [80, 10, 10]
    assert apportion(100, [0.8, 0.1, 0.1], [0] * 3, [50, 1000, 1000]) == [50, 25, 25]
    assert apportion(8, [0.8, 0.1, 0.1], [1] * 3, [8] * 3) == [6, 1, 1]
    assert apportion(10, [1, 1, 1], [0] * 3, [10] * 3) == [4, 3, 3]


counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 200), min_size=1)
shares = st.floats(0.05, 1.0)
alphas = st.floats(0, 1)


@given(counts, st.integers(1, 1000), alphas, shares)
def test_type_quotas_fill_what_the_cap_allows(counts, total, alpha, max_share):
    quotas = type_quotas(counts, total, alpha=alpha, max_share=max_share)
    have = list(counts.values())
    kept = sum(quotas.values())
    assert kept == min(total, largest_capped(have, max_share)) >= 1
    assert all(quotas[name] <= counts[name] for name in counts)
    if cap_applies(have, max_share):
        assert max(quotas.values()) <= max_share * kept + 1
    else:
        assert kept == min(total, sum(have))


@given(counts, shares)
def test_no_larger_total_fits_under_the_cap(counts, max_share):
    have = list(counts.values())
    best = largest_capped(have, max_share)
    if cap_applies(have, max_share) and best < sum(have):
        assert sum(min(count, max_share * (best + 1)) for count in have) < best + 1


@given(counts, st.integers(1, 1000), st.lists(alphas, min_size=2, max_size=2))
def test_a_smaller_alpha_gives_the_commonest_type_less(counts, total, pair):
    lower, higher = (type_quotas(counts, total, alpha=alpha, max_share=1.0) for alpha in sorted(pair))
    most = max(sorted(counts), key=lambda name: counts[name])
    assert lower[most] <= higher[most] + 1


def test_tempering_examples():
    counts = {"substitution": 900, "deletion": 90, "empty": 10}
    assert type_quotas(counts, 100, alpha=1, max_share=1) == {"substitution": 90, "deletion": 9, "empty": 1}
    assert type_quotas(counts, 100, alpha=0, max_share=1) == {"substitution": 45, "deletion": 45, "empty": 10}
    assert type_quotas(counts, 100, alpha=0.5, max_share=0.5) == {"substitution": 50, "deletion": 40, "empty": 10}
    assert type_quotas(counts, 1000, alpha=0, max_share=1) == counts
    assert type_quotas(counts, 1000, alpha=0, max_share=0.5) == {"substitution": 100, "deletion": 90, "empty": 10}


@pytest.mark.parametrize("counts", [{"substitution": 1000}, {"substitution": 1000, "deletion": 3}])
def test_the_cap_never_cuts_down_to_the_rarest_type(counts):
    assert type_quotas(counts, 2000, alpha=0.5, max_share=0.5) == counts


def test_split_quotas_follow_the_ratios_and_refill():
    available = {"train": 800, "validation": 100, "test": 100}
    none = dict.fromkeys(SPLITS, 0)
    assert split_quotas(available, none, ratios=RATIOS, max_samples=None) == available
    assert split_quotas(available, none, ratios=RATIOS, max_samples=5000) == available
    assert split_quotas(available, none, ratios=RATIOS, max_samples=100) == {"train": 80, "validation": 10, "test": 10}
    assert split_quotas(available, none, ratios=RATIOS, max_samples=3) == dict.fromkeys(SPLITS, 1)
    short = {**available, "test": 4}
    assert split_quotas(short, none, ratios=RATIOS, max_samples=100) == {"train": 85, "validation": 11, "test": 4}


def test_frozen_cases_count_first():
    available, frozen = {"train": 800, "validation": 100, "test": 100}, {"train": 0, "validation": 0, "test": 40}
    quotas = split_quotas(available, frozen, ratios=RATIOS, max_samples=100)
    assert quotas == {"train": 53, "validation": 7, "test": 40}
    assert split_quotas(available, frozen, ratios=RATIOS, max_samples=20)["test"] == 40


def assigned(train: dict[str, int], held_out: int = 40, frozen: int = 0) -> pd.DataFrame:
    types = [name for name, count in train.items() for _ in range(count)]
    splits = ["train"] * len(types) + ["validation"] * held_out + ["test"] * held_out
    types += ["substitution"] * (2 * held_out)
    rows = len(splits)
    return pd.DataFrame(
        {
            "case_id": pd.Series([f"c{number:04}" for number in range(rows)], dtype="str"),
            "split": pd.Series(splits, dtype="str"),
            "frozen": [number >= rows - frozen for number in range(rows)],
            "primary_error_type": pd.Series(types, dtype="str"),
        }
    )


def selected(table: pd.DataFrame, **changes: object) -> pd.Series:
    settings = {"seed": 1, "max_samples": None, "balance_error_types": True, "alpha": 0.5, "max_share": 0.5}
    return select(table, ratios=RATIOS, **{**settings, **changes}).reasons


def test_without_a_limit_only_max_share_removes_and_only_from_train():
    table = assigned({"substitution": 300, "deletion": 50, "empty": 10})
    reasons = selected(table)
    left = table[reasons.notna()]
    assert set(left["primary_error_type"] + left["split"]) == {"substitutiontrain"}
    assert reasons.dropna().unique().tolist() == ["balanced_out"]
    assert len(left) == 300 - 60
    assert selected(table, balance_error_types=False).isna().all()
    assert selected(table, max_share=1.0, alpha=0.0).isna().all()


def test_a_limit_keeps_frozen_cases_and_says_why_others_went():
    table = assigned({"substitution": 300, "deletion": 20}, frozen=7)
    reasons = selected(table, max_samples=100)
    assert reasons.isna().sum() == 100
    assert reasons[table["frozen"]].isna().all()
    assert set(reasons.dropna()) == {"balanced_out", "over_max_samples"}
    assert set(selected(table, max_samples=100, balance_error_types=False).dropna()) == {"over_max_samples"}


def test_a_larger_limit_keeps_the_held_out_cases_of_a_smaller_one():
    table = assigned({"substitution": 300, "deletion": 20})
    few, more = selected(table, max_samples=100).isna(), selected(table, max_samples=200).isna()
    held_out = table["split"] != "train"
    assert (more | ~few)[held_out].all()


def test_the_order_of_the_rows_does_not_matter():
    table = assigned({"substitution": 300, "deletion": 20}, frozen=3)
    turned = table.iloc[::-1]
    pd.testing.assert_series_equal(selected(turned, max_samples=90).sort_index(), selected(table, max_samples=90))


@pytest.mark.parametrize(
    ("train", "note"),
    [
        ({"substitution": 30}, "max_share=0.5 was not applied: train has 1 primary error type"),
        ({"substitution": 300, "deletion": 5, "empty": 5}, "max_share=0.5 leaves out 290 of 310 cases of train"),
    ],
)
def test_notes_explain_a_cap_that_surprises(train, note):
    selection = select(
        assigned(train), seed=1, ratios=RATIOS, max_samples=None, balance_error_types=True, alpha=0.5, max_share=0.5
    )
    assert len(selection.notes) == 1
    assert selection.notes[0].startswith(note)
