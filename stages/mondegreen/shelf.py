"""The shelf: tables that can be made again, kept from one build to the next so that cost grows with the change.

It lies outside DVC's outputs, in `.dvc/tmp`, which Git ignores; deleting it costs time and nothing else. A table is
found by a key that names everything it was made of, code included, and counts only with the very bytes that were kept.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(".dvc/tmp/mondegreen")
_CHECKSUM = 32
"""Bytes of SHA-256 before each table: a schema that changed by one bit would otherwise be believed."""


class Shelf:
    """Kept tables in `folder`; `sweep` removes those that this build neither read nor wrote."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Use `folder`, which is made with the first table."""
        self.folder = folder
        self._used: set[str] = set()

    def get(self, key: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Return the table under `key`, or some `columns` of it; None where there is none, or it is damaged."""
        self._used.add(key)
        try:
            with self._path(key).open("rb") as file:
                checksum, content = file.read(_CHECKSUM), file.read()
        except OSError:
            return None
        if hashlib.sha256(content).digest() != checksum:
            return None
        found: pa.Table = pq.read_table(pa.BufferReader(content), columns=columns)
        return found

    def put(self, key: str, table: pa.Table) -> None:
        """Keep a table under `key`: it appears whole or not at all. Where nothing can be written, nothing is kept."""
        self._used.add(key)
        hidden = self.folder / f".{uuid.uuid4().hex}.new"
        content = pa.BufferOutputStream()
        pq.write_table(table, content, compression="zstd", compression_level=1)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with hidden.open("wb") as file:
                file.write(hashlib.sha256(content.getvalue()).digest())
                file.write(content.getvalue())
            os.replace(hidden, self._path(key))  # noqa: PTH105
        except OSError:
            hidden.unlink(missing_ok=True)

    def table(self, key: str, make: Callable[[], pa.Table]) -> pa.Table:
        """Return the table under `key`, made and kept where there is none."""
        found = self.get(key)
        if found is None:
            found = make()
            self.put(key, found)
        return found

    def sweep(self) -> None:
        """Remove each table that no `get`, `put` or `table` of this object named: the folder does not grow without end.

        Folders stay: what arrives from a bucket waits in one, beside the tables.
        """
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if path.name not in self._used and not path.is_dir():
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / key


def key_of(*parts: str | bytes, code: Iterable[ModuleType] = (), packages: Iterable[str] = ()) -> str:
    """Return a key of texts, the source of modules, and the versions of packages."""
    digest = hashlib.sha256()
    sources = [Path(str(module.__file__)).read_bytes() for module in code]
    for part in (*parts, *sources, *(f"{name} {version(name)}" for name in packages)):
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()
