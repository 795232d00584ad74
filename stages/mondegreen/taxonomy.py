"""Error types: what kind of mistake turned a corrected transcript into what the recogniser said.

A pair may have several types, listed most telling first; the first is its primary type.

| type | meaning |
|---|---|
| `silence_hallucination` | words where nothing was said |
| `empty` | nothing, where something was said |
| `loop` | a phrase over and over that was not said so often: the decoder ran in a circle |
| `truncation` | the beginning is there, the rest is missing |
| `unknown_token` | a placeholder of the recogniser, such as `<unk>` |
| `substitution`, `deletion`, `insertion` | another word, no word, a word too many |
| `word_boundary` | the same letters, spaced otherwise: "ice cream" and "icecream" |
| `number_format` | the same numbers, written otherwise: "25" and "twenty five" |
| `casing_punctuation` | the same words: case, punctuation or whatever else `basic-1` folds differs |

The three at the end are no mishearings: where one of them is a pair's only type, every word was heard.
Between them and the three above, the edits of the word alignment are shared out: what vanishes when the numbers
are read out is number format, what vanishes when a space moves is word boundary, what is left are substitutions,
deletions and insertions. Each of these three is listed from `DOMINANT_SHARE` of what is left, the two before from
`DOMINANT_SHARE` of all edits.

Words decide: all types are found under the normaliser `basic-1`, whichever the figures are measured under.
"""

import re
from collections.abc import Iterator
from operator import eq

from rapidfuzz.distance import Levenshtein

from mondegreen.alignment import gaps
from mondegreen.numerals import read_out, tokens
from mondegreen.text import normalise

ERROR_TYPES = (
    "silence_hallucination",
    "empty",
    "loop",
    "truncation",
    "unknown_token",
    "substitution",
    "deletion",
    "insertion",
    "word_boundary",
    "number_format",
    "casing_punctuation",
)
"""Every type, in order of precedence."""

DOMINANT_SHARE = 1 / 3
"""Share of the edits from which a kind is listed: of three kinds, one always has it."""

LOOP_REPEATS = 4
"""Repeats in a row that make a loop: people do say a word three times ("in in in"), hardly four."""

LOOP_EXCESS = 2
"""A loop repeats at least this many times as often as anything in the reference: one "no" too many is none."""

TRUNCATED_WORDS = 3
"""Words that must be missing at the end: fewer are a word or two not heard."""

TRUNCATED_SHARE = 0.2
"""Share of the reference's words that must be missing at its end."""

TRUNCATED_ERRORS = 1 / 3
"""Edits per word heard up to which it still counts as the beginning of the reference."""

_PLACEHOLDER = re.compile(r"<\s*unk\s*>|\[\s*unk\s*\]|@@unknown@@|⁇", re.IGNORECASE)
_ASCII_NUMERIC = re.compile(r"[0-9%$&+]")
_NUMERIC = re.compile(r"[\d%$€£¥₹°&+]")  # three times as slow


def error_types(
    original: str,
    corrected: str,
    *,
    language: str | None = None,
    is_speech: bool | None = None,
    folded: tuple[str, str] | None = None,
) -> list[str]:
    """Return the types of error in `original`, given what was really said, in order of precedence.

    Both texts are raw. Equal texts have no type, any other pair has at least one. `is_speech` False says that
    nothing was said, as an empty `corrected` does. A `language` that is not known is no error. `folded` may hold
    (original, corrected) under `basic-1`, to save finding it again.
    """
    if original == corrected:
        return []
    hypothesis, reference = folded or (normalise(original, language), normalise(corrected, language))
    if is_speech is False:
        reference = ""
    if reference == hypothesis:
        return ["casing_punctuation"]
    if not hypothesis:
        return ["empty"]
    said, heard = reference.split(), hypothesis.split()
    found = set()
    if not said:
        found.add("silence_hallucination")
    else:
        said, heard, numbers = _numbers_aside(original, corrected, said, heard, language)
        found.update(_edit_types(said, heard, numbers))
        if _truncated(said, heard):
            found.add("truncation")
    if _placeholders(original) > _placeholders(corrected):
        found.add("unknown_token")
        heard = normalise(_PLACEHOLDER.sub(" ", original), language).split()
    if _loops(said, heard):
        found.add("loop")
    return [kind for kind in ERROR_TYPES if kind in found]


