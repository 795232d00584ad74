"""What a person sees in a terminal. Standard library only; tqdm is loaded when a bar is drawn."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from time import monotonic

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str, *, lines: bool = False) -> str:
    """Return `text` without control and direction characters: transcripts and names come from outside.

    Line breaks become spaces unless `lines` is true.
    """
    text = _CONTROL.sub("\ufffd", text)
    return text if lines else text.replace("\n", " ").replace("\t", " ")


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 case", "2,000 cases"; `many` where the plural is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


EVERY = 30.0
"""Seconds between two lines about progress where no bar can be drawn."""

QUIET = "MONDEGREEN_QUIET"
"""The environment variable that, set to anything, says nothing about progress: for stages, which have no options."""

_settings = {"quiet": False}


def be_quiet(quiet: bool) -> None:
    """Say nothing about progress from now on, or again."""
    _settings["quiet"] = quiet


@contextmanager
def progress(total: int | None, unit: str, what: str, *, scale: bool = False) -> Iterator[Callable[[int], object]]:
    """Tell how far the block is, with rate and remaining time: a bar on a terminal, else a line every `EVERY` seconds.

    Yields `advance(by)`. `total` is None or 0 where nobody knows it; `scale` writes numbers with SI
    prefixes, as for bytes.
    """
    if _settings["quiet"] or os.environ.get(QUIET):
        yield lambda by: None
        return
    if not sys.stderr.isatty() or find_spec("tqdm") is None:
        yield _Lines(total, unit.strip(), plain(what), scale).advance
        return
    from tqdm import tqdm

    with tqdm(total=total or None, unit=unit, desc=plain(what), unit_scale=scale, leave=False) as bar:
        yield bar.update


class _Lines:
    def __init__(self, total: int | None, unit: str, what: str, scale: bool) -> None:
        self._total, self._unit, self._what, self._scale = total, unit, what, scale
        self._done = 0
        self._start = self._said = monotonic()

    def advance(self, by: int) -> None:
        self._done += by
        now = monotonic()
        if now - self._said >= EVERY:
            self._said = now
            rate = self._done / max(now - self._start, 1e-9)
            of = f" of {self._number(self._total)}" if self._total else ""
            left = f", {(self._total - self._done) / rate:.0f} s left" if self._total and rate else ""
            line = f"{self._what}: {self._number(self._done)}{of} {self._unit}, {self._number(rate)}/s{left}"
            print(line, file=sys.stderr, flush=True)

    def _number(self, value: float) -> str:
        steps = 0
        while self._scale and value >= 1000 and steps < 4:
            value, steps = value / 1000, steps + 1
        return f"{value:.1f} {'kMGT'[steps - 1]}" if steps else f"{value:,.0f}"
