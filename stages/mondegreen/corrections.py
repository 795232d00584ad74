"""The corrections of a file: rows of case_id and corrected_transcript become events, the same ones each time."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mondegreen import columns, events
from mondegreen.errors import RecordError
from mondegreen.events import Event
from mondegreen.recorder import Recorder
from mondegreen.sources import Row, Source, Unreadable

NAMES = {"correction_method": "method"}
"""Columns that `import` reads under another name than the field's."""

_CHUNK = 2000


@dataclass
class Recorded:
    """What became of a file's rows."""

    recorded: int = 0
    case_ids: set[str] = field(default_factory=set)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    """Line and reason of every row that can never be right."""


def record(
    source: Source,
    spool: Path,
    *,
    method: str = "manual",
    author: str | None = None,
    advance: Callable[[int], Any] = lambda by: None,
) -> Recorded:
    """Record the corrections of `source` in `spool`; when it returns, all of them are durable.

    `method` and `author` count for rows that do not say. Whether a case is known is not asked. An event's id is a hash
    of what it says: a file that is read twice changes nothing once it is ingested.
    """
    done, chunk, position = Recorded(), list[Event](), 0
    with Recorder(spool) as recorder:
        for number, row in source.rows():
            try:
                chunk.append(_event(row, {"method": method, "author": author}))
            except RecordError as error:
                done.rejected.append((number, str(error)))
            if len(chunk) >= _CHUNK:
                recorder.extend(chunk)
                _count(done, chunk)
                chunk = []
            advance(source.position - position)
            position = source.position
        recorder.extend(chunk)
        _count(done, chunk)
    return done


def _event(row: Row | Unreadable, defaults: dict[str, str | None]) -> Event:
    if isinstance(row, Unreadable):
        raise RecordError("row", row.text, row.reason)
    fields = dict(defaults)
    for name in ("case_id", "corrected_transcript", "correction_method", "method", "author", "is_speech"):
        if (value := row.get(name)) is None or (value == "" and name != "corrected_transcript"):
            continue
        fields[NAMES.get(name, name)] = columns.FIELDS[{"method": "correction_method"}.get(name, name)](name, value)
    event = events.make_event("correction", event_id="unset", **fields)
    return event | {"event_id": identity("file", event)}


def identity(kind: str, event: Event) -> str:
    """Return an id for a correction that follows from what it says, and from `kind`."""
    says = {name: event.get(name) for name in ("case_id", "corrected_transcript", "method", "author", "is_speech")}
    words = json.dumps(says, sort_keys=True, separators=(",", ":"))
    return f"{kind}-{hashlib.sha256(words.encode()).hexdigest()[:32]}"


def _count(done: Recorded, chunk: list[Event]) -> None:
    done.recorded += len(chunk)
    done.case_ids.update(event["case_id"] for event in chunk)
