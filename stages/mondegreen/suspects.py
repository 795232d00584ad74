"""Suspect corrections: which of the corrections are probably wrong, and why.

Each sign is a strength in 0..1; a case's score is 1 minus the product of what the signs leave open, so that two weak
signs make a strong one. Where another recogniser hears the correction, what the text itself looks like counts for less.
Nothing is rejected for it: it is an order in which a person looks again.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from rapidfuzz import fuzz, process

from mondegreen.executor import spread
from mondegreen.methods import by_people
from mondegreen.numerals import read_out, tokens
from mondegreen.tables import among, in_order, pieces
from mondegreen.text import normalise

Strengths = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

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

CHANCE = 0.45
"""How alike (0..1, `rapidfuzz.fuzz.ratio`) two texts are that have nothing to do with each other."""

_TEXTS = ("corrected_transcript", "original_transcript", "language")
_PIECE = 50_000
"""Cases whose words a worker reads out at once: about a second's work."""
_DIGIT = re.compile(r"\d")
_NEIGHBOURS = 3
_MIN_CASES = 20  # with fewer there is no usual rate to be off
_SHORT = 8  # characters: of shorter texts nothing can be said from how alike they are


def rank(
    cases: pd.DataFrame, corrections: pd.DataFrame, heard: Sequence[dict[str, str]] = (), *, engine: str = "local"
) -> pd.DataFrame:
    """Return `case_id, score, reasons`, one row per case, most suspect first.

    `cases` are corrected cases with the columns of cases.parquet, `corrections` all corrections ever made, `heard` has,
    per case, what other recognisers made of its sound (see `witnesses.transcripts`). `reasons` are the names of the
    `SIGNS` that weigh at least 0.1, strongest first.
    """
    cases = cases.reset_index(drop=True)
    said, original = _words(cases, engine)
    common = _alike(said, original)
    against, in_favour = _opinions(said, original, heard)
    signs = {
        "speaking_rate": _speaking_rate(cases, said),
        "words_dropped": _words_dropped(said, original),
        "nothing_in_common": _nothing_in_common(cases, said, original, common),
        "text_of_a_neighbour": _text_of_a_neighbour(cases, said, original, common),
        "second_opinion": against,
        "annotators_apart": _annotators_apart(cases, corrections),
    }
    strengths = np.column_stack([signs[name] for name in SIGNS]).reshape(len(cases), len(SIGNS))
    of_the_text = [name not in ("second_opinion", "annotators_apart") for name in SIGNS]
    strengths[:, of_the_text] *= (1 - in_favour)[:, np.newaxis]
    score = (1 - (1 - strengths).prod(axis=1)).round(6)
    ranked = pd.DataFrame({"case_id": cases["case_id"], "score": score, "reasons": _reasons(strengths)})
    return in_order(ranked.assign(rest=-score), ["rest", "case_id"], ignore_index=True).drop(columns="rest")


def _reasons(strengths: Strengths) -> list[list[str]]:
    """Return the names of the signs that weigh, row by row, strongest first."""
    names = list(SIGNS)
    found: list[list[str]] = [[] for _ in range(len(strengths))]
    weigh = np.flatnonzero((strengths >= 0.1).any(axis=1))
    for index, row in zip(weigh, np.argsort(-strengths[weigh], axis=1, kind="stable"), strict=True):
        found[index] = [names[sign] for sign in row if strengths[index, sign] >= 0.1]
    return found


def summary(ranked: pd.DataFrame) -> dict[str, Any]:
    """Return how many corrections are suspect (a score of `SUSPECT` or more), and for which reasons."""
    found = ranked.loc[ranked["score"] >= SUSPECT, "reasons"].explode().value_counts()
    return {
        "cases": int((ranked["score"] >= SUSPECT).sum()),
        "reasons": {name: int(found.get(name, 0)) for name in SIGNS},
    }


def warning(found: dict[str, Any], total: int) -> list[str]:
    """Return a line for people where corrections are suspect."""
    if not found["cases"]:
        return []
    return [f"{found['cases']} of {total} valid corrections are suspect: data/suspects.parquet says which, and why"]


def _words(cases: pd.DataFrame, engine: str) -> tuple[Texts, Texts]:
    """Return the corrections and the transcripts under `basic-1`, numbers read out: "25" is "twenty five"."""
    texts = pa.Table.from_pandas(cases[list(_TEXTS)], preserve_index=False)
    said, heard = zip(*spread(_plain, pieces(texts, _PIECE), engine=engine), strict=True)
    return np.concatenate(said), np.concatenate(heard)


def _plain(texts: pa.Table) -> tuple[Texts, Texts]:
    said, heard = [], []
    for corrected, original, language in zip(*(texts[name].to_pylist() for name in _TEXTS), strict=True):
        both = [normalise(text, language) for text in (corrected, original)]
        if _DIGIT.search(both[0]) or _DIGIT.search(both[1]):
            spoken = read_out(tokens(corrected, language), tokens(original, language), language)
            both = [" ".join(words) for words in spoken]
        said.append(both[0])
        heard.append(both[1])
    return np.array(said, object), np.array(heard, object)


