"""The Hugging Face dataset: Parquet shards with embedded audio, streamed from the batches' packs.

    <out_dir>/README.md                                  the dataset card
    <out_dir>/data/<split>-NNNNN-of-NNNNN.parquet        one row per case

Written with pyarrow, since the writer of `datasets` needs torchcodec to encode audio and stores no bytes for local
files; the schema carries the metadata from which `datasets.load_dataset` restores `Audio`.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Audio, Features, List, Value

from mondegreen import room
from mondegreen.batches import open_pack
from mondegreen.errors import DataError
from mondegreen.tables import in_order

ROW_GROUP_BYTES = 8 * 1024 * 1024
"""A row group begins anew where this much is before it: what a streaming reader has to keep in memory."""

BYTES_PER_MB = 1_000_000
_STANDARD_SPLITS = ("train", "validation", "test")
_ROWS_PER_STEP = 10_000
_ROW_BYTES = 128  # numbers, offsets, null masks and error types of one row
_DICTIONARY = ["error_types.list.element", "speaker_id", "recording_id", "language", "model_version"]


@dataclass(frozen=True)
class SplitContents:
    """What was written for one split: `shards` are file names in order, `num_bytes` is the size in Arrow."""

    rows: int
    num_bytes: int
    file_bytes: int
    shards: tuple[str, ...]


Contents = Mapping[str, SplitContents]


def features(*, require_audio: bool) -> Features:
    """Return the dataset's columns in order; text pairs have all of them but `audio`."""
    text, number = Value("string"), Value("float64")
    columns: dict[str, Any] = {"audio": Audio()} if require_audio else {}
    columns |= {"text": text, "original_transcript": text, "case_id": text, "error_types": List(text)}
    columns |= {"error_score": number, "speaker_id": text, "recording_id": text, "language": text, "duration": number}
    columns |= {"model_version": text, "correction_method": text, "wer": number}
    return Features(columns | {"origin": text, "parent_case_id": text, "augmentation": text})


def split_order(names: Iterable[str]) -> list[str]:
    """Return the distinct split `names`: train, validation and test first, then any other by name."""
    present = set(names)
    return [name for name in _STANDARD_SPLITS if name in present] + sorted(present - set(_STANDARD_SPLITS))


