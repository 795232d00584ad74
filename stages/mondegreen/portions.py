"""Portions of splits.parquet, which go through export and audit by themselves: a part, with the copies of its cases."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mondegreen import tables
from mondegreen.schemas import SPLITS
from mondegreen.shelf import key_of

_ONE_CHECK = Lock()
"""Two threads that import Pandera, or work with it, at once would wait for each other for ever."""


@dataclass(frozen=True)
class Portion:
    """The rows of a `file`, if any, and some `more` (columns of splits.parquet)."""

    file: Path | None
    more: pa.Table | None = None

    def __len__(self) -> int:
        """Return how many rows there are."""
        kept = pq.read_metadata(self.file).num_rows if self.file else 0
        return kept + (0 if self.more is None else len(self.more))

    def key(self) -> str:
        """Return a key of what the rows say."""
        content = tables.sha256(self.file) if self.file else ""
        return key_of(content, "" if self.more is None else tables.digest(self.more))

    def load(self, columns: Sequence[str]) -> pa.Table:
        """Return `columns` as they stand, sorted by one of them, `case_id`.

        Raises `DataError` where the file cannot be read.
        """
        found = [tables.load(self.file, columns=list(columns))] if self.file else []
        found += [] if self.more is None else [self.more]
        wanted = pa.schema([SPLITS.arrow.field(name).with_nullable(True) for name in columns])
        return _in_order(pa.concat_tables([table.select(columns).cast(wanted) for table in found]))

    def read(self, columns: Collection[str]) -> pa.Table:
        """Return what `load` returns; raises `DataError` also where a rule of the table is broken."""
        found = self.load([name for name in SPLITS.arrow.names if name in columns])
        with _ONE_CHECK:
            SPLITS.of(found.column_names).check(tables.frame(found))
        return found


def _in_order(rows: pa.Table) -> pa.Table:
    rows = rows.combine_chunks()
    names = rows["case_id"]
    if len(rows) > 1 and not pc.all(pc.less_equal(names.slice(0, len(rows) - 1), names.slice(1))).as_py():
        return rows.sort_by("case_id").combine_chunks()
    return rows


def with_copies(files: Sequence[Path], copies: pa.Table) -> list[Portion]:
    """Return the rows of each of the `files`, each with those of the `copies` whose parents lie in it."""
    if not len(copies):
        return [Portion(file) for file in files]
    parents = [_among(copies["parent_case_id"], file) for file in files]
    return [Portion(file, copies.filter(mask)) for file, mask in zip(files, parents, strict=True)]


def _among(case_ids: pa.ChunkedArray, file: Path) -> pa.ChunkedArray:
    """Return which of `case_ids` lie in a part of splits.parquet."""
    return pc.is_in(case_ids, value_set=tables.load(file, columns=["case_id"])["case_id"])


def error_types(rows: pa.Table) -> pa.Array:
    """Return the error types of some rows, by the agent and by the alignment: each once in a row, sorted."""
    lists = [rows[name].combine_chunks() for name in ("error_types", "detected_error_types")]
    labels = pa.concat_arrays([pc.list_flatten(found) for found in lists])
    parents = np.concatenate([pc.list_parent_indices(found).to_numpy() for found in lists])
    names = labels.unique().sort()
    codes = pc.index_in(labels, value_set=names).to_numpy().astype(np.int64)
    pairs = np.unique(parents * max(len(names), 1) + codes)
    at, code = np.divmod(pairs, max(len(names), 1))
    ends = np.cumsum(np.bincount(at, minlength=len(rows)))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, names.take(pa.array(code)))
