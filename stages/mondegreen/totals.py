"""Tallies: what the dataset card says of some rows, as sums that can be added up part by part.

A tally is a table of (`figure`, `split`, `name`, `value`): how many rows of the split the figure counts under the name.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mondegreen.portions import error_types
from mondegreen.schemas import AUGMENTED, FAILURE, REPLAY

COLUMNS = (
    *("split", "origin", "duration", "speaker_id", "recording_id", "language", "model_version", "correction_method"),
    *("reference_words", "substitutions", "deletions", "insertions", "parent_case_id", "augmentation"),
    *("error_types", "detected_error_types"),
)
"""The columns of splits.parquet that a tally is made of."""

_DISTINCT = ("speakers", "recordings", "parents")
_TALLY = pa.schema([("figure", pa.string()), ("split", pa.string()), ("name", pa.string()), ("value", pa.float64())])


@dataclass(frozen=True)
class Figures:
    """Sums of totals: for each figure, the value of (split, name); and how many different names a split has."""

    values: Mapping[str, Mapping[tuple[str, str | None], float]]
    distinct: Mapping[tuple[str, str], int]

    def by_split(self, figure: str) -> dict[str, float]:
        """Return the sum of a figure in each split that has it."""
        found: dict[str, float] = {}
        for (split, _), value in self.values.get(figure, {}).items():
            found[split] = found.get(split, 0) + value
        return found

    def by_name(self, figure: str) -> Counter[str | None]:
        """Return the count of a figure for each name."""
        found: Counter[str | None] = Counter()
        for (_, name), value in self.values.get(figure, {}).items():
            found[name] += int(value)
        return found


def tally(rows: pa.Table) -> pa.Table:
    """Return the tally of some rows (`COLUMNS` of splits.parquet)."""
    origin = rows["origin"]
    failures, copies = rows.filter(pc.equal(origin, FAILURE)), rows.filter(pc.equal(origin, AUGMENTED))
    spoken = failures.filter(pc.greater(failures["reference_words"], 0))  # an empty reference has no error rate
    labels = error_types(failures)
    kinds = pa.table(
        [failures["split"].take(pc.list_parent_indices(labels)), pc.list_flatten(labels)], ["split", "kind"]
    )
    found = [
        _counted("rows", rows, "origin"),
        _counted("error_types", kinds, "kind"),
        _counted("languages", rows, "language"),
        _counted("models", failures, "model_version"),
        _counted("methods", failures, "correction_method"),
        _counted("replayed", rows.filter(pc.equal(origin, REPLAY)), "correction_method"),
        _counted("speakers", rows.filter(rows["speaker_id"].is_valid()), "speaker_id"),
        _counted("recordings", rows.filter(rows["recording_id"].is_valid()), "recording_id"),
        _counted("parents", copies, "parent_case_id"),
        _counted("plans", copies, "augmentation"),
        _summed("seconds", rows.filter(rows["duration"].is_valid()), ["duration"]),
        _summed("words", spoken, ["reference_words"]),
        _summed("errors", spoken, ["substitutions", "deletions", "insertions"]),
    ]
    return pa.concat_tables(found)


def _counted(figure: str, rows: pa.Table, name: str) -> pa.Table:
    counts = rows.select(["split", name]).group_by(["split", name]).aggregate([([], "count_all")])
    return _table(figure, counts["split"], counts[name], counts["count_all"])


def _summed(figure: str, rows: pa.Table, columns: list[str]) -> pa.Table:
    splits = rows["split"].unique()
    parts = [rows.filter(pc.equal(rows["split"], split)) for split in splits]
    sums = [math.fsum(value for name in columns for value in part[name].drop_null().to_numpy()) for part in parts]
    return _table(figure, splits, pa.nulls(len(splits), pa.string()), pa.array(sums, pa.float64()))


def _table(figure: str, split: pa.Array, name: pa.Array, value: pa.Array) -> pa.Table:
    return pa.table([pa.repeat(figure, len(split)), split, name, value.cast(pa.float64())], schema=_TALLY)


def total(parts: Iterable[pa.Table]) -> Figures:
    """Return the sums of totals; the order of the parts does not matter, but for the last bits of seconds."""
    table = pa.concat_tables([_TALLY.empty_table(), *parts]).combine_chunks()
    many = pc.is_in(table["figure"], value_set=pa.array(_DISTINCT))
    values: dict[str, dict[tuple[str, str | None], float]] = {}
    for row in table.filter(pc.invert(many)).to_pylist():
        of_figure = values.setdefault(row["figure"], {})
        key = row["split"], row["name"]
        of_figure[key] = of_figure.get(key, 0) + row["value"]
    named = table.filter(many).group_by(["figure", "split"]).aggregate([("name", "count_distinct")])
    counts = zip(*(named[name].to_pylist() for name in ("figure", "split", "name_count_distinct")), strict=True)
    return Figures(values, {(figure, split): count for figure, split, count in counts})


def steps(figures: Figures) -> Counter[str]:
    """Return how many copies each method of augmentation was applied to."""
    found: Counter[str] = Counter()
    for plan, count in figures.by_name("plans").items():
        found.update(dict.fromkeys(json.loads(plan or "{}"), count))
    return found
