"""Packs from afar: some clips of a batch's audio pack, for a worker of a cluster that may not have the repository.

A pack is read where the repository has it, if it is mounted there; else from DVC's remote, where its MD5 is its name:
a few ranges of it, each clip checked against its SHA-256.
"""

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mondegreen import batches
from mondegreen.errors import DataError


@dataclass(frozen=True)
class Clips:
    """Clips of one row group: the path of their pack, its URL on DVC's remote ('' where it has none), their rows."""

    path: str
    url: str
    group: int
    rows: tuple[int, ...]

    def read(self) -> list[bytes]:
        """Return the audio files; raises `DataError` where they are nowhere, or not what was recorded."""
        if self.url and not Path(self.path).is_file():
            return self._from_remote()
        with batches.open_pack(Path(self.path)) as file:
            return [clip.as_py() for clip in file.read_row_group(self.group, ["bytes"])["bytes"].take(self.rows)]

    def _from_remote(self) -> list[bytes]:
        try:
            group = _group(self.url, self.group).take(self.rows)
        except Exception as error:
            raise DataError(
                f"{self.path} is not on {platform.node()}, nor readable at {self.url} ({str(error)[:200]}): mount the "
                f"repository there, or 'mondegreen push' and give it access"
            ) from error
        found: list[bytes] = group["bytes"].to_pylist()
        for sha256, data in zip(group["sha256"].to_pylist(), found, strict=True):
            if hashlib.sha256(data).hexdigest() != sha256:
                raise DataError(f"{self.url} is damaged (the clip {sha256}): 'mondegreen verify --remote --repair'")
        return found


@lru_cache(maxsize=2)
def _group(url: str, group: int) -> pa.Table:
    """Return a row group; neighbours in it are mostly asked for next."""
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # see `service`
    import fsspec

    with fsspec.open(url, "rb") as file, pq.ParquetFile(file) as pack:
        return pack.read_row_group(group, ["sha256", "bytes"])


def urls(packs: Iterable[Path], root: Path) -> dict[Path, str]:
    """Return where DVC's default remote keeps those of `packs` that DVC tracks, pushed or not, by path."""
    from dvc.config import Config

    config = Config(str(root / ".dvc"))
    remote = config["remote"].get(config["core"].get("remote"))
    cache = Path(config["cache"].get("dir") or root / ".dvc/cache") / "files/md5"
    found: dict[Path, str] = {}
    for pack in packs if remote else ():
        try:
            [tracked] = yaml.safe_load(pack.parent.with_name(f"{pack.parent.name}.dvc").read_text())["outs"]
            listed = json.loads((cache / tracked["md5"][:2] / tracked["md5"][2:]).read_bytes())
            md5 = next(entry["md5"] for entry in listed if entry["relpath"] == pack.name)
        except (OSError, ValueError, KeyError, StopIteration):
            continue  # Git has it, not DVC; or this clone's cache lost its list
        found[pack] = f"{remote['url']}/files/md5/{md5[:2]}/{md5[2:]}"
    return found
