"""`mondegreen versions`: the releases of the dataset."""

import argparse
import json

from mondegreen import repository, versions
from mondegreen.terminal import plain

EXAMPLE = "mondegreen versions --min-quality-score 0.9"

HEADINGS = ("version", "date", "quality", "rows", "splits", "parent", "added", "removed", "cache", "remote")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--min-quality-score", type=float, metavar="X", help="only versions of at least this score, 0..1"
    )
    parser.add_argument("--remote", action="store_true", help="ask the DVC remote, too, which versions it holds")
    parser.add_argument("--json", action="store_true", help="print a JSON list, newest first")


def run(args: argparse.Namespace) -> int:
    """Print the versions, newest first."""
    root = repository.root()
    found = versions.versions(root, args.min_quality_score, remote=args.remote)
    if args.json:
        print(json.dumps([version.as_dict() for version in found], indent=2, ensure_ascii=False))
        return 0
    if not found:
        print("no version yet: mondegreen release" if args.min_quality_score is None else "no version is that good")
        return 0
    rows = [HEADINGS, *(_row(version) for version in found)]
    if not args.remote:
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(plain(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if name := versions.unfinished(root):
        print(f"\n{name} was interrupted: mondegreen release finishes it")
    return 0


def _row(version: versions.Version) -> tuple[str, ...]:
    answers = {True: "yes", False: "no", None: "?"}
    added, removed = ("?" if count is None else str(count) for count in (version.cases_added, version.cases_removed))
    return (
        version.version,
        version.date[:10],
        "?" if version.quality_score is None else f"{version.quality_score:.4f}",
        str(sum(version.sizes.values())),
        "/".join(map(str, version.sizes.values())),
        version.parent or "-",
        added,
        removed,
        answers[version.in_cache],
        answers[version.in_remote],
    )
