"""Whereabouts: where a case is that is in no split of a state."""

from collections.abc import Iterable

import pandas as pd

from mondegreen.snapshot import Snapshot

PLACES = ("rejected", "left out", "withdrawn", "uncorrected", "valid")
"""Where a recorded case can be; rejected and left out have reasons."""


def whereabouts(state: Snapshot, case_ids: "pd.Series[str]", *, missing: str) -> pd.DataFrame:
    """Return `place` and `reasons` (a list) of each case, in order; `missing` is the place of a case unknown there."""
    found = pd.DataFrame({"place": missing, "reasons": [[] for _ in case_ids]}, index=pd.Index(case_ids, dtype="str"))
    if found.empty:
        return found
    cases = _table(state, "data/cases.parquet", ["case_id", "withdrawn", "corrected_transcript"])
    cases = cases[cases["case_id"].isin(case_ids)]
    withdrawn, corrected = cases["withdrawn"].fillna(False).astype(bool), cases["corrected_transcript"].notna()
    found.loc[cases["case_id"], "place"] = "valid"
    found.loc[cases["case_id"][~corrected], "place"] = "uncorrected"
    found.loc[cases["case_id"][withdrawn], "place"] = "withdrawn"
    for place, path, column in (
        ("rejected", "data/rejected.parquet", "reasons"),
        ("left out", "data/left_out.parquet", "reason"),
    ):
        rows = _table(state, path, ["case_id", column])
        rows = rows[rows["case_id"].isin(case_ids)]
        found.loc[rows["case_id"], "place"] = place
        reasons = pd.Series([_listed(value) for value in rows[column]], index=rows["case_id"], dtype=object)
        found.loc[reasons.index, "reasons"] = reasons
    return found


def _listed(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else [str(reason) for reason in value]


def _table(state: Snapshot, path: str, columns: list[str]) -> pd.DataFrame:
    if not state.has(path):
        return pd.DataFrame({name: pd.Series(dtype="str") for name in columns})
    return state.table(path, columns)
