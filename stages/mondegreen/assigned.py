"""Assigned rows: splits.parquet, part by part the rows of valid.parquet that are selected, each with where it goes."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import parts, tables
from mondegreen.schemas import FAILURE, SPLITS
from mondegreen.shelf import Shelf, key_of

_ADDED = ("split", "component", "primary_error_type")


def write(rows: pd.DataFrame, others: pd.DataFrame, valid: str | Path, path: str | Path, *, shelf: Shelf) -> None:
    """Write splits.parquet: as many parts as `valid` has, and behind them the `others`.

    `rows`: `split, component, primary_error_type` of cases of `valid`, and `at`, the number of the row there; parts
    keep their order. `others`: whole rows that are none of these. A part is made only where one of its cases changed.
    """
    files, part_of, at = tables.files(valid), parts.numbers(valid), rows["at"].to_numpy()
    starts = np.searchsorted(part_of, np.arange(len(files)))
    added = pa.table({"at": at - starts[part_of[at]], **{name: rows[name].astype("str") for name in _ADDED}})
    pieces = [added.take(pa.array(np.flatnonzero(part_of[at] == number))) for number in range(len(files))]
    behind = list(tables.pieces(tables.arrow(others, SPLITS), parts.SIZE)) if len(others) else []
    keys = [key_of(shelf.digest(file), tables.digest(piece)) for file, piece in zip(files, pieces, strict=True)]
    make = [partial(_part, file, piece) for file, piece in zip(files, pieces, strict=True)]
    make += [partial(_itself, piece) for piece in behind]
    keys += map(tables.digest, behind)
    parts.write(path, SPLITS, keys, lambda number: make[number](), shelf=shelf)


def _part(file: Path, added: pa.Table) -> pa.Table:
    """Return the rows of a part of valid.parquet that `added` names, with its columns."""
    found = pq.read_table(file).take(added["at"])
    constant = {"origin": FAILURE, "parent_case_id": None, "augmentation": None}
    columns = {name: added[name] for name in _ADDED}
    columns |= {name: pa.array([value] * len(added), pa.string()) for name, value in constant.items()}
    for name, column in columns.items():
        found = found.append_column(name, column)
    SPLITS.of(columns).check(tables.frame(found.select([*columns])))
    return found.select(SPLITS.arrow.names)


def _itself(piece: pa.Table) -> pa.Table:
    return piece
