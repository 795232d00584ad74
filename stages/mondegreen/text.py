"""Text normalisers: what may differ between two transcripts without being a recognition error.

A figure (WER, CER, error types) means something only together with the normaliser it was measured under:
figures under different normalisers are not comparable, so every report names it. A normaliser is never
changed once data was measured with it; a better one gets a new name.

`basic-1`, for any language, in this order:
1. Unicode NFKC and case folding ("Ｆｕß" and "fuss" are one; with language "tr" or "az", I folds to ı and İ to i).
2. Letters, digits and combining marks stay: accents, Hindi vowel signs, Arabic and Hebrew points.
3. Signs that are read out stay as words of their own: % ‰ ° & + and currency signs ("$20" is not "20").
4. An apostrophe between two characters of a word stays, straight ("don’t" is "don't"); others go.
5. All other punctuation and symbols become a space: "e-mail" is two words, "<unk>" is the word "unk".
   Invisible characters (soft hyphen, joiners, direction marks, variation selectors) vanish.
6. Scripts written without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) are split into characters, each with
   its marks, so that a word error rate means something there.
7. White space becomes single spaces, none at the ends.
Numbers are left as written: "25" and "twenty five" differ (see `taxonomy`).

The approach (fold, drop punctuation, split unspaced scripts) follows the `BasicTextNormalizer` of
Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", appendix C; unlike it, this
one keeps combining marks, signs that are read out, and what stands in brackets.

`none-1` collapses white space and does nothing else: the raw figures.
"""

import re
from collections.abc import Callable
from unicodedata import category, normalize

_APOSTROPHES = "'’‘ʼ`"
_READ_OUT = "%‰°&+"
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def _of_category(initial: str, *blocks: range) -> str:
    return "".join(chr(point) for block in blocks for point in block if category(chr(point))[0] == initial)


_MARKED_BLOCKS = (range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800))  # Thai, Lao; Myanmar; Khmer
_HAN_AND_KANA = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u2e80-\u2fdf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_UNSPACED = _of_category("L", *_MARKED_BLOCKS) + _HAN_AND_KANA
_MARKS = _of_category("M", *_MARKED_BLOCKS) + "\u0300-\u036f\u3099\u309a"
_STACKERS = "\u1039\u17d2"  # Myanmar and Khmer: the next letter is written below the last
_CHARACTER = re.compile(f"([{_UNSPACED}](?:[{_STACKERS}][{_UNSPACED}]|[{_MARKS}])*)")
_UNSPACED_GAP = re.compile(f"(?<=[{_UNSPACED}{_MARKS}]) (?=[{_UNSPACED}])")
_LOOSE_APOSTROPHE = re.compile(r"(?<![^\s'])'|'(?![^\s'])")


class _Table(dict[int, str]):
    """What `str.translate` makes of each code point, filled as code points are met."""

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        self[codepoint] = kept = _kept(character)
        return kept


def _kept(character: str) -> str:
    kind = category(character)
    if character in _APOSTROPHES:
        return "'"
    if character in _READ_OUT or kind == "Sc":
        return f" {character} "
    if kind in ("Cf", "Me") or _VARIATION_SELECTORS.match(character):
        return ""
    return " " if kind[0] in "PSZ" or kind in ("Cc", "Cs") else character


_TABLE = _Table()
_ASCII = bytes(ord(_TABLE[ord(chr(point).lower())][:1]) for point in range(128)) + bytes(128)
"""What most ASCII characters become, one for one; those that are read out become three."""
_ACUTE_IS_APOSTROPHE = str.maketrans("´", "'")  # NFKC would take the acute accent apart into a space and a mark
_TURKIC = str.maketrans("Iİ", "ıi")


def _basic(text: str, language: str | None) -> str:
    if language and text and heeds(language):
        text = text.translate(_TURKIC)
    if text.isascii():
        if "%" in text or "$" in text or "&" in text or "+" in text:
            text = text.lower().translate(_TABLE)
        else:  # the same in half the time
            text = text.encode().translate(_ASCII).decode()
    else:
        text = normalize("NFKC", text.translate(_ACUTE_IS_APOSTROPHE)).casefold().translate(_TABLE)
        text = _CHARACTER.sub(r" \1 ", normalize("NFKC", text))
    if "'" in text:
        text = _LOOSE_APOSTROPHE.sub(" ", text)
    return " ".join(text.split())


def _none(text: str, language: str | None) -> str:
    return " ".join(text.split())


NORMALISERS: dict[str, Callable[[str, str | None], str]] = {"basic-1": _basic, "none-1": _none}
"""Every normaliser by name and version: (text, language tag or None) to text."""


def normalise(text: str, language: str | None = None) -> str:
    """Return `text` under `basic-1`, the default normaliser; normalising twice changes nothing.

    `language` is a BCP 47 tag ("en", "tr-TR") or None; a language that needs no care of its own is ignored.
    """
    return _basic(text, language)


def heeds(language: str) -> bool:
    """Return whether `basic-1` does something of its own for a language."""
    return language[:2].lower() in ("tr", "az") and language[2:3] in ("", "-", "_")


def words(text: str) -> list[str]:
    """Return the words of an already normalised `text`: what stands between white space."""
    return text.split()


def characters(text: str) -> str:
    """Return the characters of an already normalised `text` that count for CER.

    Spaces between words count, as in jiwer. Spaces between two characters of a script written without spaces
    do not: they are the normaliser's own.
    """
    return text if text.isascii() else _UNSPACED_GAP.sub("", text)


def written_words(text: str) -> list[str]:
    """Return the words of a `text` as it is written, with case and punctuation; unspaced scripts by character."""
    return (text if text.isascii() else _CHARACTER.sub(r" \1 ", text)).split()
