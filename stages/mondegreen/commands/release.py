"""`mondegreen release`: the dataset as it is built becomes a version."""

import argparse
import json

from mondegreen import releasing, repository
from mondegreen.terminal import counted, plain

EXAMPLE = "mondegreen release -m 'The first hundred voices'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("version", nargs="?", metavar="VERSION", help="such as v1.2.0; by default the next one")
    parser.add_argument("-m", "--message", default="", metavar="TEXT", help="what the tag says about it")
    parser.add_argument("--dry-run", action="store_true", help="check everything and say which version it would be")
    parser.add_argument(
        "--no-quality-check", action="store_true", help="check that the data is in the cache, do not hash it again"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Release, or say what would be released."""
    root = repository.root()
    check = not args.no_quality_check
    if args.dry_run:
        plan = releasing.plan(root, args.version, check)
        facts = {"version": plan.version, "why": plan.why, "parent": plan.parent}
        shown = "\n".join([*plan.notes, f"{plan.version}: {plan.why}", "nothing was released: this was a dry run"])
        print(json.dumps(facts, indent=2, ensure_ascii=False) if args.json else plain(shown, lines=True))
        return 0
    say = (lambda line: None) if args.json else (lambda line: print(plain(line)))
    made = releasing.release(root, args.version, args.message, check, say=say)
    if args.json:
        print(json.dumps(made.as_dict(), indent=2, ensure_ascii=False))
        return 0
    sizes = " + ".join(f"{count} {split}" for split, count in made.sizes.items())
    score = "unknown" if made.quality_score is None else f"{made.quality_score:.4f}"
    print(f"released {made.tag}: {counted(sum(made.sizes.values()), 'row')} ({sizes}), quality {score}")
    print("next: dvc push && git push --follow-tags")
    return 0
