"""`mondegreen record`: one failed transcription from the shell."""

import argparse
import json
import sys
from pathlib import Path

from mondegreen.errors import DataError
from mondegreen.recorder import Recorder

EXAMPLE = "mondegreen record call.wav --original 'kiss this guy' --error-type substitution --speaker s1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("audio", nargs="?", type=Path, help="the audio file; none for text alone")
    parser.add_argument("--original", required=True, metavar="TEXT", help="what the recogniser said")
    parser.add_argument("--corrected", metavar="TEXT", help="what was really said, if known")
    parser.add_argument("--error-type", action="append", default=[], metavar="TYPE", help="may be given more than once")
    parser.add_argument("--error-score", type=float, metavar="0..1", help="how wrong it is")
    parser.add_argument("--confidence", type=float, metavar="0..1", help="how sure the recogniser was")
    parser.add_argument("--inference-time", type=float, metavar="SECONDS")
    for name in ("model-version", "language", "speaker", "recording", "author"):
        parser.add_argument(f"--{name}", metavar="NAME")
    parser.add_argument("--start", type=float, metavar="SECONDS", help="where in the recording the clip begins")
    parser.add_argument("--end", type=float, metavar="SECONDS")
    parser.add_argument("--no-speech", action="store_true", help="nobody speaks in it: silence or noise")
    parser.add_argument("--spool", type=Path, default=Path("data/inbox"), help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Record the case and print its id."""
    if args.audio is not None and not args.audio.is_file():
        raise DataError(f"{args.audio} is not a file: give the path of the audio, or leave it out")
    silent = False if args.no_speech else None
    with Recorder(args.spool) as recorder:
        case_id = recorder.failure(
            args.audio,
            original_transcript=args.original,
            error_types=args.error_type,
            error_score=args.error_score,
            model_confidence=args.confidence,
            inference_time=args.inference_time,
            model_version=args.model_version,
            language=args.language,
            speaker_id=args.speaker,
            recording_id=args.recording,
            start=args.start,
            end=args.end,
            is_speech=silent,
        )
        if args.corrected is not None:
            recorder.correction(case_id, args.corrected, author=args.author, is_speech=silent)
    json.dump({"case_id": case_id}, sys.stdout) if args.json else sys.stdout.write(case_id)
    print()
    return 0
