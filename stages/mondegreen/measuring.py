"""What `collect` measures of every case: the original transcript against the corrected one, by columns."""

from collections.abc import Sequence
from typing import Any

from mondegreen.alignment import Alignment, align
from mondegreen.errors import ParamsError
from mondegreen.taxonomy import error_types
from mondegreen.text import NORMALISERS

COUNTS = (
    "reference_words",
    "substitutions",
    "deletions",
    "insertions",
    "reference_characters",
    "character_errors",
    "wer",
    "cer",
)
"""Columns per alignment; once under the normaliser, once with the prefix `raw_` under `none-1`."""


def measure(
    originals: Sequence[str],
    corrected: Sequence[str | None],
    languages: Sequence[str | None],
    is_speech: Sequence[bool | None],
    normaliser: str,
) -> dict[str, list[Any]]:
    """Return `detected_error_types` and the columns of `COUNTS`, plain and with the prefix `raw_`, row by row.

    Where `corrected` is None there are no types and every figure is None. Rates are shares of the reference's
    words or characters, not rounded; they may exceed 1, and are None where the reference is empty.
    Raises ParamsError for a normaliser that is not in `text.NORMALISERS`.
    """
    if normaliser not in NORMALISERS:
        raise ParamsError(f"normaliser {normaliser!r} is unknown: choose one of {', '.join(NORMALISERS)}")
    fold, raw = NORMALISERS[normaliser], NORMALISERS["none-1"]
    types: list[list[str]] = []
    rows: list[tuple[Any, ...]] = []
    for original, correct, language, speech in zip(originals, corrected, languages, is_speech, strict=True):
        if correct is None:
            types.append([])
            rows.append((None,) * (2 * len(COUNTS)))
            continue
        heard, said = fold(original, language), fold(correct, language)
        known = (heard, said) if normaliser == "basic-1" else None
        types.append(error_types(original, correct, language=language, is_speech=speech, folded=known))
        plain = align(said, heard)
        rows.append(_row(plain) + _row(align(raw(correct, language), raw(original, language))))
    names = (*COUNTS, *(f"raw_{name}" for name in COUNTS))
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    return {"detected_error_types": types, **dict(zip(names, columns, strict=True))}


def _row(alignment: Alignment) -> tuple[Any, ...]:
    return (alignment.reference_words, *alignment[2:], alignment.wer, alignment.cer)
