"""Precache: packs of audio go into DVC's cache while others are still written, so that `dvc add` finds them there.

The only room that writes through DVC's Python API, which is not public. Whatever fails here costs time and nothing
else: `dvc add`, which comes behind it, does what was not done, or says why that cannot be.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self

_ROOM = 4
"""The cache takes a pack early where it has room for so many more: a full disk is for `dvc add` to tell of."""


class Precache:
    """The cache of the repository at `root`, for the packs of one batch; within its context a thread fills it."""

    def __init__(self, root: Path) -> None:
        """Open nothing yet."""
        self._root = root
        self._thread = ThreadPoolExecutor(1)
        self._taken: dict[str, tuple[str, dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        """Nothing to set up."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the thread; after an error, what it has not begun is left."""
        self._thread.shutdown(cancel_futures=any(error))

    def take(self, pack: Path, md5: str) -> None:
        """Begin to bring a complete pack with that MD5 into the cache, as DVC would: copied or cloned, then renamed."""
        with suppress(Exception):
            self._thread.submit(self._take, self._repository.cache.local, pack.resolve(), md5)

    def tell(self, batch: Path) -> None:
        """Wait for what was begun, and tell DVC the MD5 of these packs, which lie in `batch` now.

        DVC believes it as long as inode, time and size of a pack are what they were when it came into the cache.
        """
        self._thread.shutdown()
        if not self._taken:
            return
        with suppress(Exception):
            from dvc_data.hashfile.hash_info import HashInfo

            packs = [
                (str(batch.resolve() / name), HashInfo("md5", md5), info) for name, (md5, info) in self._taken.items()
            ]
            self._repository.state.save_many(packs, self._repository.cache.local.fs)
            self._repository.close()

    @cached_property
    def _repository(self) -> Any:
        from dvc.repo import Repo

        return Repo(str(self._root))

    def _take(self, cache: Any, pack: Path, md5: str) -> None:
        with suppress(Exception):
            cache.makedirs(cache.path)
            info = cache.fs.info(str(pack))
            room = shutil.disk_usage(cache.path).free > _ROOM * info["size"]
            if room and cache.cache_types[0] in ("reflink", "copy"):  # what links is linked by `dvc add`
                cache.add(str(pack), cache.fs, md5)
                self._taken[pack.name] = md5, info
