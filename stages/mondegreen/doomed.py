"""Doomed: what an erasure that is going on has to remove, noted in Git's folder until it is gone everywhere.

Without that note, a run that goes on after a crash, or once a remote answers again, could not know what else to look
for: the lists of what folders held are among the first that go.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mondegreen import repository

_NAME = "mondegreen-erasing"


@dataclass(frozen=True)
class Doomed:
    """Hashes (MD5) of DVC's objects, SHA-256 of clips, ids of events, and lines for the ledger (case_id,split,release).

    The lines name other cases of speakers of whom a case that the ledger holds is erased: it still says where they go.
    """

    objects: frozenset[str] = frozenset()
    audio: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    ledger: frozenset[tuple[str, str, str]] = frozenset()


def read(root: Path) -> Doomed:
    """Return what is noted, nothing where no erasure is going on."""
    path = _path(root)
    if not path.exists():
        return Doomed()
    found = json.loads(path.read_text(encoding="utf-8"))
    lists = {name: frozenset(found[name]) for name in ("objects", "audio", "events")}
    return Doomed(**lists, ledger=frozenset((case, split, release) for case, split, release in found["ledger"]))


def note(root: Path, more: Doomed) -> Doomed:
    """Add to what is noted, durably, and return all of it."""
    before = read(root)
    whole = Doomed(*(getattr(before, field.name) | getattr(more, field.name) for field in fields(Doomed)))
    path = _path(root)
    hidden = path.with_suffix(".new")
    with hidden.open("w", encoding="utf-8") as file:
        json.dump({name: sorted(values) for name, values in asdict(whole).items()}, file)
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(path)
    return whole


def forget(root: Path) -> None:
    """Take the note away: all of it is done."""
    _path(root).unlink(missing_ok=True)


def _path(root: Path) -> Path:
    return repository.git_folder(root) / _NAME
