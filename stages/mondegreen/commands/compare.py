"""`mondegreen compare`: what differs between two versions, or between a version and the work tree."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from mondegreen import changes, judgement, pull_request, repository, snapshot
from mondegreen.balancing import SPLITS
from mondegreen.changes import Changes, State
from mondegreen.snapshot import Snapshot
from mondegreen.terminal import plain

EXAMPLE = "mondegreen compare v1.1.0 v1.2.0\n  mondegreen compare main --review"

SHOWN = 5
"""Cases of each kind that are shown, and three times as many lines of other kinds; --json has all."""

_HEADS = ("before", "after", "added", "removed", "corrected", "moved_in", "moved_out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("before", metavar="A", help="a version (v1.2.0), tag, branch or commit")
    parser.add_argument("after", metavar="B", nargs="?", help="another one; the work tree if it is left out")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print a JSON object with every row")
    shape.add_argument("--markdown", action="store_true", help="print a page for a pull request")
    parser.add_argument(
        "--review",
        action="store_true",
        help="compare with where B left A, as a pull request does; exit status 1 when it must not be merged",
    )


def run(args: argparse.Namespace) -> int:
    """Print what differs; with --review, whatever cannot be read is told, not raised."""
    root = repository.root()
    target = snapshot.at(root, args.before)
    after = snapshot.at(root, args.after, store=target.store)
    before = _fork(target, after) if args.review else target
    found = changes.compare(before, after, target=target, lenient=args.review)
    if args.json:
        print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        print(pull_request.page(found) if args.markdown else "\n".join(_lines(found)))
    failures = judgement.failures(found) if args.review else []
    for failure in failures:
        print(f"mondegreen: {plain(failure)}", file=sys.stderr)
    return 1 if failures else 0


def _fork(before: Snapshot, after: Snapshot) -> Snapshot:
    """Return the commit where `after` left `before`: what came to `before` since then is no change of `after`."""
    commit = repository.fork(before.commit, after.commit or "HEAD", before.root)
    if commit == before.commit:
        return before
    return replace(before, commit=commit, name=f"{before.name} where {after.name} left it")


def _lines(found: Changes) -> Iterator[str]:
    yield f"from  {_state(found.before)}"
    yield f"to    {_state(found.after)}"
    if found.after.stale:
        yield f"note: the work tree is not built ({plain(', '.join(found.after.stale))} changed): 'dvc repro'"
    if found.same_dataset:
        yield "the dataset is the same, byte by byte"
    yield from _totals(found, "split")
    yield from _totals(found, "error_type")
    yield from _cases("corrected", found.corrected, ["before", "after"])
    yield from _cases("added", found.added, ["original_transcript", "corrected_transcript"])
    yield from _cases("removed", found.removed, ["corrected_transcript"])
    yield from _moves(found.moved)
    params = [
        (item["name"], *(json.dumps(item[side]) if side in item else "not set" for side in ("before", "after")))
        for item in found.params
    ]
    yield from _table("params", params)
    directed = [each for each in found.metrics if each.direction in ("better", "worse")]
    metrics = [(each.label, _number(each.before), _number(each.after), each.direction) for each in directed]
    yield from _table("metrics", metrics)
    yield from _heading("batches", [f"added  {plain(name)}" for name in found.batches.added])
    yield from _heading("reviewers would stop at", map(plain, judgement.failures(found)))
    yield from _heading("worth a look", map(plain, judgement.warnings(found)))


def _state(state: State) -> str:
    commit = f" ({state.commit[:10]})" if state.commit else ""
    return f"{plain(state.name)}{commit}: gate {state.gate}, audit {state.audit}"


def _totals(found: Changes, column: str) -> Iterator[str]:
    rows = found.totals(column)
    heads = [head for head in _HEADS if head in next(iter(rows.values()), {})]
    names = sorted(rows, key=lambda name: (SPLITS.index(name) if name in SPLITS else len(SPLITS), name))
    width = max([16, *(len(plain(name)) for name in names)])
    if rows:
        yield ""
        yield f"{column.replace('_', ' '):<{width}}" + "".join(f"{head.replace('_', ' '):>11}" for head in heads)
    for name in names:
        yield f"{plain(name):<{width}}" + "".join(f"{rows[name][head]:>11,}" for head in heads)


def _cases(name: str, table: pd.DataFrame, texts: Sequence[str]) -> Iterator[str]:
    lines = []
    for row in table.head(SHOWN).to_dict("records"):
        where = f"  ({', '.join([row['now'], *row['reasons']])})" if "now" in row else ""
        shown = " -> ".join(_text(row[text]) for text in texts)
        lines.append(f"{row['split']:<11} {plain(row['case_id'])}  {shown}{where}")
    yield from _heading(f"{name} {len(table):,}" + ", for example" * (len(table) > SHOWN), lines)


def _moves(table: pd.DataFrame) -> Iterator[str]:
    ways = Counter(zip(table["before"], table["after"], strict=True))
    lines = [f"{before:<11} -> {after:<11} {count:>7,}" for (before, after), count in sorted(ways.items())]
    yield from _heading(f"moved {len(table):,}", lines)


def _table(name: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    width = max((len(row[0]) for row in rows), default=0)
    yield from _heading(name, [plain(f"{row[0]:<{width}}  {row[1]} -> {'  '.join(row[2:])}") for row in rows])


def _heading(name: str, lines: Iterable[str]) -> Iterator[str]:
    known = list(lines)
    yield from ["", name, *(f"  {line}" for line in known[: 3 * SHOWN])] if known else []
    if len(known) > 3 * SHOWN:
        yield f"  and {len(known) - 3 * SHOWN:,} more (--json has all)"


def _text(value: Any) -> str:
    shown = plain(value) if isinstance(value, str) else ""
    return repr(shown if len(shown) <= 60 else f"{shown[:59]}…") if shown else "(nothing)"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
