"""Arrivals: what agents uploaded to a place comes into a local spool, and is ingested from there like any other.

Listing is incremental: a sender fills one folder of parts after the other, and a cursor says how far each was read.
The cursor is of use only beside the batches that it was written with; without it, everything is listed again, and
what a batch already holds is dropped. Nothing is changed at the place, so several repositories may read from it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mondegreen import batches, events, ingest, machine, spool
from mondegreen.errors import DataError, RecordError
from mondegreen.place import WORKERS, Place
from mondegreen.upload import is_intact

_AHEAD = 4 * WORKERS
"""Parts that are read at once."""


@dataclass
class Arrived:
    """What came, and what did not."""

    parts: int = 0
    known: int = 0
    """Events that a batch holds already."""
    damaged: list[str] = field(default_factory=list)
    """Objects that are not what their name says."""
    missing: list[str] = field(default_factory=list)
    """Audio that is not there, although a part names it."""
    held: int = 0
    """Events that wait for such audio."""


def ingest_from(
    place: Place,
    raw: Path,
    staging: Path,
    *,
    track: Callable[[Path], None],
    without_audio: bool = False,
    advance: Callable[[int], object] = lambda size: None,
    packed: Callable[[int], Any] = lambda size: None,
    root: Path | None = None,
) -> tuple[Arrived, ingest.Ingested]:
    """Seal what is at `place` and in no batch below `raw` into a new batch; `staging` is a folder of our own.

    What is there is checked against its name. An event whose audio is missing or damaged is held back, and comes with
    a later run, unless `without_audio`. `advance` is told how many bytes came; `track`, `packed` and `root` are as in
    `ingest.ingest`. Raises `CloudError`, `DataError` and `SpoolError`; running it again goes on.
    """
    raw.mkdir(parents=True, exist_ok=True)
    with _alone(staging):
        cursor = _Cursor(staging / "cursor.json", _names(raw))
        arriving = _Arriving(place, staging, raw, without_audio, advance)
        with ThreadPoolExecutor(WORKERS) as pool:
            for sender in place.folders("events"):
                arriving.take_all(sender, cursor.of(sender), pool)
        done = ingest.ingest(staging, raw, track=track, packed=packed, root=root)
        cursor.save(_names(raw))
    return arriving.found, done


def _names(raw: Path) -> list[str]:
    return [folder.name for folder in batches.folders(raw)]


@contextmanager
def _alone(staging: Path) -> Iterator[None]:
    staging.mkdir(parents=True, exist_ok=True)
    with machine.alone(staging / "lock") as free:
        if not free:
            raise DataError("another ingest from this place is running: wait for it, then run this one again")
        yield


@dataclass
class _Read:
    """How far a sender was read: every folder before `folder`, and the `parts` (folder/name) from there on."""

    folder: str = ""
    parts: set[str] = field(default_factory=set)


class _Cursor:
    """How far every sender was read, kept in a file that may be lost."""

    def __init__(self, path: Path, present: list[str]) -> None:
        """Read it; where a batch of that time is gone, what was read may be gone, too: begin anew."""
        self._path = path
        self._senders: dict[str, _Read] = {}
        try:
            found = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return
        if set(found["batches"]) <= set(present):
            self._senders = {name: _Read(folder, set(parts)) for name, (folder, parts) in found["senders"].items()}

    def of(self, sender: str) -> _Read:
        return self._senders.setdefault(sender, _Read())

    def save(self, present: list[str]) -> None:
        senders = {name: (read.folder, sorted(read.parts)) for name, read in self._senders.items()}
        hidden = self._path.with_suffix(".new")
        hidden.write_text(json.dumps({"batches": present, "senders": senders}))
        hidden.replace(self._path)


class _Arriving:
    """Takes parts and their audio into the spool `target`."""

    def __init__(
        self, place: Place, target: Path, raw: Path, without_audio: bool, advance: Callable[[int], object]
    ) -> None:
        self.found = Arrived()
        self._place, self._target, self._without_audio, self._advance = place, target, without_audio, advance
        self._known = batches.event_ids(raw)
        self._clips = set(batches.audio_index(raw).column("sha256").to_pylist())

    def take_all(self, sender: str, read: _Read, pool: ThreadPoolExecutor) -> None:
        """Take every part of a sender that was not read yet, and note in `read` which are done.

        Who is in one folder has filled those before; so one that is listed after its successor was seen is complete.
        """
        complete = True
        for folder in self._place.folders(f"events/{sender}"):
            if folder < read.folder:
                continue
            if complete:
                read.folder, read.parts = folder, {part for part in read.parts if part >= folder}
            parts = [f"{folder}/{name}" for name in self._place.tree(f"events/{sender}/{folder}")]
            new = [part for part in parts if part not in read.parts]
            for start in range(0, len(new), _AHEAD):
                some = new[start : start + _AHEAD]
                for part, content in zip(some, pool.map(lambda part: self._part(sender, part), some), strict=True):
                    if content is not None and self._take(f"{sender}-{part.partition('/')[2]}", content, pool):
                        read.parts.add(part)
                    else:
                        complete = False

    def _part(self, sender: str, part: str) -> bytes | None:
        """Return a part, or None where it is not what its name says."""
        name = f"events/{sender}/{part}"
        try:
            content = self._place.read(name)
        except FileNotFoundError:  # removed since it was listed
            content = b""
        self._advance(len(content))
        if is_intact(name, content):
            return content
        self.found.damaged.append(name)
        return None

    def _take(self, name: str, content: bytes, pool: ThreadPoolExecutor) -> bool:
        """Put the new events of a part into the spool, behind their audio; return whether all could be."""
        lines: list[tuple[bytes, dict[str, Any] | None]] = []
        for line in content.splitlines(keepends=True):
            try:
                event = events.decode(line)
            except RecordError:
                lines.append((line, None))  # as it stands: ingest will say what is wrong with it
                continue
            if event["event_id"] in self._known:
                self.found.known += 1
            else:
                lines.append((line, event.get("audio")))
        wanted = {audio["sha256"]: audio for _, audio in lines if audio and audio["sha256"] not in self._clips}
        lost = {sha256 for sha256, here in zip(wanted, pool.map(self._fetch, wanted.values()), strict=True) if not here}
        kept = [line for line, audio in lines if self._without_audio or not audio or audio["sha256"] not in lost]
        self.found.held += len(lines) - len(kept)
        self.found.parts += 1
        if kept:
            _write(self._target / "events" / name, b"".join(kept))
        return len(kept) == len(lines)

    def _fetch(self, audio: dict[str, Any]) -> bool:
        """Bring audio into the spool; False where it is not there as it was recorded."""
        path = spool.audio_path(self._target, audio)
        if path.exists():
            return True
        name = f"audio/{path.name[:2]}/{path.name}"
        try:
            content = self._place.read(name)
        except FileNotFoundError:
            self.found.missing.append(name)
            return False
        self._advance(len(content))
        if hashlib.sha256(content).hexdigest() != audio["sha256"]:
            self.found.damaged.append(name)
            return False
        _write(path, content)
        return True


def _write(path: Path, content: bytes) -> None:
    """Write a file that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.new")
    hidden.write_bytes(content)
    hidden.replace(path)
