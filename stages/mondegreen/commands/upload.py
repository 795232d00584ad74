"""`mondegreen upload`: what was recorded goes to the cloud, once or while it is recorded."""

import argparse
import json
import sys
import time
from pathlib import Path

from mondegreen import confirmed, keeping, resending
from mondegreen.errors import DataError, RepositoryError
from mondegreen.place import Place
from mondegreen.terminal import counted, plain
from mondegreen.upload import Uploader, watch

EXAMPLE = "mondegreen upload data/inbox --to gs://bucket/learning_data --watch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("spool", nargs="?", type=Path, default=Path("data/inbox"), help="default: %(default)s")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--to", metavar="URL", help="such as gs://bucket/learning_data; needs no repository")
    where.add_argument("--environment", metavar="NAME", help="default: the chosen one, see mondegreen environment")
    parser.add_argument(
        "--check", action="store_true", help="first send again what is lost or damaged there and still in the folder"
    )
    parser.add_argument("--watch", action="store_true", help="go on until stopped, and try again after an outage")
    parser.add_argument(
        "--keep",
        type=keeping.parse,
        metavar="10GB|7d",
        help="remove from the folder what is uploaded, oldest first, beyond this size or age; default: keep everything",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object at the end")


def run(args: argparse.Namespace) -> int:
    """Upload and say what went up."""
    if not args.spool.is_dir():
        raise DataError(f"{args.spool} is not a folder: give the folder that the recorder writes to")
    url = args.to or _address(args.environment)
    place = Place(url)
    with confirmed.alone(args.spool, url) as first:
        if not first:
            raise DataError(f"another process uploads {args.spool} to {url}: it sends everything, let it work")
        uploader = Uploader(args.spool, place, _say)
        if args.check:
            _resend(uploader)
        tidy = keeping.Tidy(args.spool, args.keep, _say) if args.keep else _nothing
        if args.watch:
            watch(uploader, _wait, tidy)
        else:
            uploader.send()
            tidy()
    done = {"events": uploader.sent_events, "clips": uploader.sent_audio, "bytes": uploader.sent_bytes}
    if args.json:
        print(json.dumps(done))
    else:
        amount = f"{counted(done['events'], 'event')} and {counted(done['clips'], 'clip')}"
        print(f"{url}: {amount} went up ({done['bytes'] / 1e6:.1f} MB)")
    return 0


def _address(environment: str | None) -> str:
    from mondegreen import environments  # loads what an agent's machine need not have

    try:
        return environments.address(environments.LEARNING, name=environment)
    except RepositoryError as error:
        raise DataError(f"where to? Give --to gs://BUCKET/learning_data; or: {error}") from error


def _resend(uploader: Uploader) -> None:
    done = resending.resend(uploader)
    sent = f"{counted(done.events, 'event')} and {counted(done.clips, 'clip')}"
    _say(f"checked, and sent, as new or not there as it should be: {sent}")
    for name in done.removed:
        _say(f"removed there, as it was damaged and is sent again: {name}")
    for name in done.left:
        _say(f"damaged, and left there, as it holds events that are no longer here: {name}")


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)


def _nothing() -> None:
    pass


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False
