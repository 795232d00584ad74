"""`mondegreen rollback`: the data of a version, as a new commit."""

import argparse
import json
from typing import Any

from mondegreen import changes, repository, rollback, snapshot
from mondegreen.balancing import SPLITS
from mondegreen.changes import Changes
from mondegreen.rollback import Rollback
from mondegreen.terminal import counted, plain

EXAMPLE = "mondegreen rollback v1.0.0 -m 'the corrections of May were shifted by one line'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("version", metavar="VERSION", help="a release (v1.2.0), or any commit that was built")
    parser.add_argument("-m", "--message", default="", help="why; it is added to the commit's message")
    parser.add_argument("--with-code", action="store_true", help="stages/ as well, not the data alone")


def run(args: argparse.Namespace) -> int:
    """Restore the version and print what that changed."""
    root = repository.root()
    done = rollback.rollback(root, args.version, message=args.message, code=args.with_code)
    before = snapshot.at(root, done.before)
    found = changes.compare(before, snapshot.at(root, done.after, store=before.store), lenient=True)
    print("\n".join(_lines(done, found)))
    return 0


def _lines(done: Rollback, found: Changes) -> list[str]:
    version = plain(done.version)
    if done.before == done.after:
        lines = [f"nothing to roll back: this commit has the data of {version}"]
    else:
        lines = [f"rolled back to {version} in a new commit, {done.after[:10]}", *_rows(found)]
        more = f" and {len(done.files) - _SHOWN} more" if len(done.files) > _SHOWN else ""
        lines.append(
            f"{counted(len(done.files), 'file')} of Git changed: {plain(', '.join(done.files[:_SHOWN]))}{more}"
        )
    made = "they were just built as" if done.erased else f"{version} was made as"
    lines.append(f"hashed {counted(done.hashed, 'file')}: all are what {made}")
    if done.erased:
        lines.append(
            f"note: {', '.join(done.erased[:3])} of {version} holds less today, since something was erased: it was "
            f"built again without that, and is not what it was"
        )
    if done.batches:
        lines.append(f"left the work tree, not the history: {plain(', '.join(done.batches))}")
    if done.frozen:
        lines.append(
            f"note: the ledger keeps {counted(done.frozen, 'case')} of later releases: the data is that of {version}, "
            f"'dvc repro' would split it again, so that no evaluation case ever trains"
        )
    if done.trained:
        lines.append(
            f"note: {done.trained} later evaluation cases train in {version}: a later test set cannot measure its model"
        )
    if done.code:
        lines.append(
            f"note: the code stays as it is; {counted(len(done.code), 'file')} of stages/ changed since {version}: "
            f"'dvc repro' would build with the newer code, '--with-code' brings the older one"
        )
    undo = [] if done.before == done.after else [f"undo: mondegreen rollback {done.before[:10]}"]
    return lines + undo


def _rows(found: Changes) -> list[str]:
    """Say what became of the dataset's cases; `mondegreen compare` says it case by case."""
    if found.unread:
        return [f"note: cases cannot be compared: {plain(found.unread)}"]
    splits = sorted(found.totals("split").items(), key=lambda item: (*SPLITS, item[0]).index(item[0]))
    counts = ", ".join(f"{plain(name)} {count['before']:,} -> {count['after']:,}" for name, count in splits)
    kinds = (("came", found.added), ("went", found.removed), ("re-corrected", found.corrected), ("moved", found.moved))
    lines = [
        f"cases: {counts or 'none'}",
        f"  {', '.join(f'{len(table):,} {kind}' for kind, table in kinds)}: mondegreen compare HEAD~1 HEAD",
    ]
    return lines + [
        f"  {plain(each['name'])}: {_value(each, 'before')} -> {_value(each, 'after')}"
        for each in found.params[:_SHOWN]
    ]


def _value(param: dict[str, Any], side: str) -> str:
    return plain(json.dumps(param[side], ensure_ascii=False)) if side in param else "not set"


_SHOWN = 5
