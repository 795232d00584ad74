"""Remotes: where DVC keeps objects outside this clone, a bucket or a folder, by the same few verbs."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mondegreen.cloud import SCHEME, Bucket, Stored
from mondegreen.errors import CloudError, RepositoryError
from mondegreen.service import Advance, nothing

OBJECTS = "files/md5/"
"""Where a DVC remote keeps its objects: `<first two hex>/<the others>` below."""


class Remote(Protocol):
    """What a bucket and a folder have in common; names are relative, with slashes."""

    def check(self, *, write: bool = True) -> None:
        """Make sure that this can be used; raises `CloudError`."""

    def list(self, prefix: str = "") -> Iterator[tuple[str, Stored]]:
        """Yield names and what is known of them."""

    def stat(self, name: str) -> Stored | None:
        """Return what is known of an object; None where there is none."""

    def md5(self, name: str) -> str:
        """Return the MD5 (hex) of an object, read where nobody states it; raises `FileNotFoundError`."""

    def read(self, name: str) -> bytes:
        """Return a small object; raises `FileNotFoundError`."""

    def upload(
        self, source: Path | bytes, name: str, *, md5: str = "", new: bool = False, advance: Advance = nothing
    ) -> Stored:
        """Put a file under `name`, whole or not at all."""

    def download(self, name: str, target: Path, advance: Advance = nothing) -> None:
        """Write an object to `target`; raises `FileNotFoundError`."""

    def delete(self, name: str) -> None:
        """Remove an object; none is fine."""


@dataclass(frozen=True)
class Folder:
    """A folder of this machine or a mounted one."""

    path: Path

    def __str__(self) -> str:
        """Return its path."""
        return str(self.path)

    def check(self, *, write: bool = True) -> None:
        """Make sure that it can be used; where nothing is yet, it is made when it is written to."""
        try:
            if write:
                self.path.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir() and not os.access(self.path, os.R_OK | os.X_OK | (os.W_OK if write else 0)):
                raise PermissionError(13, "Permission denied", str(self.path))
        except OSError as error:
            raise CloudError(f"the remote {self.path} cannot be used: {error}") from error

    def folders(self, prefix: str = "") -> list[str]:
        """Return the folders right in the folder `prefix`, in order."""
        here = self.path / prefix
        return sorted(each.name for each in here.iterdir() if each.is_dir()) if here.is_dir() else []

    def list(self, prefix: str = "") -> Iterator[tuple[str, Stored]]:
        """Yield what is there, without what is being written just now."""
        for folder, _, names in os.walk(self.path / prefix):
            for name in names:
                file = Path(folder, name)
                known = self.stat(file.relative_to(self.path).as_posix())
                if known and not name.endswith(".tmp"):
                    yield file.relative_to(self.path).as_posix(), known

    def stat(self, name: str) -> Stored | None:
        """Return size and time; a file system knows no hash."""
        try:
            known = (self.path / name).stat()
        except FileNotFoundError:
            return None
        return Stored(known.st_size, "", known.st_mtime)

    def md5(self, name: str) -> str:
        """Return the MD5 (hex) of a file's content; raises `FileNotFoundError`."""
        with (self.path / name).open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

    def read(self, name: str) -> bytes:
        """Return a small object; raises `FileNotFoundError`."""
        return (self.path / name).read_bytes()

    def upload(
        self, source: Path | bytes, name: str, *, md5: str = "", new: bool = False, advance: Advance = nothing
    ) -> Stored:
        """Copy a file or bytes, whole or not at all; with `new`, raise `FileExistsError` where anything is there."""
        if new and (self.path / name).exists():
            raise FileExistsError(self.path / name)
        _copy(source, self.path / name, advance)
        known = (self.path / name).stat()
        return Stored(known.st_size, "", known.st_mtime)

    def download(self, name: str, target: Path, advance: Advance = nothing) -> None:
        """Copy an object to `target`."""
        _copy(self.path / name, target, advance)

    def delete(self, name: str) -> None:
        """Remove an object."""
        (self.path / name).unlink(missing_ok=True)


def open_remote(config: Mapping[str, Any], name: str) -> Remote:
    """Return a DVC remote from its settings (`url`, and for a bucket projectname, credentialpath).

    Raises `RepositoryError` for what is neither a bucket nor a folder, and for an address still to be filled in.
    """
    url = str(config["url"])
    if "YOUR-" in url:
        raise RepositoryError(f"{name} has no bucket yet: 'mondegreen environment {name} --bucket NAME' sets it")
    if url.startswith(SCHEME):
        return Bucket(
            url,
            project=config.get("projectname"),
            key_file=config.get("credentialpath"),
            anonymous=bool(config.get("allow_anonymous_login")),
        )
    if "://" in url:
        raise RepositoryError(
            f"the remote {name} is {url}: use 'dvc push' and 'dvc pull' for it; gs:// and folders work"
        )
    return Folder(Path(url))


def _copy(source: Path | bytes, target: Path, advance: Advance) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        if isinstance(source, bytes):
            hidden.write_bytes(source)
        else:
            shutil.copyfile(source, hidden)
        hidden.replace(target)
    finally:
        hidden.unlink(missing_ok=True)
    advance(target.stat().st_size)
