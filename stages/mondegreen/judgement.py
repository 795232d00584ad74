"""Judgement: what a change of the data must not do, and what whoever reviews it should know."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from mondegreen.changes import Changes

EVALUATION = ("test", "validation")

NAMED = 3
"""How many cases, files or lines a sentence names; the rest is counted."""


def failures(found: Changes) -> list[str]:
    """Return why the later state must not be merged, one sentence each; empty when nothing speaks against it."""
    after, batches, lost = found.after, found.batches, found.ledger.lost
    said = []
    if after.gate == "failed":
        said += [f"the gate is shut: {_missed(found)}"]
    elif after.gate != "passed" or after.audit == "not judged":
        said += ["gate and audit have not judged this data: 'dvc repro', and commit what it changes"]
    if after.audit == "failed":
        said += ["the audit of the dataset failed: see data/metrics/dataset.json, problems"]
    if after.stale and after.gate != "failed":
        said += [f"the work tree is not built ({_list(after.stale)} changed): 'dvc repro', and commit what it changes"]
    if after.uncommitted:
        said += [f"what is built here is not what is committed: commit {_list(after.uncommitted)}"]
    if found.overdue:
        said += [
            f"part of {_list(found.overdue)} was erased since: merge that first, then 'mondegreen forget --finish'; "
            f"push no data from here before"
        ]
    elif found.unread and not found.erased:
        said += [f"its rows cannot be compared: {found.unread}"]
    if batches.lost:
        said += [f"raw data only grows, but {_count(batches.lost, 'batch')} left: {_list(batches.lost)}"]
    if batches.changed:
        what = [f"lost {_list(batches.lost_files)}"] * bool(batches.lost_files)
        what += [f"changed {_list(batches.changed_files)}"] * bool(batches.changed_files)
        what = what or [_list(batches.changed)]
        said += [f"raw data never changes, but {_count(batches.changed, 'batch')} did: {'; '.join(what)}"]
    if lost:
        said += [f"the ledger only grows, but {_count(lost, 'line')} left or changed: {_list(lost, '; ')}"]
    return said


def warnings(found: Changes) -> list[str]:
    """Return what a reviewer should look at, one sentence each; none of it is wrong in itself."""
    return [*_batches(found), *_evaluation(found), *_speakers(found), *_params(found), *_columns(found)]


def _batches(found: Changes) -> Iterable[str]:
    batches = found.batches
    if found.unread and found.erased:
        gone = _count(found.erased, "batch")
        yield f"rows cannot be compared: data/erasures.jsonl records {gone} as erased in part: {_list(found.erased)}"
    if batches.rolled_back:
        left = _count(batches.rolled_back, "batch")
        yield f"rolled back {batches.rollback}: {left} left, not Git's history: {_list(batches.rolled_back)}"
    if batches.replaced:
        yield (
            f"{_count(batches.replaced, 'batch')} left, whose events are in others or were erased on record: "
            f"{_list(batches.replaced)}"
        )


def _evaluation(found: Changes) -> Iterable[str]:
    for split in EVALUATION:
        texts = found.corrected[found.corrected["split"] == split]
        if len(texts):
            yield f"{_count(texts, f'{split} case')} changed the text: {_cases(texts)}; earlier figures do not compare"
        gone = found.removed[found.removed["split"] == split]
        if len(gone):
            where = ", ".join(f"{count} {place}" for place, count in gone["now"].value_counts().items())
            yield f"{_count(gone, f'{split} case')} left the dataset ({where}): {_cases(gone)}"
        moved = found.moved[found.moved["before"] == split]
        if len(moved):
            to = ", ".join(f"{count} to {name}" for name, count in moved["after"].value_counts().items())
            yield f"{_count(moved, f'{split} case')} moved ({to}): {_cases(moved)}"


def _speakers(found: Changes) -> Iterable[str]:
    left = found.speakers[found.speakers["after"] == 0]
    if len(left):
        cases, names = left["before"].sum(), _list(left["speaker_id"])
        yield f"{_count(left, 'speaker')} left the dataset, with {cases:,} cases: {names}"


def _params(found: Changes) -> Iterable[str]:
    values = {item["name"]: (item.get("before"), item.get("after")) for item in found.params}
    lowered = [name for name, value in values.items() if name.startswith("gate.") and _less(*value)]
    if lowered:
        yield f"the gate was lowered: {_list([f'{name} {values[name][0]} -> {values[name][1]}' for name in lowered])}"
    if "collect.normaliser" in values:
        yield "collect.normaliser changed: error rates do not compare with those before"
    if moving := [name for name in values if name.startswith("split.")]:
        yield f"parameters that decide who is in which split changed: {_list(moving)}"


def _columns(found: Changes) -> Iterable[str]:
    kinds = {(True, False): "added", (False, True): "removed", (True, True): "changed"}
    for known, kind in kinds.items():
        names = [item["name"] for item in found.columns if ("after" in item, "before" in item) == known]
        if names:
            yield f"columns of the dataset {kind}: {_list(names)}"


def _less(before: Any, after: Any) -> bool:
    numbers = isinstance(before, int | float) and isinstance(after, int | float)
    return numbers and after < before


def _missed(found: Changes) -> str:
    missed = [metric for metric in found.metrics if not metric.passed]
    parts = [
        f"{metric.label} {metric.after:.4f} is below {metric.threshold:.4f}"
        for metric in missed
        if metric.after is not None
    ]
    return ", ".join(parts) or "see data/metrics/gate.json"


def _cases(table: pd.DataFrame) -> str:
    """Name some cases, frozen ones first, each with its release."""
    frozen = table["frozen"] if "frozen" in table else pd.Series(index=table.index, dtype="str")
    first = table.assign(frozen=frozen).sort_values("frozen", kind="stable")
    names = [
        f"{case} (frozen by {release})" if isinstance(release, str) else str(case)
        for case, release in zip(first["case_id"], first["frozen"], strict=True)
    ]
    return _list(names)


def _list(names: Iterable[Any], between: str = ", ") -> str:
    known = [name if len(name) <= 80 else f"{name[:79]}…" for name in map(str, names)]
    more = len(known) - NAMED
    return between.join(known[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _count(things: Any, name: str) -> str:
    plural = "es" if name.endswith("ch") else "s"
    return f"{len(things):,} {name}{plural * (len(things) != 1)}"
