"""Splitting: every case is left out with a reason, or lands in train, validation or test together with its component.

The order is fixed: eligibility, then assignment over all eligible cases (so `max_samples` never moves a case between
splits), then selection inside each split.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from mondegreen.balancing import SPLITS, primary_error_types, select, selection_scores
from mondegreen.components import LINKING, Keys, explain, link_keys, links, roots, shared_counts
from mondegreen.errors import DataError, ParamsError
from mondegreen.freezing import EVALUATION, LINKS_EVALUATION, LINKS_TRAIN, counts, force, sides
from mondegreen.methods import MACHINE_CORRECTED, MAY_NOT_TRAIN, by_people, may_train, refused
from mondegreen.params import Split as Params
from mondegreen.placement import Floats, Ints, place_components
from mondegreen.tables import among, codes_of, in_order, named

REASONS = (
    "balanced_out",
    "below_min_error_score",
    LINKS_TRAIN,
    LINKS_EVALUATION,
    MACHINE_CORRECTED,
    MAY_NOT_TRAIN,
    "over_max_samples",
)


@dataclass(frozen=True)
class Split:
    """The result of `split`.

    `rows`: the cases of the dataset with `split`, `component` and `primary_error_type`, sorted by split (train,
    validation, test) and case_id. `left_out`: `case_id, reason, split, component`, sorted by case_id; the last two
    are null where none was assigned. `report`: metrics/split.json, which a release does not change; `frozen`:
    metrics/frozen.json, which it does.
    """

    rows: pd.DataFrame
    left_out: pd.DataFrame
    report: dict[str, Any]
    frozen: dict[str, int]


@dataclass(frozen=True)
class Assignment:
    """The result of `assign`.

    `cases`: `case_id, component, split, reason, frozen, primary_error_type`, one row per case, sorted by case_id;
    `split` is null, and `reason` says why, for a case that links what releases froze into different splits. `frozen`
    cases of validation and test are never left out. `keys`: what joins the cases. `explanation`: what makes
    one component dominate, or empty.
    """

    cases: pd.DataFrame
    keys: Keys
    explanation: str


def split(cases: pd.DataFrame, ledger: pd.DataFrame, params: Params, *, anchors: pd.DataFrame | None = None) -> Split:
    """Choose and assign `cases` (columns of valid.parquet, or `traits`): every case ends in `rows` or in `left_out`.

    For `anchors` see `assign`. Raises `DataError` when a split would be empty or a case_id is not unique, and
    `ParamsError` for parameters that cannot be met.
    """
    _check_selection(params)
    cases = in_order(cases, ["case_id"], ignore_index=True)
    _check_unique(cases["case_id"])
    if "primary_error_type" not in cases:
        cases = cases.assign(primary_error_type=primary_error_types(cases))
    people = by_people(cases["correction_method"])
    trains = may_train(cases["correction_method"], params.train_methods)
    eligible = _eligible(cases, ledger, params.min_error_score) & (people | trains)
    if not eligible.any():
        raise DataError(
            f"no valid case has a person's correction or one of split.train_methods={params.train_methods!r}: "
            "correct some ('mondegreen review', or 'mondegreen correct CASE_ID TEXT')"
        )
    if not eligible.all():  # what trained in a release holds its component, whatever the threshold is now
        anchors = pd.concat([cases[~eligible], *([] if anchors is None else [anchors])], ignore_index=True)
    linking = [name for name in cases if name in {"case_id", *LINKING, "long_text", "primary_error_type"}]
    assignment = assign(
        cases[linking] if eligible.all() else cases.loc[eligible, linking].reset_index(drop=True),
        ledger,
        seed=params.seed,
        train_ratio=params.train_ratio,
        validation_ratio=params.validation_ratio,
        test_ratio=params.test_ratio,
        min_shared_words=params.min_shared_words,
        anchors=anchors,
        train_only=~people[eligible].reset_index(drop=True),
    )
    unfit = refused(assignment.cases["split"], people[eligible].to_numpy(), trains[eligible].to_numpy())
    _check_not_empty(assignment.cases["split"][unfit.isna()], params)
    selection = select(
        assignment.cases[unfit.isna()].dropna(subset="split"),
        seed=params.seed,
        ratios=_ratios(params.train_ratio, params.validation_ratio, params.test_ratio),
        max_samples=params.max_samples,
        balance_error_types=params.balance_error_types,
        alpha=params.alpha,
        max_share=params.max_share,
    )
    table = _with_reasons(
        cases[["case_id", "primary_error_type"]], eligible, assignment.cases, unfit, selection.reasons
    )
    table.loc[~(people | trains), "reason"] = MAY_NOT_TRAIN
    kept = table["reason"].isna()
    order = np.flatnonzero(kept)
    order = order[np.argsort(codes_of(table["split"].iloc[order], SPLITS), kind="stable")]
    rows = cases.iloc[order].assign(split=table["split"], component=table["component"]).reset_index(drop=True)
    left_out = table.loc[~kept, ["case_id", "reason", "split", "component"]].reset_index(drop=True)
    left_out["component"] = left_out["component"].where(left_out["split"].notna())
    frozen = counts(table["case_id"], table["split"].where(kept), ledger)
    shared = shared_counts(rows, assignment.keys.of((np.cumsum(eligible) - 1)[order]))
    return Split(rows, left_out, _report(table, rows, assignment, shared, params, selection.notes), frozen)


def assign(
    cases: pd.DataFrame,
    ledger: pd.DataFrame,
    *,
    seed: int,
    train_ratio: float,
    validation_ratio: float,
    test_ratio: float,
    min_shared_words: int,
    anchors: pd.DataFrame | None = None,
    train_only: pd.Series | None = None,
) -> Assignment:
    """Give every case the split of its component; `cases` need a `primary_error_type` (see `primary_error_types`).

    A component that touches what a release froze goes to that split; one that touches several is taken apart (see
    `freezing.force`). All other components are placed by scikit-learn so that the splits' sizes, in cases, come near
    the ratios and their error types near those of all cases. `anchors` are cases that the ledger names but that are
    not valid any more (an older duplicate, a withdrawal): they are not put out, yet what they connect still goes to
    their split. `train_only` tells which of `cases` can only train: a free component that has no other goes to train.
    Raises `DataError` when a split would be empty or a case_id is not unique.
    """
    ratios = np.array(list(_ratios(train_ratio, validation_ratio, test_ratio).values()))
    only = pd.Series(False, cases.index) if train_only is None else train_only
    cases = in_order(cases.assign(train_only=only), ["case_id"], ignore_index=True)
    _check_unique(cases["case_id"])
    here = slice(len(cases))
    linked = _with_anchors(cases, anchors, ledger)
    case_ids, keys = linked["case_id"], link_keys(linked, min_shared_words=min_shared_words)
    side = sides(case_ids, keys.codes["speaker_id"], ledger)
    forced = force(case_ids, roots(case_ids, keys), side, keys)
    component, split, free, keys = forced.component[here], forced.split[here], forced.free[here], keys.of(here)
    explanation = explain(pd.Series(component), keys)
    trained = free & _alone(component, cases["train_only"].to_numpy(dtype=bool))
    split[trained] = 0
    free &= ~trained
    _check_enough(component, split, free, explanation)
    first = _first(component)
    names = keys.column("speaker_id").fillna(keys.column("recording_id")).fillna(cases["case_id"])
    split[free] = _place(cases["primary_error_type"], names.iloc[first], component, split, free, ratios, seed)
    table = cases[["case_id", "primary_error_type"]].assign(
        component=cases["case_id"].iloc[first].array,  # named by a case that is there
        split=named(split, SPLITS),
        reason=forced.reason.iloc[here],
        frozen=among(cases["case_id"], _frozen(ledger)),
    )
    columns = ["case_id", "component", "split", "reason", "frozen", "primary_error_type"]
    return Assignment(table[columns], keys, explanation)


def _first(component: Ints) -> Ints:
    """Return, for each case, where the first one of its component stands."""
    _, at, codes = np.unique(component, return_index=True, return_inverse=True)
    return np.asarray(at[codes], dtype=np.int64)


def _alone(component: Ints, train_only: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which cases are of a component in which all can only train."""
    others = np.zeros(component.max(initial=-1) + 1, dtype=bool)
    others[component[~train_only]] = True
    return ~others[component]


