"""A place in the cloud that objects are put to and read from: Google Cloud Storage, or any address that fsspec knows.

An object is put once, never changed, and only taken for put when the answer confirms its size and checksum.
"""

import hashlib
import logging
import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mondegreen.errors import CloudError

WORKERS = 8
"""Objects that are under way at once."""


class Place:
    """A folder at `url`; names are relative to it, with slashes. Every failure is a `CloudError`."""

    def __init__(self, url: str) -> None:
        """Raise `CloudError` where nothing can be reached in the way that `url` says."""
        self.url = url.rstrip("/")
        with self._failures(self.url):
            self._fs, self._root = _connect(self.url)
        self._google = "gs" in self._fs.protocol

    def put(self, name: str, content: bytes | Path) -> None:
        """Store `content`, bytes or a file, under a name that stands for just this content.

        Where it lies there already, nothing is sent again; where something else does, it is damaged, and replaced.
        """
        try:
            self._put(name, content, mode="create")
        except FileExistsError:
            if not self.holds(name, content):
                self._put(name, content, mode="overwrite")

    def replace(self, name: str, content: bytes) -> None:
        """Store `content` under `name`, whatever was there."""
        self._put(name, content, mode="overwrite")

    def holds(self, name: str, content: bytes | Path) -> bool:
        """Return whether just this content lies under `name`."""
        with self._failures(name):
            try:
                found = self._fs.info(self._path(name))
            except FileNotFoundError:
                return False
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            if found["size"] != size:
                return False
            return _md5(content) == (found["md5Hash"] if self._google else _md5(self._fs.cat_file(self._path(name))))

    def read(self, name: str) -> bytes:
        """Return the object; raises `FileNotFoundError` where there is none."""
        with self._failures(name):
            content: bytes = self._fs.cat_file(self._path(name))
        return content

    def files(self, folder: str) -> dict[str, int]:
        """Return the sizes of the objects right in `folder`, by name without it; none where it does not exist."""
        return {name: found["size"] for name, found in self._list(folder) if found["type"] != "directory"}

    def folders(self, folder: str) -> list[str]:
        """Return the folders right in `folder`."""
        return [name for name, found in self._list(folder) if found["type"] == "directory"]

    def _list(self, folder: str) -> list[tuple[str, dict[str, Any]]]:
        with self._failures(folder):
            try:
                found = self._fs.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return []
        return sorted((each["name"].rstrip("/").rpartition("/")[2], each) for each in found)

    def _put(self, name: str, content: bytes | Path, *, mode: str) -> None:
        options = {"mode": mode, "consistency": "md5"} if self._google else {}
        with self._failures(name):
            path = self._path(name)
            if not self._google and mode == "create" and self._fs.exists(path):
                raise FileExistsError(path)
            if isinstance(content, bytes):
                self._fs.pipe_file(path, content, **options)
            else:
                self._fs.put_file(str(content), path, **options)
            if not self._google and not self.holds(name, content):
                raise CloudError(f"{self.url}/{name} is not what was sent: it is sent again by the next run")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Turn whatever a client of the cloud may raise into `CloudError`; of `OSError`, two kinds are answers."""
        try:
            yield
        except (FileNotFoundError, FileExistsError, CloudError):
            raise
        except _troubles() as error:
            where = what if "://" in what else f"{self.url}/{what}"
            raise CloudError(f"{where}: {_reason(error)}") from error


def _connect(url: str) -> tuple[Any, str]:
    """Return the file system behind `url`, and the path of `url` in it."""
    try:
        import fsspec

        if url.startswith("gs://"):
            # its gRPC side asks for permissions that are not needed here, and hangs where there is no such server
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
            # without a handler of its own, what gcsfs logs before each retry would be on the terminal
            logging.getLogger("gcsfs").addHandler(logging.NullHandler())
            options = {"token": "anon"} if os.environ.get("STORAGE_EMULATOR_HOST") else {"token": "google_default"}
            fs, root = fsspec.url_to_fs(url, use_listings_cache=False, requests_timeout=_timeout(), **options)
        else:
            fs, root = fsspec.url_to_fs(url, auto_mkdir=True, use_listings_cache=False)
    except ImportError as error:
        raise CloudError(f"{url} needs another package: pip install 'mondegreen[gcs]' ({error})") from error
    return fs, root.rstrip("/")


def _timeout() -> Any:
    """No limit for a whole transfer, whatever its size, but one for a connection on which nothing moves."""
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=60)


def _troubles() -> tuple[type[BaseException], ...]:
    """Return what the clients raise when something is wrong with the cloud or the way to it."""
    troubles: list[type[BaseException]] = [OSError, ValueError, RuntimeError, KeyError]
    try:
        from aiohttp import ClientError
        from gcsfs.retry import ChecksumError, HttpError
        from google.auth.exceptions import GoogleAuthError
    except ImportError:
        return tuple(troubles)
    return (*troubles, ClientError, HttpError, ChecksumError, GoogleAuthError)


def _reason(error: BaseException) -> str:
    said = str(error).strip().replace("\n", " ")
    return said[:300] if said else type(error).__name__


def _md5(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        digest = hashlib.md5(content, usedforsecurity=False)
    else:
        with content.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return b64encode(digest.digest()).decode()
