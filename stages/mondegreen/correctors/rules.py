"""Correctors that need the text alone: the case of letters, and a decoder's loops."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from math import prod

from mondegreen.correctors import Case, Suggestion
from mondegreen.taxonomy import LOOP_REPEATS
from mondegreen.text import normalise

UNSEEN = 0.95
"""How sure small letters are where nothing was learnt: of running words inside sentences, one in twenty has capitals
(5.0 % in the references of Earnings-21)."""

WORD_REPEATS = 6
"""Earnings-21's verbatim references repeat a word up to five times in a row: people stutter. Decoders do not stop."""

_ENOUGH = 100  # words seen once, from which their share says something

_PIECES = re.compile(r"\s+|\S+")
_WORD = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)
_ENDS_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*$")
_FIRST_PERSON = re.compile(r"i(?:['’](?:m|d|ll|ve|s))?")
_CALENDAR = {
    name.lower(): (name, 1.0)
    for name in (
        *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        *("January", "February", "April", "June", "July", "August", "September", "October", "November", "December"),
    )
}
"""English; March and May are words of their own more often."""


class CaseRestoration:
    """Writes a transcript that is all capitals, or has none, as people write: `rule:case-restoration`.

    A sentence begins with a capital; a word takes the form that most corrections give it inside a sentence (Lita et
    al. 2003, "tRuEcasIng", in its simplest form), else small letters. Words and punctuation stay. The confidence is
    the product of how sure the form of each word is: the share of that form, or for a word that no correction shows,
    the share of small letters among those that they show once.
    """

    name = "case-restoration"
    method = "rule:case-restoration"

    def __init__(self) -> None:
        """Know nothing but English calendar words, until `learn` is called."""
        self._forms: dict[str, tuple[str, float]] = {}
        self._unseen = UNSEEN

    def learn(self, texts: Iterable[str]) -> None:
        """Take over how `texts` write each word inside a sentence; texts in one case throughout teach nothing."""
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            if not text.isupper() and not text.islower():
                for word, begins in _words(text):
                    if not begins:
                        seen[word.casefold()][word] += 1
        for key, forms in seen.items():
            form = min(forms, key=lambda form: (-forms[form], form))
            self._forms[key] = form, (forms[form] + 1) / (forms.total() + 2)  # Laplace: one example proves little
        once = [next(iter(forms)) for forms in seen.values() if forms.total() == 1]
        if len(once) >= _ENOUGH:
            self._unseen = sum(form == form.lower() for form in once) / len(once)

    def suggest(self, case: Case, audio: bytes | None) -> Suggestion | None:
        """Return the transcript with its case restored; None where it has both cases, or a single word."""
        text = case["original_transcript"]
        if not (text.isupper() or text.islower()) or len(text.split()) < 2:
            return None
        english = (case.get("language") or "en").lower().startswith("en")
        known = {**(_CALENDAR if english else {}), **self._forms}
        restored = _restored(text, {key: form for key, (form, _) in known.items()}, english=english)
        if restored == text:
            return None
        sure = [known.get(word.casefold(), ("", self._unseen))[1] for word, begins in _words(text) if not begins]
        return Suggestion(restored, prod(sure), self.method)


def _words(text: str) -> Iterable[tuple[str, bool]]:
    """Yield each word without the punctuation around it, and whether it begins a sentence."""
    begins = True
    for piece in text.split():
        if found := _WORD.search(piece):
            yield found[0], begins
            begins = False
        begins = begins or _ENDS_SENTENCE.search(piece) is not None


def _restored(text: str, forms: Mapping[str, str], *, english: bool) -> str:
    pieces, begins = [], True
    for piece in _PIECES.findall(text):
        found = _WORD.search(piece)
        if found:
            key = found[0].casefold()
            word = forms.get(key, found[0].lower())
            if english and _FIRST_PERSON.fullmatch(key):
                word = "I" + key[1:]
            if begins:
                word = word[:1].upper() + word[1:]
            begins = False
            pieces.append(piece[: found.start()] + word + piece[found.end() :])
        else:
            pieces.append(piece)
        begins = begins or _ENDS_SENTENCE.search(piece) is not None
    return "".join(pieces)


class LoopRemoval:
    """Says once what a decoder that ran in a circle said over and over: `rule:loop-removal`.

    A word that stands `WORD_REPEATS` times in a row or more is a loop, a longer phrase from `LOOP_REPEATS` on, as in
    `taxonomy`; a beginning of it at the very end of the text, where the decoder was cut off, goes too. What a loop
    drowned out is not known, so the confidence is at most half: half the share of the words that stay.
    """

    name = "loop-removal"
    method = "rule:loop-removal"

    def suggest(self, case: Case, audio: bytes | None) -> Suggestion | None:
        """Return the transcript without loops; None where it has none, or nothing else that is a word."""
        written = case["original_transcript"].split()
        kept = _unlooped([normalise(word, case.get("language")) or word for word in written])
        text = " ".join(written[index] for index in kept)
        if len(kept) == len(written) or len(normalise(text).replace(" ", "")) < 2:
            return None
        return Suggestion(text, len(kept) / len(written) / 2, self.method)


def _unlooped(words: list[str]) -> list[int]:
    """Return the indices of the words that stay."""
    kept: list[int] = []
    start = 0
    while start < len(words):
        size, end = _loop_at(words, start)
        kept.extend(range(start, start + size))
        start = end
    return kept


def _loop_at(words: list[str], start: int) -> tuple[int, int]:
    """Return the size of the phrase that loops from `start` on and where its loop ends; one word where none does."""
    for size in range(1, (len(words) - start) // LOOP_REPEATS + 1):
        end = start + size
        while end < len(words) and words[end] == words[end - size]:
            end += 1
        if end - start >= (WORD_REPEATS if size == 1 else LOOP_REPEATS * size):
            return size, end if end == len(words) else end - (end - start) % size
    return 1, start + 1
