"""`mondegreen ingest`: what was recorded becomes a sealed batch."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from mondegreen import ingest, repository
from mondegreen.errors import DataError
from mondegreen.terminal import plain, progress

EXAMPLE = "mondegreen ingest && dvc repro"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("spool", nargs="?", type=Path, help=f"default: {repository.INBOX} of this repository")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Ingest and say what was done; exit status 1 when something in the spool could not be read."""
    root = repository.root()
    spool: Path = args.spool or root / repository.INBOX
    if args.spool and not spool.is_dir():
        raise DataError(f"{spool} is not a folder: give the folder that the recorder writes to")
    with progress(0, "B", "packing audio", scale=True) as advance:
        done = ingest.ingest(spool, root / repository.RAW, track=repository.track, packed=advance)
    if args.json:
        print(json.dumps(asdict(done) | {"damaged": [str(damage) for damage in done.damaged]}, indent=2))
    else:
        print("\n".join(_lines(done)))
    return 1 if done.damaged else 0


def _lines(done: ingest.Ingested) -> list[str]:
    lines = ["nothing new to ingest"]
    if done.batch:
        lines = [
            f"sealed data/raw/{done.batch}: {done.events} events, {done.cases} cases, "
            f"{done.clips} clips ({done.audio_bytes / 1e6:.1f} MB)",
            f"next: dvc repro; then commit data/raw/{done.batch}.dvc and dvc.lock",
        ]
    if done.known:
        lines.append(f"{done.known} events were ingested before")
    if done.repeated:
        lines.append(f"{done.repeated} events repeated others in the spool, such as equal rows of an import: kept once")
    if done.torn:
        lines.append(f"{done.torn} segments end in an unfinished line (a crash, or a write going on): left as they are")
    if done.missing_audio:
        lines.append(f"the audio of {len(done.missing_audio)} cases is gone, such as {done.missing_audio[0]}")
    for damage in done.damaged[:20]:
        lines.append(f"not an event: {damage.segment}, line {damage.line}: {plain(damage.reason)}")
    if done.damaged:
        lines.append(
            f"{len(done.damaged)} damaged lines were left in the spool: mend or delete them, then ingest again"
        )
    return lines
