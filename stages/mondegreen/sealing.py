"""Sealing: events and audio become a batch that appears whole and durable, or not at all."""

import functools
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import audio, machine
from mondegreen.batches import PACK, content_hash
from mondegreen.executor import spread
from mondegreen.precache import Precache
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


def seal(
    raw: Path,
    newest: str,
    lines: Sequence[bytes],
    clips: Iterable[Clip],
    done: Callable[[int], Any],
    root: Path | None = None,
) -> Path:
    """Write a batch below `raw` and return it; it appears whole and durable, or not at all.

    Named `<newest>-<content hash>`: the same events and audio always make the same name. `newest` is the RFC 3339 time
    of the newest event, `lines` are encoded events sorted by event_id, `done` is told, step by step, how many bytes of
    audio were packed. With `root`, the cache of that repository has the packs before `dvc add` asks.
    """
    stamp = stamp_of(newest)
    partial = begin(raw, stamp)
    with (partial / "events.jsonl").open("wb") as file:
        file.writelines(lines)
    with Precache(root) if root else nullcontext() as cache:
        _write_packs(partial, sorted(clips, key=lambda clip: clip.sha256), done, cache)
        batch = appear(partial, stamp)
        if cache:
            cache.tell(batch)
    return batch


def stamp_of(newest: str) -> str:
    """Return the beginning of a batch's name from the RFC 3339 time of its newest event."""
    return f"{newest[:19].replace('-', '').replace(':', '')}Z"


def begin(raw: Path, stamp: str) -> Path:
    """Make and return a hidden folder below `raw` for a new batch; what was killed before it was complete goes.

    Its name is never used again: what a killed one's process may still write does not end up in it.
    """
    for left in raw.glob(".*.partial"):
        shutil.rmtree(left, ignore_errors=True)
    partial = raw / f".{stamp}.{uuid.uuid4().hex}.partial"
    partial.mkdir(parents=True)
    return partial


def appear(partial: Path, stamp: str) -> Path:
    """Make a complete, hidden batch durable and give it its name; one of the same content may be there already."""
    for path in partial.iterdir():
        _sync(path)
    sync_folder(partial)
    target = partial.with_name(f"{stamp}-{content_hash(partial)}")
    if target.exists():
        shutil.rmtree(partial)
        return target
    machine.rename(partial, target)
    sync_folder(target.parent)
    return target


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def pack_path(folder: Path, number: int) -> Path:
    """Return where a batch keeps its pack of that number."""
    return folder / f"audio-{number:05d}.parquet"


def open_pack(folder: Path, number: int) -> pq.ParquetWriter:
    """Open a batch's next pack of audio for writing."""
    return pq.ParquetWriter(
        pack_path(folder, number),
        PACK,
        compression="none",
        use_dictionary=False,
        write_statistics=["sha256"],
        store_schema=False,
    )


def _write_packs(folder: Path, clips: list[Clip], done: Callable[[int], Any], cache: Precache | None) -> None:
    packs = [list(_chunks(pack, GROUP_BYTES)) for pack in _chunks(clips, PACK_BYTES)]
    early = cache if len(packs) > 1 else None  # one pack is in the cache as soon as DVC is loaded
    work = functools.partial(_write_pack, folder, early is not None)
    written = spread(work, list(enumerate(packs)), engine="local")
    for pack, (path, md5) in zip(packs, written, strict=True):
        if early:
            early.take(path, md5)
        _sync(path)  # while the others are written
        done(sum(clip.size for group in pack for clip in group))


def _write_pack(folder: Path, hashed: bool, numbered: tuple[int, list[list[Clip]]]) -> tuple[Path, str]:
    """Return the pack that was written, and its MD5 where it is asked for: DVC's name for it, taken on all cores."""
    number, groups = numbered
    with open_pack(folder, number) as writer:
        for group in groups:
            writer.write_table(_table(group), row_group_size=len(group))
    path = pack_path(folder, number)
    return path, _md5(path) if hashed else ""


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


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


def _table(group: list[Clip]) -> pa.Table:
    contents = [clip.path.read_bytes() for clip in group]
    rows = [_described(clip, data) for clip, data in zip(group, contents, strict=True)]
    place = PACK.get_field_index("bytes")
    return pa.Table.from_pylist(rows, PACK.remove(place)).add_column(place, PACK.field(place), _joined(contents))


def _described(clip: Clip, data: bytes) -> dict[str, Any]:
    same = hashlib.sha256(data).hexdigest() == clip.sha256
    found = audio.probe(data) if same else audio.Probe(error="is not the audio that was recorded: its checksum differs")
    return {"sha256": clip.sha256, "ext": clip.ext, **asdict(found)}


def _joined(contents: list[bytes]) -> pa.Array:
    """Return a column of `contents`, copied once: Arrow's own builder copies again whenever it grows."""
    ends = pa.array(accumulate(map(len, contents), initial=0), pa.int32())
    buffers = [None, ends.buffers()[1], pa.py_buffer(b"".join(contents))]
    return pa.Array.from_buffers(pa.binary(), len(contents), buffers)
