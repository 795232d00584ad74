"""`mondegreen status`: where things stand, and what to do next."""

import argparse
import json
from math import floor
from typing import Any

from mondegreen import repository, status
from mondegreen.terminal import counted, plain

SPLITS = ("train", "validation", "test")

EXAMPLE = "mondegreen status --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the state of this repository."""
    state = status.status(repository.root())
    print(json.dumps(state, indent=2, ensure_ascii=False) if args.json else "\n".join(_lines(state)))
    return 0


def _lines(state: dict[str, Any]) -> list[str]:
    rows = state["dataset_rows"]
    waiting = ", ".join(
        counted(count, kind, kind if kind.endswith("s") else "") for kind, count in state["waiting_in_inbox"].items()
    )
    order = sorted(rows, key=lambda split: (*SPLITS, split).index(split))
    parts = " + ".join(f"{rows[split]} {split}" for split in order)
    dataset = f"{counted(sum(rows.values()), 'case')} ({parts})" if rows else "not built"
    fresh = (
        "up to date"
        if state["up_to_date"]
        else f"not up to date ({', '.join(state['stale_stages']) or 'data missing'})"
    )
    rate = floor(1000 * state["correction_rate"]) / 10  # 100 % only when all are corrected
    lines = [
        f"batches    {state['batches'] if state['batches'] is not None else 'not all here'}",
        f"cases      {state['cases']}: {state['corrected_cases']} corrected ({rate} %), "
        f"{state['uncorrected_cases']} not, {state['withdrawn_cases']} withdrawn",
        f"dataset    {dataset}, {fresh}",
        f"release    {_release(state)}",
        f"inbox      {waiting or 'empty'}",
    ]
    types = state["error_type_distribution"]
    if types:
        width = max(map(len, types))
        most = max(types.values())
        lines += ["", "error types of the corrected cases"]
        lines += [
            f"  {plain(kind):<{width}} {count:>7}  {'▇' * max(1, 30 * count // most)}" for kind, count in types.items()
        ]
    if state["correctors"]:
        lines += ["", "automatic corrections, against people's where both exist"]
        lines += [f"  {plain(method)}: {_precision(found)}" for method, found in state["correctors"].items()]
    if state["uncorrected_examples"]:
        lines += ["", "uncorrected, for example"]
        lines += [
            f"  {plain(case)}  {plain(text) or '(heard nothing)'}"
            for case, text in state["uncorrected_examples"].items()
        ]
    if count := state["suspect_corrections"]:
        lines += ["", f"{counted(count, 'suspect correction')}: mondegreen review --queue suspects shows them first"]
    lines += ["", *(f"note: {note}" for note in state["notes"])] if state["notes"] else []
    return [*lines, "", f"next: {state['next']}"]


def _precision(found: dict[str, Any]) -> str:
    said = f"{counted(found['corrections'], 'case')}, {found['judged']} of them judged"
    if not found["judged"]:
        return said
    return f"{said}: {found['same_words']:.0%} have the right words, {found['better']:.0%} are better than before"


def _release(state: dict[str, Any]) -> str:
    if not state["last_release"]:
        return "none yet"
    changed = "the dataset is another one by now" if state["unreleased"] else "it is the dataset as built"
    return f"{state['last_release']} of {state['released_at'][:10]}, {changed}"
