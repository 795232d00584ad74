"""Batches: sealed events and their audio in `data/raw/<batch>/`, immutable.

    events.jsonl          one event per line, sorted by event_id
    audio-NNNNN.parquet   audio by content (schema `PACK`), sorted by sha256

Audio may lie in an earlier batch than the event that names it: readers look it up by SHA-256 over all batches.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import erasures
from mondegreen.errors import DataError

SAMPLE = "sample"
"""The one batch that Git holds, not DVC; every other is named `<utc of its newest event>-<hash of its events>`."""

PACK = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("bytes", pa.binary(), nullable=False),
        pa.field("ext", pa.string(), nullable=False),
        pa.field("sample_rate", pa.int32()),
        pa.field("frames", pa.int64()),
        pa.field("channels", pa.int16()),
        pa.field("pcm_sha256", pa.string()),
        pa.field("error", pa.string()),
    ]
)
"""One row per clip; `bytes` is the file as it was recorded, the rest is read from it once, when the batch is sealed."""


def folders(raw: Path) -> list[Path]:
    """Return the batches in `raw`, by name; raises `DataError` for one whose data is not in the work tree."""
    if not raw.is_dir():
        raise DataError(f"{raw} is missing: restore it, git checkout HEAD -- data/raw; dvc checkout")
    tracked = {path.with_suffix("") for path in raw.glob("*.dvc")}  # first: a batch that ingest adds is there before it
    found = sorted(path for path in raw.iterdir() if path.is_dir() and not path.name.startswith("."))
    if gone := erasures.erased(raw.parent.parent, [f"data/raw/{path.name}" for path in found]):
        raise DataError(f"{gone[0]} holds what was erased elsewhere: remove it here too, 'mondegreen forget --finish'")
    absent = sorted(path for path in tracked - set(found) if path.with_name(f"{path.name}.dvc").exists())
    if absent:  # and no compaction took them away meanwhile
        raise DataError(
            f"{len(absent)} of {len(tracked)} batches are not in the work tree, such as {absent[0].name}: 'dvc pull'"
        )
    return found


def packs(raw: Path) -> list[Path]:
    """Return the audio packs of all batches in `raw`, in a fixed order."""
    return [pack for folder in folders(raw) for pack in sorted(folder.glob("audio-*.parquet"))]


def event_files(raw: Path) -> list[Path]:
    """Return the event files of all batches in `raw`, in a fixed order; raises `DataError` where a batch has none."""
    files = [folder / "events.jsonl" for folder in folders(raw)]
    for file in files:
        if not file.is_file() and file.parent.is_dir():
            raise DataError(f"{file.parent} is no batch: it has no events.jsonl; restore it or take it out of data/raw")
    return files


def event_ids(raw: Path) -> set[str]:
    """Return the ids of all events in all batches."""
    return {event_id for file in event_files(raw) for event_id in ids_of(file)}


def ids_of(file: Path) -> Iterator[str]:
    """Yield the ids of a batch's events."""
    marker = b'"event_id":"'
    with file.open("rb") as lines:
        for line in lines:
            try:
                start = line.index(marker) + len(marker)
                yield line[start : line.index(b'"', start)].decode()
            except ValueError as error:
                raise DataError(f"{file} has a line without event_id: a batch never changes, restore it") from error


def audio_index(raw: Path) -> pa.Table:
    """Return all packs' columns but `bytes`, one row per clip, the first where a clip lies in several packs."""
    columns = [name for name in PACK.names if name != "bytes"]
    tables = [_read(pack, columns) for pack in packs(raw)]
    return pa.concat_tables(tables) if tables else PACK.remove(PACK.get_field_index("bytes")).empty_table()


def open_pack(pack: Path) -> pq.ParquetFile:
    """Open an audio pack; raises `DataError` where it is none."""
    try:
        return pq.ParquetFile(pack)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{pack} is no readable audio pack: {error}. Restore it with `dvc pull` or checkout") from error


def _read(pack: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(pack, columns=columns)
    except (OSError, pa.ArrowException) as error:
        batch = pack.parent
        raise DataError(
            f"{pack} is damaged ({str(error)[:100]}). Restore its batch: git checkout HEAD -- {batch}.dvc; "
            f"dvc checkout --force {batch}.dvc"
        ) from error


def content_hash(folder: Path, events: Any = None) -> str:
    """Return the part of a batch's name that its content decides: its events, and the names and sizes of its packs.

    What lies in the packs is checked clip by clip against the events when it is used. `events` is the SHA-256 object of
    events.jsonl, where it was read already.
    """
    digest = events
    if digest is None:
        with (folder / "events.jsonl").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    for pack in sorted(folder.glob("audio-*.parquet")):
        digest.update(f"{pack.name} {pack.stat().st_size}\n".encode())
    return str(digest.hexdigest()[:12])


def check_unchanged(raw: Path, hashed: Callable[[Path], Any] = lambda file: None) -> None:
    """Raise `DataError` for a batch that is not what it was sealed as; `hashed` is `Shelf.hashed`, if there is one."""
    for file in event_files(raw):
        batch = file.parent
        if batch.name != SAMPLE and not batch.name.endswith(content_hash(batch, hashed(file))):
            raise DataError(
                f"{batch} is not what it was when it was sealed: a batch never changes, corrections are recorded. "
                f"Restore it: git checkout HEAD -- {batch}.dvc; dvc checkout --force {batch}.dvc"
            )
