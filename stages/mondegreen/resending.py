"""Sending again what the cloud lost, or no longer has as it was sent, from what is still in the spool."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mondegreen import events, spool
from mondegreen.errors import RecordError
from mondegreen.place import WORKERS, Place
from mondegreen.upload import Uploader, is_intact


@dataclass(frozen=True)
class Resent:
    """How many events and clips were sent, and the damaged parts: removed there, or left for what only they hold."""

    events: int
    clips: int
    removed: list[str]
    left: list[str]


def resend(uploader: Uploader) -> Resent:
    """Compare all that was sent and is still in the spool with what is there now, and send again what differs.

    Reads this spool's parts and lists its clips; raises `CloudError`. Removing damaged parts needs that permission.
    """
    uploader.begin()
    place, state = uploader.place, uploader.confirmed
    there, damaged = _parts(place, f"events/{state.sender}")
    here = set(there)
    for segment in spool.segments(uploader.path):
        start = 0
        for line in _lines(segment, state.ends.get(segment.name, 0)):
            if _digest(line) not in there:
                state.rewind(segment, start)
                break
            start += len(line)
        here.update(map(_digest, _lines(segment)))
    clips = _clips(uploader)
    sent = uploader.send()
    removed, left = [], []
    for name, content in damaged.items():
        if here.issuperset(map(_digest, filter(_is_event, content.splitlines(keepends=True)))):
            place.remove(name)
            removed.append(name)
        else:
            left.append(name)
    return Resent(sent, clips, removed, left)


def _parts(place: Place, base: str) -> tuple[set[bytes], dict[str, bytes]]:
    """Return the digests of all lines in intact parts, and the content of the others by name."""
    names = [f"{base}/{name}" for name in place.tree(base)]
    lines: set[bytes] = set()
    damaged = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for name, content in zip(names, pool.map(place.read, names), strict=True):
            if is_intact(name, content):
                lines.update(map(_digest, content.splitlines(keepends=True)))
            else:
                damaged[name] = content
    return lines, damaged


def _clips(uploader: Uploader) -> int:
    """Send the confirmed clips again that are not there as they are here; return how many."""
    clips: dict[str, list[Path]] = {}
    for clip in (uploader.path / "audio").glob("??/*"):
        if clip.name in uploader.confirmed.audio:
            clips.setdefault(f"audio/{clip.name[:2]}", []).append(clip)
    sent = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        for folder, found in sorted(clips.items()):
            there = uploader.place.tree(folder)
            wrong = [clip for clip in found if not uploader.place.holds(f"{folder}/{clip.name}", clip, there)]
            sent += sum(pool.map(uploader.send_clip, wrong))
    return sent


def _lines(segment: Path, end: int | None = None) -> Iterator[bytes]:
    """Yield the whole lines of a segment, up to byte `end` if it is given."""
    try:
        with segment.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n") or (end is not None and file.tell() > end):
                    return
                yield line
    except FileNotFoundError:
        return


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()


def _is_event(line: bytes) -> bool:
    try:
        events.decode(line)
    except RecordError:
        return False
    return True
