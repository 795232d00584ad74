"""`mondegreen report`: the built report, for people (HTML) or programs (JSON)."""

import argparse
import shutil
import sys
import webbrowser
from pathlib import Path

from mondegreen import repository, status
from mondegreen.errors import DataError

EXAMPLE = "mondegreen report --open\n  mondegreen report --output weekly.json"

PAGE, FACTS = Path("data/report/report.html"), Path("data/report/report.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--output", type=Path, metavar="PATH", help="copy it there: JSON to *.json, else the page")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(args: argparse.Namespace) -> int:
    """Copy or open the report that `dvc repro` built, and print where it is; say when it is not up to date."""
    root = repository.root()
    built = root / (FACTS if args.output and args.output.suffix.lower() == ".json" else PAGE)
    if not built.is_file():
        raise DataError(f"{built} is not there: run 'dvc repro', or 'dvc checkout' where it was built before")
    shown = built
    if args.output:
        shown = args.output
        _copy(built, shown)
    if stale := status.stale_stages(root):
        print(f"the report is not up to date ({', '.join(stale)} changed): run 'dvc repro'", file=sys.stderr)
    print(shown)
    page = shown if shown.suffix.lower() in (".html", ".htm") else root / PAGE
    if args.open and not webbrowser.open(page.resolve().as_uri()):
        raise DataError(f"no browser can be started here: open {page} yourself")
    return 0


def _copy(built: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, target)
    except (OSError, shutil.SameFileError) as error:
        raise DataError(f"{target} cannot be written: {error}") from error
