"""The report's plots: each with a sentence that says what it shows, and its numbers as a table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mondegreen.charts import Bar, Column, Point, bars, columns, diagonal, dots, over, trend
from mondegreen.markup import Child, Html, join, tag
from mondegreen.performance import GROUP
from mondegreen.recommendations import overlap

TYPES_SHOWN = 14
TEST_SETS_SHOWN = 4
MEASUREMENTS_SHOWN = 40
FEW = 10
"""Runs below which a share says little, and is drawn so."""

Report = Mapping[str, Any]


def figure(
    name: str,
    says: str,
    drawn: Html | None,
    heads: Sequence[str] = (),
    rows: Iterable[Sequence[Child]] = (),
    *,
    unfolded: bool = False,
) -> Html:
    """Return a plot under its name and sentence, its numbers folded away below; nothing drawn: the sentence alone."""
    numbers = table(heads, rows) if drawn and heads else None
    if numbers and not unfolded:
        numbers = tag("details", tag("summary", "Numbers"), numbers)
    return tag("figure", tag("figcaption", tag("h3", name), tag("p", says)), drawn, numbers)


def table(heads: Sequence[str], rows: Iterable[Sequence[Child]], *, class_: str | None = None) -> Html:
    """Return a table whose first column names its rows; it scrolls by itself where it is too wide."""
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads))) if heads else None
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", _cell(cell)) for cell in row[1:])) for row in rows]
    return tag("div", tag("table", head, tag("tbody", *body), class_=class_), class_="scroll", tabindex=0)


def _cell(value: Child) -> Child:
    return f"{value:,}" if isinstance(value, int) else value


def error_types(report: Report) -> Html:
    """Draw how many cases have each error type, corrected and not."""
    rows = report["error_types"]
    name = "Error types"
    if not rows:
        return figure(name, "No case has an error type yet: types come with corrections.", None)
    shown = rows[:TYPES_SHOWN]
    waiting = sum(row["uncorrected"] for row in rows)
    says = f"The most frequent is {rows[0]['error_type']}. A case counts under each of its types, the agent's own too."
    says += f" {len(rows) - len(shown)} rarer types are in the numbers." if len(rows) > len(shown) else ""
    drawn = bars(
        [
            Bar(
                row["error_type"],
                [(row["corrected"], "first"), (row["uncorrected"], "second")],
                f"{row['corrected'] + row['uncorrected']:,}",
            )
            for row in shown
        ],
        name=name,
        summary="; ".join(f"{row['error_type']} {row['corrected'] + row['uncorrected']}" for row in shown),
    )
    key = legend(("first", "corrected"), ("second", "uncorrected, as the agent labelled it")) if waiting else None
    numbers = [[row["error_type"], row["corrected"], row["uncorrected"], row["valid"]] for row in rows[:200]]
    return figure(name, says, join([drawn, key]), ["type", "corrected", "uncorrected", "valid"], numbers)


def correction_rate(report: Report) -> Html:
    """Draw how many cases were recorded over time, and how many of them are corrected."""
    found, name = report["correction_rate"], "Correction rate over time"
    periods = found["periods"]
    if not periods:
        return figure(name, "No case is recorded.", None)
    unit, first, last = found["unit"], periods[0], periods[-1]
    total, done = (sum(row[key] for row in periods) for key in ("cases", "corrected"))
    numbers = [[row["start"], row["cases"], row["corrected"], percent(row["correction_rate"])] for row in periods]
    heads = [f"{unit} from" if unit != "day" else "day", "cases", "corrected", "rate"]
    if len(periods) == 1:
        says = f"All {total:,} cases were recorded on one {unit}, {first['start']}: {done:,} are corrected by now."
        parts = [(done, "first"), (total - done, "second")]
        drawn = bars([Bar(first["start"], parts, percent(done / total))], name=name, summary=says, label_width=90)
    else:
        says = (
            f"{done:,} of {total:,} cases are corrected by now ({percent(done / total)}), by the {unit} of recording."
        )
        says += f" {found['earlier']:,} cases bear an earlier date." if found["earlier"] else ""
        drawn = columns(
            [
                Column(
                    row["start"] if unit == "day" else row["start"][:7] if unit != "year" else row["start"][:4],
                    _shares(row),
                    f"{row['start']}: {row['corrected']:,} of {row['cases']:,} corrected",
                )
                for row in periods
            ],
            name=name,
            summary=f"{says} From {first['start']} to {last['start']}.",
            top=1.0,
            percent=True,
        )
    key = legend(("first", "corrected"), ("second", "waiting"))
    return figure(name, says, join([drawn, key]), heads, numbers, unfolded=len(periods) == 1)


def _shares(row: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Return the shares of a period's cases that are corrected and that wait; nothing for a period without cases."""
    rate = row["correction_rate"]
    return [] if rate is None else [(rate, "first"), (1 - rate, "second")]


