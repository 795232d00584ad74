"""`mondegreen correct --auto NAME`: what a corrector makes of the cases that no person has corrected."""

import argparse
import json
from collections import Counter
from typing import Any

from mondegreen import correcting, correctors, repository
from mondegreen.clips import Clips
from mondegreen.correctors import Suggestion
from mondegreen.errors import RecordError
from mondegreen.recorder import Recorder
from mondegreen.terminal import counted, plain, progress

SAYS = {
    "nothing": "left as they are",
    "unsure": "below --min-confidence",
    "same_words": "change no word",
}


def correct_auto(args: argparse.Namespace) -> int:
    """Record the suggestions one by one, or show them."""
    if args.auto == "list":
        print("\n".join(correctors.names()))
        return 0
    if not 0 <= args.min_confidence <= 1:
        raise RecordError("--min-confidence", args.min_confidence, "a number from 0 to 1")
    root = repository.root()
    found, ranked = correcting.read(root, args.spool)
    corrector = correctors.load(args.auto, correcting.said(found))
    queue = correcting.waiting(found, ranked, corrector.method)
    clips = Clips(root / repository.RAW, args.spool)
    outcomes: Counter[str] = Counter(dict.fromkeys(correcting.OUTCOMES, 0))
    shown: list[tuple[dict[str, Any], Suggestion]] = []
    with Recorder(args.spool) as recorder, progress(len(queue), " cases", args.auto) as advance:
        suggested = correcting.suggest(
            corrector, queue, lambda case: clips.get(case["audio_sha256"], case["audio_ext"]), args.min_confidence
        )
        for case, suggestion, outcome in suggested:
            outcomes[outcome] += 1
            advance(1)
            if suggestion is None:
                continue
            shown.append((case, suggestion))
            if not args.dry_run:
                recorder.correction(
                    case["case_id"],
                    suggestion.text,
                    method=suggestion.method,
                    metadata={"corrector": corrector.name, "confidence": round(suggestion.confidence, 6)},
                )
    print(_json(shown, outcomes, args) if args.json else "\n".join(_lines(shown, outcomes, args)))
    return 0


def _json(shown: list[tuple[dict[str, Any], Suggestion]], outcomes: Counter[str], args: argparse.Namespace) -> str:
    suggestions = [
        {
            "case_id": case["case_id"],
            "original_transcript": case["original_transcript"],
            "text": suggestion.text,
            "confidence": round(suggestion.confidence, 6),
            "method": suggestion.method,
        }
        for case, suggestion in shown
    ]
    return json.dumps(
        {"recorded": not args.dry_run, "outcomes": dict(outcomes), "suggestions": suggestions},
        indent=2,
        ensure_ascii=False,
    )


def _lines(
    shown: list[tuple[dict[str, Any], Suggestion]], outcomes: Counter[str], args: argparse.Namespace
) -> list[str]:
    lines = []
    if args.dry_run:
        for case, suggestion in shown:
            lines.append(f"{plain(case['case_id'])}  {suggestion.confidence:.2f}  {suggestion.method}")
            lines += [f"  - {plain(case['original_transcript'])}", f"  + {plain(suggestion.text)}"]
    others = ", ".join(f"{outcomes[name]} {says}" for name, says in SAYS.items() if outcomes[name])
    verb = "would be corrected" if args.dry_run else "corrected"
    lines.append(
        f"{len(shown)} of {counted(outcomes.total(), 'case')} that no person has corrected {verb} by {plain(args.auto)}"
        + (f"; {others}" if others else "")
    )
    return [*lines, "next: mondegreen ingest"] if shown and not args.dry_run else lines
