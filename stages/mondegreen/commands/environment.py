"""`mondegreen environment`: which bucket this clone pushes to and pulls from."""

import argparse
import json
from dataclasses import asdict

from mondegreen import environments, repository
from mondegreen.environments import Environment
from mondegreen.objects import Store

EXAMPLE = "mondegreen environment staging --bucket our-calls-staging\n  mondegreen environment staging --check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="choose it for this clone (.dvc/config.local); default: show all")
    parser.add_argument("--bucket", help="set its bucket, BUCKET or gs://BUCKET/FOLDER, for everyone (.dvc/config)")
    parser.add_argument("--project", help="with --bucket: the Google project that credentials must be of")
    parser.add_argument("--check", action="store_true", help="make sure that it can be read and written")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Set, choose, check; then show all environments, the chosen one with a star."""
    root = repository.root()
    if args.name and args.bucket:
        environments.set_bucket(root, args.name, args.bucket, args.project)
    elif args.name:
        environments.choose(root, args.name)
    if args.check:
        Store(root, args.name).place.check()
    found = list(environments.known(root).values())
    print(json.dumps([asdict(each) for each in found], indent=2) if args.json else _table(found))
    return 0


def _table(found: list[Environment]) -> str:
    width = max((len(each.name) for each in found), default=0)
    return "\n".join(
        f"{'*' if each.chosen else ' '} {each.name:<{width}}  {each.url}{f'  ({each.project})' if each.project else ''}"
        for each in found
    )
