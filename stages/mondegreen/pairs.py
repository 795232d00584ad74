"""Pairs of original and corrected text: what a text corrector is trained on, and must meet once."""

import pandas as pd

from mondegreen.balancing import SPLITS
from mondegreen.text import normalise

REASON = "repeated_pair"


def pair_keys(original: pd.Series, corrected: pd.Series) -> pd.Series:
    """Return one text per row that is equal where both normalised texts are."""
    return original.fillna("").map(normalise) + "\n" + corrected.fillna("").map(normalise)


def repeated_pairs(cases: pd.DataFrame, ledger: pd.DataFrame) -> pd.Series:
    """Return where another row with the same pair is kept: a frozen one (test first), else the newest."""
    frozen = cases["case_id"].map(ledger.set_index("case_id")["split"])
    rank = frozen.map({name: number for number, name in enumerate(SPLITS)}).fillna(0)
    pair = pair_keys(cases["original_transcript"], cases["corrected_transcript"])
    keys = cases[["recorded_at", "event_id"]].assign(pair=pair, rank=rank)[pair.duplicated(keep=False)]
    ordered = keys.sort_values(["rank", "recorded_at", "event_id"])
    return ordered.duplicated("pair", keep="last").reindex(cases.index, fill_value=False)
