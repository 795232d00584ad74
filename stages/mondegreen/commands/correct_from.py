"""`mondegreen correct --from FILE`: the corrections of a file."""

import argparse
import json
import sys

from mondegreen import corrections, known, sources
from mondegreen.commands.correct import report_unknown
from mondegreen.errors import DataError
from mondegreen.terminal import counted, plain, progress


def correct_from(args: argparse.Namespace) -> int:
    """Record the corrections and say what was done; exit status 1 when rows were rejected."""
    source = sources.open_source(args.file)
    with progress(source.total, source.unit, "correcting", scale=True) as advance:
        done = corrections.record(source, args.spool, method=args.method, author=args.author, advance=advance)
    if not done.recorded and not done.rejected:
        raise DataError(f"{source.path} has no rows: give it the columns case_id and corrected_transcript")
    unknown = known.unknown(done.case_ids, args.spool)
    for line, reason in done.rejected:
        print(f"{source.path}, {source.place} {line}: {plain(reason)}", file=sys.stderr)
    if args.json:
        print(json.dumps({"corrections": done.recorded, "unknown": unknown, "rejected": len(done.rejected)}, indent=2))
    else:
        report_unknown(unknown)
        rejected = counted(len(done.rejected), "row")
        print(f"read {counted(done.recorded, 'correction')} into {args.spool}; {rejected} rejected")
        if done.recorded:
            print("next: mondegreen ingest")
    return 1 if done.rejected else 0
