"""HTML and SVG that are safe by default: whatever is not `Html` already is escaped. Standard library only."""

from collections.abc import Iterable
from html import escape

from mondegreen.terminal import plain


class Html(str):
    """Text that is markup: made by `tag`, `text` and `join` alone, or written in this library."""

    __slots__ = ()


Child = str | int | float | None
"""What a tag may hold: markup, text or a number; None is nothing."""

_VOID = {"br", "col", "link", "meta"}


def text(value: Child) -> Html:
    """Return `value` as markup; control and direction characters are replaced, `None` is empty."""
    if value is None or isinstance(value, Html):
        return value or Html()
    return Html(escape(plain(_shown(value))))


def join(children: Iterable[Child], between: str = "") -> Html:
    """Return the children one after the other."""
    return Html(text(between).join(map(text, children)))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """Return an element. `class_` is class, `aria_label` is aria-label; None and False leave an attribute out."""
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{shown}>" + ("" if name in _VOID else f"{join(children)}</{name}>"))


def _shown(value: str | float) -> str:
    """Return a number with two decimals at most: coordinates need no more, and all processors agree on them."""
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
