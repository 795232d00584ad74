"""`mondegreen correct`: what was really said in a case, in many cases, or by an automatic corrector."""

import argparse
import sys
from pathlib import Path

from mondegreen import known
from mondegreen.errors import DataError
from mondegreen.recorder import Recorder
from mondegreen.terminal import plain

EXAMPLE = (
    "mondegreen correct 01a2045f-ab92-77e8-ad91-6837b22bb20f 'kiss the sky' --author ann\n"
    "  mondegreen correct --from corrections.csv --author ann\n"
    "  mondegreen correct --auto second-recogniser --min-confidence 0.5 --dry-run\n"
    "  mondegreen correct --auto second-recogniser --check"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("case_id", nargs="?", metavar="CASE_ID")
    parser.add_argument("text", nargs="*", metavar="TEXT", help="what was really said; none with --no-speech")
    parser.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help=".csv, .tsv, .jsonl or .parquet with case_id, corrected_transcript and perhaps method, author, is_speech",
    )
    parser.add_argument("--auto", metavar="NAME", help="let a corrector correct what no person has; 'list' names them")
    parser.add_argument("--method", default="manual", help="manual, user_feedback, rule:NAME or model:NAME")
    parser.add_argument("--author", metavar="NAME", help="who says so")
    parser.add_argument("--no-speech", action="store_true", help="nobody speaks in it: silence or noise")
    parser.add_argument("--min-confidence", type=float, default=0.0, metavar="0..1", help="with --auto; default: 0")
    parser.add_argument(
        "--check",
        action="store_true",
        help="with --auto second-recogniser: listen to what people corrected, only to find suspect corrections",
    )
    parser.add_argument("--dry-run", action="store_true", help="with --auto: show the suggestions, record nothing")
    parser.add_argument("--spool", type=Path, default=Path("data/inbox"), help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="with --from or --auto: print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Record the corrections; exit status 1 when rows of a file were rejected."""
    given = [args.case_id is not None, args.file is not None, args.auto is not None]
    if sum(given) != 1 or (args.case_id is not None and not args.text and not args.no_speech):
        raise DataError("give either CASE_ID and TEXT, or --from FILE, or --auto NAME")
    if args.auto is None and (args.dry_run or args.min_confidence or args.check):
        raise DataError("--dry-run, --min-confidence and --check go with --auto NAME alone: nothing was recorded")
    if args.case_id is None and args.no_speech:
        raise DataError("--no-speech goes with CASE_ID alone (a file has a column is_speech): nothing was recorded")
    if args.file is not None:
        from mondegreen.commands.correct_from import correct_from

        return correct_from(args)
    if args.auto is not None and args.check:
        from mondegreen.commands.correct_check import correct_check

        return correct_check(args)
    if args.auto is not None:
        from mondegreen.commands.correct_auto import correct_auto

        return correct_auto(args)
    if not args.no_speech and not " ".join(args.text).strip():
        raise DataError("nothing was said? --no-speech says so; nothing was recorded")
    with Recorder(args.spool) as recorder:
        silent = False if args.no_speech else None
        recorder.correction(args.case_id, " ".join(args.text), method=args.method, author=args.author, is_speech=silent)
    report_unknown(known.unknown([args.case_id], args.spool))
    return 0


def report_unknown(case_ids: list[str], most: int = 20) -> None:
    """Say which corrections name no case that is recorded here."""
    for case_id in case_ids[:most]:
        print(f"no case {plain(case_id)} is recorded here: kept, it counts once its case is", file=sys.stderr)
    if len(case_ids) > most:
        print(f"and {len(case_ids) - most} more such ids", file=sys.stderr)