def quality(report: Report) -> Html:
    """Draw the quality measures against their thresholds."""
    found, name = report["data_quality_assessment"], "Quality against the gate"
    rows = [(measure, found["quality_metrics"][measure], least) for measure, least in found["thresholds"].items()]
    missed = [measure for measure, share, least in rows if share < least]
    says = f"The gate is shut: {', '.join(missed)} too low." if missed else "The gate is open: every measure is met."
    drawn = dots(
        rows, name=name, summary="; ".join(f"{what} {share:.3f}, at least {least:g}" for what, share, least in rows)
    )
    key = legend(("limit", "threshold"), ("good", "met"), ("bad", "missed"))
    return figure(
        name,
        says,
        join([drawn, key]),
        ["measure", "share", "threshold"],
        [[a, f"{b:.4f}", f"{c:g}"] for a, b, c in rows],
    )


def splits(report: Report) -> Html:
    """Draw how large the splits are."""
    found, name = report["dataset"], "Splits"
    rows = found["rows"]
    order = [split for split in ("train", "validation", "test") if split in rows] + sorted(
        rows.keys() - found["ratios"].keys()
    )
    total = sum(rows.values())
    says = "The audit found faults: see data/metrics/dataset.json."
    if found["passed"]:
        says = "Train, validation and test share no sound, named speaker or recording: the audit checked the bytes."
    says += " WER: the recogniser's, on these failures."
    drawn = bars(
        [Bar(split, [(rows[split], "first")], f"{rows[split]:,} ({percent(rows[split] / total)})") for split in order],
        name=name,
        summary="; ".join(f"{split} {rows[split]} cases" for split in order),
        label_width=84,
    )
    heads = ["split", "speakers", "length", "wanted", "WER"]
    numbers = [
        [
            split,
            found["speakers"].get(split),
            length(found["hours"].get(split, 0)),
            percent(found["ratios"].get(split, {}).get("wanted")),
            percent(found["wer"].get(split)),
        ]
        for split in order
    ]
    return figure(name, says, drawn, heads, numbers, unfolded=True)


def durations(report: Report) -> Html:
    """Draw how long the valid cases are."""
    found, name = report["durations"], "Durations"
    if not found["bins"]:
        return figure(name, "The length of no valid case is known: they have neither audio nor times.", None)
    says = (
        f"{length(found['hours'])} in all; half are longer than {found['median']:.1f} s, one is {found['max']:.1f} s."
    )
    says += f" The length of {found['unknown']:,} is not known." if found["unknown"] else ""
    rows = [
        Column(f"{row['low']:g}", [(row["cases"], "first")], f"{row['low']:g} to {row['high']:g} s: {row['cases']:,}")
        for row in found["bins"]
    ]
    numbers = [[f"{row['low']:g} to {row['high']:g} s", row["cases"]] for row in found["bins"]]
    return figure(name, says, columns(rows, name=name, summary=says, x="seconds, from"), ["length", "cases"], numbers)


def calibration(report: Report) -> Html:
    """Draw how often the recogniser was right, by how confident it was."""
    found, name = report["calibration"], "Confidence"
    if not found["basis"]:
        return figure(name, "No run and no valid case has a confidence.", None)
    sure = f"{found['confident']:g}"
    of_runs = found["basis"] == "runs"
    if of_runs:
        failed = f"{found['confident_failed_runs']:,} failed"
        says = f"Confident ({sure} or more) in {found['confident_runs']:,} runs; {failed}. "
        says += f"Off by {100 * found['gap']:.0f} points on average."
    else:
        says = (
            "Share of words heard right among the failures, by confidence: no successful run is recorded, so this says "
            "nothing about the recogniser as a whole."
        )
    says += (
        f" Confident and wrong (WER {found['wrong']:g} or more): {found['confident_and_wrong']:,} of "
        f"{found['scored_cases']:,} valid cases with a confidence."
    )
    by_bin = {row["low"]: row for row in found["bins"]}
    unit = "runs" if of_runs else "cases"
    rows = []
    for tenth in range(10):
        row = by_bin.get(tenth / 10)
        note = f"{row['count']:,} {unit}, {percent(row['right'])} right" if row else f"no {unit}"
        class_ = "first" if row and row["count"] >= FEW else "second"
        rows.append(Column(f"{tenth / 10:g}", [(row["right"] if row else 0, class_)], f"{tenth / 10:g}: {note}"))
    drawn = columns(rows, name=name, summary=says, top=1.0, percent=True, x="confidence, from")
    few = legend(
        ("first", "share right"), ("second", f"of fewer than {FEW} {unit}"), ("diagonal", "as right as it claims")
    )
    numbers = [
        [f"{row['low']:g} to {row['high']:g}", row["count"], percent(row["mean_confidence"]), percent(row["right"])]
        for row in found["bins"]
    ]
    return figure(name, says, join([over(drawn, diagonal()), few]), ["confidence", unit, "mean", "right"], numbers)


