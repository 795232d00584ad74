"""The audio of single clips, wherever it lies: in a batch's pack, or in the spool that waits beside them."""

from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import batches, spool


class Clips:
    """Audio files by their SHA-256; what was read last is remembered, so that neighbours in a pack are quick."""

    def __init__(self, raw: Path, inbox: Path | None = None) -> None:
        """Look into the batches below `raw` and, where it is given, into the spool `inbox`."""
        self._inbox = inbox
        self._places: dict[str, tuple[Path, int, int]] = {}
        for pack in batches.packs(raw) if raw.is_dir() else []:
            with pq.ParquetFile(pack) as file:
                for group in range(file.num_row_groups):
                    names = file.read_row_group(group, ["sha256"]).column(0).to_pylist()
                    self._places.update({name: (pack, group, row) for row, name in enumerate(names)})

    def get(self, sha256: str | None, ext: str | None = "") -> bytes | None:
        """Return the audio file of that SHA-256; None where it is nowhere."""
        if not sha256:
            return None
        if sha256 in self._places:
            pack, group, row = self._places[sha256]
            return bytes(_group(pack, group)[row].as_py())
        path = spool.audio_path(self._inbox, {"sha256": sha256, "ext": ext or ""}) if self._inbox else None
        return path.read_bytes() if path is not None and path.is_file() else None


@lru_cache(maxsize=4)
def _group(pack: Path, group: int) -> pa.ChunkedArray:
    with pq.ParquetFile(pack) as file:
        return file.read_row_group(group, ["bytes"]).column(0)
