"""Objects: what DVC keeps by content hash, in this clone's cache and on its remotes.

The only room that uses DVC's Python API, which is not public: everything else goes through `dvc` commands.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mondegreen.errors import RepositoryError

FOLDER = ".dir"
"""The end of a folder's hash: its object lists the folder's files."""

_JOBS = 8


@dataclass(frozen=True, order=True)
class Output:
    """What dvc.lock or a .dvc file names: a file or folder (`md5` ends with `.dir`); sizes in bytes."""

    path: str
    md5: str
    size: int
    files: int = 1


@dataclass(frozen=True, order=True)
class Object:
    """One stored file: its content's MD5, where it lies in the work tree, and its size in bytes if that is known."""

    md5: str
    path: str
    size: int | None = None


def md5_of(path: Path) -> str:
    """Return the MD5 of a file's bytes, as DVC names them."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class Store:
    """The cache of the clone at `root`, and one of its remotes (the default one unless `remote` names another)."""

    def __init__(self, root: Path, remote: str | None = None) -> None:
        """Open neither yet: the cache is opened on first use, the remote when something has to come from there."""
        self.root, self.remote = root, remote

    @cached_property
    def _repo(self) -> Any:
        from dvc.repo import Repo

        return Repo(str(self.root))

    @cached_property
    def cache(self) -> Path:
        """The folder of the cache's objects, `<first two hex>/<the others>`."""
        return Path(self._repo.cache.local.path)

    @cached_property
    def remote_odb(self) -> Any:
        """DVC's object database of the remote; raises `RepositoryError` where it is not configured."""
        from dvc.exceptions import DvcException

        try:
            return self._repo.cloud.get_remote_odb(name=self.remote, hash_name="md5")
        except DvcException as error:
            raise RepositoryError(
                f"no remote to read from: {error}. 'dvc remote list' shows which there are"
            ) from error

    def cache_path(self, md5: str) -> Path:
        """Return where the cache keeps an object, whether it is there or not."""
        return self.cache / md5[:2] / md5[2:]

    def intact(self, md5: str) -> bool:
        """Tell whether the cache holds an object with the very content that its name says."""
        path = self.cache_path(md5)
        return path.is_file() and md5_of(path) == md5.removesuffix(FOLDER)

    def load(self, md5: str) -> Path:
        """Return an intact object's path in the cache; what is missing or damaged there comes from the remote.

        Raises `RepositoryError` when neither has it.
        """
        if not self.intact(md5) and (problems := self.fetch([md5])):
            raise RepositoryError(
                f"the object {md5} is in no reachable place ({problems[md5]}): someone who has it runs 'dvc push'"
            )
        return self.cache_path(md5)

    def listing(self, output: Output) -> list[Object]:
        """Return the files of a folder, or the one file, that an output stands for."""
        if not output.md5.endswith(FOLDER):
            return [Object(output.md5, output.path, output.size)]
        entries = json.loads(self.load(output.md5).read_bytes())
        return [Object(entry["md5"], f"{output.path}/{entry['relpath']}", entry.get("size")) for entry in entries]

    def objects(self, outputs: Iterable[Output]) -> Iterator[Object]:
        """Yield all objects that `outputs` need: files, and the lists of folders (their path is the folder's)."""
        for output in outputs:
            if output.md5.endswith(FOLDER):
                yield Object(output.md5, output.path)
            yield from self.listing(output)

    def fetch(self, hashes: Iterable[str]) -> dict[str, str]:
        """Bring objects from the remote into the cache, each checked before it counts; return why any did not come.

        What the cache holds under these names is replaced only by an object whose content is right.
        """
        wanted = sorted(set(hashes))
        with ThreadPoolExecutor(_JOBS) as pool:
            return {md5: problem for md5, problem in zip(wanted, pool.map(self._fetch, wanted), strict=True) if problem}

    def _fetch(self, md5: str) -> str:
        target = self.cache_path(md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            odb = self.remote_odb
            odb.fs.get_file(odb.oid_to_path(md5), str(hidden))
            if md5_of(hidden) != md5.removesuffix(FOLDER):
                return "the remote's copy is damaged"
            hidden.chmod(0o444)
            os.replace(hidden, target)  # noqa: PTH105
        except FileNotFoundError:
            return "the remote does not have it"
        except (OSError, RepositoryError) as error:
            return str(error) or type(error).__name__
        finally:
            hidden.unlink(missing_ok=True)
        return ""
