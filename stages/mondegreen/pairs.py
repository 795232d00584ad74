"""Pairs of original and corrected text: what a text corrector is trained on, and must meet once."""

from functools import partial

import pandas as pd
import pyarrow as pa

from mondegreen.balancing import SPLITS
from mondegreen.components import long_text
from mondegreen.executor import spread
from mondegreen.tables import pieces
from mondegreen.text import normalise

REASON = "repeated_pair"

_PIECE = 100_000
"""Cases whose texts a worker normalises at once: about half a second's work."""
_TEXTS = pa.schema([("original_transcript", pa.string()), ("corrected_transcript", pa.string())])
_KEYS = pa.schema([("pair", pa.string()), ("long_text", pa.string())])


def with_keys(cases: pd.DataFrame, *, min_shared_words: int) -> pd.DataFrame:
    """Return `cases` with the further columns `pair` and `long_text`, their texts normalised once, on all cores.

    `pair` is equal where both normalised texts are; `long_text` is what `components.link_keys` takes.
    """
    texts = pa.Table.from_pandas(cases[_TEXTS.names], _TEXTS, preserve_index=False)
    made = pa.concat_tables(spread(partial(_keys, min_shared_words), pieces(texts, _PIECE), engine="local"))
    return cases.assign(**{name: made[name].to_pandas().set_axis(cases.index) for name in _KEYS.names})


def _keys(min_shared_words: int, texts: pa.Table) -> pa.Table:
    pairs, longs = [], []
    for original, corrected in zip(*(column.to_pylist() for column in texts.columns), strict=True):
        said = normalise(corrected or "")
        pairs.append(f"{normalise(original or '')}\n{said}")
        longs.append(long_text(said, min_shared_words))
    return pa.table([pairs, longs], schema=_KEYS)


def repeated_pairs(cases: pd.DataFrame, ledger: pd.DataFrame) -> pd.Series:
    """Return where another row with the same `pair` is kept: a frozen one (test first), else the newest."""
    frozen = cases["case_id"].map(ledger.set_index("case_id")["split"])
    rank = frozen.map({name: number for number, name in enumerate(SPLITS)}).fillna(0)
    keys = cases[["pair", "recorded_at", "event_id"]].assign(rank=rank)[cases["pair"].duplicated(keep=False)]
    ordered = keys.sort_values(["rank", "recorded_at", "event_id"])
    return ordered.duplicated("pair", keep="last").reindex(cases.index, fill_value=False)