def performance(report: Report) -> list[Html]:
    """Draw the WER of models over time, a plot per test set and normaliser, the one measured last first."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in report["measurements"]:
        groups.setdefault((row[GROUP[0]], row[GROUP[1]]), []).append(row)
    if not groups:
        says = "No model was measured yet: mondegreen evaluate does it, and records the result."
        return [figure("WER of models", says, None)]
    latest = sorted(groups.items(), key=lambda group: str(group[1][-1]["recorded_at"]), reverse=True)
    return [_trend(*group) for group in latest[:TEST_SETS_SHOWN]]


def _trend(group: tuple[str, str], rows: list[dict[str, Any]]) -> Html:
    test_set, normaliser = group
    known = "unknown" not in group
    name = f"WER on test set {test_set}" if known else "WER, test set or normaliser not named"
    shown = rows[-MEASUREMENTS_SHOWN:]
    if not known:
        says = "These do not say what they were measured on: they stand side by side, and no change is read from them."
    elif len(rows) == 1:
        says = f"Measured once, under the normaliser {normaliser}."
    else:
        change = 100 * (rows[-1]["wer"] - rows[0]["wer"])
        word = "better" if change < 0 else "worse" if change > 0 else "no different"
        ends = f"From {percent(rows[0]['wer'])} to {percent(rows[-1]['wer'])}"
        says = f"{ends}: {abs(change):.1f} points {word}, under {normaliser}."
        says += " The intervals of first and last overlap: it may be chance." if overlap(rows[0], rows[-1]) else ""
    says += " Upright lines are 95\u00a0% intervals." if any(row["wer_low"] is not None for row in shown) else ""
    says += f" The last {len(shown)} of {len(rows)} are shown." if len(rows) > len(shown) else ""
    points = [
        Point(
            _model(row),
            row["wer"],
            row["wer_low"],
            row["wer_high"],
            f"{_model(row)}, {_day(row)}: {_range(row, 'wer')}",
        )
        for row in shown
    ]
    drawn = trend(points, name=name, summary="; ".join(point.note for point in points[-5:]), joined=known)
    numbers = [[_model(row), _day(row), _range(row, "wer"), _range(row, "cer")] for row in shown]
    return figure(name, says, drawn, ["model", "day", "WER", "CER"], numbers)


def _model(row: Mapping[str, Any]) -> str:
    return row["model_version"] or "unnamed model"


def _day(row: Mapping[str, Any]) -> str:
    return str(row["recorded_at"])[:10]


def _range(row: Mapping[str, Any], rate: str) -> str:
    low, high = row[f"{rate}_low"], row[f"{rate}_high"]
    interval = f" ({percent(low)} to {percent(high)})" if low is not None and high is not None else ""
    return percent(row[rate]) + interval


def legend(*keys: tuple[str, str]) -> Html:
    """Return what the colours of a plot mean: (CSS class, meaning)."""
    return tag("p", *(tag("span", tag("i", class_=f"key {class_}"), name) for class_, name in keys), class_="legend")


def percent(share: float | None) -> str:
    """Return a share as people read it: what is not all is never 100 %, what is not nothing never 0 %."""
    if share is None:
        return "–"
    if 0 < share < 0.0005 or 0.9995 <= share < 1:
        return "< 0.1%" if share < 0.5 else "> 99.9%"
    return f"{share:,.1%}"


def length(hours: float) -> str:
    """Return a length of time in its fitting unit."""
    return f"{hours:,.1f}\u00a0h" if hours >= 1 else f"{60 * hours:.1f}\u00a0min"
