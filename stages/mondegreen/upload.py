"""Upload: what recorders write to a spool goes to a place in the cloud while they go on writing.

    events/<sender>/<number // 1000>/<number>-<sha256>.jsonl   parts: lines of any segments, in the order sent
    audio/<first two hex>/<sha256><.ext>                       audio, before the part that names it

A part is sent when the one before it is confirmed, so a reader who has seen a folder's successor has seen all of it:
listing stays incremental without trusting any clock. The name says what the content is, so nothing is overwritten.
What a record costs does not depend on what is there already. Nothing local is removed but by `keep`.
"""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mondegreen import confirmed, events, spool
from mondegreen.confirmed import Confirmed
from mondegreen.errors import CloudError, RecordError, UnreachableError
from mondegreen.place import WORKERS, Place

EVERY = 2.0
"""Seconds from one look at the spool to the next; while sending takes longer, there is no pause."""

PATIENCE = 60.0
"""Seconds between two tries, at most, while the cloud cannot be reached."""

PART_BYTES = 1024 * 1024
PART_AUDIO = 100
"""A part holds about so many bytes of lines, and names about so much audio."""

FOLDER = 1000
"""Parts in a folder."""


@dataclass
class _Part:
    """Lines that are not confirmed yet: how far they bring each segment, and the audio that they name."""

    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    audio: dict[str, Path] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return self.size >= PART_BYTES or len(self.audio) >= PART_AUDIO


class Uploader:
    """Sends what a spool holds to a place; one per spool and place at a time (see `confirmed.alone`)."""

    def __init__(self, path: Path, place: Place, say: Callable[[str], object]) -> None:
        """Read what is confirmed; `say` is told, a line each, what an operator should know."""
        self.path, self.place, self.say = path, place, say
        self.confirmed = Confirmed(path, place.url)
        self.sent_events = self.sent_audio = self.sent_bytes = 0
        self._begun = False
        self._lock = threading.Lock()

    def send(self) -> int:
        """Send all that is not confirmed, and return how many events that were; raises `CloudError`.

        What had been confirmed by then stays confirmed.
        """
        before = self.sent_events
        self.begin()
        with ThreadPoolExecutor(WORKERS) as pool:
            for part in self._parts():
                self._send_audio(part, pool)
                self._send_part(part)
        confirmed.register(self.path, self.place.url)  # only now: a mistyped address never keeps anything here
        return self.sent_events - before

    def begin(self) -> None:
        """Begin a state that the place agrees with: a number that it has and we do not means that ours is outdated."""
        if self._begun:
            return
        state = self.confirmed
        state.open()
        for folder in (state.parts // FOLDER, state.parts // FOLDER + 1):
            try:
                found = self.place.tree(f"events/{state.sender}/{folder:06}")
            except UnreachableError:
                raise
            except CloudError:  # who may add need not be allowed to list
                break
            if any(int(name.partition("-")[0]) > state.parts for name in found):
                state.rename_sender()
                state.open()
                break
        self._begun = True

    def _parts(self) -> Iterator[_Part]:
        part = _Part()
        for segment in spool.segments(self.path):
            for lines, end in _unsent(segment, self.confirmed.ends.get(segment.name, 0)):
                part.lines += lines
                part.size += sum(map(len, lines))
                part.ends[segment.name] = end
                for line in lines:
                    part.audio |= self._named(line)
                if part.full:
                    yield part
                    part = _Part()
        if part.lines:
            yield part

    def _named(self, line: bytes) -> dict[str, Path]:
        """Return the unconfirmed audio that a line names; what is no event goes up as it stands, for ingest to name."""
        try:
            audio = events.decode(line).get("audio")
        except RecordError:
            return {}
        path = spool.audio_path(self.path, audio) if audio else None
        return {path.name: path} if path and path.name not in self.confirmed.audio else {}

    def _send_audio(self, part: _Part, pool: ThreadPoolExecutor) -> None:
        """Send the audio of a part; what fails does not keep the rest from being confirmed."""
        failed: CloudError | None = None
        for future in [pool.submit(self.send_clip, path) for path in part.audio.values()]:
            try:
                future.result()
            except CloudError as error:
                failed = error
        if failed:
            raise failed

    def send_clip(self, path: Path) -> bool:
        """Send a clip and remember that it is confirmed; False where it is no longer here as it was recorded."""
        try:
            with path.open("rb") as file:
                intact = path.name.startswith(hashlib.file_digest(file, "sha256").hexdigest())
        except FileNotFoundError:
            intact = False
            if self.place.exists(f"audio/{path.name[:2]}/{path.name}"):  # removed here because it was uploaded
                self._confirm_clip(path.name, 0)
                return True
        if not intact:
            self.say(f"audio {path.name} is gone or damaged in {self.path}: its case goes up without it")
            return False
        self.place.put(f"audio/{path.name[:2]}/{path.name}", path)
        self._confirm_clip(path.name, path.stat().st_size)
        return True

    def _confirm_clip(self, name: str, size: int) -> None:
        with self._lock:
            self.confirmed.add_audio(name)
            self.sent_audio, self.sent_bytes = self.sent_audio + 1, self.sent_bytes + size

    def _send_part(self, part: _Part) -> None:
        content, state = b"".join(part.lines), self.confirmed
        name = f"{state.parts:09}-{hashlib.sha256(content).hexdigest()}.jsonl"
        self.place.put(f"events/{state.sender}/{state.parts // FOLDER:06}/{name}", content)
        state.add_part(part.ends)
        self.sent_events, self.sent_bytes = self.sent_events + len(part.lines), self.sent_bytes + part.size


def is_intact(name: str, content: bytes) -> bool:
    """Return whether `content` is what the name of a part says."""
    return name.endswith(f"-{hashlib.sha256(content).hexdigest()}.jsonl")


def _unsent(segment: Path, end: int) -> Iterator[tuple[list[bytes], int]]:
    """Yield the whole lines of `segment` from byte `end` on, in runs, each with where it ends."""
    try:
        if segment.stat().st_size <= end:
            return
        with segment.open("rb") as file:
            file.seek(end)
            run: list[bytes] = []
            size = 0
            for line in events.lines(file):
                if not line.endswith(b"\n"):  # unfinished: its writer crashed, or is writing it right now
                    break
                end = end + len(line) if len(line) <= events.LINE_BYTES else file.tell()
                run.append(line)
                size += len(line)
                if size >= PART_BYTES // 8:
                    yield run, end
                    run, size = [], 0
            if run:
                yield run, end
    except FileNotFoundError:
        return


def watch(uploader: Uploader, stop: Callable[[float], bool], tidy: Callable[[], object] = lambda: None) -> None:
    """Send again and again until `stop(seconds)`, which waits so long, says so; then a last time.

    While the cloud cannot be reached, it is tried less and less often, at least every `PATIENCE` seconds; trouble is
    said once, and its end.
    """
    trouble, wait = "", 0.0
    while True:
        stopped = stop(wait)
        start = time.monotonic()
        try:
            uploader.send()
            tidy()
        except CloudError as error:
            if str(error) != trouble:
                uploader.say(f"upload waits: {error}; everything is kept, and sent when that is over")
            trouble, wait = str(error), min(PATIENCE, 2 * max(EVERY, wait)) * random.uniform(0.8, 1.0)  # noqa: S311
        else:
            if trouble:
                uploader.say(f"upload goes on: {uploader.sent_events} events are up")
            trouble, wait = "", max(0.0, EVERY - (time.monotonic() - start))
        if stopped:
            return
