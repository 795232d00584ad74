"""Keeping: how much of a spool stays on this machine once the cloud has it. What is not confirmed always stays."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mondegreen import confirmed, events, spool
from mondegreen.errors import DataError

EVERY = 60.0
"""Seconds between two looks at the size of a spool."""

_UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_TIMES = {"h": 3600.0, "d": 86400.0}
_SHA256 = re.compile(rb'"sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True)
class Keep:
    """The most that stays: so many bytes, or what was written in the last so many seconds."""

    size: float | None = None
    seconds: float | None = None


def parse(text: str) -> Keep:
    """Return what '10GB' or '7d' means: KB, MB, GB, TB of disk, or h, d of time; raises `DataError`."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([KMGT]B)|([hd]))", text.strip()):
        number = float(found[1])
        return Keep(size=number * _UNITS[found[2]]) if found[2] else Keep(seconds=number * _TIMES[found[3]])
    raise DataError(f"--keep {text!r}: give a size such as 10GB, or a time such as 7d or 12h")


class Tidy:
    """Removes from a spool, now and then, what its bounds do not allow; called after each upload."""

    def __init__(self, path: Path, keep: Keep, say: Callable[[str], object]) -> None:
        """Tidy the spool `path`; `say` is told what is removed, and what should be but is not confirmed."""
        self._path, self._keep, self._say = path, keep, say
        self._next = 0.0
        self._warned = False

    def __call__(self) -> None:
        """Look, unless that was done a short while ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        done = tidy(self._path, self._keep, time.time())
        if done.segments:
            self._say(
                f"removed from {self._path}, as it is uploaded and --keep says so: {done.segments} segments and "
                f"{done.clips} clips, {done.size / 1e6:.1f} MB"
            )
        if done.over and not self._warned:
            self._say(f"{self._path} holds more than --keep: it is not confirmed yet, or still written to, and stays")
        self._warned = done.over


@dataclass(frozen=True)
class Tidied:
    """What was removed, in bytes, and whether more is there than should be."""

    segments: int = 0
    clips: int = 0
    size: int = 0
    over: bool = False


def tidy(path: Path, keep: Keep, now: float) -> Tidied:
    """Remove the oldest finished and confirmed segments of a spool, each with its audio, until `keep` holds."""
    found = spool.segments(path)
    clips: dict[str, list[Path]] = {}
    for clip in (path / "audio").glob("??/*"):
        clips.setdefault(clip.name.partition(".")[0], []).append(clip)
    held = sum(map(_size, found)) + sum(_size(clip) for same in clips.values() for clip in same)
    removable = confirmed.removable(path)
    named: Counter[str] | None = None
    segments = removed = size = 0
    over = False
    for segment in found:
        if (keep.size is not None and held - size <= keep.size) or not _older(segment, keep, now):
            break
        if named is None:
            named = Counter(sha256 for each in found for sha256 in _named(each))
        mine = _named(segment)
        contents = next((each for each in spool.read(path, [segment]) if removable(segment)), None)
        if contents is None or not spool.remove_finished(contents):
            over = True
            continue
        segments, size = segments + 1, size + contents.size
        named.subtract(mine)
        for clip in [clip for sha256 in set(mine) if named[sha256] <= 0 for clip in clips.pop(sha256, ())]:
            removed, size = removed + 1, size + _size(clip)
            clip.unlink(missing_ok=True)
    return Tidied(segments, removed, size, over)


def _older(segment: Path, keep: Keep, now: float) -> bool:
    if keep.seconds is None:
        return True
    try:
        return now - segment.stat().st_mtime > keep.seconds
    except FileNotFoundError:  # ingested meanwhile
        return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _named(segment: Path) -> list[str]:
    """Return the SHA-256 of all audio that a segment names."""
    try:
        with segment.open("rb") as file:
            return [sha256.decode() for line in events.lines(file) for sha256 in _SHA256.findall(line)]
    except FileNotFoundError:
        return []
