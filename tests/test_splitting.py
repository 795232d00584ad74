"""Splitting: promises (a) to (e) of the split, and that no case is lost."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mondegreen.balancing import SPLITS
from mondegreen.errors import DataError, ParamsError
from mondegreen.freezing import to_freeze
from mondegreen.params import Split as Params
from mondegreen.splitting import REASONS, Split, assign, split

PARAMS = Params(
    seed=1,
    train_ratio=0.8,
    validation_ratio=0.1,
    test_ratio=0.1,
    min_error_score=0.0,
    max_samples=None,
    include_uncorrected=False,
    balance_error_types=False,
    alpha=0.5,
    max_share=0.5,
    min_shared_words=8,
    train_methods="manual, user_feedback, model:consensus",
)
TEXTS = ("speaker_id", "recording_id", "audio_sha256", "pcm_sha256", "original_transcript", "corrected_transcript")
TEXTS += ("correction_method",)
DEFAULTS = {
    "correction_method": "manual",
    "original_transcript": "heard",
    "corrected_transcript": "said",
    "error_types": ["substitution"],
}


def frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return valid cases; a field that a row does not name is null, the case_id its number."""
    rows = [{"case_id": f"c{number:04}", **DEFAULTS, **row} for number, row in enumerate(rows)]
    table = pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype="str") for name in ("case_id", *TEXTS)}
    )
    for name in ("error_score", "wer"):
        table[name] = pd.Series([row.get(name) for row in rows], dtype="float64")
    for name in ("error_types", "detected_error_types"):
        table[name] = pd.Series([row.get(name, []) for row in rows], dtype="object")
    return table


def frozen(splits: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(*item, "v1") for item in splits.items()], columns=["case_id", "split", "release"], dtype="str"
    )


NOTHING = frozen({})


def speakers(count: int, each: int = 1) -> pd.DataFrame:
    return frame({"speaker_id": f"s{number // each}"} for number in range(count * each))


def where(result: Split) -> dict[str, str]:
    return dict(zip(result.rows["case_id"], result.rows["split"], strict=True))


# laws -----------------------------------------------------------------------------------------------------------

few = st.sampled_from([None, "", "a", "b", "c"])
many = st.one_of(st.none(), st.sampled_from("abcdefghijklmnop"))
texts = st.sampled_from([f"one two three four five six seven {n}" for n in "abcdef"] + ["yes"])
row = st.fixed_dictionaries(
    {
        "speaker_id": many,
        "recording_id": few,
        "audio_sha256": many,
        "corrected_transcript": texts,
        "error_score": st.one_of(st.none(), st.floats(0, 1)),
        "detected_error_types": st.lists(st.sampled_from(["deletion", "empty", "insertion"]), max_size=2),
    }
)
alone = [{"speaker_id": f"alone{number}", "error_score": 1.0} for number in range(4)]  # always enough components
tables = st.lists(row, max_size=25).map(lambda rows: frame(alone + rows))
ledgers = st.dictionaries(
    st.integers(3, 29).map(lambda n: f"c{n:04}"), st.sampled_from(["train", "validation", "test"]), max_size=6
)
choices = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 3),
        "max_samples": st.one_of(st.none(), st.integers(3, 30)),
        "min_error_score": st.sampled_from([0.0, 0.5]),
        "balance_error_types": st.booleans(),
        "alpha": st.sampled_from([0.0, 0.5, 1.0]),
        "max_share": st.sampled_from([0.3, 0.6, 1.0]),
    }
).map(lambda changes: replace(PARAMS, **changes))
law = settings(max_examples=20, deadline=None)


@law
@given(tables, ledgers, choices)
def test_no_case_is_lost_and_nothing_is_shared(cases, splits, params):
    result = split(cases, frozen(splits), params)
    assert sorted([*result.rows["case_id"], *result.left_out["case_id"]]) == sorted(cases["case_id"])
    assert set(result.left_out["reason"]) <= set(REASONS)
    assert all(count == 0 for pairs in result.report["shared"].values() for count in pairs.values())
    assert (result.rows.groupby("component")["split"].nunique() == 1).all()
    assert set(result.rows["split"]) == set(SPLITS)


