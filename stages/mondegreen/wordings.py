"""Wordings: both texts of a case as they are compared, and how much they have in common.

Under `basic-1`, numbers read out: "25" is "twenty five". What a row says here follows from its own texts alone.
"""

import re

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from rapidfuzz import fuzz, process

from mondegreen.numerals import read_out, tokens
from mondegreen.text import normalise

Strengths = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

TEXTS = ("corrected_transcript", "original_transcript", "language")

COLUMNS = ("said", "heard", "letters", "common", "mark")

CHANCE = 0.45
"""How alike (0..1, `rapidfuzz.fuzz.ratio`) two texts are that have nothing to do with each other."""

_DIGIT = re.compile(r"\d")


def wordings(texts: pa.Table) -> pa.Table:
    """Return the `COLUMNS` of rows with the columns `TEXTS`.

    `said` is the correction and `heard` the transcript, `letters` counts what is no space in `said`, `common` is
    `alike` of the two, and `mark` a hash of them by which rows are known again.
    """
    pairs = [_plain(*row) for row in zip(*(texts[name].to_pylist() for name in TEXTS), strict=True)]
    both = pd.DataFrame(pairs, columns=["said", "heard"], dtype=object)
    said, heard = both["said"].to_numpy(object), both["heard"].to_numpy(object)
    columns = {
        "said": pa.array(said, pa.string()),
        "heard": pa.array(heard, pa.string()),
        "letters": pa.array([len(text) - text.count(" ") for text in said], pa.int64()),
        "common": alike(said, heard),
        "mark": pd.util.hash_pandas_object(both, index=False).to_numpy(),
    }
    return pa.table(columns)


def alike(one: Texts, other: Texts) -> Strengths:
    """Return how much two texts have in common, pair by pair: 0 no more than by chance, 1 they are equal."""
    return beyond_chance(process.cpdist(one, other, scorer=fuzz.ratio, dtype=np.float64, workers=-1) / 100)


def beyond_chance(ratio: Strengths) -> Strengths:
    """Return 0..1 for what `rapidfuzz.fuzz.ratio` has from `CHANCE` to 1."""
    return np.clip((ratio - CHANCE) / (1 - CHANCE), 0, 1)


def _plain(corrected: str, original: str, language: str | None) -> tuple[str, str]:
    said, heard = normalise(corrected, language), normalise(original, language)
    if _DIGIT.search(said) or _DIGIT.search(heard):
        spoken = read_out(tokens(corrected, language), tokens(original, language), language)
        said, heard = (" ".join(words) for words in spoken)
    return said, heard
