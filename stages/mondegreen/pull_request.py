"""The page on which a pull request of data is reviewed, in Markdown that fits one comment on GitHub."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mondegreen import judgement
from mondegreen.balancing import SPLITS
from mondegreen.changes import Changes, State
from mondegreen.directions import MEASURES, Metric
from mondegreen.markdown import bullets, code, details, table, text, word_diff

MARKER = "<!-- mondegreen data review -->"
"""The page's first line, by which the workflow finds its comment again."""

MOST_BYTES = 60_000
"""GitHub takes 65,536 characters."""

SIZES = ((20, 30), (5, 10), (0, 5), (0, 1))
"""How many example rows, and lines of any other list, are shown: the most that fit. The rest is counted."""

_SIGNS = {"better": "better ▲", "worse": "worse ▼", "same": "same", "changed": "changed"}


def page(found: Changes) -> str:
    """Return the review page of `found`: the verdict first, then figures, rows, parameters and examples."""
    pages = ("\n".join(_lines(found, *sizes)) + "\n" for sizes in SIZES)
    return next(shown for shown in pages if len(shown.encode()) <= MOST_BYTES)


def _lines(found: Changes, examples: int, listed: int) -> list[str]:
    failures = judgement.failures(found)
    verdict = "❌ not to be merged yet" if failures else "✅ gate and audit passed"
    return [
        MARKER,
        f"## Data review: {verdict}",
        "",
        f"{_state(found.before)} → {_state(found.after)}. {_sizes(found)}",
        "",
        *bullets(failures, "❌"),
        *bullets(judgement.warnings(found), "⚠️"),
        *_measures(found.metrics),
        *_rows(found, listed),
        *_params(found.params, listed),
        *_examples(found, examples),
        *_metrics(found.metrics, listed),
        *_origins(found, listed),
    ]


def _state(state: State) -> str:
    return f"{code(state.name)}{f' ({state.commit[:10]})' if state.commit else ''}"


def _sizes(found: Changes) -> str:
    if found.unread:
        return ""
    before, after = (int(found.rows[side].sum()) for side in ("before", "after"))
    if found.same_dataset:
        return f"The dataset is the same, byte by byte: {after:,} cases."
    parts = ("added", "removed", "corrected", "moved")
    counts = ", ".join(f"{len(getattr(found, part)):,} {part}" for part in parts)
    return f"{before:,} → {after:,} cases: {counts} between splits."


def _measures(metrics: Sequence[Metric]) -> list[str]:
    rows = [
        [
            text(each.label),
            _number(each.before),
            _number(each.after),
            _SIGNS[each.direction],
            "" if each.threshold is None else f"{'✅' if each.passed else '❌'} ≥ {_number(each.threshold)}",
        ]
        for each in metrics
        if each.name.startswith(MEASURES)
    ]
    return ["", *table(["quality", "before", "after", "", "gate"], rows)] if rows else []


def _rows(found: Changes, listed: int) -> list[str]:
    if found.rows.empty:
        return []
    splits = sorted(set(found.rows["split"]), key=lambda name: (SPLITS.index(name) if name in SPLITS else 9, name))
    types = found.rows.groupby("error_type")["after"].sum().sort_values(ascending=False, kind="stable").index
    lines = [[text(kind), *_cells(found.rows[found.rows["error_type"] == kind], splits)] for kind in types[:listed]]
    lines += [["**all**", *_cells(found.rows, splits)]]
    more = [f"and {len(types) - listed} rarer types"] if len(types) > listed else []
    return ["", *table(["cases", *map(text, splits), "all"], lines), *more]


def _cells(rows: pd.DataFrame, splits: Sequence[str]) -> list[str]:
    parts = [rows[rows["split"] == split] for split in splits]
    return [_delta(int(part["before"].sum()), int(part["after"].sum())) for part in [*parts, rows]]


def _delta(before: int, after: int) -> str:
    return f"{after:,}" if before == after else f"{after:,} ({after - before:+,})"


def _params(params: Sequence[dict[str, Any]], listed: int) -> list[str]:
    if not params:
        return []
    sides = ("before", "after")
    rows = [[code(item["name"]), *(_value(item, side) for side in sides)] for item in params[:listed]]
    more = ["", f"and {len(params) - listed} more"] if len(params) > listed else []
    return ["", *table(["parameter", *sides], rows), *more]


def _value(item: dict[str, Any], side: str) -> str:
    return code(json.dumps(item[side], ensure_ascii=False, default=str)) if side in item else "not set"


def _examples(found: Changes, most: int) -> list[str]:
    order = {"test": 0, "validation": 1}
    ranked = found.corrected.assign(rank=found.corrected["split"].map(order).fillna(2))
    corrected = _spread(ranked.sort_values(["rank", "case_id"]), most // 2)
    removed = _spread(found.removed, most // 4)
    added = _spread(found.added, most - len(corrected) - len(removed))
    rows = [["re-corrected", *_case(row), _diff(row, "before", "after")] for row in corrected]
    rows += [
        [f"removed: {text(', '.join([row['now'], *row['reasons']]))}", *_case(row), _text(row, "corrected_transcript")]
        for row in removed
    ]
    rows += [["added", *_case(row), _diff(row, "original_transcript", "corrected_transcript")] for row in added]
    if not rows:
        return []
    total = len(found.corrected) + len(found.removed) + len(found.added)
    heads = ["", "split", "error type", "<del>before or heard</del> <ins>after or said</ins>"]
    return details(f"Examples: {len(rows)} of {total:,} cases", table(heads, rows))


def _spread(rows: pd.DataFrame, most: int) -> list[dict[str, Any]]:
    """Return at most `most` rows, evenly spread over the table: neighbours are often of one speaker."""
    step = max(1, -(-len(rows) // most)) if most else len(rows) + 1
    chosen: list[dict[str, Any]] = rows.iloc[::step].to_dict("records") if most else []  # type: ignore[assignment]
    return chosen


def _case(row: dict[str, Any]) -> list[str]:
    return [text(row["split"]), text(row["error_type"])]


def _text(row: dict[str, Any], column: str) -> str:
    return code(row[column], 200) if isinstance(row[column], str) and row[column] else "nothing"


def _diff(row: dict[str, Any], before: str, after: str) -> str:
    old, new = (row[column] if isinstance(row[column], str) else "" for column in (before, after))
    return word_diff(old, new)


def _metrics(metrics: Sequence[Metric], listed: int) -> list[str]:
    others = [each for each in metrics if not each.name.startswith(MEASURES)]
    ranked = sorted(others, key=lambda each: each.direction == "changed")
    if not others:
        return []
    rows = [[code(each.name), _number(each.before), _number(each.after), _SIGNS[each.direction]] for each in ranked]
    more = ["", f"and {len(rows) - listed} more"] if len(rows) > listed else []
    return details(f"Other metrics: {len(rows)}", table(["metric", "before", "after", ""], rows[:listed]) + more)


def _origins(found: Changes, listed: int) -> list[str]:
    joined = found.speakers.loc[found.speakers["before"] == 0, "speaker_id"]
    lines = [
        f"- {name}: {len(things):,}, {', '.join(code(thing) for thing in list(things)[:listed])}"
        for name, things in (("batches added", found.batches.added), ("speakers that joined", list(joined)))
        if things
    ]
    lines += [f"- ledger lines added: {found.ledger.added:,}"] if found.ledger.added else []
    return details("Batches, speakers and ledger", lines) if lines else []


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
