"""Leases: two people at once, in any number of processes on one spool, never get the same case.

`<spool>/leases/leases.json` holds who has which case until when; it is read and replaced under a lock. A lease ends
with its time, with the decision, or with its process: a server that was killed blocks nothing.
"""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mondegreen import machine, spool

SECONDS = 600
"""How long a case is held; working on it holds it again."""


class Leases:
    """What one holder has leased, among all holders on a spool."""

    def __init__(self, inbox: Path, *, now: Callable[[], float] = time.time) -> None:
        """Be a new holder; `now` is the time in seconds, the same clock for all holders."""
        self._folder = inbox / "leases"
        self._now = now
        self._me = {"holder": secrets.token_hex(8), "host": machine.identity(), "pid": os.getpid()}

    def take(self, wanted: Iterable[str]) -> str | None:
        """Lease the first case of `wanted` that nobody else holds, and give back what was held; None if all are."""
        with self._file() as held:
            self._drop(held)
            for case_id in wanted:
                if case_id not in held:
                    held[case_id] = self._me | {"until": self._now() + SECONDS}
                    return case_id
        return None

    def hold(self, case_id: str) -> bool:
        """Hold a case from now on, where nobody else does; return whether it is held."""
        with self._file() as held:
            if case_id in held and not self._mine(held[case_id]):
                return False
            held[case_id] = self._me | {"until": self._now() + SECONDS}
            return True

    def release(self) -> None:
        """Give back whatever is held."""
        with self._file() as held:
            self._drop(held)

    def _mine(self, lease: dict[str, Any]) -> bool:
        return bool(lease["holder"] == self._me["holder"])

    def _drop(self, held: dict[str, Any]) -> None:
        for case_id in [case_id for case_id, lease in held.items() if self._mine(lease)]:
            del held[case_id]

    @contextmanager
    def _file(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Give the leases that last, alone on this spool; what is changed in them is kept."""
        with spool.spool_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            machine.lock(lock, self._folder)
            before = _read(self._folder / "leases.json")
            held = {case_id: lease for case_id, lease in before.items() if self._lasts(lease)}
            yield held
            if held != before:
                self._write(held)
        finally:
            os.close(lock)

    def _lasts(self, lease: dict[str, Any]) -> bool:
        if lease["until"] < self._now():
            return False
        if lease["host"] != self._me["host"] or lease["pid"] == self._me["pid"]:
            return True
        try:
            os.kill(lease["pid"], 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def _write(self, held: dict[str, Any]) -> None:
        with spool.spool_errors(self._folder):
            hidden = self._folder / ".leases.json.new"
            hidden.write_text(json.dumps(held), encoding="utf-8")
            hidden.replace(self._folder / "leases.json")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the leases; none where the file is not there or was never finished (a lease is no record of work)."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return dict(found) if isinstance(found, dict) else {}
