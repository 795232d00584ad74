"""The audio of single clips, wherever it lies: in the spool that waits, or in a batch's pack."""

from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import batches, spool


class Clips:
    """Audio files by their SHA-256; what was read last is remembered, so that neighbours in a pack are quick."""

    def __init__(self, raw: Path | None, inbox: Path | None = None) -> None:
        """Look into the spool `inbox` and into the batches below `raw`, also those that come later."""
        self._raw, self._inbox = raw, inbox
        self._packs: set[Path] = set()
        self._places: dict[str, tuple[Path, int, int]] = {}

    def get(self, sha256: str | None, ext: str | None = "") -> bytes | None:
        """Return the audio file of that SHA-256; None where it is nowhere."""
        if not sha256:
            return None
        if self._inbox is not None:
            try:
                return spool.audio_path(self._inbox, {"sha256": sha256, "ext": ext or ""}).read_bytes()
            except FileNotFoundError:
                pass  # it is in a batch, perhaps since a moment ago
        if sha256 not in self._places:
            self._look()
        if sha256 not in self._places:
            return None
        pack, group, row = self._places[sha256]
        return bytes(_group(pack, group)[row].as_py())

    def _look(self) -> None:
        """Note where the clips of packs lie that came since."""
        for pack in batches.packs(self._raw) if self._raw is not None and self._raw.is_dir() else []:
            if pack in self._packs:
                continue
            with pq.ParquetFile(pack) as file:
                for group in range(file.num_row_groups):
                    names = file.read_row_group(group, ["sha256"]).column(0).to_pylist()
                    self._places.update({name: (pack, group, row) for row, name in enumerate(names)})
            self._packs.add(pack)


@lru_cache(maxsize=4)
def _group(pack: Path, group: int) -> pa.ChunkedArray:
    with pq.ParquetFile(pack) as file:
        return file.read_row_group(group, ["bytes"]).column(0)
