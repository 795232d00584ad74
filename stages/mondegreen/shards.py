"""Shards: the Parquet files of the dataset, each a function of its own rows and nothing else.

Written with pyarrow, since the writer of `datasets` needs torchcodec to encode audio and stores no bytes for local
files; the schema carries the metadata from which `datasets.load_dataset` restores `Audio`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Audio, Features, List, Value

from mondegreen.portions import error_types
from mondegreen.shelf import key_of

ROW_GROUP_BYTES = 8 * 1024 * 1024
"""A row group begins anew where this much is before it: what a streaming reader has to keep in memory."""

BYTES_PER_MB = 1_000_000
_ROW_BYTES = 128  # numbers, offsets, null masks and error types of one row
_DICTIONARY = ["error_types.list.element", "speaker_id", "recording_id", "language", "model_version"]


def features(*, require_audio: bool) -> Features:
    """Return the dataset's columns in order; text pairs have all of them but `audio`."""
    text, number = Value("string"), Value("float64")
    columns: dict[str, Any] = {"audio": Audio()} if require_audio else {}
    columns |= {"text": text, "original_transcript": text, "case_id": text, "error_types": List(text)}
    columns |= {"error_score": number, "speaker_id": text, "recording_id": text, "language": text, "duration": number}
    columns |= {"model_version": text, "correction_method": text, "wer": number}
    return Features(columns | {"origin": text, "parent_case_id": text, "augmentation": text})


@dataclass(frozen=True)
class Shard:
    """Rows of one split in writing order: every column but the audio, where each lies in its part, and its row group.

    Of equal keys the bytes are equal.
    """

    split: str
    key: str
    fields: pa.Table
    at: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]

    def groups(self) -> Iterator[pa.Table]:
        """Yield the rows of one row group after the other."""
        starts = np.flatnonzero(np.diff(self.blocks, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(self.blocks)], strict=True):
            yield self.fields.slice(start, end - start)


def fields(rows: pa.Table) -> pa.Table:
    """Return every column of the dataset but the audio, of some rows of splits.parquet."""
    made = {"text": rows["corrected_transcript"], "error_types": error_types(rows)}
    schema = features(require_audio=False).arrow_schema.remove_metadata()
    return pa.table([made[name] if name in made else rows[name] for name in schema.names], schema.names).cast(schema)


def cut(rows: pa.Table, content: pa.Table, *, require_audio: bool, max_shard_mb: float) -> list[Shard]:
    """Return the shards of some rows of splits.parquet in writing order, of which `content` are the `fields`.

    A shard is filled until its next row would be too much. Its key names all that decides its bytes, audio included.
    """
    splits = rows["split"].to_numpy()
    sizes = _sizes(content)
    if require_audio:
        sizes = sizes + rows["audio_bytes"].to_numpy()
        paths = pc.binary_join_element_wise(rows["audio_sha256"], pc.fill_null(rows["audio_ext"], ""), "")
        content = content.add_column(0, "path", paths)  # the name each clip bears inside the dataset
    return [
        _shard(str(split), content, at, _blocks(sizes[at]), require_audio)
        for split in sorted({*splits})
        for at in _filled(np.flatnonzero(splits == split), sizes, max_shard_mb * BYTES_PER_MB)
    ]


def _sizes(content: pa.Table) -> npt.NDArray[np.int64]:
    """Return the bytes that the texts of each row take in a shard, before compression."""
    lengths = [pc.binary_length(column) for column in content.columns if pa.types.is_string(column.type)]
    return sum((pc.fill_null(length, 0).to_numpy() for length in lengths), np.full(len(content), _ROW_BYTES, np.int64))


def _filled(at: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], limit: float) -> list[npt.NDArray[np.int64]]:
    """Return the rows of one split, shard by shard."""
    starts: list[int] = []
    filled = 0
    for number, size in enumerate(sizes[at].tolist()):
        if not starts or filled + size > limit:
            starts.append(number)
            filled = 0
        filled += size
    return np.split(at, starts[1:])


def _blocks(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the row group of each row within its shard: of its size, not of how the packs are cut."""
    return (np.cumsum(sizes) - sizes) // ROW_GROUP_BYTES


def _shard(
    split: str, content: pa.Table, at: npt.NDArray[np.int64], blocks: npt.NDArray[np.int64], require_audio: bool
) -> Shard:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, content.schema) as stream:
        stream.write_table(content.take(pa.array(at)).combine_chunks())
    found = sink.getvalue()
    own = pa.ipc.open_stream(found).read_all()  # without the null masks of a column that has no nulls here
    names = hashlib.sha256(found).digest(), blocks.tobytes(), str(require_audio)
    key = key_of(*names, packages=("pyarrow", "datasets", "numpy"))
    return Shard(split, key, own, at, blocks)


class Writer:
    """A shard's file, written in row groups."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Begin the file at `path`."""
        self._schema = schema
        names = [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in schema]
        texts = [name for name in names if name != "audio"]
        self._file = pq.ParquetWriter(
            path,
            schema,
            version="2.6",
            compression=dict.fromkeys([*texts, "audio.path"], "zstd"),  # audio stays as it is: it does not shrink
            use_dictionary=_DICTIONARY,
            write_statistics=texts,
        )
        self._waiting: list[pa.Table] = []
        self._block = 0
        self._num_bytes = 0

    def append(self, table: pa.Table, block: int) -> None:
        """Add rows to row group `block`."""
        if block != self._block:
            self._flush()
        self._block = block
        self._waiting.append(table)

    def close(self) -> int:
        """Finish the file and return the size of its rows in Arrow."""
        self._flush()
        self._file.close()
        return self._num_bytes

    def _flush(self) -> None:
        if self._waiting:
            table = pa.concat_tables(self._waiting).combine_chunks().cast(self._schema)
            self._waiting = []  # freed before the writer takes as much again
            self._file.write_table(table, row_group_size=max(len(table), 1))
            self._num_bytes += table.nbytes


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
