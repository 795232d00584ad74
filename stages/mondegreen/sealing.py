"""Sealing: events and audio become a batch that appears whole and durable, or not at all."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import audio, machine
from mondegreen.batches import PACK, content_hash
from mondegreen.executor import spread
from mondegreen.spool import sync_folder

PACK_BYTES = 256 * 1024 * 1024
GROUP_BYTES = 8 * 1024 * 1024
"""Audio per row group: what a reader holds in memory at once."""


@dataclass(frozen=True)
class Clip:
    """Audio that waits to be packed."""

    sha256: str
    ext: str
    path: Path
    size: int


def seal(raw: Path, newest: str, lines: Sequence[bytes], clips: Iterable[Clip], done: Callable[[int], Any]) -> Path:
    """Write a batch below `raw` and return it; it appears whole and durable, or not at all.

    Named `<newest>-<content hash>`: the same events and audio always make the same name. `newest` is the RFC 3339 time
    of the newest event, `lines` are encoded events sorted by event_id, `done` is told, step by step, how many bytes of
    audio were packed.
    """
    stamp = stamp_of(newest)
    partial = raw / f".{stamp}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with (partial / "events.jsonl").open("wb") as file:
        file.writelines(lines)
    _write_packs(partial, sorted(clips, key=lambda clip: clip.sha256), done)
    return appear(partial, stamp)


def stamp_of(newest: str) -> str:
    """Return the beginning of a batch's name from the RFC 3339 time of its newest event."""
    return f"{newest[:19].replace('-', '').replace(':', '')}Z"


def appear(partial: Path, stamp: str) -> Path:
    """Make a complete, hidden batch durable and give it its name; one of the same content may be there already."""
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(partial)
    target = partial.with_name(f"{stamp}-{content_hash(partial)}")
    if target.exists():
        shutil.rmtree(partial)
        return target
    machine.rename(partial, target)
    sync_folder(target.parent)
    return target


def open_pack(folder: Path, number: int) -> pq.ParquetWriter:
    """Open a batch's next pack of audio for writing."""
    return pq.ParquetWriter(
        folder / f"audio-{number:05d}.parquet",
        PACK,
        compression="none",
        use_dictionary=False,
        write_statistics=["sha256"],
        store_schema=False,
    )


def _write_packs(folder: Path, clips: list[Clip], done: Callable[[int], Any]) -> None:
    for number, pack in enumerate(_chunks(clips, PACK_BYTES)):
        with open_pack(folder, number) as writer:
            for group in _chunks(pack, GROUP_BYTES):
                rows = list(spread(_row, group, engine="local", threads=True))
                writer.write_table(pa.Table.from_pylist(rows, PACK), row_group_size=len(rows))
                done(sum(clip.size for clip in group))


def _chunks(clips: Sequence[Clip], limit: int) -> Iterator[list[Clip]]:
    """Cut `clips` into runs of at most `limit` bytes; a larger clip is a run of its own."""
    run: list[Clip] = []
    size = 0
    for clip in clips:
        if run and size + clip.size > limit:
            yield run
            run, size = [], 0
        run.append(clip)
        size += clip.size
    if run:
        yield run


def _row(clip: Clip) -> dict[str, Any]:
    data = clip.path.read_bytes()
    same = hashlib.sha256(data).hexdigest() == clip.sha256
    found = audio.probe(data) if same else audio.Probe(error="is not the audio that was recorded: its checksum differs")
    return {"sha256": clip.sha256, "bytes": data, "ext": clip.ext, **asdict(found)}
