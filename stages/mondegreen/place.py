"""A place that recorded data and releases go to: a bucket, or a folder (`file:///mnt/share`), by the same few verbs.

What is put counts as put when the answer confirms its size and MD5.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mondegreen.cloud import SCHEME, Bucket
from mondegreen.errors import CloudError, DamagedError
from mondegreen.remotes import Folder

WORKERS = 8
"""Objects that are under way at once."""


class Place:
    """What lies below `url`; names are relative to it, with slashes. Any number of threads may use it."""

    def __init__(self, url: str) -> None:
        """Raise `CloudError` for an address of no known kind, and where there are no credentials."""
        self.url = url.rstrip("/")
        scheme, _, path = self.url.partition("://")
        if scheme not in ("gs", "file") or not path.strip("/"):
            raise CloudError(f"{url} is no place: give a bucket (gs://BUCKET/FOLDER) or a folder (file:///FOLDER)")
        self._at: Bucket | Folder = Bucket(self.url) if self.url.startswith(SCHEME) else Folder(Path(path))

    def check(self, *, write: bool = True) -> None:
        """Make sure within seconds that this can be read, and written to; raises `CloudError` that says what to do."""
        self._at.check(write=write)

    def put(self, name: str, content: bytes | Path) -> None:
        """Store `content`, bytes or a file, under a name that stands for just this content.

        Where it lies there already, nothing is replaced; where something else does, that is damaged, and replaced.
        """
        try:
            self._put(name, content, new=True)
        except FileExistsError:
            if not self.holds(name, content):
                self._put(name, content, new=False)

    def replace(self, name: str, content: bytes | Path) -> None:
        """Store `content` under `name`, whatever was there."""
        self._put(name, content, new=False)

    def make(self, name: str, content: bytes | Path) -> None:
        """Store `content` under `name`; raises `FileExistsError` where anything is there: one of many can."""
        self._put(name, content, new=True)

    def _put(self, name: str, content: bytes | Path, *, new: bool) -> None:
        size, md5 = _facts(content)
        try:
            stored = self._at.upload(content, name, md5=md5, new=new)
        except FileNotFoundError as error:
            raise self._absent() from error
        if stored.size != size or stored.md5 not in ("", md5):
            raise DamagedError(f"{self.url}/{name} did not arrive as it was sent: it is sent again by the next run")

    def holds(self, name: str, content: bytes | Path, listed: Mapping[str, str] | None = None) -> bool:
        """Return whether just this content lies under `name`; `listed` is a `tree` of its folder that is at hand."""
        _, md5 = _facts(content)
        if listed is None:
            found = self._at.stat(name)
            there = found.md5 if found else None
        else:
            there = listed.get(name.rpartition("/")[2])
        return there is not None and md5 == (there or _facts(self._at.read(name))[1])

    def exists(self, name: str) -> bool:
        """Return whether anything lies under `name`."""
        return self._at.stat(name) is not None

    def read(self, name: str) -> bytes:
        """Return an object; raises `FileNotFoundError` where there is none."""
        return self._at.read(name)

    def remove(self, name: str) -> None:
        """Remove an object; none is fine."""
        self._at.delete(name)

    def tree(self, folder: str) -> dict[str, str]:
        """Return the MD5 (hex, '' where it is not known) of every object below `folder`, by name without it."""
        try:
            return {name.removeprefix(f"{folder}/"): found.md5 for name, found in self._at.list(f"{folder}/")}
        except FileNotFoundError as error:
            raise self._absent() from error

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders right in `folder`, in order."""
        try:
            return self._at.folders(f"{folder}/")
        except FileNotFoundError as error:
            raise self._absent() from error

    def _absent(self) -> CloudError:
        return CloudError(f"there is no bucket for {self.url}: correct the address, or make it (see docs/cloud.md)")


def _facts(content: bytes | Path) -> tuple[int, str]:
    """Return size and MD5 (hex)."""
    if isinstance(content, bytes):
        return len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        return file.tell(), digest.hexdigest()
