"""Erasures: the signed-off record of what was erased, in Git, with hashes only (`data/erasures.jsonl`).

One line per erasure: `erased_at`, `author`, `reason`, `asked` (SHA-256 of the id that was asked for), `cases` and
`audio` (SHA-256 of ids and of files), `batches` (old name to the new one in its place), `releases` and `models` that
had them.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mondegreen.errors import DataError

PATH = Path("data/erasures.jsonl")


@dataclass(frozen=True)
class Erasure:
    """One erasure; hashes are hexadecimal SHA-256."""

    erased_at: str
    author: str
    reason: str
    asked: str
    cases: tuple[str, ...]
    audio: tuple[str, ...]
    batches: dict[str, str] = field(default_factory=dict)
    releases: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def hash_of(value: str) -> str:
    """Return what the record holds instead of an id."""
    return hashlib.sha256(value.encode()).hexdigest()


def read(root: Path) -> list[Erasure]:
    """Return the record of the repository at `root`, oldest first; raises `DataError` naming a line that is none."""
    path = root / PATH
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else (), 1):
        try:
            entry = json.loads(line)
            lists = {name: tuple(entry[name]) for name in ("cases", "audio", "releases", "models")}
            found.append(
                Erasure(
                    entry["erased_at"],
                    entry["author"],
                    entry["reason"],
                    entry["asked"],
                    **lists,
                    batches=entry["batches"],
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number} is no erasure: restore it, git checkout -- {PATH}") from error
    return found


def append(root: Path, erasure: Erasure) -> None:
    """Add an erasure to the record, durably."""
    path = root / PATH
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(erasure), ensure_ascii=False, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())


def successor(batch: str, erasures: list[Erasure]) -> str:
    """Return the batch that stands in a batch's place today: itself where nothing of it was erased."""
    moved = {old: new for erasure in erasures for old, new in erasure.batches.items()}
    while batch in moved:
        batch = moved[batch]
    return batch
