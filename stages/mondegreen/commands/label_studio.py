"""`mondegreen label-studio export|import`: cases to Label Studio, annotations back."""

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import Any

from mondegreen import batches, correcting, correctors, known, label_studio, repository, spool
from mondegreen.clips import Clips
from mondegreen.commands import correct
from mondegreen.errors import DataError, RecordError, RepositoryError
from mondegreen.events import Event
from mondegreen.recorder import Recorder
from mondegreen.terminal import counted, plain, progress
from mondegreen.worst import PLAYABLE

EXAMPLE = (
    "mondegreen label-studio export label-studio --suggest second-recogniser\n"
    "  mondegreen label-studio import project-1-at-2026-05-04.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the two directions and their options."""
    ways = parser.add_subparsers(title="directions", metavar="DIRECTION", required=True)
    out = ways.add_parser("export", help="write tasks.json, config.xml and audio/ for what no person has corrected")
    out.add_argument("folder", type=Path, metavar="FOLDER", help="is made, or written to again")
    sound = out.add_mutually_exclusive_group()
    sound.add_argument(
        "--audio-url",
        metavar="URL",
        help="what the names in audio/ are appended to; default: /data/local-files/?d=FOLDER/audio/, Label Studio's "
        "local storage with the parent of FOLDER as its document root",
    )
    sound.add_argument(
        "--embed", action="store_true", help="audio in tasks.json, as data: URLs; not every Label Studio plays it"
    )
    out.add_argument("--suggest", action="append", default=[], metavar="CORRECTOR", help="pre-annotate with it, too")
    out.add_argument("--limit", type=int, metavar="N", help="the first N cases")
    out.set_defaults(direct=_export)
    back = ways.add_parser("import", help="record the annotations of Label Studio's JSON or JSON-MIN export")
    back.add_argument("file", type=Path, metavar="FILE")
    back.set_defaults(direct=_import)
    for way in (out, back):
        way.add_argument("--spool", type=Path, default=Path("data/inbox"), help="default: %(default)s")
        way.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Export or import."""
    return int(args.direct(args))


def _export(args: argparse.Namespace) -> int:
    if args.limit is not None and args.limit < 1:
        raise RecordError("--limit", args.limit, "a number from 1 on")
    root = repository.root()
    found, ranked = correcting.read(root, args.spool)
    queue = correcting.waiting(found, ranked)
    taught = correcting.said(found)
    helpers = [correctors.load(name, taught) for name in args.suggest]
    clips = Clips(root / repository.RAW, args.spool)
    prefix = args.audio_url or f"/data/local-files/?d={args.folder.resolve().name}/audio/"
    tasks: list[dict[str, Any]] = []
    silent = 0
    try:
        (args.folder if args.embed else args.folder / "audio").mkdir(parents=True, exist_ok=True)
        (args.folder / ".gitignore").write_text("*\n")  # what people said never gets into Git by `git add .`
        with progress(len(queue), " cases", "exporting") as advance:
            for case in queue:
                advance(1)
                if args.limit is not None and len(tasks) >= args.limit:
                    break
                clip = clips.get(case["audio_sha256"], case["audio_ext"])
                if clip is None:
                    silent += 1
                    continue
                suggestions = [made for helper in helpers if (made := helper.suggest(case, clip)) is not None]
                tasks.append(label_studio.task(case, _audio(args, prefix, case, clip), suggestions))
        (args.folder / "config.xml").write_text(label_studio.CONFIG, encoding="utf-8")
        (args.folder / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False, indent=1), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{args.folder} cannot be written: {error}; make room, or name another folder") from error
    if args.json:
        print(json.dumps({"tasks": len(tasks), "without_audio": silent, "folder": str(args.folder)}, indent=2))
        return 0
    left = f"; left out, without audio: {counted(silent, 'case')}" if silent else ""
    print(f"wrote {counted(len(tasks), 'task')} to {args.folder}/tasks.json{left}")
    if tasks:
        print(
            f"next: a project with the labeling configuration {args.folder}/config.xml, then import tasks.json into it"
        )
    if tasks and not (args.embed or args.audio_url):
        print(f"its audio is played once {args.folder} is a local storage of the project (README, Label Studio)")
    return 0


def _audio(args: argparse.Namespace, prefix: str, case: dict[str, Any], clip: bytes) -> str:
    """Return the URL of a clip, which is written to the folder unless it is embedded."""
    if args.embed:
        kind = PLAYABLE.get(case["audio_ext"], "application/octet-stream")
        return f"data:{kind};base64,{base64.b64encode(clip).decode()}"
    name = f"{case['audio_sha256']}{case['audio_ext'] or ''}"
    (args.folder / "audio" / name).write_bytes(clip)
    return f"{prefix}{name}"


def _import(args: argparse.Namespace) -> int:
    made: dict[str, Event] = {}
    rejected: list[str] = []
    for number, item in enumerate(label_studio.read(args.file), 1):
        try:
            for annotation in label_studio.annotations(item):
                event = annotation.event()
                made[event["event_id"]] = event
        except RecordError as error:
            rejected.append(f"{args.file}, item {number}: {plain(str(error))}")
    before = _recorded(args.spool, set(made))
    new = [event for event_id, event in made.items() if event_id not in before]
    with Recorder(args.spool) as recorder:
        recorder.extend(new)
    unknown = known.unknown({event["case_id"] for event in new}, args.spool)
    print("\n".join(rejected[:20]), end="\n" if rejected else "", file=sys.stderr)
    corrections = sum(event["event"] == "correction" for event in new)
    counts = {
        "corrections": corrections,
        "reviews": len(new) - corrections,
        "known": len(made) - len(new),
        "unknown": unknown,
        "rejected": len(rejected),
    }
    if args.json:
        print(json.dumps(counts, indent=2))
    else:
        correct.report_unknown(unknown)
        print(
            f"read {counted(corrections, 'correction')} and {counted(len(new) - corrections, 'other decision')} into "
            f"{args.spool}; {len(made) - len(new)} imported before; {counted(len(rejected), 'item')} rejected"
        )
        if new:
            print("next: mondegreen ingest")
    return 1 if rejected else 0


def _recorded(inbox: Path, event_ids: set[str]) -> set[str]:
    """Return those of `event_ids` that are in the inbox or in a batch already."""
    found = {event["event_id"] for part in spool.read(inbox) for event in part.events}
    try:
        raw = repository.root(inbox) / repository.RAW
    except RepositoryError:
        raw = None
    return event_ids & (found | (batches.event_ids(raw) if raw and raw.is_dir() else set()))