def _eligible(cases: pd.DataFrame, ledger: pd.DataFrame, min_error_score: float) -> pd.Series:
    """Tell which cases reach `min_error_score`; frozen ones always do."""
    scores = cases["selection_score"] if "selection_score" in cases else selection_scores(cases)
    eligible = among(cases["case_id"], _frozen(ledger)) | (scores >= min_error_score)
    if cases.empty:
        raise DataError("there are no valid cases to split: record failures and corrections, then `mondegreen ingest`")
    if not eligible.any():
        raise DataError(f"all {len(cases)} valid cases score below split.min_error_score={min_error_score:g}: lower it")
    return eligible


def _frozen(ledger: pd.DataFrame) -> pd.Series:
    """Return the cases that were in validation or test of a release: they stay."""
    return ledger.loc[ledger["split"].isin(EVALUATION), "case_id"]


def _check_not_empty(kept: pd.Series, params: Params) -> None:
    """Raise `DataError` where no case is left in a split whose corrections may be there."""
    there = set(kept.dropna().unique())
    if empty := [name for name in SPLITS if name not in there]:
        raise DataError(
            f"no case is left in {', '.join(empty)}: validation and test hold people's corrections alone, train those "
            f"of split.train_methods={params.train_methods!r}; correct more, or change it in params.yaml"
        )


