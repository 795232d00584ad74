"""Plots as inline SVG: they take their colours from the page, so they follow light, dark and print.

All are `WIDTH` units wide, so that their text can be read on a phone, where a unit is a little less than a pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mondegreen.markup import Html, join, tag

WIDTH = 360
_CHARACTER, _STRONG = 7.0, 8.2  # units of a character of plot labels, plain and bold, at most
_PLOT = (46, 14, WIDTH - 10, 172)
"""Left, top, right and bottom of the area of plots with two axes."""


@dataclass(frozen=True)
class Bar:
    """A horizontal bar: `parts` are (value, CSS class), drawn one after the other; `note` stands behind it."""

    label: str
    parts: Sequence[tuple[float, str]]
    note: str


@dataclass(frozen=True)
class Column:
    """An upright bar; `label` stands below it where there is room, `note` shows when pointed at."""

    label: str
    parts: Sequence[tuple[float, str]]
    note: str


@dataclass(frozen=True)
class Point:
    """A value in a sequence, with the ends of its interval where they are known."""

    label: str
    value: float
    low: float | None
    high: float | None
    note: str


def bars(rows: Sequence[Bar], *, name: str, summary: str, label_width: int = 150) -> Html:
    """Draw horizontal bars from one zero line."""
    most = max((sum(value for value, _ in row.parts) for row in rows), default=0) or 1
    notes = max((len(row.note) for row in rows), default=0) * _STRONG
    room = WIDTH - label_width - notes - 8
    drawn = []
    for at, row in enumerate(rows):
        top, left = 26 * at + 4, float(label_width)
        label = _text(
            _short(row.label, int(label_width / _CHARACTER)), label_width - 8, top + 14, "end", title=row.label
        )
        drawn.append(label)
        for value, class_ in row.parts:
            width = room * value / most
            drawn.append(_rect(left, top, width, 18, class_) if value else Html())
            left += width
        drawn.append(_text(row.note, left + 6, top + 14, "start", "strong"))
    return _svg(26 * len(rows) + 6, drawn, name, summary)


def dots(rows: Sequence[tuple[str, float, float]], *, name: str, summary: str) -> Html:
    """Draw shares, each a dot beside the tick of its threshold: (label, share, threshold).

    The scale ends at 1 and begins, marked as such, where all of them can be told apart.
    """
    least = min(min(share, threshold) for _, share, threshold in rows)
    start = next((start for start in (0.9, 0.8, 0.5) if start < least), 0.0)
    left, right = 104, WIDTH - 84
    drawn = []

    def across(share: float) -> float:
        return left + (right - left) * (share - start) / (1 - start)

    for at, (label, share, threshold) in enumerate(rows):
        middle = 34 * at + 22
        verdict, class_ = ("✓", "good") if share >= threshold else ("✗", "bad")
        limit = across(threshold)
        drawn += [
            _text(label, left - 12, middle + 4, "end"),
            _line(left, middle, right, middle, "rule"),
            _line(limit, middle - 9, limit, middle + 9, "limit"),
            tag("circle", cx=across(share), cy=middle, r=5.5, class_=class_),
            _text(f"{share:.3f} {verdict}", WIDTH - 68, middle + 4, "start", "strong"),
        ]
    foot = 34 * len(rows) + 18
    ticks = [start, (start + 1) / 2, 1.0]
    drawn += [_text(f"{tick:g}", across(tick), foot, "middle", "axis") for tick in ticks]
    return _svg(foot + 8, drawn, name, summary)


def columns(
    rows: Sequence[Column], *, name: str, summary: str, top: float | None = None, percent: bool = False, x: str = ""
) -> Html:
    """Draw upright bars, from 0 to `top` (or the highest); `percent` writes the scale so, `x` names its foot."""
    left, high, right, low = _PLOT
    most = top or _ceiling(max((sum(value for value, _ in row.parts) for row in rows), default=0), whole=True)
    step = (right - left) / max(len(rows), 1)
    gap = min(3.0, step / 5)
    drawn = _scale(most, percent=percent)
    for at, row in enumerate(rows):
        floor = float(low)
        marks = [tag("title", row.note)]
        for value, class_ in row.parts:
            height = (low - high) * value / most
            floor -= height
            marks.append(_rect(left + at * step + gap / 2, floor, step - gap, height, class_) if value else Html())
        drawn.append(tag("g", *marks))
    every = math.ceil(max((len(row.label) for row in rows), default=1) * _CHARACTER / step)
    drawn += [
        _text(row.label, left + (at + 0.5) * step, low + 16, "middle", "axis")
        for at, row in enumerate(rows)
        if at % every == 0 and left + (at + 0.5) * step + len(row.label) * _CHARACTER / 2 <= WIDTH + 4
    ]
    return _svg(
        low + (40 if x else 24), [*drawn, _text(x, (left + right) / 2, low + 34, "middle", "axis")], name, summary
    )


def diagonal() -> Html:
    """Return the line from the lower left to the upper right of a plot with two axes."""
    left, high, right, low = _PLOT
    return _line(left, low, right, high, "diagonal")


def over(plot: Html, mark: Html) -> Html:
    """Return `plot` with `mark` drawn over it."""
    return Html(plot.removesuffix("</svg>") + mark + "</svg>")


def trend(points: Sequence[Point], *, name: str, summary: str, joined: bool) -> Html:
    """Draw points in their order, evenly spaced, with their intervals; `joined` connects them."""
    left, _, right, low = _PLOT
    most = _ceiling(1.15 * max(max(point.value, point.high or 0) for point in points))  # room for the number on top
    step = (right - left) / len(points)
    where = [(left + (at + 0.5) * step, _up(point.value, most)) for at, point in enumerate(points)]
    drawn = _scale(most, percent=True)
    if joined and len(points) > 1:
        drawn.append(tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in where), class_="path"))
    for point, (x, y) in zip(points, where, strict=True):
        marks = [tag("title", point.note)]
        if point.low is not None and point.high is not None:
            ends = [_up(end, most) for end in (point.low, point.high)]
            marks.append(_line(x, ends[0], x, ends[1], "interval"))
            marks += [_line(x - 4, end, x + 4, end, "interval") for end in ends]
        drawn.append(tag("g", *marks, tag("circle", cx=x, cy=y, r=4.5, class_="point")))
    room = int(max(step, (right - left) / 4) / _CHARACTER)
    every = math.ceil(len(points) / 4)
    for at, (point, (x, y)) in enumerate(zip(points, where, strict=True)):
        if at % every == 0:
            drawn += [
                _text(_short(point.label, room), x, low + 16, "middle", "axis", title=point.label),
                _text(f"{point.value:.1%}", x, min(y, _up(point.high or 0, most)) - 9, "middle", "strong"),
            ]
    return _svg(low + 24, drawn, name, summary)


def _up(value: float, most: float) -> float:
    """Return where `value` lies on an upright scale from 0 to `most`."""
    _, high, _, low = _PLOT
    return low - (low - high) * value / most


def _scale(most: float, *, percent: bool) -> list[Html]:
    """Draw the lines and numbers of an upright scale from 0 to `most`."""
    left, high, right, low = _PLOT
    drawn = []
    for part in (0, 0.5, 1):
        y = low - (low - high) * part
        label = f"{100 * most * part:.3g}%" if percent else f"{most * part:,.0f}"
        drawn += [_line(left, y, right, y, "rule"), _text(label, left - 6, y + 4, "end", "axis")]
    return drawn


def _ceiling(value: float, *, whole: bool = False) -> float:
    """Return the least round number that is at least `value`, and something for nothing; `whole`: so is its half."""
    if whole and value <= 10:
        return max(2.0, 2.0 * math.ceil(value / 2))
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return round(next(step * power for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * power >= value - 1e-12), 9)


def _short(label: str, most: int) -> str:
    return label if len(label) <= most else f"{label[: max(most - 1, 1)]}…"


def _svg(height: float, children: Sequence[Html], name: str, summary: str) -> Html:
    described = tag("title", name), tag("desc", summary)
    return tag(
        "svg",
        *described,
        join(children),
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=f"{name}. {summary}",
    )


def _text(content: str, x: float, y: float, anchor: str, class_: str = "", *, title: str = "") -> Html:
    full = tag("title", title) if title and title != content else None
    return tag("text", content, full, x=float(x), y=float(y), text_anchor=anchor, class_=class_ or None)


def _rect(x: float, y: float, width: float, height: float, class_: str) -> Html:
    return tag("rect", x=x, y=float(y), width=float(width), height=float(height), class_=class_)


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)
