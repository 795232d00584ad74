"""What the cloud has confirmed of a spool: a log beside the segments, safe against crashes. Standard library only.

<spool>/upload/<hash of the address>.jsonl   a line per fact, behind a first line that names the address
<spool>/upload/<hash of the address>.lock    held by the one uploader
"""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mondegreen import machine
from mondegreen import spool as spools
from mondegreen.errors import SpoolError

COMPACT = 100_000
"""Facts that are added before those about what the spool no longer holds are dropped."""


class Confirmed:
    """How far each segment of a spool, and which audio, lies safe at an address."""

    def __init__(self, spool: Path, url: str) -> None:
        """Read what was confirmed so far; nothing is written."""
        self.spool, self.url = spool, url.rstrip("/")
        self.path = _path(spool, url, ".jsonl")
        self.sender = ""
        """Who sends: a name of this spool that no other spool has, copies of it included."""
        self._home = ""
        self.parts = 0
        self.ends: dict[str, int] = {}
        """Bytes of each segment that are confirmed, by file name."""
        self.audio: set[str] = set()
        """File names of confirmed audio."""
        self._fd: int | None = None
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            lines = []
        for line in lines:
            self._take(json.loads(line))

    def _take(self, fact: Mapping[str, Any]) -> None:
        self.sender, self._home = fact.get("sender", self.sender), fact.get("home", self._home)
        self.parts = fact.get("parts", self.parts)
        self.ends |= fact.get("ends", {})
        self.audio.update(fact.get("audio", ()))

    def open(self) -> None:
        """Begin to add: the log is written anew, without what is no longer in the spool. For the one uploader only."""
        present = {path.name for path in spools.segments(self.spool)}
        clips = {path.name for path in (self.spool / "audio").glob("??/*")}
        self.ends = {name: end for name, end in self.ends.items() if name in present}
        self.audio &= clips
        place = self.spool.stat()
        home = f"{machine.identity()} {place.st_dev} {place.st_ino}"
        if home != self._home:
            self.rename_sender()
        self._home = home
        head = {"url": self.url, "sender": self.sender, "home": home, "parts": self.parts}
        facts: list[dict[str, Any]] = [head]
        facts += [{"ends": {name: end}} for name, end in sorted(self.ends.items())]
        facts += [{"audio": [name]} for name in sorted(self.audio)]
        hidden = self.path.with_suffix(".new")
        with spools.spool_errors(hidden):
            spools.make_folder(hidden.parent)
            with hidden.open("wb") as file:
                file.writelines(map(_line, facts))
                file.flush()
                os.fsync(file.fileno())
            hidden.rename(self.path)
            spools.sync_folder(hidden.parent)
            self.close()
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._room = COMPACT

    def rename_sender(self) -> None:
        """Take a new name and count parts from 0: this is a copy of a spool, or an older state of it, restored."""
        now, mark = datetime.now(UTC), secrets.token_hex(6)
        self.sender, self.parts = f"{now:%Y%m%dT%H%M%SZ}-{machine.name()}-{mark}", 0

    def close(self) -> None:
        """Stop adding."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def add_audio(self, name: str) -> None:
        """Remember that audio is there; a crash of this process forgets nothing, power loss may."""
        self._add({"audio": [name]}, sync=False)

    def add_part(self, ends: Mapping[str, int]) -> None:
        """Remember that one more part is there, and how far it brings each segment; survives power loss."""
        self._add({"parts": self.parts + 1, "ends": dict(ends)}, sync=True)
        if self._room <= 0:
            self.open()

    def rewind(self, segment: Path, end: int) -> None:
        """Forget that what lies behind byte `end` of `segment` is there."""
        self._add({"ends": {segment.name: end}}, sync=True)

    def _add(self, fact: dict[str, Any], *, sync: bool) -> None:
        if self._fd is None:
            raise SpoolError(f"{self.path} is not open for adding")
        with spools.spool_errors(self.path):
            os.write(self._fd, _line(fact))
            if sync:
                os.fdatasync(self._fd)
        self._take(fact)
        self._room -= 1

    def covers(self, segment: Path) -> bool:
        """Return whether every whole line of `segment` is confirmed; an unfinished last line was never acknowledged."""
        end = self.ends.get(segment.name, 0)
        try:
            with segment.open("rb") as file:
                file.seek(end)
                while chunk := file.read(1 << 20):
                    if b"\n" in chunk:
                        return False
        except FileNotFoundError:
            pass
        return True


def _line(fact: Mapping[str, Any]) -> bytes:
    return json.dumps(fact, separators=(",", ":")).encode() + b"\n"


def _path(spool: Path, url: str, ending: str) -> Path:
    return spool / "upload" / f"{hashlib.sha256(url.rstrip('/').encode()).hexdigest()[:16]}{ending}"


@contextmanager
def alone(spool: Path, url: str) -> Iterator[bool]:
    """Be the one uploader of `spool` to `url` for a while; False where another process is."""
    fd = _open_lock(spool, url)
    try:
        yield machine.lock(fd, _path(spool, url, ".lock"), wait=False)
    finally:
        os.close(fd)


def _open_lock(spool: Path, url: str) -> int:
    path = _path(spool, url, ".lock")
    with spools.spool_errors(path):
        spools.make_folder(path.parent)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def register(spool: Path, url: str) -> None:
    """Say that `spool` is uploaded to `url`: from now on, what is not confirmed there stays in it."""
    fd = _open_lock(spool, url)
    try:
        os.pwrite(fd, url.rstrip("/").encode(), 0)
    finally:
        os.close(fd)


def targets(spool: Path) -> list[str]:
    """Return the addresses that `spool` is uploaded to, see `register`."""
    return [url for path in sorted((spool / "upload").glob("*.lock")) if (url := path.read_text())]


def removable(spool: Path) -> Callable[[Path], bool]:
    """Return whether a segment of `spool` is confirmed by every address that it goes to, as a function of it."""
    states = [Confirmed(spool, url) for url in targets(spool)]
    return lambda segment: all(state.covers(segment) for state in states)
