"""Objects: what DVC keeps by content hash, in this clone's cache and on its remotes.

Of DVC's Python API, which is not public, only the settings are read; everything else goes through `dvc` commands.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mondegreen.cloud import Stored
from mondegreen.errors import CloudError, DamagedError, MondegreenError, RepositoryError, UnreachableError
from mondegreen.remotes import OBJECTS, Folder, Remote, open_remote
from mondegreen.service import Advance, nothing

FOLDER = ".dir"
"""The end of a folder's hash: its object lists the folder's files."""

_JOBS = 16

_SINGLE = 100
"""Up to so many objects are asked for one by one."""


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
        return hashlib.file_digest(file, _md5).hexdigest()


class Store:
    """The cache of the clone at `root`, and one of its remotes (the default one unless `remote` names another)."""

    def __init__(self, root: Path, remote: str | None = None) -> None:
        """Open neither yet: the cache is opened on first use, the remote when something has to come from there."""
        self.root, self.remote = root, remote
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._sizes: dict[str, int] = {}

    @cached_property
    def cache(self) -> Path:
        """The folder of the cache's objects, `<first two hex>/<the others>`."""
        from dvc.config import Config  # a fifth of the time that the repository takes to open

        home = self.root / ".dvc"
        return Path(Config(str(home), validate=False)["cache"].get("dir") or home / "cache") / "files/md5"

    @cached_property
    def place(self) -> Remote:
        """The remote as a place of objects; raises `RepositoryError` where it is not configured, `CloudError`."""
        from dvc.config import Config, ConfigError

        try:
            config = Config(str(self.root / ".dvc"))
        except ConfigError as error:
            raise RepositoryError(f"the settings of DVC cannot be read: {error}") from error
        name = self.remote or config["core"].get("remote")
        if name not in config["remote"]:
            known = ", ".join(sorted(config["remote"]))
            raise RepositoryError(
                f"{name or 'no default'} is no remote here: there are {known}; 'mondegreen environment'"
            )
        return open_remote(config["remote"][name], name)

    @staticmethod
    def remote_name(md5: str) -> str:
        """Return what an object is called on a remote."""
        return f"{OBJECTS}{md5[:2]}/{md5[2:]}"

    def cache_path(self, md5: str) -> Path:
        """Return where the cache keeps an object, whether it is there or not."""
        return self.cache / md5[:2] / md5[2:]

    def size(self, md5: str) -> int | None:
        """Return the bytes of an object in the cache, None where it is not there; each is looked at once."""
        if md5 not in self._sizes:
            try:
                self._sizes[md5] = self.cache_path(md5).stat().st_size
            except FileNotFoundError:
                return None
        return self._sizes[md5]

    def intact(self, md5: str) -> bool:
        """Tell whether the cache holds an object with the very content that its name says."""
        path = self.cache_path(md5)
        return path.is_file() and md5_of(path) == md5.removesuffix(FOLDER)

    def holds(self, hashes: Iterable[str], *, remote: bool = False) -> dict[str, tuple[bool, bool | None]]:
        """Tell for each hash whether the cache, and the remote if asked, have it with all files of its folder.

        By name alone: contents are not read. What a folder holds is known from its list, in the cache or the remote.
        """
        needed = {md5: self._needed(md5, remote=remote) for md5 in hashes}
        names = {name for objects in needed.values() for name in objects or ()}
        here = {name for name in names if self.cache_path(name).is_file()}
        away = {name for name, known in self.stored(names).items() if known} if remote else None
        return {
            md5: (
                objects is not None and here.issuperset(objects),
                None if away is None else objects is not None and away.issuperset(objects),
            )
            for md5, objects in needed.items()
        }

    def _needed(self, md5: str, *, remote: bool) -> list[str] | None:
        """Return the objects that a hash stands for, itself first; None where its list is nowhere to be read."""
        if not md5.endswith(FOLDER):
            return [md5] if md5 else None
        try:
            content = (self.load(md5) if remote else self.cache_path(md5)).read_bytes()
            return [md5, *(str(entry["md5"]) for entry in json.loads(content))]
        except (OSError, ValueError, RepositoryError):
            return None

    def stored(self, hashes: Iterable[str]) -> dict[str, Stored | None]:
        """Return what the remote says of each object, None where it has none; contents are not read.

        Few are asked for one by one, of many the remote is listed. Raises `RepositoryError`, `CloudError`.
        """
        names = {self.remote_name(md5): md5 for md5 in hashes}
        if not names:
            return {}
        if len(names) > _SINGLE:
            found = {names[name]: known for name, known in self.place.list(OBJECTS) if name in names}
            return dict.fromkeys(names.values()) | found
        with ThreadPoolExecutor(_JOBS) as pool:
            return dict(zip(names.values(), pool.map(self.place.stat, names), strict=True))

    def load(self, md5: str) -> Path:
        """Return an intact object's path in the cache; what is missing or damaged there comes from the remote.

        Raises `RepositoryError` when neither has it.
        """
        if not self.intact(md5) and (problems := self.fetch([md5])):
            raise RepositoryError(
                f"the object {md5} is nowhere in reach ({problems[md5]}): someone who has it runs 'mondegreen push'"
            )
        return self.cache_path(md5)

    def listing(self, output: Output) -> list[Object]:
        """Return the files of a folder, or the one file, that an output stands for."""
        if not output.md5.endswith(FOLDER):
            return [Object(output.md5, output.path, output.size)]
        if output.md5 not in self._lists:
            self._lists[output.md5] = json.loads(self.read(output.md5))
        entries = self._lists[output.md5]
        return [Object(entry["md5"], f"{output.path}/{entry['relpath']}", entry.get("size")) for entry in entries]

    def read(self, md5: str) -> bytes:
        """Return a small object's content from the cache, else from the remote, and change neither.

        Raises `RepositoryError` when neither has it intact.
        """
        if self.intact(md5):
            return self.cache_path(md5).read_bytes()
        try:
            content = self.place.read(self.remote_name(md5))
            if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5.removesuffix(FOLDER):
                return content
            why = "the remote's copy is damaged"
        except FileNotFoundError:
            why = "the remote does not have it"
        except (OSError, MondegreenError) as error:
            why = str(error) or type(error).__name__
        raise RepositoryError(
            f"the object {md5} is nowhere in reach ({why}): someone who has it runs 'mondegreen push'"
        )

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

    def keep(self, md5: str, file: Path) -> str:
        """Put a copy of `file` into the cache if its content is what the name says; return why not, or ''."""
        return self._keep(md5, lambda hidden: shutil.copyfile(file, hidden), str(file))

    def remote_md5(self, md5: str, known: Stored | None = None) -> str:
        """Return the MD5 of the remote's copy of an object, '' where it has none; `known` is what `stored` said of it.

        A bucket states it; where nobody does the content is read. Raises `RepositoryError`, `CloudError`.
        """
        try:
            return (known and known.md5) or self.place.md5(self.remote_name(md5))
        except FileNotFoundError:
            return ""

    def upload(self, md5: str) -> str:
        """Replace the remote's copy of an object by the cache's, and look at it there; return why it failed, or ''.

        `dvc push` would not: it takes a name, or the list of a folder, for proof that the content is there.
        """
        if not self.intact(md5):
            return "the cache's copy is missing or damaged"
        try:
            self.send(md5)
            kept = self.remote_md5(md5) == md5.removesuffix(FOLDER)
        except (OSError, MondegreenError) as error:
            return str(error) or type(error).__name__
        return "" if kept else "the remote did not keep it intact"

    def send(self, md5: str, advance: Advance = nothing) -> None:
        """Bring one object of the cache to the remote, replacing what is there under its name.

        Raises `DamagedError` where the cache has it not or no longer intact, `CloudError`.
        """
        try:
            if isinstance(self.place, Folder) and not self.intact(md5):  # a bucket checks what arrives
                raise DamagedError("this clone's copy is damaged")
            source, name = self.cache_path(md5), self.remote_name(md5)
            self.place.upload(source, name, md5=md5.removesuffix(FOLDER), advance=advance)
        except FileNotFoundError as error:
            raise DamagedError("neither there nor in this clone's cache") from error
        except UnreachableError:
            raise
        except CloudError:
            if self.intact(md5):
                raise
            raise DamagedError("this clone's copy is damaged") from None

    def bring(self, md5: str, advance: Advance = nothing) -> None:
        """Bring one object from the remote into the cache, checked before it counts; `advance` is told its bytes.

        Raises `FileNotFoundError` where the remote has none, `DamagedError`, `CloudError`.
        """
        self._take(md5, lambda hidden: self.place.download(self.remote_name(md5), hidden, advance), "the remote")

    def _fetch(self, md5: str) -> str:
        return self._keep(md5, lambda hidden: self.place.download(self.remote_name(md5), hidden), "the remote")

    def _keep(self, md5: str, get: Callable[[Path], object], source: str) -> str:
        try:
            self._take(md5, get, source)
        except FileNotFoundError:
            return f"{source} does not have it"
        except (OSError, MondegreenError) as error:
            return str(error) or type(error).__name__
        return ""

    def _take(self, md5: str, get: Callable[[Path], object], source: str) -> None:
        target = self.cache_path(md5)
        hidden = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            get(hidden)
            if md5_of(hidden) != md5.removesuffix(FOLDER):
                raise DamagedError(f"{source}'s copy is damaged")
            hidden.chmod(0o444)
            os.replace(hidden, target)  # noqa: PTH105
        finally:
            hidden.unlink(missing_ok=True)


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)