@law
@given(tables, ledgers, choices)
def test_a_frozen_case_keeps_its_split_or_is_left_out_as_a_link(cases, splits, params):
    result = split(cases, frozen(splits), params)
    placed = where(result)
    left = result.left_out.set_index("case_id")["reason"]
    for case_id, wanted in splits.items():
        if wanted == "test" and case_id in set(cases["case_id"]):
            assert placed[case_id] == "test"
        elif case_id in set(cases["case_id"]):
            assert placed.get(case_id, wanted) == wanted
            assert case_id in placed or left[case_id] in REASONS


def released(result: Split, cases: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger after a release of the result."""
    placed = pd.concat([result.rows.assign(kept=True), result.left_out.assign(kept=False)]).dropna(subset="split")
    table = placed[["case_id", "split", "component", "kept"]].merge(cases[["case_id", "speaker_id"]], on="case_id")
    rows = to_freeze(table, ledger).assign(release="v2")
    taken = ledger[~ledger["case_id"].isin(rows["case_id"])]
    return pd.concat([taken, rows], ignore_index=True)


@law
@given(tables, ledgers, choices)
def test_releasing_changes_nothing(cases, splits, params):
    first = split(cases, frozen(splits), params)
    ledger = released(first, cases, frozen(splits))
    again = split(cases, ledger, params)
    pd.testing.assert_frame_equal(first.rows, again.rows)
    pd.testing.assert_frame_equal(first.left_out, again.left_out)
    assert json.dumps(first.report) == json.dumps(again.report)
    assert len(released(again, cases, ledger)) == len(ledger)


@law
@given(tables, st.lists(row, max_size=10), choices, choices, st.sets(st.integers(0, 28), max_size=8), st.data())
def test_what_trained_in_a_release_never_evaluates_later_nor_the_reverse(cases, added, params, changed, lost, data):
    """Whatever is added, corrected or withdrawn, and whatever parameters are set."""
    first = split(cases, NOTHING, params)
    ledger = released(first, cases, NOTHING)
    later = pd.concat([cases, frame({"case_id": f"new{n}", **new} for n, new in enumerate(added))])
    corrected = data.draw(st.lists(texts, min_size=len(later), max_size=len(later)))
    later["corrected_transcript"] = pd.Series(corrected, index=later.index, dtype="str")
    gone = later["case_id"].isin({f"c{number:04}" for number in lost})
    fresh = frame({"case_id": f"fresh{n}", "speaker_id": f"fresh{n}", "error_score": 1.0} for n in range(3))
    placed = where(split(pd.concat([later[~gone], fresh]), ledger, changed, anchors=later[gone].reset_index(drop=True)))
    for case_id, before in where(first).items():
        assert placed.get(case_id, before) == before


@law
@given(tables, st.lists(row, max_size=10), choices)
def test_what_was_released_stays_in_the_dataset_while_cases_are_added(cases, added, params):
    first = split(cases, NOTHING, params)
    later = pd.concat([cases, frame({"case_id": f"new{n}", **new} for n, new in enumerate(added))])
    placed = where(split(later, released(first, cases, NOTHING), replace(params, seed=params.seed + 1)))
    assert {case_id: name for case_id, name in where(first).items() if name != "train"}.items() <= placed.items()


@law
@given(tables, ledgers, choices, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(cases, splits, params, random):
    shuffled = cases.iloc[random.sample(range(len(cases)), len(cases))]
    shuffled.index = shuffled.index[::-1]
    one, other = split(cases, frozen(splits), params), split(shuffled, frozen(splits).iloc[::-1], params)
    pd.testing.assert_frame_equal(one.rows, other.rows)
    pd.testing.assert_frame_equal(one.left_out, other.left_out)
    assert json.dumps(one.report) == json.dumps(other.report)


@law
@given(tables, ledgers, choices, st.integers(3, 30))
def test_max_samples_never_moves_a_case_between_splits(cases, splits, params, limit):
    free = where(split(cases, frozen(splits), replace(params, max_samples=None, balance_error_types=False)))
    capped = split(cases, frozen(splits), replace(params, max_samples=limit, balance_error_types=False))
    assert where(capped).items() <= free.items()
    kept = sum(capped.frozen[name] for name in ("validation", "test"))
    least = kept + sum(not capped.frozen.get(name) for name in SPLITS)
    assert len(capped.rows) == max(min(limit, len(free)), least)


# sizes and strata -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "sizes"), [(3, (1, 1, 1)), (8, (6, 1, 1)), (10, (8, 1, 1)), (100, (80, 10, 10))])
def test_equal_speakers_come_out_at_the_ratios(count, sizes):
    result = split(speakers(count, each=5), NOTHING, PARAMS)
    assert tuple(result.report["components"][name] for name in SPLITS) == sizes


def test_sizes_are_counted_in_cases_not_in_components():
    rows = [{"speaker_id": f"big{n % 20}"} for n in range(2000)] + [{"speaker_id": f"small{n}"} for n in range(1000)]
    ratios = split(frame(rows), NOTHING, PARAMS).report["ratios"]
    assert all(abs(ratio["got"] - ratio["wanted"]) < 0.01 for ratio in ratios.values())


def test_one_giant_component_trains_and_is_named():
    rows = [{"speaker_id": "default"}] * 980 + [{"speaker_id": f"s{n}"} for n in range(20)]
    result = split(frame(rows), NOTHING, PARAMS)
    assert result.report["sizes"]["validation"] == result.report["sizes"]["test"] == 10
    assert result.report["notes"][0].startswith("speaker_id 'default' joins 98 % of the cases (980 of 1000)")


def test_every_split_has_the_error_types_of_the_whole():
    kinds = ["substitution"] * 6 + ["deletion"] * 3 + ["empty"]
    cases = frame({"speaker_id": f"s{n // 2}", "error_types": [kinds[n // 2 % 10]]} for n in range(2000))
    for counts in split(cases, NOTHING, PARAMS).report["error_types"].values():
        assert counts["substitution"] / sum(counts.values()) == pytest.approx(0.6, abs=0.002)
        assert counts["empty"] / sum(counts.values()) == pytest.approx(0.1, abs=0.002)


def test_the_seed_decides():
    cases = speakers(40)
    one, again, other = (where(split(cases, NOTHING, replace(PARAMS, seed=seed))) for seed in (1, 1, 2))
    assert one == again != other


def test_a_few_more_cases_move_few():
    """Of new speakers, and of those there are, whatever the new case_ids are; before a release freezes anything."""
    kinds = ["substitution"] * 6 + ["deletion"] * 3 + ["empty"]
    speaker = [n * n % 1777 for n in range(5050)]
    rows = [
        {"case_id": f"{n * 7919 % 9973:04}", "speaker_id": f"s{spoken}", "error_types": [kinds[spoken % 10]]}
        for n, spoken in enumerate(speaker)
    ]
    rows[5000:5025] = [{**row, "speaker_id": f"new{n}"} for n, row in enumerate(rows[5000:5025])]
    before, after = (where(split(frame(some), NOTHING, PARAMS)) for some in (rows[:5000], rows))
    assert sum(after[case_id] != name for case_id, name in before.items()) < 0.03 * len(before)
    another = where(split(frame(rows), NOTHING, replace(PARAMS, seed=2)))
    assert sum(another[case_id] != name for case_id, name in before.items()) > 0.2 * len(before)


def test_a_few_more_speakers_than_ten_thousand_move_hardly_any():
    cases = speakers(11_111).assign(primary_error_type="empty")
    ratios = {"train_ratio": 0.8, "validation_ratio": 0.1, "test_ratio": 0.1}
    some, all_ = (assign(part, NOTHING, seed=1, min_shared_words=8, **ratios) for part in (cases[:11_000], cases))
    both = some.cases.merge(all_.cases, on="case_id")
    assert (both["split_x"] != both["split_y"]).sum() <= 11_000 / 512
    shares = all_.cases["split"].value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.1, abs=0.001)
    assert shares["validation"] == pytest.approx(0.1, abs=0.001)


def test_assigning_sorts_and_needs_no_selection():
    cases = speakers(20).assign(primary_error_type="empty")
    ratios = {"train_ratio": 0.8, "validation_ratio": 0.1, "test_ratio": 0.1}
    one, other = (assign(table, NOTHING, seed=1, min_shared_words=8, **ratios) for table in (cases, cases.iloc[::-1]))
    pd.testing.assert_frame_equal(one.cases, other.cases)
    assert one.cases["case_id"].tolist() == cases["case_id"].tolist()
    assert one.cases["split"].value_counts().to_dict() == {"train": 16, "validation": 2, "test": 2}


# the ledger -----------------------------------------------------------------------------------------------------


def test_frozen_cases_count_towards_the_ratios():
    cases = speakers(100)
    full = frozen({f"c{number:04}": "test" for number in range(10)})
    result = split(cases, full, PARAMS)
    assert result.report["sizes"] == {"test": 10, "train": 80, "validation": 10}
    assert result.frozen == {"left_out": 0, "not_valid": 0, "test": 10, "train": 0, "validation": 0}


def test_new_cases_follow_what_they_touch():
    cases = frame([{"speaker_id": name} for name in "aabbcdefgh"])
    placed = where(split(cases, frozen({"c0000": "test", "c0002": "validation"}), PARAMS))
    assert (placed["c0001"], placed["c0003"]) == ("test", "validation")


def test_a_new_case_that_links_two_splits_is_left_out_alone():
    rows = [{"speaker_id": "a"}, {"recording_id": "b"}, {"speaker_id": "c"}, {"speaker_id": "c"}]
    links = [{"speaker_id": "a", "recording_id": "b"}, {"speaker_id": "c", "recording_id": "d"}, {"recording_id": "d"}]
    cases = frame([*rows, *links, {"speaker_id": "a", "recording_id": "d"}, *({"speaker_id": n} for n in "efg")])
    result = split(cases, frozen({"c0000": "test", "c0001": "validation", "c0002": "train"}), PARAMS)
    found = [where(result).get(f"c000{n}") for n in range(8)]
    assert found == ["test", "validation", "train", "train", None, "train", None, None]
    assert result.left_out["reason"].tolist() == ["links_validation_and_test"] * 3
    assert result.left_out["split"].isna().all()
    assert result.frozen["left_out"] == 0


def test_of_frozen_cases_that_are_linked_directly_those_of_one_split_stay():
    rows = [{"speaker_id": "a"}] * 2 + [{"speaker_id": "b"}] * 2
    cases = frame(rows + [{"speaker_id": name} for name in "defgh"])
    result = split(cases, frozen({f"c000{n}": name for n, name in enumerate(["test", "validation"] * 2)}), PARAMS)
    assert [where(result).get(f"c000{n}") for n in range(4)] == ["test", None, "test", None]
    assert result.frozen == {"left_out": 2, "not_valid": 0, "test": 2, "train": 0, "validation": 0}
    result = split(cases, frozen({"c0000": "train", "c0001": "validation"}), PARAMS)
    assert result.left_out[["case_id", "reason"]].values.tolist() == [["c0000", "links_train_and_evaluation"]]
    assert where(result)["c0001"] == "validation"


def test_a_frozen_case_is_eligible_and_kept_whatever_its_score():
    cases = frame({"speaker_id": f"s{n}", "error_score": 0.1 if n < 5 else 0.9} for n in range(50))
    result = split(cases, frozen({"c0000": "test"}), replace(PARAMS, min_error_score=0.5, max_samples=3))
    assert where(result)["c0000"] == "test"
    assert result.report["left_out"]["below_min_error_score"]["cases"] == 4
    assert result.report["cases"] == {"eligible": 46, "selected": 3, "valid": 50}


def test_an_anchor_still_holds_its_component_without_being_put_out():
    cases = frame({"case_id": f"new{n}", "speaker_id": f"s{n}"} for n in range(20))
    gone = frame({"case_id": f"{n}gone", "speaker_id": f"s{n}"} for n in range(3))
    ledger = frozen({"0gone": "test", "1gone": "validation"})
    result = split(cases, ledger, PARAMS, anchors=gone)
    assert (where(result)["new0"], where(result)["new1"]) == ("test", "validation")
    assert set(result.rows["case_id"]) == set(result.rows["component"]) == set(cases["case_id"])
    assert result.frozen == {"left_out": 0, "not_valid": 2, "test": 0, "train": 0, "validation": 0}


# errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cases", "ledger", "message"),
    [
        (speakers(2, each=5), NOTHING, "10 cases form 2 components, 2 of them free.*train, validation, test.*1 more"),
        (
            frame([{"speaker_id": "default"}] * 49 + [{}]),
            NOTHING,
            "50 cases form 2 components.*1 more needed. speaker_id 'default' joins 98 % of the cases",
        ),
        (speakers(3), frozen({"c0000": "test", "c0001": "test"}), "1 of them free.*train, validation need.*1 more"),
        (speakers(1), frozen({"c0000": "test"}), "0 of them free.*at least 2 more"),
        (frame([]), NOTHING, "no valid cases to split"),
        (frame([{"case_id": "x"}, {"case_id": "x"}, {}]), NOTHING, "1 case_id.* the first is 'x'"),
    ],
)
def test_too_little_data_is_an_error_that_says_what_is_missing(cases, ledger, message):
    with pytest.raises(DataError, match=message):
        split(cases, ledger, PARAMS)


def test_a_threshold_that_leaves_nothing_is_named():
    with pytest.raises(DataError, match=r"all 5 valid cases score below split.min_error_score=0.9"):
        split(frame([{"error_score": 0.5}] * 5), NOTHING, replace(PARAMS, min_error_score=0.9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_ratio": 0.7}, "is 0.9: expected 1"),
        ({"train_ratio": 0.9, "test_ratio": 0.0}, "split.test_ratio=0.0: expected more than 0"),
        ({"max_samples": 2}, "split.max_samples=2: expected null or at least 3"),
        ({"max_share": 0.0}, "split.max_share=0"),
        ({"alpha": 1.5}, "split.alpha=1.5"),
    ],
)
def test_parameters_that_cannot_be_met_are_named(changes, message):
    with pytest.raises(ParamsError, match=message):
        split(speakers(9), NOTHING, replace(PARAMS, **changes))


# the report -----------------------------------------------------------------------------------------------------


def test_the_rows_and_the_report():
    kinds = ["deletion"] * 9 + ["empty"] * 2
    cases = frame({"speaker_id": f"s{n}", "detected_error_types": [kinds[n % 11]]} for n in range(110))
    result = split(cases, NOTHING, replace(PARAMS, balance_error_types=True, max_share=0.6, max_samples=50))
    rows, report = result.rows, result.report
    by_split = [rows.loc[rows["split"] == name, "case_id"].tolist() for name in SPLITS]
    assert rows["case_id"].tolist() == [case_id for case_ids in by_split for case_id in sorted(case_ids)]
    assert [*cases.columns, "primary_error_type", "split", "component"] == list(rows)
    assert report["sizes"] == rows["split"].value_counts().to_dict()
    assert sum(report["sizes"].values()) == 50
    for reason in REASONS:
        assert report["left_out"][reason]["cases"] == (result.left_out["reason"] == reason).sum()
        assert list(report["left_out"][reason]["error_types"]) == ["deletion", "empty"]
    assert json.loads(json.dumps(report, sort_keys=True)) == report
    assert json.dumps(report, sort_keys=True) == json.dumps(report)


def test_only_people_are_evaluated_on_and_only_named_methods_train():
    methods = ("manual", "model:consensus", "rule:loop-removal", "user_feedback")
    cases = frame({"speaker_id": f"s{n // 4}", "correction_method": methods[n % 4]} for n in range(120))
    result = split(cases, NOTHING, PARAMS)
    rows = result.rows.groupby("split")["correction_method"].agg(set)
    assert rows["validation"] == rows["test"] == {"manual", "user_feedback"}
    assert rows["train"] == {"manual", "user_feedback", "model:consensus"}
    left = result.left_out["reason"].value_counts()
    assert left["method_may_not_train"] == 30
    assert left["machine_corrected"] == 30 - (result.rows["correction_method"] == "model:consensus").sum() > 0


def test_a_component_without_a_persons_correction_trains():
    machines = {"speaker_id": "s1", "correction_method": "model:consensus"}
    cases = frame([machines] * 20 + [{"speaker_id": "s2"}, {"speaker_id": "s3"}])
    result = split(cases, NOTHING, PARAMS)
    assert result.report["sizes"] == {"train": 20, "validation": 1, "test": 1}
    with pytest.raises(DataError, match="at least 1 more needed"):
        split(cases[:21], NOTHING, PARAMS)
    with pytest.raises(DataError, match="train_methods='user_feedback'"):
        split(cases[:20], NOTHING, replace(PARAMS, train_methods="user_feedback"))
    with pytest.raises(DataError, match="no case is left in train"):
        split(speakers(9), NOTHING, replace(PARAMS, train_methods="user_feedback"))
    with pytest.raises(ParamsError, match="train_methods names 'people'"):
        split(cases, NOTHING, replace(PARAMS, train_methods="people"))


def test_a_frozen_case_whose_person_took_the_correction_back_is_not_evaluated_on():
    cases = frame([{"speaker_id": f"s{n}"} for n in range(9)] + [{"correction_method": "model:consensus"}])
    result = split(cases, frozen({"c0009": "test", "c0001": "test"}), PARAMS)
    assert result.left_out.values.tolist() == [["c0009", "machine_corrected", "test", "c0009"]]
