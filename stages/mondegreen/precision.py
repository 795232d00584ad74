"""How good automatic corrections are, where a person has corrected the same case."""

from typing import Any

import pandas as pd

from mondegreen.alignment import align
from mondegreen.methods import by_people
from mondegreen.tables import among
from mondegreen.text import NORMALISERS

_JUDGED_BY = ["corrected_transcript", "original_transcript", "language"]


def judge(cases: pd.DataFrame, corrections: pd.DataFrame, normaliser: str) -> dict[str, dict[str, int]]:
    """Return the counts behind `precision` of some cases and all their corrections, by method; counts add up."""
    names = ["case_id", *_JUDGED_BY, "correction_method"]
    kept = cases.loc[~cases["withdrawn"], names].set_index("case_id")
    machine = corrections[~by_people(corrections["method"]) & ~corrections["undone"]]
    machine = machine[among(machine["case_id"], kept.index.to_series())].drop_duplicates(
        ["case_id", "method"], keep="last"
    )
    return {
        str(method): {"corrections": len(found)} | _judged(found, kept, normaliser)
        for method, found in machine.groupby("method")
    }


def precision(counts: dict[str, int]) -> dict[str, Any]:
    """Return how many cases a method corrected (its last text counts), and how right it was, from its `judge` counts.

    `judged`: those that a person has corrected too. Of these, `same_words` and `exact` are the shares with the person's
    words under the normaliser and with the very text, `better` and `worse` the shares with fewer and with more word
    errors than the transcript had; `wer` and `original_wer` the corpus rates of both. None where there is nothing to
    divide by.
    """
    judged, words = counts["judged"], counts["words"]
    shares = {name: counts[name] / judged if judged else None for name in ("same_words", "exact", "better", "worse")}
    rates = {"wer": "errors", "original_wer": "original_errors"}
    return {
        "corrections": counts["corrections"],
        "judged": judged,
        **shares,
        **{name: counts[errors] / words if words else None for name, errors in rates.items()},
    }


def _judged(found: pd.DataFrame, kept: pd.DataFrame, normaliser: str) -> dict[str, int]:
    fold = NORMALISERS[normaliser]
    truth = kept[by_people(kept["correction_method"])]
    judged = found[among(found["case_id"], truth.index.to_series())]
    names = ("same_words", "exact", "better", "worse", "words", "errors", "original_errors")
    counts = {"judged": len(judged)} | dict.fromkeys(names, 0)
    for text, row in zip(judged["corrected_transcript"], truth.loc[judged["case_id"], _JUDGED_BY].values, strict=True):
        language = None if pd.isna(row[2]) else row[2]
        said, heard, proposed = (fold(each, language) for each in (row[0], row[1], text))
        after, before = align(said, proposed).word_errors, align(said, heard).word_errors
        counts["exact"] += row[0].split() == text.split()
        counts["same_words"] += said == proposed
        counts["better"] += after < before
        counts["worse"] += after > before
        if said:
            counts["words"] += len(said.split())
            counts["errors"] += after
            counts["original_errors"] += before
    return counts
