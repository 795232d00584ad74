"""Suspect corrections: which of the corrections are probably wrong, and why.

Each sign is a strength in 0..1; a case's score is 1 minus the product of what the signs leave open, so that two weak
signs make a strong one. Where another recogniser hears the correction, what the text itself looks like counts for less.
Nothing is rejected for it: it is an order in which a person looks again.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from rapidfuzz import fuzz

from mondegreen.methods import by_people
from mondegreen.neighbours import fits
from mondegreen.shelf import Shelf
from mondegreen.tables import among
from mondegreen.text import normalise
from mondegreen.wordings import TEXTS, Strengths, alike, wordings

SIGNS = {
    "speaking_rate": "far more or fewer characters per second than people say in this data",
    "words_dropped": "much shorter or longer than what was heard",
    "nothing_in_common": "hardly anything of it was heard, although the recogniser was sure",
    "text_of_a_neighbour": "it is what was heard in another clip of the recording or speaker",
    "second_opinion": "another recogniser hears what the first one heard, not this",
    "annotators_apart": "people have corrected it to texts that differ",
}
"""Every sign, with what it says of a correction."""

SUSPECT = 0.7
"""The score from which a correction is counted as suspect."""

_MIN_CASES = 20  # with fewer there is no usual rate to be off
_SHORT = 8  # characters: of shorter texts nothing can be said from how alike they are


def rank(
    cases: pd.DataFrame,
    corrections: pd.DataFrame,
    heard: Mapping[str, Mapping[str, str]],
    *,
    texts: pa.Table | None = None,
    shelf: Shelf | None = None,
) -> pa.Table:
    """Return `case_id, score, reasons`, one row per case, most suspect first.

    `cases` are corrected cases with the columns of cases.parquet, `corrections` all corrections ever made, `heard` has,
    by case_id, what other recognisers made of its sound (see `witnesses.transcripts`). `reasons` are the names of the
    `SIGNS` that weigh at least 0.1, strongest first. With their `texts` (see `wordings`) at hand, the columns `TEXTS`
    are not needed; on the `shelf` lies what of the last build still holds.
    """
    if texts is None:
        texts = wordings(pa.Table.from_pandas(cases[list(TEXTS)], preserve_index=False))
    said, original = (pc.utf8_length(texts[name]).to_numpy().astype(np.int64) for name in ("said", "heard"))
    common = texts["common"].to_numpy()
    against, in_favour = _opinions(cases, texts, heard)
    signs = {
        "speaking_rate": _speaking_rate(cases, texts["letters"].to_numpy()),
        "words_dropped": _words_dropped(said, original),
        "nothing_in_common": np.where(np.minimum(said, original) >= _SHORT, (1 - common) ** 2 * _sure(cases), 0.0),
        "text_of_a_neighbour": np.where(said >= _SHORT, fits(cases, texts, shelf), 0.0),
        "second_opinion": against,
        "annotators_apart": _annotators_apart(cases, corrections),
    }
    strengths = np.column_stack([signs[name] for name in SIGNS]).reshape(len(cases), len(SIGNS))
    of_the_text = [name not in ("second_opinion", "annotators_apart") for name in SIGNS]
    strengths[:, of_the_text] *= (1 - in_favour)[:, np.newaxis]
    score = (1 - (1 - strengths).prod(axis=1)).round(6)
    ids = pa.array(cases["case_id"], pa.string())
    ranked = pa.table({"case_id": ids, "score": score, "reasons": _reasons(strengths)})
    return ranked.sort_by([("score", "descending"), ("case_id", "ascending")])


def _reasons(strengths: Strengths) -> pa.ListArray:
    """Return the names of the signs that weigh, row by row, strongest first."""
    counts = (strengths >= 0.1).sum(axis=1)
    some = strengths[counts > 0]
    order = np.argsort(-some, axis=1, kind="stable")
    weigh = np.take_along_axis(some, order, axis=1) >= 0.1
    ends = np.concatenate([[0], counts.cumsum()])
    names = pa.array(SIGNS, pa.string()).take(pa.array(order[weigh]))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), names)


def summary(ranked: pa.Table) -> dict[str, Any]:
    """Return how many corrections are suspect (a score of `SUSPECT` or more), and for which reasons."""
    found = ranked.filter(pc.greater_equal(ranked["score"], SUSPECT))
    counts = Counter(pc.list_flatten(found["reasons"]).to_pylist())
    return {"cases": len(found), "reasons": {name: counts[name] for name in SIGNS}}


def warning(found: dict[str, Any], total: int) -> list[str]:
    """Return a line for people where corrections are suspect."""
    if not found["cases"]:
        return []
    return [f"{found['cases']} of {total} valid corrections are suspect: data/suspects.parquet says which, and why"]


def _speaking_rate(cases: pd.DataFrame, letters: npt.NDArray[np.int64]) -> Strengths:
    """Return how far the rate is off: from 2.5 robust standard deviations (1.4826 times the MAD) of its log, to 6.

    Nobody speaks that fast, but a clip may hold a pause: slow counts half.
    """
    seconds = cases["duration"].to_numpy(np.float64)
    known = (letters > 0) & (seconds > 0)
    if known.sum() < _MIN_CASES:
        return np.zeros(len(cases))
    rate = np.zeros(len(cases))
    rate[known] = np.log(letters[known] / seconds[known])
    middle = np.median(rate[known])
    spread = max(1.4826 * float(np.median(np.abs(rate[known] - middle))), 0.1)
    off = np.clip((np.abs(rate - middle) / spread - 2.5) / 3.5, 0, 1) * np.where(rate < middle, 0.5, 0.9)
    return np.where(known, off, 0.0)


def _words_dropped(said: npt.NDArray[np.int64], original: npt.NDArray[np.int64]) -> Strengths:
    """Return how much longer one text is than the other: from twice, to four times; a few letters do not count."""
    ratio = np.abs(np.log2((said + 8.0) / (original + 8.0)))
    return np.where((said > 0) & (original > 0), np.clip(ratio - 1, 0, 1), 0.0)


def _sure(cases: pd.DataFrame) -> Strengths:
    """Return how sure the recogniser was, as a share of its other cases that it was less sure of."""
    models, _ = pd.factorize(cases["model_version"])
    sure = cases["model_confidence"].groupby(models).rank(pct=True)
    return sure.fillna(0.5).to_numpy(np.float64)


def _opinions(
    cases: pd.DataFrame, texts: pa.Table, heard: Mapping[str, Mapping[str, str]]
) -> tuple[Strengths, Strengths]:
    """Return how far other recognisers' texts speak against the correction, and how far for it, at most.

    Against it: they are more like the transcript. For it: they are the correction, and not the transcript.
    """
    against, in_favour = np.zeros(len(cases)), np.zeros(len(cases))
    asked = among(cases["case_id"], pd.Series(list(heard), dtype="str"))
    rows = zip(np.flatnonzero(asked).tolist(), cases.loc[asked, "case_id"].tolist(), strict=True)
    pairs = [(row, normalise(text)) for row, case_id in rows for text in heard[case_id].values()]
    index = np.array([row for row, _ in pairs], np.int64)
    opinion = np.array([text for _, text in pairs], object)
    said, original = (np.array(texts[name].take(pa.array(index)).to_pylist(), object) for name in ("said", "heard"))
    some = said != ""
    index, opinion, said, original = index[some], opinion[some], said[some], original[some]
    to_original, to_said = alike(opinion, original), alike(opinion, said)
    np.maximum.at(against, index, np.clip(to_original - to_said, 0, 1))
    np.maximum.at(in_favour, index, np.where(to_said > to_original, to_said**2, 0))
    return against, in_favour


def _annotators_apart(cases: pd.DataFrame, corrections: pd.DataFrame) -> Strengths:
    """Return how different the texts are that people stand by."""
    disputed = (cases["conflicting_corrections"] > 0).to_numpy(bool)
    asked = among(corrections["case_id"], cases.loc[disputed, "case_id"])
    human = corrections[asked & by_people(corrections["method"]) & ~corrections["undone"]]
    last = human.drop_duplicates(["case_id", "author"], keep="last")
    texts = defaultdict[str, list[str]](list)
    for case_id, text in zip(last["case_id"], last["corrected_transcript"], strict=True):
        texts[case_id].append(text)
    found = np.zeros(len(cases))
    found[disputed] = [_apart(texts[case_id]) for case_id in cases.loc[disputed, "case_id"]]
    return found


def _apart(texts: list[str]) -> float:
    """Return 0 for one text, 0.2 for texts that differ in form alone, up to 1 for texts with nothing in common."""
    if len(set(texts)) < 2:
        return 0.0
    plain = [normalise(text) for text in texts]
    least = min(fuzz.ratio(one, other) for one in plain for other in plain) / 100
    return 0.2 + 0.8 * (1 - least)
