"""`mondegreen gc`: data that no release, branch or tag needs is removed, after a question."""

import argparse
import json
import sys
from dataclasses import asdict

from mondegreen import garbage, repository
from mondegreen.errors import RepositoryError
from mondegreen.garbage import Garbage
from mondegreen.objects import Store
from mondegreen.terminal import counted

EXAMPLE = "mondegreen gc --dry-run\n  mondegreen gc --environment dev"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--environment", metavar="NAME", help="of that remote as well; default: of this clone's cache")
    parser.add_argument(
        "--days", type=float, default=garbage.DAYS, help="leave what came to the remote since (default: %(default)g)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would go")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object; does not ask: with --yes or --dry-run"
    )


def run(args: argparse.Namespace) -> int:
    """Show what nothing needs, ask, and remove it."""
    root = repository.root()
    store = Store(root, args.environment)
    if args.environment and repository.git(["remote"], root).strip():
        repository.git(["fetch", "--all", "--tags"], root)  # others' branches keep their data, too
    found = garbage.find(root, store, remote=bool(args.environment), days=args.days)
    if not args.json:
        print("\n".join(_lines(found, store, args)))
    gone = bool(found.cache or found.remote) and not args.dry_run and (args.yes or _agreed(args))
    if gone:
        garbage.remove(store, found)
    if args.json:
        print(json.dumps(asdict(found) | {"removed": gone}, indent=2))
    elif gone:
        print("removed")
    return 0


def _agreed(args: argparse.Namespace) -> bool:
    if args.json or not sys.stdin.isatty():
        raise RepositoryError("nothing was removed: say --yes where nobody can be asked, or --dry-run")
    return input("Remove them? [y/N] ").strip().lower() in ("y", "yes")


def _lines(found: Garbage, store: Store, args: argparse.Namespace) -> list[str]:
    lines = [_line("this clone's cache", found.cache)]
    if args.environment:
        lines.append(_line(str(store.place), found.remote))
        if found.young:
            lines.append(f"  {found.young} more are younger than {args.days:g} days: left there")
    return lines


def _line(place: str, objects: dict[str, int]) -> str:
    if not objects:
        return f"{place}: every object is needed by a release, branch or tag"
    size = sum(objects.values())
    return f"{place}: {counted(len(objects), 'object')} ({size / 1e6:.1f} MB) that no release, branch or tag needs"
