"""Measured cases: what `measure` says of every corrected case, on all cores, and only of those that changed.

What was measured before lies on the shelf, by the batch of the winning correction. A row counts only where all its
inputs are what they were: a case that was recorded or corrected again is measured again.
"""

import sys
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
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
    rows_of = batches[corrected.index].reset_index(drop=True).groupby(batches[corrected.index].to_numpy()).indices
    keys = {name: key_of(str(name), normaliser, code=_CODE, packages=_PACKAGES) for name in rows_of}
    kept, place = [_FORM.empty_table()], np.full(len(wanted), -1, np.int64)
    for name, rows in rows_of.items():
        if (known := shelf.get(keys[name])) is not None:
            at = _found(wanted.take(pa.array(rows)), known.select(_INPUTS.names))
            place[rows] = np.where(at >= 0, at + sum(map(len, kept)), -1)
            kept.append(known)
    new = place < 0
    known = pa.concat_tables(kept)
    place[new] = len(known) + np.arange(new.sum())
    made = _measure(wanted.filter(pa.array(new)), normaliser, engine)
    figures = pa.concat_tables([known.select(FIGURES), made]).take(pa.array(place))
    for name, rows in rows_of.items():
        if new[rows].any():
            part = pa.array(rows)
            columns = [*wanted.take(part).columns, *figures.take(part).columns]
            shelf.put(keys[name], pa.table(columns, schema=_FORM))
    frame: pd.DataFrame = figures.to_pandas()
    return frame.set_axis(corrected.index)


def _found(wanted: pa.Table, known: pa.Table) -> npt.NDArray[np.int64]:
    """Return in which row of `known` each row of `wanted` stands, with all its inputs; -1: in none."""
    at = pc.index_in(wanted["case_id"], value_set=known["case_id"].combine_chunks())
    there = known.take(at.combine_chunks())
    same = at.is_valid()
    for name in INPUTS:
        both = pc.and_(wanted[name].is_null(), there[name].is_null())
        same = pc.and_(same, pc.or_(both, pc.equal(wanted[name], there[name]).fill_null(False)))
    found: npt.NDArray[np.int64] = pc.if_else(same, at, -1).to_numpy().astype(np.int64)
    return found


def _measure(rows: pa.Table, normaliser: str, engine: str) -> pa.Table:
    parts = pieces(rows.select(INPUTS), _PIECE)
    return pa.concat_tables(spread(partial(_piece, normaliser), parts, engine=engine))


def _piece(normaliser: str, rows: pa.Table) -> pa.Table:
    original, corrected, language, is_speech = (column.to_pylist() for column in rows.columns)
    figures: dict[str, list[Any]] = measure(original, corrected, language, is_speech, normaliser)
    return pa.table({name: pa.array(figures[name], _FIGURES.field(name).type) for name in FIGURES}, schema=_FIGURES)
