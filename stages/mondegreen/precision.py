"""How good automatic corrections are, where a person has corrected the same case."""

from typing import Any

import pandas as pd

from mondegreen.alignment import align
from mondegreen.methods import by_people
from mondegreen.tables import among
from mondegreen.text import NORMALISERS

_JUDGED_BY = ["corrected_transcript", "original_transcript", "language"]


def precision(cases: pd.DataFrame, corrections: pd.DataFrame, normaliser: str) -> dict[str, dict[str, Any]]:
    """Return, by method, how many `cases` it corrected (its last text counts), and how right it was.

    `judged`: those that a person has corrected too. Of these, `same_words` and `exact` are the shares with the person's
    words under `normaliser` and with the very text, `better` and `worse` the shares with fewer and with more word
    errors than the transcript had; `wer` and `original_wer` the corpus rates of both. None where there is nothing to
    divide by.
    """
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


def _judged(found: pd.DataFrame, kept: pd.DataFrame, normaliser: str) -> dict[str, Any]:
    fold = NORMALISERS[normaliser]
    truth = kept[by_people(kept["correction_method"])]
    judged = found[among(found["case_id"], truth.index.to_series())]
    exact = same = better = worse = words = errors = original_errors = 0
    for text, row in zip(judged["corrected_transcript"], truth.loc[judged["case_id"], _JUDGED_BY].values, strict=True):
        language = None if pd.isna(row[2]) else row[2]
        said, heard, proposed = (fold(each, language) for each in (row[0], row[1], text))
        after, before = align(said, proposed).word_errors, align(said, heard).word_errors
        exact += row[0].split() == text.split()
        same += said == proposed
        better += after < before
        worse += after > before
        if said:
            words += len(said.split())
            errors += after
            original_errors += before
    counts = {"same_words": same, "exact": exact, "better": better, "worse": worse}
    return {
        "judged": len(judged),
        **{name: count / len(judged) if len(judged) else None for name, count in counts.items()},
        "wer": errors / words if words else None,
        "original_wer": original_errors / words if words else None,
    }
