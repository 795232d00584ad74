"""`mondegreen correct --auto NAME --check`: what another recogniser hears in the cases that people corrected."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from mondegreen import correcting, correctors, repository
from mondegreen.clips import Clips
from mondegreen.correctors import Heard, Witness
from mondegreen.errors import DataError
from mondegreen.recorder import Recorder
from mondegreen.terminal import counted, plain, progress

_SHOWN = ("case_id", "original_transcript", "corrected_transcript")


def correct_check(args: argparse.Namespace) -> int:
    """Record what it hears, case by case, as a witness and never as a correction; or show it."""
    if args.min_confidence:
        raise DataError("--min-confidence does not go with --check: every hearing counts; nothing was recorded")
    root = repository.root()
    found, ranked, hearings = correcting.read_all(root, args.spool)
    witness = correctors.load(args.auto, correcting.said(found))
    if not isinstance(witness, Witness):
        raise DataError(f"{args.auto} does not listen: --check goes with --auto second-recogniser")
    queue = correcting.unheard(found, ranked, hearings, witness.model_version)
    heard = list[dict[str, Any]]()
    clips = Clips(root / repository.RAW, args.spool)
    with Recorder(args.spool) as recorder, progress(len(queue), " cases", args.auto) as advance:
        for case in queue:
            advance(1)
            if (audio := clips.get(case["audio_sha256"], case["audio_ext"])) is None:
                continue
            said = witness.hear(case, audio) or Heard("")
            what = {"transcript": said.text, "model_confidence": said.confidence}
            heard.append({name: case[name] for name in _SHOWN} | what)
            if not args.dry_run:
                recorder.record("hearing", case_id=case["case_id"], model_version=witness.model_version, **what)
    if args.json:
        printed = {"recorded": not args.dry_run, "without_audio": len(queue) - len(heard), "heard": heard}
        print(json.dumps(printed, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(heard, len(queue), witness.model_version, dry_run=args.dry_run)))
    return 0


def _lines(heard: list[dict[str, Any]], total: int, model_version: str, *, dry_run: bool) -> Iterator[str]:
    for row in heard if dry_run else ():
        yield plain(row["case_id"])
        yield plain(f"  - {row['original_transcript']}")
        yield plain(f"  + {row['corrected_transcript']}")
        yield plain(f"  ? {row['transcript'] or '(nothing)'}")
    mute = f"; {total - len(heard)} without audio" if total > len(heard) else ""
    yield f"{plain(model_version)} listened to {len(heard)} of {counted(total, 'case')} that people corrected{mute}"
    if not total:
        yield "it has listened to all others before, or misheard them itself: then take another recogniser"
    elif heard and not dry_run:
        yield "next: mondegreen review --queue suspects, or mondegreen ingest and dvc repro"
