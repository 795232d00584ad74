"""`mondegreen pull`: the data that this commit names comes here, whole or not at all."""

import argparse

from mondegreen import repository, transfer
from mondegreen.commands import push
from mondegreen.objects import Store

EXAMPLE = "mondegreen pull --environment production"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    push.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Pull and say what came; exit status 1, with the old files in place, when something could not be had."""
    root = repository.root()
    store = Store(root, args.environment)
    done = transfer.pull(root, store, jobs=max(1, args.jobs), patience=args.patience)
    return push.show(done, "pulled", "from", as_json=args.json)
