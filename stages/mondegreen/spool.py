"""The spool: the folder that running agents write to. Standard library only.

    <spool>/events/<utc start>-<host>-<pid>-<random>.jsonl   one segment per writer, append-only
    <spool>/audio/<first two hex>/<sha256><.ext>             audio, stored by content

A writer holds a lock on its segment for as long as it lives, so a reader can tell a finished segment from a live one.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from mondegreen import events, machine, room
from mondegreen.errors import RecordError, SpoolError
from mondegreen.events import Event

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment that has grown this large is finished and a new one begun, so that ingest can remove it."""

SEGMENT_AUDIO = 256 * 1024 * 1024
"""So is one that names this much audio: what is removed is always a segment with its audio."""

_CHUNK = 1024 * 1024


class Segment:
    """An append-only file of events with one writer; nothing is ever written behind a torn line."""

    def __init__(self, spool: Path) -> None:
        """Create and lock a new segment in `spool`, durably; raises `OSError`."""
        folder = spool / "events"
        make_folder(folder)
        if not (spool / ".gitignore").exists():  # what people said never gets into Git by `git add .`
            (spool / ".gitignore").write_text("*\n")
        start = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self.path = folder / f"{start}-{machine.name()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self.size = 0
        self.audio = 0
        """Bytes of audio that its events name."""
        hidden = folder / f".{self.path.name}.new"
        self._fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            machine.lock(self._fd, hidden)
            machine.rename(
                hidden, self.path
            )  # it shows its name only once it is locked: no reader takes it for finished
            sync_folder(folder)
        except OSError:
            os.close(self._fd)
            hidden.unlink(missing_ok=True)
            raise

    def append(self, line: bytes, *, sync: bool) -> None:
        """Write `line` in one call and, with `sync`, wait until it is on the disk; raises `OSError`."""
        written = os.write(self._fd, line)
        if written != len(line):
            said = f"disk full: only {written} of {len(line)} bytes of an event were written"
            raise OSError(errno.ENOSPC, said, str(self.path))
        if sync:
            os.fdatasync(self._fd)
        self.size += written

    @property
    def full(self) -> bool:
        """It is time for a new one."""
        return self.size >= SEGMENT_BYTES or self.audio >= SEGMENT_AUDIO

    def close(self) -> None:
        """Give up the lock: the segment is finished."""
        os.close(self._fd)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents so that they survive power loss."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def store_audio(spool: Path, source: BinaryIO, ext: str, *, sync: bool) -> dict[str, Any]:
    """Copy `source` into the spool under the SHA-256 of its bytes; return the event's `audio` object.

    Written to a temporary file, synced, renamed, its folder synced. Raises `OSError` of the reading side as it is,
    and `SpoolError` when the spool cannot be written.
    """
    folder = spool / "audio"
    hidden = folder / f".{secrets.token_hex(8)}.new"
    digest, size = hashlib.sha256(), 0
    try:
        chunk = source.read(_CHUNK)
        with _writing(folder, hidden) as target:
            while chunk:
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
                chunk = source.read(_CHUNK)
            target.finish(folder / digest.hexdigest()[:2] / (digest.hexdigest() + ext), sync=sync)
    finally:
        hidden.unlink(missing_ok=True)
    return {"sha256": digest.hexdigest(), "bytes": size, "ext": ext}


class _writing:  # noqa: N801  (reads as a verb: with _writing(...) as target)
    """A temporary file whose own failures are `SpoolError`, so that they are told from the source's."""

    def __init__(self, folder: Path, hidden: Path) -> None:
        self._hidden = hidden
        with spool_errors(folder):
            make_folder(folder)
            self._fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def __enter__(self) -> "_writing":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def write(self, chunk: bytes) -> None:
        with spool_errors(self._hidden):
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._fd, view) :]

    def finish(self, target: Path, *, sync: bool) -> None:
        with spool_errors(target):
            make_folder(target.parent)
            if sync:
                os.fsync(self._fd)
            machine.rename(self._hidden, target)
            if sync:
                sync_folder(target.parent)


class spool_errors:  # noqa: N801
    """A context that turns an `OSError` of the spool into a `SpoolError` that says what to do."""

    def __init__(self, path: Path) -> None:
        """Name `path` in the error."""
        self._path = path

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Chain an `OSError`."""
        if isinstance(error, OSError) and not isinstance(error, SpoolError):
            raise SpoolError(
                f"cannot write {room.explain(error, self._path)}; nothing was recorded. "
                f"Make room or give write permission, then record again."
            ) from error


@dataclass(frozen=True)
class Damage:
    """A line that is no event: where it stands and why."""

    segment: Path
    line: int
    reason: str


@dataclass(frozen=True)
class Contents:
    """What one segment holds: its events in the order written, and what could not be read."""

    segment: Path
    size: int
    """Bytes read, the torn tail included."""
    events: list[Event]
    damaged: list[Damage]
    torn: bool
    """The last line has no newline: its writer crashed, or is writing it right now; it was never acknowledged."""


def segments(spool: Path) -> list[Path]:
    """Return the spool's segments, oldest first."""
    return sorted((spool / "events").glob("[!.]*.jsonl"))


def read_segment(segment: Path) -> Contents:
    """Return what `segment` holds now; it may still be growing."""
    found: list[Event] = []
    damaged: list[Damage] = []
    torn = False
    with segment.open("rb") as file:
        for number, line in enumerate(events.lines(file), 1):
            torn = not line.endswith(b"\n")
            try:
                if not torn:
                    found.append(events.decode(line))
            except RecordError as error:
                damaged.append(Damage(segment, number, str(error)))
        return Contents(segment, file.tell(), found, damaged, torn)


def read(spool: Path, some: Iterable[Path] | None = None) -> Iterator[Contents]:
    """Yield the contents of `some` segments, by default of all in `spool`, oldest first; one that is gone is passed."""
    for segment in segments(spool) if some is None else some:
        try:
            yield read_segment(segment)
        except FileNotFoundError:
            continue


def audio_path(spool: Path, audio: dict[str, Any]) -> Path:
    """Return where the spool keeps the audio of an event's `audio` object."""
    return Path(spool, "audio", audio["sha256"][:2], audio["sha256"] + audio["ext"])


def remove_finished(contents: Contents) -> bool:
    """Remove a segment that has been read whole and has no writer any more; return whether it was removed."""
    try:
        fd = os.open(contents.segment, os.O_RDWR if os.access(contents.segment, os.W_OK) else os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        if contents.damaged or not machine.lock(fd, contents.segment, wait=False):
            return False
        if os.fstat(fd).st_size != contents.size:
            return False
        contents.segment.unlink(missing_ok=True)
    finally:
        os.close(fd)
    return True
