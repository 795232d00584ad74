"""Erasures: the signed-off record of what was erased, in Git, with hashes only (`data/erasures.jsonl`).

One line per erasure: `erased_at`, `author`, `reason`, `asked` (SHA-256 of the id that was asked for), `cases` and
`audio` (SHA-256 of ids and of files), `batches` (old name to the new one in its place), `releases` and `models` that
had them.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mondegreen.errors import DataError

PATH = Path("data/erasures.jsonl")
_RAW = "data/raw/"


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
    return parse(path.read_bytes() if path.exists() else None)


def parse(content: bytes | None) -> list[Erasure]:
    """Return the record from the bytes of its file, None where there is none; raises `DataError` as `read` does."""
    found = []
    lines = content.decode("utf-8", errors="replace").removesuffix("\n").split("\n") if content else ()
    for number, line in enumerate(lines, 1):
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
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{PATH}, line {number} is no erasure: restore it, git checkout -- {PATH}") from error
    return found


def append(root: Path, erasure: Erasure) -> None:
    """Add an erasure to the record, durably; the file is replaced in one step."""
    path = root / PATH
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    hidden = path.with_name(f".{path.name}.new")
    with hidden.open("w", encoding="utf-8") as file:
        file.write(f"{before}{json.dumps(asdict(erasure), sort_keys=True)}\n")
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def end(batch: str, moved: Mapping[str, str]) -> str:
    """Return the batch that stands in a batch's place today, by what took the place of each: itself where none did."""
    while batch in moved:
        batch = moved[batch]
    return batch


def erased(root: Path, paths: Iterable[str]) -> list[str]:
    """Return those of `paths` (`data/raw/<batch>`) that stand no more: something of them was erased."""
    gone = {f"{_RAW}{batch}" for erasure in read(root) for batch in erasure.batches}
    return sorted(gone.intersection(paths))