def shard_name(split: str, number: int, count: int) -> str:
    """Return the file name of shard `number` (from 0) of the `count` shards of `split`."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def export(
    splits: pd.DataFrame,
    packs: Sequence[Path],
    out_dir: Path,
    *,
    require_audio: bool,
    max_shard_mb: float,
    describe: Callable[[Contents], str],
    advance: Callable[[int], object] = lambda rows: None,
) -> Contents:
    """Write the rows of `splits` (columns of splits.parquet) to `out_dir` and return what was written per split.

    The packs are read once, one row group at a time, so memory does not grow with the audio. A shard holds at most
    `max_shard_mb` million bytes of audio and text (Parquet's footer comes on top; a longer clip gets its own shard).
    `describe` returns the text of README.md, `advance` is told how many more rows are written. The folder
    is made beside `out_dir` and takes its place only when whole.
    Rows with audio keep the packs' order, text pairs are sorted by `case_id`. Raises `DataError`: no rows, no audio, no
    room for it.
    """
    if splits.empty:
        raise DataError("nothing to export: splits.parquet has no rows. Record and correct more cases, then dvc repro")
    rows = in_order(splits, ["case_id"], ignore_index=True)
    schema = features(require_audio=require_audio).arrow_schema
    fields = _fields(rows, schema)
    picks = _locate(rows, packs) if require_audio else pd.DataFrame({"row": rows.index})
    picks["split"] = rows["split"].to_numpy()[picks["row"]]
    sizes = _sizes(rows, fields, require_audio)[picks["row"]]
    picks["shard"] = _shards(list(picks["split"]), sizes, max_shard_mb)
    picks["block"] = _blocks(picks, sizes)
    tables = _with_audio(picks, packs, fields, _audio_paths(rows)) if require_audio else _text_pairs(picks, fields)
    fresh = _empty_folder(out_dir.with_name(f".{out_dir.name}.partial"))
    if require_audio:  # text shrinks, nobody knows to what
        room.check(fresh, int(rows["audio_bytes"][picks["row"]].sum()), f"the new dataset in {out_dir}")
    counts = {str(split): int(last) + 1 for split, last in picks.groupby("split")["shard"].max().items()}
    contents = _write(fresh / "data", tables, counts, schema, advance)
    (fresh / "README.md").write_text(describe(contents), encoding="utf-8")
    _replace(out_dir, fresh)
    return contents


def _fields(rows: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return every column but the audio, in the order of `rows`."""
    both = zip(rows["error_types"], rows["detected_error_types"], strict=True)
    error_types = pd.Series([sorted({*own, *found}) for own, found in both], dtype=object)
    frame = rows.assign(text=rows["corrected_transcript"], error_types=error_types)
    wanted = pa.schema([field for field in schema if field.name != "audio"])
    return pa.Table.from_pandas(frame[wanted.names], schema=wanted, preserve_index=False).replace_schema_metadata()


def _audio_paths(rows: pd.DataFrame) -> pa.Array:
    """Return the name each clip bears inside the dataset: its content hash and extension."""
    return pa.array(rows["audio_sha256"].str.cat(rows["audio_ext"].fillna("")), pa.string())


def _sizes(rows: pd.DataFrame, fields: pa.Table, require_audio: bool) -> np.ndarray:
    """Return the bytes that each row takes in a shard, before compression."""
    lengths = [pc.binary_length(column) for column in fields.columns if pa.types.is_string(column.type)]
    sizes = sum((pc.fill_null(length, 0).to_numpy() for length in lengths), np.full(len(rows), _ROW_BYTES, np.int64))
    return sizes + rows["audio_bytes"].to_numpy(np.int64) if require_audio else sizes


def _locate(rows: pd.DataFrame, packs: Sequence[Path]) -> pd.DataFrame:
    """Return where each row's audio lies (row, pack, group, index), in the order of the packs; raises `DataError`."""
    _check_audio(rows, rows["audio_sha256"].isna() | rows["audio_bytes"].isna(), "has no audio")
    wanted = {sha: list(found) for sha, found in rows.groupby("audio_sha256").indices.items()}
    picks: list[tuple[int, int, int, int]] = []
    for number, pack in enumerate(packs):
        with open_pack(pack) as file:
            for group in range(file.num_row_groups):
                for index, sha in enumerate(file.read_row_group(group, ["sha256"]).column(0).to_pylist()):
                    picks.extend((row, number, group, index) for row in wanted.pop(sha, ()))
    _check_audio(rows, rows["audio_sha256"].isin(list(wanted)), "names audio that is in no pack of data/raw")
    return pd.DataFrame(picks, columns=["row", "pack", "group", "index"])


def _check_audio(rows: pd.DataFrame, missing: pd.Series, problem: str) -> None:
    if missing.any():
        first = rows[missing].iloc[0]
        raise DataError(
            f"case {first['case_id']} (sha256 {first['audio_sha256']}) {problem}; so do {int(missing.sum()) - 1} more. "
            "Fetch every batch with `dvc pull`, or ingest the batch that holds it, "
            "or set export.require_audio: false to export text pairs"
        )


def _shards(splits: Sequence[str], sizes: np.ndarray, max_shard_mb: float) -> np.ndarray:
    """Return the shard of each row, in writing order: a shard is filled until the next row would be too much."""
    limit = max_shard_mb * BYTES_PER_MB
    last: dict[str, tuple[int, int]] = {}
    shards = np.empty(len(splits), dtype=np.int64)
    for position, (split, size) in enumerate(zip(splits, sizes.tolist(), strict=True)):
        shard, filled = last.get(split, (0, 0))
        if filled and filled + size > limit:
            shard, filled = shard + 1, 0
        last[split] = shard, filled + size
        shards[position] = shard
    return shards


def _blocks(picks: pd.DataFrame, sizes: np.ndarray) -> np.ndarray:
    """Return the row group of each row within its shard: of its size, not of how the packs are cut."""
    before = pd.Series(sizes).groupby([picks["split"], picks["shard"]]).cumsum().to_numpy() - sizes
    return cast(np.ndarray, before // ROW_GROUP_BYTES)


_Part = tuple[str, int, int, pa.Table]
"""A split, the number of its shard, the number of a row group in it, and the next rows of that group."""


def _with_audio(picks: pd.DataFrame, packs: Sequence[Path], fields: pa.Table, paths: pa.Array) -> Iterator[_Part]:
    """Yield the picked rows of one row group after the other, with their audio."""
    for number, of_pack in picks.groupby("pack"):
        with open_pack(packs[int(str(number))]) as file:
            for group, of_group in of_pack.groupby("group"):
                clips = file.read_row_group(group, ["bytes"]).column(0).combine_chunks().cast(pa.binary())
                for split, shard, block, part in _parts(of_group):
                    row = pa.array(part["row"])
                    audio = [clips.take(pa.array(part["index"])), paths.take(row)]
                    audio = pa.StructArray.from_arrays(audio, names=["bytes", "path"])
                    yield split, shard, block, fields.take(row).add_column(0, "audio", audio)


def _parts(picks: pd.DataFrame) -> Iterator[tuple[str, int, int, pd.DataFrame]]:
    """Yield the picks of one row group of a shard after the other."""
    for key, part in picks.groupby(["split", "shard", "block"]):
        split, shard, block = cast(tuple[str, int, int], key)
        yield split, shard, block, part


def _one_ahead(parts: Iterator[_Part]) -> Iterator[_Part]:
    """Yield `parts`, each read while the one before it is written."""
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(next, parts, None)
        while (part := waiting.result()) is not None:
            waiting = reader.submit(next, parts, None)
            yield part


def _text_pairs(picks: pd.DataFrame, fields: pa.Table) -> Iterator[_Part]:
    """Yield the picked rows, some thousand at a time."""
    for start in range(0, len(picks), _ROWS_PER_STEP):
        for split, shard, block, part in _parts(picks.iloc[start : start + _ROWS_PER_STEP]):
            yield split, shard, block, fields.take(pa.array(part["row"]))


def _write(
    folder: Path,
    tables: Iterator[_Part],
    counts: Mapping[str, int],
    schema: pa.Schema,
    advance: Callable[[int], object],
) -> Contents:
    """Write `tables` to as many shards per split as `counts` says."""
    folder.mkdir()
    writers = {split: _SplitWriter(folder, split, counts[split], schema) for split in split_order(counts)}
    for split, shard, block, table in _one_ahead(tables):
        writers[split].append(table, shard, block)
        advance(len(table))
    return {split: writer.close() for split, writer in writers.items()}


class _SplitWriter:
    """The shards of one split, written one after the other in row groups of about `ROW_GROUP_BYTES`."""

    def __init__(self, folder: Path, split: str, count: int, schema: pa.Schema) -> None:
        self._schema = schema
        self._paths = [folder / shard_name(split, number, count) for number in range(count)]
        self._shard = self._block = 0
        self._file = self._open()
        self._waiting: list[pa.Table] = []
        self._rows = self._num_bytes = 0

    def append(self, table: pa.Table, shard: int, block: int) -> None:
        if shard != self._shard:
            self._finish()
            self._shard = shard
            self._file = self._open()
        elif block != self._block:
            self._flush()
        self._block = block
        self._waiting.append(table)

    def close(self) -> SplitContents:
        self._finish()
        file_bytes = sum(path.stat().st_size for path in self._paths)
        return SplitContents(self._rows, self._num_bytes, file_bytes, tuple(path.name for path in self._paths))

    def _open(self) -> pq.ParquetWriter:
        names = [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in self._schema]
        texts = [name for name in names if name != "audio"]
        return pq.ParquetWriter(
            self._paths[self._shard],
            self._schema,
            version="2.6",
            compression=dict.fromkeys([*texts, "audio.path"], "zstd"),  # audio stays as it is: it does not shrink
            use_dictionary=_DICTIONARY,
            write_statistics=texts,
        )

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting).combine_chunks().cast(self._schema)
        self._waiting = []  # freed before the writer takes as much again
        self._file.write_table(table, row_group_size=max(len(table), 1))
        self._rows += len(table)
        self._num_bytes += table.nbytes

    def _finish(self) -> None:
        if self._waiting:
            self._flush()
        self._file.close()


def _empty_folder(folder: Path) -> Path:
    """Make `folder` anew: what lies there was left by an export that did not finish."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _replace(folder: Path, fresh: Path) -> None:
    """Put `fresh` in the place of `folder`: at every moment a whole dataset lies there, or none."""
    former = _empty_folder(folder.with_name(f".{folder.name}.old"))
    if folder.exists():
        folder.rename(former)
    fresh.rename(folder)
    if former.exists():
        shutil.rmtree(former)
