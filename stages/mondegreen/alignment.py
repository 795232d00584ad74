"""Minimal-edit alignments of a reference with a hypothesis, and the error rates that follow from them.

WER = (S + D + I) / N, with the substitutions, deletions and insertions of a minimal-edit alignment of the words
and N the words of the reference; CER is the same over characters (Levenshtein 1966, "Binary codes capable of
correcting deletions, insertions, and reversals"; NIST `sclite`). The rate of a corpus is the sum of all edits
over the sum of all N, never the mean of the utterances' rates.

An empty reference has no rate (None): its insertions would be divided by nothing. Such utterances are counted
apart, as the share in which the recogniser heard words in silence.

The number of edits is unique. How it divides into S, D and I is not, where several alignments are minimal;
here it is what rapidfuzz chooses, which is also what jiwer reports.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from mondegreen.text import characters


class Alignment(NamedTuple):
    """Counts of one aligned pair: hits + substitutions + deletions = reference_words."""

    reference_words: int
    hits: int
    substitutions: int
    deletions: int
    insertions: int
    reference_characters: int
    character_errors: int

    @property
    def word_errors(self) -> int:
        """Return S + D + I."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float | None:
        """Return the word error rate, which insertions may take above 1; None for an empty reference."""
        return self.word_errors / self.reference_words if self.reference_words else None

    @property
    def cer(self) -> float | None:
        """Return the character error rate; None for an empty reference."""
        return self.character_errors / self.reference_characters if self.reference_characters else None


class Edit(NamedTuple):
    """A run of reference words and the hypothesis words in their place.

    `kind` is equal, substitute (as many words on both sides), delete (no hypothesis words) or insert (no
    reference words).
    """

    kind: str
    reference: list[str]
    hypothesis: list[str]


class Corpus(NamedTuple):
    """Sums over utterances; every count but the last two is of utterances with a non-empty reference."""

    utterances: int
    reference_words: int
    substitutions: int
    deletions: int
    insertions: int
    reference_characters: int
    character_errors: int
    silent_utterances: int
    silence_hallucinations: int

    @property
    def wer(self) -> float | None:
        """Return the corpus WER: all edits over all reference words; None without any."""
        errors = self.substitutions + self.deletions + self.insertions
        return errors / self.reference_words if self.reference_words else None

    @property
    def cer(self) -> float | None:
        """Return the corpus CER: all edits over all reference characters; None without any."""
        return self.character_errors / self.reference_characters if self.reference_characters else None

    @property
    def silence_hallucination_rate(self) -> float | None:
        """Return the share of the utterances with an empty reference whose hypothesis is not empty."""
        return self.silence_hallucinations / self.silent_utterances if self.silent_utterances else None


def align(reference: str, hypothesis: str) -> Alignment:
    """Align two normalised strings, words and characters each for themselves."""
    wanted, wanted_characters = reference.split(), characters(reference)
    words, length = len(wanted), len(wanted_characters)
    if reference == hypothesis:
        return Alignment(words, words, 0, 0, 0, length, 0)
    substitutions, deletions, insertions = edit_counts(wanted, hypothesis.split())
    errors = Levenshtein.distance(wanted_characters, characters(hypothesis))
    return Alignment(words, words - substitutions - deletions, substitutions, deletions, insertions, length, errors)


def edit_counts(reference_words: Sequence[str], hypothesis_words: Sequence[str]) -> tuple[int, int, int]:
    """Return the substitutions, deletions and insertions that turn the reference into the hypothesis."""
    substitutions = deletions = insertions = 0
    for missed, wrong in gaps(reference_words, hypothesis_words):
        if len(missed) < len(wrong):
            substitutions += len(missed)
            insertions += len(wrong) - len(missed)
        else:
            substitutions += len(wrong)
            deletions += len(missed) - len(wrong)
    return substitutions, deletions, insertions


def gaps(
    reference_words: Sequence[str], hypothesis_words: Sequence[str]
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Yield what stands on both sides between the matches of the alignment, at least one word in all.

    A minimal alignment substitutes as many words of a gap as it can, and deletes or inserts the rest.
    """
    start = begin = 0
    for end, stop, size in Levenshtein.editops(reference_words, hypothesis_words).as_matching_blocks():
        if end > start or stop > begin:
            yield reference_words[start:end], hypothesis_words[begin:stop]
        start, begin = end + size, stop + size


def edits(reference_words: Sequence[str], hypothesis_words: Sequence[str]) -> list[Edit]:
    """Return the alignment as runs in reading order; put together, they give back both sides."""
    return [
        Edit(
            "substitute" if code.tag == "replace" else code.tag,
            list(reference_words[code.src_start : code.src_end]),
            list(hypothesis_words[code.dest_start : code.dest_end]),
        )
        for code in Levenshtein.opcodes(reference_words, hypothesis_words)
    ]


def corpus(alignments: Iterable[Alignment]) -> Corpus:
    """Sum the alignments of a corpus; utterances with an empty reference enter neither WER nor CER."""
    sums = [0] * 9
    for each in alignments:
        if each.reference_words:
            counts = (1, each.reference_words, *each[2:], 0, 0)
        else:
            counts = (0, 0, 0, 0, 0, 0, 0, 1, int(each.insertions > 0))
        sums = [total + count for total, count in zip(sums, counts, strict=True)]
    return Corpus(*sums)
