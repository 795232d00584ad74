"""The shelf: tables that can be made again, kept from one build to the next so that cost grows with the change.

It lies outside DVC's outputs, in `.dvc/tmp`, which Git ignores; deleting it costs time and nothing else. A table is
found by a key that names everything it was made of, but for this package's code, which the shelf names itself: after
any change of it nothing counts that was kept before. Nor does what has not the very bytes that were kept.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

FOLDER, PACKAGE = Path(".dvc/tmp/mondegreen"), Path(__file__).parent
_CHECKSUM = 32
"""Bytes of SHA-256 before each table: a schema that changed by one bit would otherwise be believed."""

_SETTLED = 2.0
"""Seconds for which a file must have stood still to be known by its dates: no clock is finer than it says (FAT's)."""


class Shelf:
    """Kept tables in `folder`, one for each stage; `sweep` removes those that this build neither read nor wrote."""

    def __init__(self, folder: Path = FOLDER, *, dated: bool = False) -> None:
        """Use `folder`, which is made with the first table; `dated` is for who only looks, see `digest`."""
        self.folder, self._dated = folder, dated
        self._used: set[str] = set()
        self._hashed: dict[str, Any] = {}

    def digest(self, file: Path) -> bytes:
        """Return the SHA-256 of a file's bytes, which are read once.

        With `dated`, one that was hashed before is not read again while it is the same file by device, inode, size and
        its dates to the nanosecond, that of its last change among them, which no program can set.
        """
        key = key_of(_identity(file))
        self.hold([key])
        if self._dated and (known := self.content(key)):
            return known
        found: bytes = self.hashed(file).digest()
        if key == key_of(_identity(file)) and _age(file) > _SETTLED:
            self.keep(key, found)
        return found

    def hashed(self, file: Path) -> Any:
        """Return the hash of a file's bytes, to be read or updated; this object reads the same file once."""
        known = _identity(file)
        if known not in self._hashed:
            with file.open("rb") as content:
                self._hashed[known] = hashlib.file_digest(content, "sha256")
        return self._hashed[known].copy()

    def get(self, key: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Return the table under `key`, or some `columns` of it; None where there is none, or it is damaged."""
        content = self.content(key)
        if content is None:
            return None
        try:
            with pa.ipc.open_stream(content) as stream:
                wanted = stream.schema.names if columns is None else list(columns)
                fields = [stream.schema.get_field_index(name) for name in wanted]
            with pa.ipc.open_stream(content, options=pa.ipc.IpcReadOptions(included_fields=fields)) as stream:
                found: pa.Table = stream.read_all().select(wanted)
        except pa.ArrowInvalid:  # an older version kept it
            return None
        return found

    def put(self, key: str, table: pa.Table) -> None:
        """Keep a table under `key`: it appears whole or not at all. Where nothing can be written, nothing is kept."""
        self.keep(key, encode(table))

    def table(self, key: str, make: Callable[[], pa.Table]) -> pa.Table:
        """Return the table under `key`, made and kept where there is none."""
        found = self.get(key)
        if found is None:
            found = make()
            self.put(key, found)
        return found

    def hold(self, keys: Iterable[str]) -> None:
        """Let `sweep` leave what lies under `keys`, though nobody asks for it now."""
        self._used.update(map(_name, keys))

    def sweep(self) -> None:
        """Remove each table that no `get`, `put` or `table` of this object named: the folder does not grow without end.

        Folders stay: what arrives from a bucket waits in one, beside the tables.
        """
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if path.name not in self._used and not path.is_dir():
                path.unlink(missing_ok=True)

    def content(self, key: str) -> bytes | None:
        """Return the very bytes that were kept under `key`, or None."""
        self.hold([key])
        try:
            with (self.folder / _name(key)).open("rb") as file:
                checksum, content = file.read(_CHECKSUM), file.read()
        except OSError:
            return None
        return content if hashlib.sha256(content).digest() == checksum else None

    def keep(self, key: str, content: bytes | pa.Buffer) -> None:
        """Keep bytes under `key`, as `put` keeps a table."""
        self.hold([key])
        hidden = self.folder / f".{uuid.uuid4().hex}.new"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with hidden.open("wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
            os.replace(hidden, self.folder / _name(key))  # noqa: PTH105
        except OSError:
            with suppress(OSError):
                hidden.unlink(missing_ok=True)


NOWHERE = Shelf(Path(os.devnull))
"""Keeps nothing."""


@cache
def code() -> str:
    """Return the SHA-256 of this package's modules: equal where the same work has the same result."""
    return key_of(*(path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))))


def _name(key: str) -> str:
    """Return the name of the file under `key`, which names this package's code, too."""
    return key_of(key, code())


def encode(table: pa.Table) -> pa.Buffer:
    """Return the bytes that `Shelf.get` reads a table from."""
    content = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")  # half of Parquet's time, for half as much disk again
    with pa.ipc.new_stream(content, table.schema, options=options) as stream:
        stream.write_table(table)
    return content.getvalue()


def _identity(file: Path) -> str:
    found = file.stat()
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _age(file: Path) -> float:
    """Return the seconds since a file was changed last."""
    found = file.stat()
    return time.time() - max(found.st_mtime, found.st_ctime)


def key_of(*parts: str | bytes, packages: Iterable[str] = ()) -> str:
    """Return a key of texts and the versions of packages."""
    digest = hashlib.sha256()
    for part in (*parts, *map(_release, packages)):
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


@cache
def _release(package: str) -> str:
    return f"{package} {version(package)}"