def _with_reasons(
    cases: pd.DataFrame, eligible: pd.Series, assigned: pd.DataFrame, *dropped: pd.Series
) -> pd.DataFrame:
    """Return all cases (sorted) with `component, split, frozen` where assigned, and `reason`, null for those kept.

    Why cases are `dropped` after they were assigned stands in series with labels of `assigned`, the later one holds.
    """
    at = np.flatnonzero(eligible)  # both are sorted by case_id
    reasons = np.full(len(cases), REASONS.index("below_min_error_score"))
    reasons[at] = codes_of(assigned["reason"], REASONS)
    for some in dropped:
        found = codes_of(some, REASONS)
        reasons[at[some.index[found >= 0]]] = found[found >= 0]
    wide = assigned[["component", "split", "frozen"]].set_axis(at)
    return pd.concat([cases.assign(reason=named(reasons, REASONS)), wide.reindex(cases.index)], axis=1)


def _with_anchors(cases: pd.DataFrame, anchors: pd.DataFrame | None, ledger: pd.DataFrame) -> pd.DataFrame:
    """Return `cases` followed by the frozen anchors that are not among them."""
    if anchors is None:
        return cases
    wanted = among(anchors["case_id"], ledger["case_id"]) & ~among(anchors["case_id"], cases["case_id"])
    added = anchors.loc[wanted, [name for name in anchors if name in {"case_id", *LINKING, "long_text"}]]
    return pd.concat([cases, added], ignore_index=True) if len(added) else cases


def _check_enough(component: Ints, split: Ints, free: npt.NDArray[np.bool_], explanation: str) -> None:
    """Raise `DataError` when the free components cannot fill every split that frozen cases leave empty."""
    empty = [name for code, name in enumerate(SPLITS) if not (split == code).any()]
    found = len(np.unique(component[free]))
    if found >= len(empty):
        return
    total = len(np.unique(component))
    message = (
        f"{len(component)} cases form {total} component{'s' if total != 1 else ''}, {found} of them free to be placed, "
        f"but {', '.join(empty)} need one each: at least {len(empty) - found} more needed"
    )
    raise DataError(f"{message}. {explanation}" if explanation else message)


def _place(
    types: pd.Series,
    names: pd.Series,
    component: Ints,
    split: Ints,
    free: npt.NDArray[np.bool_],
    ratios: Floats,
    seed: int,
) -> Ints:
    """Return the split of every free case; a component's draw is that of its first case's name."""
    kind, kinds = pd.factorize(types, sort=True)
    known, shape = split >= 0, (len(SPLITS), len(kinds))
    fixed = np.bincount(split[known] * len(kinds) + kind[known], minlength=shape[0] * shape[1]).reshape(shape)
    of, _ = pd.factorize(component[free])
    first = np.flatnonzero(free)[np.unique(of, return_index=True)[1]]
    counts = csr_array((np.ones(len(of)), (of, kind[free])), shape=(len(first), len(kinds)))
    return place_components(counts, names.iloc[first], fixed.astype(np.float64), ratios, seed)[of]


