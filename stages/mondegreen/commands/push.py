"""`mondegreen push`: the data of this commit goes to the remote, and an audit says that it is all there."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from mondegreen import carrying, repository, snapshot, transfer
from mondegreen.errors import CloudError
from mondegreen.objects import Store
from mondegreen.terminal import counted, plain
from mondegreen.transfer import Transfer

EXAMPLE = "mondegreen push --environment production\n  mondegreen push --watch"

SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_common(parser)
    parser.add_argument("--all-versions", action="store_true", help="what every branch and tag needs")
    parser.add_argument("--deep", action="store_true", help="audit contents by MD5 where the remote knows none, too")
    parser.add_argument("--dry-run", action="store_true", help="audit only: say what the remote lacks")
    parser.add_argument(
        "--watch", nargs="?", type=float, const=60.0, metavar="SECONDS", help="go on, and push whatever changes"
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare what pull has, too."""
    parser.add_argument("--environment", metavar="NAME", help="default: the chosen one, see mondegreen environment")
    parser.add_argument("--jobs", type=int, default=carrying.JOBS, metavar="N", help="transfers at once (%(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=carrying.PATIENCE,
        metavar="SECONDS",
        help="give up when nothing got through for so long (%(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Push and say what went over; exit status 0 when everything is there."""
    root = repository.root()
    if args.watch is not None:
        return _watch(root, args)
    return show(_push(root, args), "pushed", "to", as_json=args.json)


def _push(root: Path, args: argparse.Namespace) -> Transfer:
    return transfer.push(
        root,
        Store(root, args.environment),
        all_versions=args.all_versions,
        deep=args.deep,
        dry=args.dry_run,
        jobs=max(1, args.jobs),
        patience=args.patience,
    )


def _watch(root: Path, args: argparse.Namespace) -> int:
    """Push at once and whenever dvc.lock, a batch, or with --all-versions a branch or tag changes; until stopped."""
    pushed: object = None
    while True:
        state = (snapshot.at(root).outputs, repository.references(root) if args.all_versions else None)
        if state != pushed:
            try:
                if show(_push(root, args), "pushed", "to", as_json=args.json) == 0:
                    pushed = state
            except CloudError as error:
                print(f"mondegreen: {plain(str(error))}; trying again", file=sys.stderr)
        time.sleep(args.watch)


def show(done: Transfer, verb: str, way: str, *, as_json: bool = False) -> int:
    """Print a transfer; return 1 when something is still wrong."""
    if as_json:
        print(json.dumps(asdict(done), indent=2), flush=True)
        return int(bool(done.problems))
    lines = [f"{verb} {counted(done.moved, 'object')} ({done.moved_bytes / 1e6:.1f} MB) {way} {done.place}"]
    where = "there" if way == "to" else "here"
    if not done.moved:
        lines = [f"nothing to do: {done.place}"] if not done.problems else []
    lines += [f"  {plain(path)}: {plain(why)}" for path, why in sorted(done.problems.items())[:SHOWN]]
    if not done.problems:
        lines[-1] += f"; all {done.needed} that are needed are {where} ({done.size / 1e6:.1f} MB)"
    else:
        more = len(done.problems) - SHOWN
        lines += [f"  and {counted(more, 'more object')}"] if more > 0 else []
        lines.append(f"not as it should be in {done.place}: {counted(len(done.problems), 'object')}")
        if way == "from":
            lines.append("next: 'mondegreen push' where they are, or another place: --environment NAME")
    print("\n".join(lines), flush=True)
    return int(bool(done.problems))
