"""`mondegreen upload`: what was recorded goes to the cloud, once or while it is recorded."""

import argparse
import json
import sys
import time
from pathlib import Path

from mondegreen import confirmed
from mondegreen.errors import DataError
from mondegreen.place import Place
from mondegreen.terminal import plain
from mondegreen.upload import Uploader, watch

EXAMPLE = "mondegreen upload data/inbox --to gs://bucket/learning_data --watch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("spool", nargs="?", type=Path, default=Path("data/inbox"), help="default: %(default)s")
    parser.add_argument("--to", required=True, metavar="URL", help="such as gs://bucket/learning_data")
    parser.add_argument("--watch", action="store_true", help="go on until stopped, and try again after an outage")
    parser.add_argument("--json", action="store_true", help="print a JSON object at the end")


def run(args: argparse.Namespace) -> int:
    """Upload and say what went up."""
    if not args.spool.is_dir():
        raise DataError(f"{args.spool} is not a folder: give the folder that the recorder writes to")
    with confirmed.alone(args.spool, args.to) as first:
        if not first:
            raise DataError(f"another process uploads {args.spool} to {args.to}: it sends everything, let it work")
        uploader = Uploader(args.spool, Place(args.to), _say)
        if args.watch:
            watch(uploader, _wait)
        else:
            uploader.send()
    done = {"events": uploader.sent_events, "clips": uploader.sent_audio, "bytes": uploader.sent_bytes}
    if args.json:
        print(json.dumps(done))
    else:
        print(f"{args.to}: {done['events']} events and {done['clips']} clips went up ({done['bytes'] / 1e6:.1f} MB)")
    return 0


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False
