"""Which cases are recorded: their ids, read from the log without tables. Standard library only."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from mondegreen import events

_FAILURE = b'"event":"failure"'


def unknown(case_ids: Iterable[str], inbox: Path) -> list[str]:
    """Return those of `case_ids` of which no case is recorded, neither in `inbox` nor in the batches around it.

    Sorted. Empty where no batches lie around `inbox`: then nobody can tell.
    """
    raw = next((raw for raw in _raw_folders(inbox) if raw.is_dir()), None)
    missing = set(case_ids)
    if raw is None:
        return []
    sealed = "*/events.jsonl"  # looked at last, and twice: as ingest, and then a compaction, moves them
    for files in ((inbox / "events").glob("[!.]*.jsonl"), raw.glob(sealed), raw.glob(sealed)):
        for file in sorted(files):
            with suppress(FileNotFoundError):  # moved a moment ago
                missing.difference_update(_case_ids(file) if missing else ())
    return sorted(missing)


def _raw_folders(inbox: Path) -> Iterator[Path]:
    here = inbox.resolve()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir() and (folder / "dvc.yaml").is_file():
            yield folder / "data/raw"


def _case_ids(file: Path) -> Iterator[str]:
    """Yield the ids of the cases whose failures `file` holds; what is no event is for others to report."""
    with file.open("rb") as content:
        for line in events.lines(content):
            if _FAILURE not in line[:200]:
                continue
            try:
                yield str(json.loads(line)["case_id"])
            except (ValueError, KeyError, TypeError):
                continue