def _ratios(train: float, validation: float, test: float) -> dict[str, float]:
    """Return the ratios by split, or raise `ParamsError`."""
    ratios = dict(zip(SPLITS, (train, validation, test), strict=True))
    for name, ratio in ratios.items():
        if not ratio > 0:
            raise ParamsError(f"split.{name}_ratio={ratio!r}: expected more than 0, no split may be empty")
    if abs(sum(ratios.values()) - 1) > 1e-6:
        shown = " + ".join(f"{name}_ratio {ratio:g}" for name, ratio in ratios.items())
        raise ParamsError(f"split: {shown} is {sum(ratios.values()):g}: expected 1; change them in params.yaml")
    return ratios


def _check_selection(params: Params) -> None:
    if params.max_samples is not None and params.max_samples < len(SPLITS):
        raise ParamsError(f"split.max_samples={params.max_samples}: expected null or at least 3, one case per split")
    if not 0 < params.max_share <= 1:
        raise ParamsError(f"split.max_share={params.max_share:g}: expected more than 0 and at most 1")
    if not 0 <= params.alpha <= 1:
        raise ParamsError(f"split.alpha={params.alpha:g}: expected 0 (uniform) to 1 (natural)")


def _check_unique(case_ids: pd.Series) -> None:
    """Raise `DataError` where sorted case_ids are not unique."""
    repeated = case_ids[case_ids.eq(case_ids.shift())].unique()
    if len(repeated):
        raise DataError(
            f"{len(repeated)} case_id(s) stand in more than one row, the first is {min(repeated)!r}: "
            f"rebuild the table of valid cases (`dvc repro -f validate`)"
        )


def _report(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    assignment: Assignment,
    shared: dict[str, dict[str, int]],
    params: Params,
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """Return the content of metrics/split.json: counts, shares rounded to 6 digits, sorted keys."""
    types = sorted(table["primary_error_type"].unique())
    ratios = _ratios(params.train_ratio, params.validation_ratio, params.test_ratio)
    assigned = _counts(table["split"], SPLITS)
    sizes = _counts(rows["split"], SPLITS)
    largest = np.bincount(pd.factorize(table["component"][table["split"].notna()])[0]).max()
    in_split = {name: rows.loc[rows["split"] == name, ["component", "primary_error_type"]] for name in SPLITS}
    return _rounded(
        {
            "cases": {"valid": len(table), "eligible": int(table["component"].notna().sum()), "selected": len(rows)},
            "sizes": sizes,
            "ratios": {
                name: {"wanted": ratio, "assigned": _share(assigned, name), "got": _share(sizes, name)}
                for name, ratio in ratios.items()
            },
            "components": {name: part["component"].nunique() for name, part in in_split.items()},
            "largest_component": int(largest),
            "error_types": {name: _counts(part["primary_error_type"], types) for name, part in in_split.items()},
            "shared": shared,
            "links": {
                kind: {name: int(row[name]) for name in ("keys", "cases", "largest_cases")}
                for kind, row in links(assignment.keys).iterrows()
            },
            "left_out": {
                reason: {"cases": len(part), "error_types": _counts(part["primary_error_type"], types)}
                for reason, part in ((reason, table[table["reason"] == reason]) for reason in REASONS)
            },
            "notes": [note for note in (assignment.explanation, *notes) if note],
        }
    )


def _counts(column: pd.Series, names: Iterable[str]) -> dict[str, int]:
    found = column.value_counts()
    return {name: int(found.get(name, 0)) for name in names}


def _share(counts: dict[str, int], name: str) -> float:
    return counts[name] / max(sum(counts.values()), 1)


def _rounded(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` with floats of 6 digits and sorted keys."""
    return {str(key): _rounded_value(value[key]) for key in sorted(value)}


def _rounded_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _rounded(value)
    return round(value, 6) if isinstance(value, float) else value
