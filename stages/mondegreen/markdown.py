"""Markdown for a GitHub comment that is safe by default: what comes from outside never becomes markup, link or mention.

Rules: https://github.github.com/gfm and GitHub's own: @names notify people, #numbers link, `$` starts mathematics.
"""

import re
from collections.abc import Iterable, Sequence

from mondegreen.alignment import edits
from mondegreen.terminal import plain

_MARKUP = re.compile(r"[\\`*_\[\]<>|~$&#]")
_LINKING = re.compile(r"@|&#35;|:(?=//)|\bwww(?=\.)|\bGH-(?=\d)", re.IGNORECASE)
_BREAK = "&#8203;"  # a space without width: what follows is no name, number or address any more


def text(value: object, most: int = 200) -> str:
    """Return `value` on one line, at most `most` characters of it, all of them text to GitHub."""
    shown = plain(str(value))
    shown = shown if len(shown) <= most else f"{shown[: most - 1]}…"
    return _LINKING.sub(rf"\g<0>{_BREAK}", _MARKUP.sub(lambda found: f"&#{ord(found[0])};", shown))


def code(value: object, most: int = 100) -> str:
    """Return `value` as text in the typeface of code."""
    return f"<code>{text(value, most)}</code>" if str(value) else ""


def bullets(sentences: Iterable[str], sign: str) -> list[str]:
    """Return a list of sentences from outside, each behind a sign."""
    return [f"- {sign} {text(sentence, 600)}" for sentence in sentences]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table of cells that are Markdown already; the first column is left-aligned, the others as they come."""
    return [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)]


def details(summary: str, lines: Iterable[str]) -> list[str]:
    """Return lines that are folded away under `summary`, which is Markdown already."""
    return ["", f"<details><summary>{summary}</summary>", "", *lines, "", "</details>"]


def word_diff(before: str, after: str, most: int = 40) -> str:
    """Return the second text with what it lost struck out and what it gained underlined, `most` words at most."""
    words: list[str] = []
    for kind, old, new in edits(before.split(), after.split()):
        if kind == "equal":
            words += map(_word, old)
            continue
        words += [f"<del>{' '.join(map(_word, old[:most]))}</del>"] * bool(old)
        words += [f"<ins>{' '.join(map(_word, new[:most]))}</ins>"] * bool(new)
    shown = words[:most] + ["…"] * (len(words) > most)
    return f"<code>{' '.join(shown)}</code>" if shown else "nothing"


def _word(word: str) -> str:
    return text(word, 40)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
