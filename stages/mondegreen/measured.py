"""Measured cases: what `measure` says of every corrected case, and again only of those that changed.

What was measured before is a table that the caller keeps. A row of it counts only where all its inputs are what they
were: a case that was recorded or corrected again is measured again.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen.measuring import measure
from mondegreen.schemas import CASES, MEASURES
from mondegreen.shelf import key_of

INPUTS = ("original_transcript", "corrected_transcript", "language", "is_speech")
FIGURES = ("detected_error_types", *MEASURES)

_INPUTS = pa.schema([CASES.arrow.field(name).with_nullable(True) for name in ("case_id", *INPUTS)])
_FIGURES = pa.schema([CASES.arrow.field(name).with_nullable(True) for name in FIGURES])
_FORM = pa.schema([*_INPUTS, *_FIGURES])
_PACKAGES = ("rapidfuzz", "num2words", "pyarrow")


def measured(cases: pd.DataFrame, normaliser: str, known: pa.Table | None = None) -> tuple[pd.DataFrame, pa.Table]:
    """Return the columns `FIGURES` of the corrected rows of `cases` (`case_id` and `INPUTS`), and what to keep of it.

    The former has the index of those rows, the latter is `known` of the next time, under a `key`. Raises `ParamsError`
    for an unknown normaliser.
    """
    corrected = cases.loc[cases["corrected_transcript"].notna(), ["case_id", *INPUTS]]
    wanted = pa.Table.from_pandas(corrected, _INPUTS, preserve_index=False)
    known = _FORM.empty_table() if known is None else known
    place = _found(wanted, known.select(_INPUTS.names))
    new = place < 0
    place[new] = len(known) + np.arange(new.sum())
    made = _measure(wanted.filter(pa.array(new)), normaliser)
    figures = pa.concat_tables([known.select(FIGURES), made]).take(pa.array(place))
    frame: pd.DataFrame = figures.to_pandas()
    kept = pa.table([*wanted.columns, *figures.columns], schema=_FORM)
    return frame.set_axis(corrected.index), kept


def key(normaliser: str, *of: str) -> str:
    """Return the key of what `measured` returned to be kept, `of` anything that was measured together."""
    return key_of(normaliser, *of, packages=_PACKAGES)


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


def _measure(rows: pa.Table, normaliser: str) -> pa.Table:
    original, corrected, language, is_speech = (rows[name].to_pylist() for name in INPUTS)
    figures: dict[str, list[Any]] = measure(original, corrected, language, is_speech, normaliser)
    return pa.table({name: pa.array(figures[name], _FIGURES.field(name).type) for name in FIGURES}, schema=_FIGURES)
