"""Neighbours: the clips before and after a clip in its recording and among its speaker's, and whose text fits better.

How a text fits follows from it and its neighbours' alone: what the last build found lies on the shelf, and only a clip
whose own texts or neighbours are others than then is compared again.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen.shelf import Shelf, key_of
from mondegreen.wordings import Strengths, alike, beyond_chance

Rows = npt.NDArray[np.int64]

GROUPS = ("recording_id", "speaker_id")
ORDER = ("start", "recorded_at", "case_id")
NEIGHBOURS = 3
"""Clips before, and as many after."""

_NONE = -1
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: a product with it is spread over all bits


def fits(cases: pd.DataFrame, texts: pa.Table, shelf: Shelf | None = None) -> Strengths:
    """Return how much better each text fits what was heard in a clip nearby than what was heard in its own, 0..1.

    `cases` have the columns `GROUPS` and `ORDER`, `texts` are their `wordings`, row by row.
    """
    near = _near(cases)
    marks = pa.array(_marks(texts["mark"].to_numpy(), near))
    key = key_of("fits", packages=("rapidfuzz",))
    known = shelf.get(key) if shelf else None
    found = np.full(len(cases), np.nan)
    if known is not None:
        found = known["fit"].take(pc.index_in(marks, value_set=known["mark"].combine_chunks())).to_numpy()
    if len(new := np.flatnonzero(np.isnan(found))):
        found[new] = _compared(texts, [column[new] for column in near], new)
        if shelf:
            shelf.put(key, pa.table({"mark": marks, "fit": found}))
    return found


def _near(cases: pd.DataFrame) -> list[Rows]:
    """Return for each row the rows of its neighbours, one array each: none where there is none, or it is named before.

    First those of its recording, then those of its speaker.
    """
    found: list[Rows] = []
    for group in GROUPS:
        before = list(found)
        codes, _ = pd.factorize(cases[group])
        names = [group, *ORDER]
        keys = pa.table([codes, *(pa.array(cases[name], from_pandas=True) for name in ORDER)], names)
        order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in names]).to_numpy().astype(np.int64)
        order = order[(codes == _NONE).sum() :]
        key = codes[order]
        for step in range(1, NEIGHBOURS + 1):
            same = key[step:] == key[:-step]
            one, other = order[:-step][same], order[step:][same]
            for here, there in ((one, other), (other, one)):
                column = np.full(len(cases), _NONE)
                column[here] = there
                for named in before:
                    column[column == named] = _NONE
                found.append(column)
    return found


def _marks(mark: npt.NDArray[np.uint64], near: list[Rows]) -> npt.NDArray[np.uint64]:
    """Return a hash of each row's `mark` and its neighbours'."""
    found = mark.copy()
    for column in near:
        found *= _ODD
        found ^= found >> np.uint64(32)
        found += np.where(column == _NONE, np.uint64(0), mark[column])
    return found


def _compared(texts: pa.Table, near: list[Rows], rows: Rows) -> Strengths:
    """Return the fits of `rows`, whose neighbours are `near`."""
    met = np.zeros(len(texts), bool)
    for column in (rows, *near):
        met[column[column != _NONE]] = True
    place = np.cumsum(met) - 1
    few = texts.filter(pa.array(met))
    said, heard = (np.array(few[name].to_pylist(), object) for name in ("said", "heard"))
    letters, length = (pc.utf8_length(few[name]).to_numpy().astype(np.int64) for name in ("said", "heard"))
    own, common = place[rows], few["common"].to_numpy()
    best = np.zeros(len(rows))
    for column in near:
        at = np.flatnonzero(column != _NONE)
        here, there = own[at], place[column[at]]
        shorter = np.minimum(letters[here], length[there])
        most = beyond_chance(2 * shorter / np.maximum(1, letters[here] + length[there]))  # of their lengths
        hopeful = most > common[here] + best[at]
        at, here, there = at[hopeful], here[hopeful], there[hopeful]
        better = np.where(said[here] == said[there], 0.0, alike(said[here], heard[there]) - common[here])
        best[at] = np.maximum(best[at], better)
    return np.clip(best, 0, 1)
