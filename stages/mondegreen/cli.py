"""The console script `mondegreen`: one module of `mondegreen.commands` per sub-command, loaded when it is called.

Exit status: 0 on success, 1 when the work could not be done (one line on stderr says what to do), 2 for wrong usage,
130 when interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from mondegreen import __version__, room
from mondegreen.errors import MondegreenError
from mondegreen.terminal import be_quiet, plain

COMMANDS = {
    "record": "record one failed transcription",
    "correct": "record what was really said in a case, in a file of cases, or as a corrector suggests",
    "label-studio": "hand cases to Label Studio, and take its annotations back",
    "import": "record the cases of a CSV, JSON Lines or Parquet file",
    "review": "correct cases on a page, by keyboard",
    "ingest": "seal what was recorded into a batch in data/raw",
    "upload": "send what is recorded to the cloud, once or while it is recorded",
    "environment": "show, choose or set the bucket that data goes to",
    "push": "bring this commit's data to the remote, and make sure that it is all there",
    "pull": "bring the data of this commit here",
    "publish": "put the dataset of a release where training jobs load it",
    "gc": "remove data that no release, branch or tag needs",
    "performance": "record and show how models do",
    "status": "show the cases, the dataset, and what to do next",
    "forget": "withdraw or erase what a person said",
    "report": "show where the built report is, or copy it",
    "compare": "show what differs between two versions, or a version and the work tree",
    "rollback": "restore the data of a version in a new commit",
    "trace": "show the whole way of one case, or what a version came from",
    "verify": "hash everything again: work tree, cache and remote",
    "release": "make the built dataset a version",
    "versions": "list the versions of the dataset",
    "evaluate": "measure a model on a split of the dataset, or compare two",
}
"""Every sub-command with its line of help; `import` lives in the module `import_`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sub-command that `argv` names and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(arguments[:1]).parse_args(arguments)
        be_quiet(args.quiet)
        return int(args.run(args))
    except MondegreenError as error:
        print(f"mondegreen: {plain(str(error), lines=True)}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mondegreen"):
            raise
        extra = "review" if error.name in ("flask", "werkzeug") else "pipeline"
        print(f"mondegreen: {error.name} is not installed: pip install 'mondegreen[{extra}]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mondegreen: stopped; nothing is lost, run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"mondegreen: {plain(room.explain(error))}; then run the same command again", file=sys.stderr)
        return 1


def _parser(chosen: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mondegreen", description="Turns misheard phrases into versioned, quality-gated datasets."
    )
    parser.add_argument("--version", action="version", version=f"mondegreen {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        command = commands.add_parser(
            name, help=line, description=line.capitalize() + ".", formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name in chosen:
            module = import_module(f"mondegreen.commands.{name.replace('-', '_')}{'_' * (name == 'import')}")
            module.add_arguments(command)
            command.add_argument("--quiet", action="store_true", help="say nothing about progress")
            command.epilog = f"example:\n  {module.EXAMPLE}"
            command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
