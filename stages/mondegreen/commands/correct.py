"""`mondegreen correct`: what was really said in a case, from the shell."""

import argparse
from pathlib import Path

from mondegreen.recorder import Recorder

EXAMPLE = "mondegreen correct 01a2045f-ab92-77e8-ad91-6837b22bb20f 'kiss the sky' --author ann"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("case_id")
    parser.add_argument("text", help="what was really said; '' with --no-speech")
    parser.add_argument("--method", default="manual", help="manual, user_feedback, rule:NAME or model:NAME")
    parser.add_argument("--author", metavar="NAME", help="who says so")
    parser.add_argument("--no-speech", action="store_true", help="nobody speaks in it: silence or noise")
    parser.add_argument("--spool", type=Path, default=Path("data/inbox"), help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Record the correction."""
    with Recorder(args.spool) as recorder:
        silent = False if args.no_speech else None
        recorder.correction(args.case_id, args.text, method=args.method, author=args.author, is_speech=silent)
    return 0
