"""The tally: how many cases there are, how many are corrected, and what kinds of errors they have, as of now."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import events
from mondegreen.log import distinct

COLUMNS: dict[str, tuple[str, ...]] = dict.fromkeys(events.FIELDS, ()) | {
    "failure": ("case_id", "speaker_id", "error_types", "error_score"),
    "correction": ("case_id",),
    "withdrawal": ("case_id", "speaker_id"),
    "review": ("undoes",),
}
"""What is counted of each kind of event, besides `event_id` and `recorded_at`."""


def tally(log: dict[str, pa.Table]) -> dict[str, Any]:
    """Return the statistics of a log of `COLUMNS` (see `mondegreen.log.tables`); withdrawn cases are not counted.

    Of two failures with one case_id the later counts, and a correction that somebody took back corrects nothing.
    """
    cases, gone = _latest(log["failure"]), log["withdrawal"]
    withdrawn = pc.or_(_among(cases["case_id"], gone["case_id"]), _among(cases["speaker_id"], gone["speaker_id"]))
    cases = cases.filter(pc.invert(withdrawn))
    corrections = log["correction"]
    standing = corrections.filter(pc.invert(_among(corrections["event_id"], log["review"]["undoes"])))
    corrected = pc.sum(_among(cases["case_id"], standing["case_id"])).as_py() or 0
    types = pc.value_counts(pc.list_flatten(cases["error_types"])).to_pylist()
    newest = [moment for table in log.values() if (moment := pc.max(table["recorded_at"]).as_py())]
    return {
        "total_failed_cases": len(cases),
        "corrected_cases": corrected,
        "uncorrected_cases": len(cases) - corrected,
        "correction_rate": corrected / len(cases) if len(cases) else 0.0,
        "total_corrections": len(corrections),
        "error_type_distribution": {
            found["values"]: found["counts"] for found in sorted(types, key=lambda found: -found["counts"])
        },
        "average_error_score": pc.mean(cases["error_score"]).as_py(),
        "last_updated": events.timestamp(max(newest)) if newest else None,
    }


def _latest(failures: pa.Table) -> pa.Table:
    """Return one failure per case, the latest."""
    if distinct(failures["case_id"]):
        return failures
    ordered = failures.sort_by([("recorded_at", "ascending"), ("event_id", "ascending")])
    rows = pa.table({"case_id": ordered["case_id"], "row": pa.array(range(len(ordered)))})
    return ordered.take(rows.group_by("case_id").aggregate([("row", "max")])["row_max"])


def _among(values: pa.ChunkedArray, wanted: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=wanted.drop_null().combine_chunks())
