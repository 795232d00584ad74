"""Recall: events and audio that agents uploaded are taken back from where they lie (see `upload` for the form).

A part that holds some of it is replaced by one of the same number without these lines. Whoever reads there later
finds what is left; what a batch holds already is known by its id.
"""

import hashlib
from collections.abc import Set

from mondegreen import events
from mondegreen.errors import MondegreenError, RecordError
from mondegreen.place import Place


def recall(url: str, audio: Set[str], ids: Set[str]) -> str:
    """Remove clips (SHA-256) and events (ids) at `url`; return why not all of it could be, or ''."""
    try:
        place = Place(url)
        place.check()
        for sender in place.folders("events"):
            for name in place.tree(f"events/{sender}"):
                _clean(place, f"events/{sender}/{name}", ids)
        for folder in sorted({sha256[:2] for sha256 in audio}):
            for name in place.tree(f"audio/{folder}"):
                if name.partition(".")[0] in audio:
                    place.remove(f"audio/{folder}/{name}")
    except (MondegreenError, OSError) as error:
        return f"{url}: {error or type(error).__name__}"
    return ""


def _clean(place: Place, name: str, ids: Set[str]) -> None:
    """Replace a part that holds one of the events; first the new one, so that a crash loses nothing."""
    try:
        lines = place.read(name).splitlines(keepends=True)
    except FileNotFoundError:
        return
    kept = [line for line in lines if _id(line) not in ids]
    if len(kept) < len(lines):
        content = b"".join(kept)
        folder, _, file = name.rpartition("/")
        place.put(f"{folder}/{file.partition('-')[0]}-{hashlib.sha256(content).hexdigest()}.jsonl", content)
        place.remove(name)


def _id(line: bytes) -> str:
    try:
        return str(events.decode(line)["event_id"])
    except RecordError:
        return ""