def _placeholders(text: str) -> int:
    return len(_PLACEHOLDER.findall(text))


def _numbers_aside(
    original: str, corrected: str, said: list[str], heard: list[str], language: str | None
) -> tuple[list[str], list[str], int]:
    """Return both sides with numbers read out, and how many edits that removes; as they are if it removes none."""
    if not _numeric(original) and not _numeric(corrected):
        return said, heard, 0
    written = tokens(corrected, language), tokens(original, language)
    spoken = read_out(*written, language)
    before = Levenshtein.distance(*written) or Levenshtein.distance(said, heard)
    removed = before - Levenshtein.distance(*spoken)
    return (*spoken, removed) if removed > 0 else (said, heard, 0)


def _numeric(text: str) -> bool:
    return (_ASCII_NUMERIC if text.isascii() else _NUMERIC).search(text) is not None


def _edit_types(said: list[str], heard: list[str], numbers: int) -> Iterator[str]:
    """Yield the kinds of edit that make up enough of the edits, `numbers` of which are already explained."""
    spaces = substitutions = deletions = insertions = 0
    for missed, wrong in gaps(said, heard):
        both = min(len(missed), len(wrong))
        if both and "".join(missed) == "".join(wrong):
            spaces += max(len(missed), len(wrong))
        else:
            substitutions += both
            deletions += len(missed) - both
            insertions += len(wrong) - both
    left = substitutions + deletions + insertions
    kinds = {"substitution": substitutions, "deletion": deletions, "insertion": insertions}
    yield from (kind for kind, count in kinds.items() if count and count >= DOMINANT_SHARE * left)
    kinds = {"word_boundary": spaces, "number_format": numbers}
    yield from (kind for kind, count in kinds.items() if count and count >= DOMINANT_SHARE * (left + spaces + numbers))


def _truncated(said: list[str], heard: list[str]) -> bool:
    """Say whether `heard` is a beginning of `said` with few edits, and enough of the end is missing.

    The end is missing if an alignment that deletes all of it is minimal: no other has more in common.
    """
    if len(said) - len(heard) < TRUNCATED_WORDS:
        return False
    distance = Levenshtein.distance(said, heard)
    slack = int(TRUNCATED_ERRORS * len(heard))
    for length in range(max(1, len(heard) - slack), len(heard) + slack + 1):
        tail = len(said) - length
        if tail < max(TRUNCATED_WORDS, TRUNCATED_SHARE * len(said)) or distance - tail > slack:
            continue
        if Levenshtein.distance(said[:length], heard) == distance - tail:
            return True
    return False


def _loops(said: list[str], heard: list[str]) -> bool:
    """Say whether `heard` repeats a phrase in a row, and far more often than `said` repeats any of that length."""
    spare = len(heard) - len(set(heard))  # every repeat of a phrase of n words adds n words that are not new
    enough = LOOP_REPEATS - 1
    for size in range(1, spare // enough + 1):
        if sum(map(eq, heard, heard[size:])) >= enough * size:
            repeats = _repeats(heard, size)
            if repeats >= LOOP_REPEATS and repeats >= LOOP_EXCESS * _repeats(said, size):
                return True
    return False


def _repeats(words: list[str], size: int) -> int:
    """Return how often in a row any phrase of `size` words stands at most; 1 if none is repeated."""
    longest = run = 0
    for same in map(eq, words, words[size:]):
        run = run + 1 if same else 0
        longest = max(longest, run)
    return longest // size + 1
