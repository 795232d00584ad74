"""`mondegreen verify`: whether everything is still what it was made as, hashed again byte by byte."""

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

from mondegreen import mending, repository, verifying
from mondegreen.objects import Store
from mondegreen.terminal import plain
from mondegreen.verifying import Problem, Verification

EXAMPLE = "mondegreen verify --remote --all-versions"

_SHOWN = 20
_THINGS = {"work tree": "files of the work tree", "cache": "objects of the cache", "remote": "of the remote"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--remote", nargs="?", const="", metavar="NAME", help="the remote as well (the default one, or NAME)"
    )
    parser.add_argument("--all-versions", action="store_true", help="all releases, branches and tags, not only this")
    parser.add_argument(
        "--repair", action="store_true", help="restore what is intact elsewhere; what it replaces is put aside"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what is wrong; the status is 1 if anything is and was not mended."""
    root = repository.root()
    check = mending.repair if args.repair else verifying.verify
    asked = args.remote is not None
    found = check(root, Store(root, args.remote or None), remote=asked, all_versions=args.all_versions)
    if args.json:
        print(json.dumps({"passed": not found.problems} | asdict(found), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(found, args)))
    return 1 if found.problems else 0


def _lines(found: Verification, args: argparse.Namespace) -> list[str]:
    places = ", ".join(f"{count} {_THINGS[place]}" for place, count in found.checked.items())
    lines = [f"hashed {places}, for {plain('; '.join(found.versions))}"]
    lines += ["", "mended", *_table(found.mended), ""] if found.mended else []
    if found.erased:
        lines.append(f"erased in part, can be built again but not restored: {plain('; '.join(found.erased))}")
    if not found.problems:
        return [*lines, "everything is what it was made as"]
    what = Counter(problem.what for problem in found.problems)
    lines += ["", *_table(found.problems), "", ", ".join(f"{count} {name}" for name, count in what.items())]
    lost = {name for problem in found.problems if problem.where != verifying.WORK_TREE for name in problem.versions}
    lines += [f"not whole: {plain('; '.join(sorted(lost)))}"] if lost else []
    return lines if args.repair else [*lines, f"next: {_next(found.problems, args)}"]


def _next(problems: Iterable[Problem], args: argparse.Namespace) -> str:
    """Return what mends it; data that nobody has fetched or pushed yet is no damage."""
    places = {problem.where for problem in problems}
    if {problem.what for problem in problems} <= {"missing", "unlisted"}:
        if places == {verifying.REMOTE} and not args.remote:
            return "mondegreen push --all-versions, unless the remote has lost what was pushed: then --repair"
        if places == {verifying.WORK_TREE, verifying.CACHE}:
            return "mondegreen pull, or dvc repro where nobody has pushed it"
    return f"mondegreen {' '.join(_flags(args))}: what it replaces is put aside, not lost"


def _flags(args: argparse.Namespace) -> list[str]:
    remote = [] if args.remote is None else ["--remote", args.remote] if args.remote else ["--remote"]
    return ["verify", *remote, *(["--all-versions"] if args.all_versions else []), "--repair"]


def _table(problems: Iterable[Problem]) -> list[str]:
    rows = list(problems)
    lines = []
    for row in rows[:_SHOWN]:
        users = "" if row.where == verifying.WORK_TREE else f", for {plain('; '.join(row.versions))}"
        lines.append(f"  {row.where:<9}  {row.what:<8}  {plain(row.path)}{users}")
        lines += [f"  {'':<9}  {'':<8}  {plain(row.mend)}"] if row.mend else []
    return lines + ([f"  and {len(rows) - _SHOWN} more: --json lists all"] if len(rows) > _SHOWN else [])
