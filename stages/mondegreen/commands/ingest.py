"""`mondegreen ingest`: what was recorded becomes a sealed batch."""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from mondegreen import arrivals, compaction, environments, ingest, repository
from mondegreen.errors import DataError
from mondegreen.place import Place
from mondegreen.terminal import counted, plain, progress

EXAMPLE = "mondegreen ingest && dvc repro"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "spool",
        nargs="?",
        help=f"a folder, or where agents upload to, such as gs://bucket/learning_data; default: {repository.INBOX}",
    )
    parser.add_argument(
        "--environment", metavar="NAME", help="instead: where agents upload to in this one, see mondegreen environment"
    )
    parser.add_argument(
        "--without-audio", action="store_true", help="from the cloud: take cases whose audio is not there, too"
    )
    parser.add_argument(
        "--compact", action="store_true", help="instead: make one batch of all, where there are hundreds and DVC slows"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Ingest and say what was done; exit status 1 when something could not be read."""
    root = repository.root()
    if args.compact:
        return _compact(args, root)
    if args.environment and not args.spool:
        args.spool = environments.address(environments.LEARNING, name=args.environment)
    if args.spool and "://" in args.spool:
        return _from_cloud(args, root)
    spool = Path(args.spool) if args.spool else root / repository.INBOX
    if args.spool and not spool.is_dir():
        raise DataError(f"{spool} is not a folder: give the folder that the recorder writes to")
    with progress(0, "B", "packing audio", scale=True) as advance:
        done = ingest.ingest(spool, root / repository.RAW, track=repository.track, packed=advance, root=root)
    if args.json:
        print(json.dumps(_json(done), indent=2))
    else:
        print("\n".join(_lines(done)))
    return 1 if done.damaged else 0


def _compact(args: argparse.Namespace, root: Path) -> int:
    if args.spool or args.environment:
        raise DataError("--compact works on the batches that are sealed: ingest first, then call it alone")
    with progress(0, "B", "rewriting audio", scale=True) as advance:
        done = compaction.compact(root / repository.RAW, track=repository.track, advance=advance)
    if args.json:
        print(json.dumps(asdict(done), indent=2))
    elif done.replaced:
        print(f"data/raw/{done.batch} holds what {len(done.replaced)} batches held; they left the work tree")
        print(
            "next: git add --all data/raw && dvc repro && git commit -a -m 'Compact the batches'; then mondegreen push"
        )
    else:
        print("nothing to compact: there are not two batches beside the sample")
    return 0


def _from_cloud(args: argparse.Namespace, root: Path) -> int:
    place = Place(args.spool)
    place.check(write=False)
    staging = root / ".dvc/tmp/mondegreen" / hashlib.sha256(place.url.encode()).hexdigest()[:16]
    with progress(0, "B", place.url, scale=True) as advance:
        arrived, done = arrivals.ingest_from(
            place,
            root / repository.RAW,
            staging,
            track=repository.track,
            without_audio=args.without_audio,
            advance=advance,
            root=root,
        )
    done.known += arrived.known
    if args.json:
        print(json.dumps(_json(done) | {"arrived": asdict(arrived)}, indent=2))
    else:
        print("\n".join([*_lines(done), *_arrived(arrived, args.without_audio)]))
    return 1 if done.damaged or arrived.damaged or arrived.held else 0


def _json(done: ingest.Ingested) -> dict[str, object]:
    return asdict(done) | {"damaged": [str(damage) for damage in done.damaged]}


def _arrived(arrived: arrivals.Arrived, without_audio: bool) -> list[str]:
    lines = [f"damaged in the cloud, left there: {plain(name)}" for name in arrived.damaged[:20]]
    lines += [f"not in the cloud: {plain(name)}" for name in arrived.missing[:20]]
    if arrived.damaged or arrived.missing:
        bad, held = len(arrived.damaged) + len(arrived.missing), arrived.held
        lines.append(
            f"damaged or missing: {counted(bad, 'object')}, for which {counted(held, 'event')} had to wait: "
            "on the machine that recorded them, 'mondegreen upload --check' sends them again"
        )
    if arrived.held and not without_audio:
        lines.append("to take these events without their audio: --without-audio")
    return lines


def _lines(done: ingest.Ingested) -> list[str]:
    lines = ["nothing new to ingest"]
    if done.batch:
        lines = [
            f"sealed data/raw/{done.batch}: {counted(done.events, 'event')}, {counted(done.cases, 'case')}, "
            f"{counted(done.clips, 'clip')} ({done.audio_bytes / 1e6:.1f} MB)",
            f"next: dvc repro; then commit data/raw/{done.batch}.dvc and dvc.lock",
        ]
    if done.known:
        lines.append(f"{counted(done.known, 'event')} ingested before")
    if done.repeated:
        said = "repeated others in the spool, such as equal rows of an import: kept once"
        lines.append(f"{counted(done.repeated, 'event')} {said}")
    if done.torn:
        said = "with an unfinished last line (a crash, or a write going on): left as it is"
        lines.append(f"{counted(done.torn, 'segment')} {said}")
    if done.unsent:
        lines.append(
            f"left in the spool until it is uploaded, by a recorder or 'mondegreen upload': "
            f"{counted(done.unsent, 'segment')}; where nothing is to be uploaded any more, remove its folder 'upload'"
        )
    if done.missing_audio:
        lines.append(
            f"the audio of {counted(len(done.missing_audio), 'case')} is gone, such as {done.missing_audio[0]}"
        )
    for damage in done.damaged[:20]:
        lines.append(f"not an event: {damage.segment}, line {damage.line}: {plain(damage.reason)}")
    if done.damaged:
        lines.append(
            f"{len(done.damaged)} damaged lines were left in the spool: mend or delete them, then ingest again"
        )
    return lines
