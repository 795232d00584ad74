"""Measured cases: what `measure` says of every corrected case, on all cores, and only of those that changed.

What was measured before lies on the shelf, by the batch of the winning correction. A row counts only where all its
inputs are what they were: a case that was recorded or corrected again is measured again.
"""

import sys
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import alignment, measuring, numerals, taxonomy, text
from mondegreen.executor import spread
from mondegreen.measuring import measure
from mondegreen.schemas import CASES, MEASURES
from mondegreen.shelf import Shelf, key_of
from mondegreen.tables import pieces

INPUTS = ("original_transcript", "corrected_transcript", "language", "is_speech")
FIGURES = ("detected_error_types", *MEASURES)

_PIECE = 20_000
"""Cases that a worker measures at once: about a second's work."""

_INPUTS = pa.schema([CASES.arrow.field(name).with_nullable(True) for name in ("case_id", *INPUTS)])
_FIGURES = pa.schema([CASES.arrow.field(name).with_nullable(True) for name in FIGURES])
_FORM = pa.schema([*_INPUTS, *_FIGURES])
_CODE = (sys.modules[__name__], measuring, alignment, numerals, taxonomy, text)
_PACKAGES = ("rapidfuzz", "num2words", "pyarrow")


def measured(cases: pd.DataFrame, batches: pd.Series, normaliser: str, *, shelf: Shelf, engine: str) -> pd.DataFrame:
    """Return the columns `FIGURES` of the corrected rows of `cases` (`case_id` and `INPUTS`), with their index.

    `batches` names, for each row of `cases`, the batch of its winning correction. Raises `ParamsError` for an unknown
    normaliser.
    """
    corrected = cases.loc[cases["corrected_transcript"].notna(), ["case_id", *INPUTS]]
    wanted = pa.Table.from_pandas(corrected, _INPUTS, preserve_index=False)
    groups = batches[corrected.index]
    keys = {name: key_of(str(name), normaliser, code=_CODE, packages=_PACKAGES) for name in groups.unique()}
    kept = [shelf.get(key) for key in keys.values()]
    known = pa.concat_tables([_FORM.empty_table(), *(table for table in kept if table is not None)])
    found = pc.index_in(_identity(wanted), value_set=_identity(known))
    fresh = found.is_null()
    made = _measure(wanted.filter(fresh), normaliser, engine)
    new = fresh.to_numpy(zero_copy_only=False)
    place = found.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    place[new] = len(known) + np.arange(new.sum())
    figures = pa.concat_tables([known.select(FIGURES), made]).take(pa.array(place))
    for name, rows in groups.reset_index(drop=True).groupby(groups.to_numpy()).groups.items():
        if new[rows].any():
            part = pa.array(rows)
            columns = [*wanted.take(part).columns, *figures.take(part).columns]
            shelf.put(keys[name], pa.table(columns, schema=_FORM))
    frame: pd.DataFrame = figures.to_pandas()
    return frame.set_axis(corrected.index)


def _identity(rows: pa.Table) -> pa.Array:
    """Return all inputs of each row as one text, unequal where any input is."""
    parts = []
    for name in _INPUTS.names:
        values = pc.fill_null(rows[name].cast(pa.string()), "\0")
        parts += [pc.binary_length(values).cast(pa.string()), values]
    joined = pc.binary_join_element_wise(*parts, " ")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _measure(rows: pa.Table, normaliser: str, engine: str) -> pa.Table:
    parts = pieces(rows.select(INPUTS), _PIECE)
    return pa.concat_tables(spread(partial(_piece, normaliser), parts, engine=engine))


def _piece(normaliser: str, rows: pa.Table) -> pa.Table:
    original, corrected, language, is_speech = (column.to_pylist() for column in rows.columns)
    figures: dict[str, list[Any]] = measure(original, corrected, language, is_speech, normaliser)
    return pa.table({name: pa.array(figures[name], _FIGURES.field(name).type) for name in FIGURES}, schema=_FIGURES)
