"""Numbers read out: "25" and "twenty five" are one number, and so are "6:30" and "six thirty".

A number has many readings (cardinal, ordinal, year, pairs, digit by digit), and which one was spoken cannot be
known from the digits. So every number is given all its readings, and `read_out` takes, for each, the one that
the other transcript holds. Words come from num2words; a language that it does not know has no readings, and
that is no error. English has the most readings: signs and money in other languages than `_SIGNS` are left alone.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from unicodedata import normalize

from mondegreen.text import normalise

_MAX_DIGITS = 9
"""Longer numbers are only read digit by digit: nobody says them, and num2words never returns for some languages."""

_MAX_CACHED = 100_000

_SIGNS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "%": ("percent", "per cent"),
        "$": ("dollars", "dollar", "bucks"),
        "€": ("euros", "euro"),
        "£": ("pounds", "pound"),
        "¥": ("yen",),
        "₹": ("rupees", "rupee"),
        "°": ("degrees", "degree"),
        "&": ("and",),
        "+": ("plus",),
    },
    "de": {"%": ("prozent",), "$": ("dollar",), "€": ("euro",), "°": ("grad",), "&": ("und",), "+": ("plus",)},
    "fr": {"%": ("pour cent",), "$": ("dollars",), "€": ("euros", "euro"), "°": ("degrés",), "&": ("et",)},
    "es": {"%": ("por ciento",), "$": ("dólares", "pesos"), "€": ("euros", "euro"), "°": ("grados",), "&": ("y",)},
}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}

_MONEY = re.compile(r"([$€£¥₹])\s?(\d+(?:[.,]\d+)*)(?:(\s?-?(?:thousand|(?:m|b|tr)ill\w+))|([kmb]n?)\b)?", re.I)
_NUMBER = re.compile(r"(\d+(?:[.,:]\d+)*(?:(?:st|nd|rd|th|'?s)\b|[$€£¥₹])?)", re.I)
_PARTS = re.compile(r"(\d+(?:[.,:]\d+)*)(\D*)")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


def tokens(text: str, language: str | None = None) -> list[str]:
    """Return the words of a raw `text` under `basic-1`, but with each number whole: "6:30", "1,000", "3rd".

    A currency sign comes after its amount, where it is spoken: "$20 million" gives 20, million, $.
    """
    text = text if text.isascii() else normalize("NFKC", text)
    pieces = _NUMBER.split(_MONEY.sub(_sign_last, text))
    found: list[str] = []
    for index, piece in enumerate(pieces):
        found.extend([piece.lower()] if index % 2 else normalise(piece, language).split())
    return found


def _sign_last(match: re.Match[str]) -> str:
    sign, amount, scale, letter = match.groups()
    if letter:
        scale = " " + _SCALES.get(letter.lower(), letter)
    return f"{amount}{scale} {sign}" if scale else f"{amount}{sign}"


def read_out(reference: Sequence[str], hypothesis: Sequence[str], language: str | None) -> tuple[list[str], list[str]]:
    """Return the words of two token lists with all numbers read out, in the reading the other side holds, if any."""
    usual = " ".join(_usual(token, language) for token in hypothesis)
    heard = _spoken(reference, f" {usual} ", language)
    return heard, _spoken(hypothesis, f" {' '.join(heard)} ", language)


def _spoken(side: Sequence[str], other: str, language: str | None) -> list[str]:
    spoken: list[str] = []
    for token in side:
        if token.isalpha():
            spoken.append(token)
            continue
        held = [reading for reading in readings(token, language) if f" {reading} " in other]
        spoken.extend((max(held, key=len) if held else _usual(token, language)).split())
    return spoken


def _usual(token: str, language: str | None) -> str:
    return token if token.isalpha() else next(iter(readings(token, language)), token)


@lru_cache(_MAX_CACHED)
def readings(token: str, language: str | None = None) -> tuple[str, ...]:
    """Return the ways to say a number or sign, the most usual first; none for a word or an unknown language."""
    language = language or "en"
    signs = _SIGNS.get(language[:2].lower(), {})
    if token in signs:
        return signs[token]
    match = _PARTS.fullmatch(token)
    if match is None or not _say(1, "cardinal", language):
        return ()
    number, suffix = match.groups()
    if suffix in ("st", "nd", "rd", "th"):
        ways = _counted(_integer(number), "ordinal", language)
    elif suffix in ("s", "'s"):
        ways = [_plural(way) for way in _number(number, language)]
    elif suffix:
        ways = _amount(number, signs.get(suffix, (suffix,)), language)
    else:
        ways = _number(number, language)
    if language[:2].lower() == "en":
        ways = [variant for way in ways for variant in _english(way)]
    return tuple(dict.fromkeys(way for way in ways if way))


def _number(number: str, language: str) -> list[str]:
    """Read a number without suffix: an integer, a decimal fraction, or parts with separators ("6:30", "1.2.3")."""
    if number.isdecimal():
        return _whole(number, language)
    ways = _whole(_integer(number), language) if _THOUSANDS.fullmatch(number) else []
    parts = re.split("[.,:]", number)
    if len(parts) == 2 and ":" not in number and len(number) <= _MAX_DIGITS:
        ways += _words(Decimal(f"{parts[0]}.{parts[1]}"), "cardinal", language)
    if language[:2].lower() == "en":
        ways += _point(parts, language)
    return ways + _in_parts(parts, language)


def _whole(digits: str, language: str) -> list[str]:
    """Read an integer: cardinal, year, pairs, ordinal, digit by digit."""
    ways = _counted(digits, "cardinal", language)
    if len(digits) in (3, 4):
        ways += _counted(digits, "year", language)
        ways += _in_parts([digits[:-2], digits[-2:]], language)
    if len(digits) <= 2:
        ways += _counted(digits, "ordinal", language)
    singly = [next(iter(_words(int(digit), "cardinal", language)), digit) for digit in digits]
    ways.append(" ".join(singly))
    if language[:2].lower() == "en":
        ways.append(" ".join("oh" if word == "zero" else word for word in singly))
    return ways


def _in_parts(parts: Sequence[str], language: str) -> list[str]:
    """Read each part as a number of its own: "six thirty", "six oh five", "nineteen hundred", "six o'clock"."""
    said = [next(iter(_counted(part, "cardinal", language)), part) for part in parts]
    ways = [" ".join(said)]
    if language[:2].lower() == "en":
        if len(parts) == 2 and parts[1] == "00":
            ways += [said[0], f"{said[0]} o'clock", f"{said[0]} hundred"]
        ways.append(" ".join(f"oh {word}" if part[0] == "0" else word for part, word in zip(parts, said, strict=True)))
    return ways


def _point(parts: Sequence[str], language: str) -> list[str]:
    """Read an English decimal fraction by digits, and without its leading zero: "point five"."""
    whole = next(iter(_counted(parts[0], "cardinal", language)), parts[0])
    rest = [_whole(part, language) for part in parts[1:]]
    ways = [" point ".join([whole, *(choices[pick] for choices in rest)]) for pick in (0, -1)]
    ways.append(
        " point ".join([whole, *(" ".join(_whole(digit, language)[0] for digit in part) for part in parts[1:])])
    )
    return ways + [way.removeprefix("zero ") for way in ways]


def _amount(number: str, names: Sequence[str], language: str) -> list[str]:
    """Read money: "five point two dollars", "five dollars twenty cents", "five twenty", "twenty cents"."""
    ways = [f"{way} {name}" for way in _number(number, language) for name in names]
    parts = number.split(".")
    if language[:2].lower() == "en" and len(parts) == 2 and len(parts[1]) == 2:
        whole, cents = (next(iter(_counted(part.replace(",", ""), "cardinal", language)), part) for part in parts)
        for name in names:
            ways += [f"{whole} {name} and {cents} cents", f"{whole} {name} {cents} cents", f"{whole} {name} {cents}"]
        ways += [f"{whole} {cents}", f"{cents} cents" if whole == "zero" else ""]
    return ways


def _english(way: str) -> tuple[str, ...]:
    """Return an English reading as num2words writes it, without "and", and with "a" for a leading "one"."""
    bare = way.replace(" and ", " ")
    ways: tuple[str, ...] = (way,) if bare == way else (way, bare)
    if way.startswith(("one hundred", "one thousand", "one million", "one billion", "one dollar")):
        ways += tuple("a" + each[3:] for each in ways)
    return ways


def _plural(way: str) -> str:
    return way[:-1] + "ies" if way.endswith("y") else way + ("es" if way.endswith("x") else "s")


def _integer(number: str) -> str:
    return re.sub("[.,:]", "", number)


def _counted(digits: str, form: str, language: str) -> list[str]:
    return _words(int(digits), form, language) if len(digits) <= _MAX_DIGITS else []


@lru_cache(_MAX_CACHED)
def _say(number: int | Decimal, form: str, language: str) -> str:
    from num2words import num2words  # on first use: most pairs hold no number

    primary = language[:2].lower()
    tag = "ja" if primary == "zh" else primary + language[2:].replace("-", "_")  # the numerals are the same up to 99
    try:
        return normalise(str(num2words(number, to=form, lang=tag)), language)
    except _UNREADABLE:  # each language of num2words lacks other forms, and says so in another way
        return ""


def _words(number: int | Decimal, form: str, language: str) -> list[str]:
    said = _say(number, form, language)
    return [said] if said else []
