"""`mondegreen review`: correct cases on a page, by keyboard."""

import argparse
import signal
import webbrowser
from pathlib import Path

from mondegreen import repository
from mondegreen.review.desk import Desk
from mondegreen.review.order import ORDERS
from mondegreen.review.server import Server
from mondegreen.review.sounds import Sounds
from mondegreen.review.suspicion import QUEUE, suspicion
from mondegreen.terminal import counted, plain

EXAMPLE = "mondegreen review --open\n  mondegreen review --error-type loop --order newest --author ann"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--order", choices=list(ORDERS), default="worst", help="which case comes first")
    parser.add_argument(
        "--queue",
        choices=["waiting", QUEUE],
        default="waiting",
        help="cases that wait for a correction, or corrections that are probably wrong",
    )
    parser.add_argument("--error-type", action="append", default=[], metavar="TYPE", help="only these; may be repeated")
    parser.add_argument("--author", metavar="NAME", help="who corrects; default: Git's user.name")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--spool", type=Path, default=repository.INBOX, help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; what was decided is in the spool, whatever ends it."""
    desk = Desk(
        args.spool,
        args.author or repository.user(Path.cwd()),
        order_name=args.order,
        error_types=args.error_type,
        suspicion=suspicion(args.spool) if args.queue == QUEUE else None,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Server(desk, Sounds(args.spool), port=args.port) as server:
            found = desk.progress()
            waiting = f"{found.total - found.done:,} of {counted(found.total, 'case')}"
            print(f"{plain(desk.author)}: {waiting} wait. Ctrl-C ends.")
            print(server.url, flush=True)
            if args.open and not webbrowser.open(server.url):
                print("no browser can be started here: open the page yourself")
            signal.pause()
    except KeyboardInterrupt:
        print(f"\n{counted(desk.progress().today, 'decision')} today, every one on the disk; then: mondegreen ingest")
    finally:
        desk.close()
    return 0
