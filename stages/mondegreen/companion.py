"""The process that uploads for a recorder: a recorder starts it, never waits for it, and never notices its failures.

It is a process, not a thread: an agent's calls share no interpreter lock with the network, and nothing is imported
into the agent. It ends when everything is up and no process has the recorder open any more; after that or after
`kill -9`, the next recorder or `mondegreen upload` goes on from what is confirmed. Standard library only.
"""

import logging
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from mondegreen import confirmed, spool
from mondegreen.errors import MondegreenError
from mondegreen.terminal import plain

_log = logging.getLogger("mondegreen")

LOOK, AGAIN = 2.0, 60.0
"""Seconds between looks whether another process uploads this spool; and, at most, until a failed one is replaced."""


class Companion:
    """Sees to it that one process uploads `spool` to `url` until `close`, whichever process started it."""

    def __init__(self, path: Path, url: str) -> None:
        """Return at once; a thread of its own starts and watches the process, and logs what it says."""
        self._path, self._url = path, url
        self._closed = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._attend, name="mondegreen upload", daemon=True).start()

    def close(self) -> None:
        """Let the process end once it has sent the rest, or cannot; returns at once."""
        with self._lock:
            self._closed.set()
            if self._child and self._child.stdin:
                self._child.stdin.close()

    def _attend(self) -> None:
        wait, said = LOOK, b""
        while True:
            try:
                confirmed.register(self._path, self._url)
                with confirmed.alone(self._path, self._url) as free:
                    pass
                child = self._start() if free else None
            except OSError as error:  # no room, no permission: the recorder says so itself, where it matters to it
                child, line = None, str(error).encode()
                said = _pass_on(line, said)
            if child:
                with child:
                    for line in child.stderr or ():
                        said = _pass_on(line, said)
                wait = LOOK if child.returncode == 0 else min(AGAIN, 2 * wait)
            if self._closed.wait(wait):
                return

    def _start(self) -> "subprocess.Popen[bytes] | None":
        """Start the process, unless it was closed meanwhile and there has been one."""
        library = str(Path(__file__).parents[1])
        path = os.pathsep.join([library, *filter(None, [os.environ.get("PYTHONPATH")])])
        with self._lock:
            if self._closed.is_set() and self._child:
                return None
            self._child = subprocess.Popen(
                [sys.executable, "-m", "mondegreen.companion", str(self._path.absolute()), self._url],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the agent: closing the pipe is what ends this one
            )
            if self._closed.is_set() and self._child.stdin:
                self._child.stdin.close()
            return self._child


def _pass_on(line: bytes, before: bytes) -> bytes:
    """Log what the process said, unless it says the same again."""
    if line.strip() and line != before:
        _log.warning("%s", plain(line.decode(errors="replace").strip()))
    return line


def uploaded(path: Path, url: str, timeout: float) -> bool:
    """Return whether every event that is in the spool `path` now lies at `url`; wait for it up to `timeout` seconds."""
    waiting = spool.segments(path)
    sizes = {segment: segment.stat().st_size for segment in waiting}
    deadline = time.monotonic() + timeout
    while True:
        state = confirmed.Confirmed(path, url)
        if all(state.ends.get(segment.name, 0) >= size or state.covers(segment) for segment, size in sizes.items()):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(min(0.1, max(0.0, deadline - time.monotonic())))


def main(path: Path, url: str) -> int:
    """Upload until the other end of standard input is closed, then what is left; 0 where another process does it."""
    os.nice(10)  # the agent comes first
    with confirmed.alone(path, url) as first:
        if not first:
            return 0
        try:
            from mondegreen.place import Place
            from mondegreen.upload import Uploader, watch

            watch(Uploader(path, Place(url), _say), lambda seconds: bool(select.select([0], [], [], seconds)[0]))
        except MondegreenError as error:
            _say(str(error))
            return 1
    return 0


def _say(line: str) -> None:
    """Tell the recorder; it may be gone."""
    with suppress(OSError):
        os.write(2, plain(line).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
