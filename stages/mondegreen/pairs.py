"""Pairs of original and corrected text: what a text corrector is trained on, and must meet once."""

import numpy as np
import pandas as pd

from mondegreen.balancing import SPLITS
from mondegreen.tables import codes_of, place

REASON = "repeated_pair"


def repeated_pairs(cases: pd.DataFrame, ledger: pd.DataFrame) -> pd.Series:
    """Return where another row with the same `pair` (see `traits`) stays: a frozen one, test first, else the newest."""
    at, known = place(cases["case_id"], ledger["case_id"])
    rank = np.where(known, np.append(codes_of(ledger["split"], SPLITS), 0)[at], 0).clip(0)
    several = cases["pair"].duplicated(keep=False)
    keys = cases.loc[several, ["pair", "recorded_at", "event_id"]].assign(rank=rank[several])
    ordered = keys.sort_values(["rank", "recorded_at", "event_id"])
    return ordered.duplicated("pair", keep="last").reindex(cases.index, fill_value=False)
