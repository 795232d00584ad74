"""`mondegreen import`: the cases of a CSV, JSON Lines or Parquet file, or a corpus to replay."""

import argparse
import json
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from mondegreen import importer, sources
from mondegreen.terminal import counted, plain, progress

EXAMPLE = (
    "mondegreen import failures.csv --map original_transcript=hypothesis "
    "--map corrected_transcript=reference --audio-root clips/"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, metavar="FILE", help=".csv, .tsv, .jsonl (these also .gz) or .parquet")
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("failures", "replay"),
        default="failures",
        help="replay: FILE is a folder with metadata.csv and audio, or a Hugging Face dataset in Parquet: speech "
        "with its text, to be mixed into train (params.yaml, replay); default: %(default)s",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        type=_pair,
        metavar="FIELD=COLUMN",
        help="where a field is to be found; a column with the field's own name needs none, extra.x reaches into "
        "nested objects, metadata.x=COLUMN keeps a column in the metadata, FIELD= leaves a field out",
    )
    parser.add_argument(
        "--default",
        action="append",
        default=[],
        type=_pair,
        metavar="FIELD=VALUE",
        help="for rows that do not give the field",
    )
    parser.add_argument("--audio-root", type=Path, metavar="DIR", help="what audio paths are relative to, and stay in")
    parser.add_argument("--spool", type=Path, default=Path("data/inbox"), help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Import and say what was done; exit status 1 when rows were rejected."""
    if args.kind == "replay":
        return _corpus(args)
    source = sources.open_source(args.file)
    with _bar(source) as advance:
        done = importer.import_rows(
            source,
            args.spool,
            mapped=dict(args.map),
            defaults=dict(args.default),
            audio_root=args.audio_root,
            advance=advance,
        )
    for rejection in done.rejections:
        print(f"{source.path}, {source.place} {rejection.line}: {plain(rejection.reason)}", file=sys.stderr)
    if done.rejected:
        print(f"{counted(done.rejected, 'row')} rejected: see {done.rejected_file}", file=sys.stderr)
    print(json.dumps(_numbers(done), indent=2) if args.json else "\n".join(_lines(done, args.spool)))
    return 1 if done.rejected else 0


def _corpus(args: argparse.Namespace) -> int:
    """Import utterances; exit status 1 when rows were rejected."""
    from mondegreen import corpora  # only here: pyarrow

    with progress(None, " rows", "importing") as advance:
        done = corpora.import_corpus(
            args.file, args.spool, mapped=dict(args.map), defaults=dict(args.default), advance=advance
        )
    for rejection in done.rejections:
        print(f"row {rejection.line}: {plain(rejection.reason)}", file=sys.stderr)
    if done.rejected:
        print(f"{counted(done.rejected, 'row')} rejected: see {done.rejected_file}", file=sys.stderr)
    numbers = {"rows": done.rows, "utterances": done.cases, "rejected": done.rejected}
    if args.json:
        print(json.dumps(numbers | {"rejected_file": done.rejected_file and str(done.rejected_file)}, indent=2))
    else:
        said = f"read {counted(done.rows, 'row')}: {counted(done.cases, 'utterance')} into {args.spool}"
        print(f"{said}; {counted(done.rejected, 'row')} rejected")
        if done.cases:
            print("next: mondegreen ingest, and replay in params.yaml")
    return 1 if done.rejected else 0


def _pair(text: str) -> tuple[str, str]:
    field, equals, value = text.partition("=")
    if not field or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form FIELD=...")
    return field.strip(), value


def _bar(source: sources.Source) -> AbstractContextManager[Callable[[int], object]]:
    return progress(source.total, source.unit, "importing", scale=True)


def _looks_like_audio(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if re.search("audio|path|file|clip|wav", name, re.IGNORECASE)), None)


def _numbers(done: importer.Imported) -> dict[str, object]:
    names = ("rows", "cases", "corrections", "without_audio", "unreadable_audio", "rejected")
    return {name: getattr(done, name) for name in names} | {
        "rejected_file": None if done.rejected_file is None else str(done.rejected_file)
    }


def _lines(done: importer.Imported, spool: Path) -> list[str]:
    lines = [
        f"read {counted(done.rows, 'row')}: {counted(done.cases, 'case')} ({done.without_audio} without audio) and "
        f"{counted(done.corrections, 'correction')} into {spool}; {counted(done.rejected, 'row')} rejected"
    ]
    if done.unreadable:
        cases = counted(done.unreadable_audio, "case")
        lines.append(f"warning: the audio of {cases} cannot be read, such as {plain(done.unreadable[0])}")
    if done.columns_left:
        lines.append(f"columns that no field takes: {plain(', '.join(done.columns_left))}")
    if done.cases and done.without_audio == done.cases and (paths := _looks_like_audio(done.columns_left)):
        lines.append(f"warning: no row has audio; is it in a column left out? --map audio={plain(paths)}")
    if done.cases:
        lines.append("next: mondegreen ingest")
    return lines
