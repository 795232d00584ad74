"""Traits: the few columns of a case that decide where it goes, made part by part; all others only pass through."""

from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from mondegreen import parts, tables
from mondegreen.balancing import primary_error_types, selection_scores
from mondegreen.components import KEYS, long_text
from mondegreen.schemas import VALID
from mondegreen.shelf import Shelf, key_of
from mondegreen.text import normalise

_KEPT = ("case_id", "event_id", "recorded_at", "correction_method", *KEYS[:-1])
_MADE = {
    "long_text": pa.string(),
    "pair": pa.string(),
    "primary_error_type": pa.string(),
    "selection_score": pa.float64(),
}
TRAITS = pa.schema([*map(VALID.arrow.field, _KEPT), *map(pa.field, _MADE, _MADE.values())])


def read(path: str | Path, *, min_shared_words: int, shelf: Shelf) -> pd.DataFrame:
    """Return the `traits` of a table like valid.parquet, and `at`, the number of the row.

    Those of a part that is known are not made again.
    """
    files = tables.files(path)
    keys = [key_of(shelf.digest(file), f"traits {min_shared_words}", packages=("pandas",)) for file in files]
    made = parts.each(partial(_of_part, min_shared_words), files.__getitem__, keys, shelf=shelf)
    return tables.frame(pa.concat_tables(made)).assign(at=np.arange(sum(map(len, made))))


def traits(cases: pd.DataFrame, *, min_shared_words: int) -> pd.DataFrame:
    """Return the traits of `cases` (columns of valid.parquet): what dates, links and ranks them.

    `pair` is equal where both normalised texts are; `long_text` is what `components.link_keys` takes.
    """
    pairs, longs = [], []
    for original, corrected in zip(cases["original_transcript"], cases["corrected_transcript"], strict=True):
        said = normalise(corrected or "")
        pairs.append(blake2b(f"{normalise(original or '')}\n{said}".encode(), digest_size=16).hexdigest())
        longs.append(long_text(said, min_shared_words))
    return cases[[*_KEPT]].assign(
        long_text=longs,
        pair=pairs,
        primary_error_type=primary_error_types(cases),
        selection_score=selection_scores(cases),
    )


def _of_part(min_shared_words: int, file: Path) -> pa.Table:
    made = traits(tables.read(file, VALID), min_shared_words=min_shared_words)
    return pa.Table.from_pandas(made, TRAITS, preserve_index=False)
