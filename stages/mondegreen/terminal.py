"""What a person sees in a terminal. Standard library only; tqdm is loaded when a bar is drawn."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str, *, lines: bool = False) -> str:
    """Return `text` without control and direction characters: transcripts and names come from outside.

    Line breaks become spaces unless `lines` is true.
    """
    text = _CONTROL.sub("\ufffd", text)
    return text if lines else text.replace("\n", " ").replace("\t", " ")


@contextmanager
def progress(total: int | None, unit: str, what: str, *, scale: bool = False) -> Iterator[Callable[[int], object]]:
    """Show a bar with rate and remaining time while the block runs, on a terminal only; yield `advance(by)`.

    `scale` writes the numbers with SI prefixes, as for bytes. Without a `total` it shows how many, and how fast.
    """
    if not sys.stderr.isatty() or find_spec("tqdm") is None:
        yield lambda by: None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, desc=what, unit_scale=scale, leave=False) as bar:
        yield bar.update