def _lengths(texts: Texts) -> npt.NDArray[np.int64]:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _alike(one: Texts, other: Texts) -> Strengths:
    """Return how much two texts have in common, pair by pair: 0 no more than by chance, 1 they are equal."""
    ratio = process.cpdist(one, other, scorer=fuzz.ratio, dtype=np.float64, workers=-1) / 100
    return _beyond_chance(ratio)


def _beyond_chance(ratio: Strengths) -> Strengths:
    return np.clip((ratio - CHANCE) / (1 - CHANCE), 0, 1)


def _speaking_rate(cases: pd.DataFrame, said: Texts) -> Strengths:
    """Return how far the rate is off: from 2.5 robust standard deviations (1.4826 times the MAD) of its log, to 6.

    Nobody speaks that fast, but a clip may hold a pause: slow counts half.
    """
    letters = np.array([len(text) - text.count(" ") for text in said], np.float64)
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


def _words_dropped(said: Texts, original: Texts) -> Strengths:
    """Return how much longer one text is than the other: from twice, to four times; a few letters do not count."""
    one, other = _lengths(said), _lengths(original)
    ratio = np.abs(np.log2((one + 8.0) / (other + 8.0)))
    return np.where((one > 0) & (other > 0), np.clip(ratio - 1, 0, 1), 0.0)


def _nothing_in_common(cases: pd.DataFrame, said: Texts, original: Texts, common: Strengths) -> Strengths:
    """Return how little of the text was heard, as far as the recogniser was sure compared with its other cases."""
    both = np.minimum(_lengths(said), _lengths(original)) >= _SHORT
    sure = cases.groupby("model_version", dropna=False)["model_confidence"].rank(pct=True).fillna(0.5)
    return np.where(both, (1 - common) ** 2 * sure.to_numpy(np.float64), 0.0)


def _text_of_a_neighbour(cases: pd.DataFrame, said: Texts, original: Texts, common: Strengths) -> Strengths:
    """Return how much better the text fits what was heard in a clip nearby than what was heard in its own."""
    best = np.zeros(len(cases))
    letters, heard = _lengths(said), _lengths(original)
    for group in ("recording_id", "speaker_id"):
        names = [group, "start", "recorded_at", "case_id"]
        known = in_order(cases.loc[cases[group].notna(), names], names)
        index, key = known.index.to_numpy(), known[group].to_numpy()
        for step in range(1, _NEIGHBOURS + 1):
            near = np.flatnonzero(key[step:] == key[:-step])
            for here, there in ((index[near], index[near + step]), (index[near + step], index[near])):
                shorter = np.minimum(letters[here], heard[there])
                most = _beyond_chance(2 * shorter / np.maximum(1, letters[here] + heard[there]))  # of their lengths
                hopeful = most > common[here] + best[here]
                here, there = here[hopeful], there[hopeful]
                fits = _alike(said[here], original[there])
                better = np.where(said[here] == said[there], 0.0, fits - common[here])
                best[here] = np.maximum(best[here], better)  # `here` names no case twice
    return np.where(letters >= _SHORT, np.clip(best, 0, 1), 0.0)


def _opinions(said: Texts, original: Texts, heard: Sequence[dict[str, str]]) -> tuple[Strengths, Strengths]:
    """Return how far other recognisers' texts speak against the correction, and how far for it, at most.

    Against it: they are more like the transcript. For it: they are the correction, and not the transcript.
    """
    rows = [(i, normalise(text)) for i, texts in enumerate(heard) for text in texts.values() if said[i]]
    against, in_favour = np.zeros(len(said)), np.zeros(len(said))
    if rows:
        index, texts = np.array([i for i, _ in rows]), np.array([text for _, text in rows], object)
        to_original, to_said = _alike(texts, original[index]), _alike(texts, said[index])
        np.maximum.at(against, index, np.clip(to_original - to_said, 0, 1))
        np.maximum.at(in_favour, index, np.where(to_said > to_original, to_said**2, 0))
    return against, in_favour


def _annotators_apart(cases: pd.DataFrame, corrections: pd.DataFrame) -> Strengths:
    """Return how different the texts are that people stand by."""
    disputed = cases["conflicting_corrections"].to_numpy() > 0
    asked = among(corrections["case_id"], cases.loc[disputed, "case_id"])
    human = corrections[asked & by_people(corrections["method"]) & ~corrections["undone"]]
    last = human.drop_duplicates(["case_id", "author"], keep="last")
    texts = last.groupby("case_id")["corrected_transcript"].unique()
    several = texts[texts.map(len) > 1]
    apart: dict[str, float] = {str(case_id): _apart(list(found)) for case_id, found in several.items()}
    return np.where(disputed, cases["case_id"].map(apart).fillna(0).to_numpy(np.float64), 0.0)


def _apart(texts: list[str]) -> float:
    """Return 0.2 for texts that differ in form alone, up to 1 for texts with nothing in common."""
    plain = [normalise(text) for text in texts]
    least = min(fuzz.ratio(one, other) for one in plain for other in plain) / 100
    return 0.2 + 0.8 * (1 - least)
