"""Rewriting: sealed batches become one new batch, with some events replaced and some audio left out.

A batch never changes; where one has to (what it holds was erased, or there are too many small ones), a new one takes
its place. Events stay sorted by event_id and keep their ids, so nothing that was ingested comes in a second time.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mondegreen.batches import PACK
from mondegreen.sealing import GROUP_BYTES, PACK_BYTES, appear, begin, open_pack, stamp_of


def rewrite(
    raw: Path,
    old: Sequence[Path],
    *,
    replaced: Callable[[bytes], bytes] = lambda line: line,
    without_audio: Set[str] = frozenset(),
    advance: Callable[[int], Any] = lambda size: None,
) -> Path:
    """Write one new batch below `raw` from the batches `old`, which stay, and return it: whole, or not at all.

    `replaced` is given every event's line and returns the line to keep. Clips whose SHA-256 is in `without_audio` are
    left out; the others keep their order, so that a dataset made from them stays the same. `advance` is told, step by
    step, how many bytes of audio were read.
    """
    lines = _merged(old)
    stamp = stamp_of(max(orjson.loads(line)["recorded_at"] for line in lines.values()))
    partial = begin(raw, stamp)
    with (partial / "events.jsonl").open("wb") as file:
        file.writelines(replaced(lines[event_id]) for event_id in sorted(lines))
    packs = _Packs(partial)
    for rows in _groups(old, without_audio):
        packs.add(rows)
        advance(rows.nbytes)
    packs.close()
    return appear(partial, stamp)


def _merged(old: Sequence[Path]) -> dict[str, bytes]:
    """Return the lines of all batches by event_id."""
    lines: dict[str, bytes] = {}
    for batch in old:
        with (batch / "events.jsonl").open("rb") as file:
            for line in file:
                lines.setdefault(orjson.loads(line)["event_id"], line)
    return lines


def _groups(old: Sequence[Path], without: Set[str]) -> Iterator[pa.Table]:
    """Yield the clips of all packs in their order, a row group at a time; each clip once."""
    seen = set(without)
    for batch in old:
        for pack in sorted(batch.glob("audio-*.parquet")):
            with pq.ParquetFile(pack) as file:
                for number in range(file.num_row_groups):
                    rows = file.read_row_group(number)
                    fresh = [sha not in seen for sha in rows["sha256"].to_pylist()]
                    seen.update(rows["sha256"].to_pylist())
                    if any(fresh):
                        yield rows.filter(pa.array(fresh))


class _Packs:
    """Packs that grow to `PACK_BYTES`, in row groups of about `GROUP_BYTES`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number, self._size, self._held = folder, 0, 0, 0
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        more = int(pc.sum(pc.binary_length(rows["bytes"])).as_py())
        if self._held + more > GROUP_BYTES:
            self._flush()
        self._waiting.append(rows)
        self._held += more

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None or (self._size and self._size + self._held > PACK_BYTES):
            if self._writer is not None:
                self._writer.close()
            self._writer, self._size = open_pack(self._folder, self._number), 0
            self._number += 1
        rows = pa.concat_tables(self._waiting).combine_chunks().cast(PACK)
        self._writer.write_table(rows, row_group_size=len(rows))
        self._size, self._held = self._size + self._held, 0
        self._waiting.clear()
