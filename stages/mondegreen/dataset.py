"""The Hugging Face dataset: Parquet shards with embedded audio, streamed from the batches' packs.

    <out_dir>/README.md                                  the dataset card
    <out_dir>/data/<split>-NNNNN-of-NNNNN.parquet        one row per case

A shard holds rows of one part of splits.parquet, so what changes in one part leaves the shards of all others as they
are: those are not written again, but taken over from the last dataset.
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa

from mondegreen import locations, room, shards, totals
from mondegreen.batches import open_pack
from mondegreen.errors import DataError
from mondegreen.executor import spread
from mondegreen.portions import Portion
from mondegreen.shards import Shard, Writer, features
from mondegreen.shelf import Shelf, key_of

_STANDARD_SPLITS = ("train", "validation", "test")
_COLUMNS = {
    *("case_id", "corrected_transcript", "original_transcript", "error_score", "wer"),
    *("audio_sha256", "audio_bytes", "audio_ext", *totals.COLUMNS),
}
_SHARDS = pa.schema([("split", pa.string()), ("key", pa.string()), ("rows", pa.int64())])


@dataclass(frozen=True)
class SplitContents:
    """What was written for one split: `shards` are file names in order, `num_bytes` is the size in Arrow."""

    rows: int
    num_bytes: int
    file_bytes: int
    shards: tuple[str, ...]


Contents = Mapping[str, SplitContents]


def split_order(names: Iterable[str]) -> list[str]:
    """Return the distinct split `names`: train, validation and test first, then any other by name."""
    present = set(names)
    return [name for name in _STANDARD_SPLITS if name in present] + sorted(present - set(_STANDARD_SPLITS))


def shard_name(split: str, number: int, count: int) -> str:
    """Return the file name of shard `number` (from 0) of the `count` shards of `split`."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def export(
    parts: Sequence[Portion],
    packs: Sequence[Path],
    out_dir: Path,
    *,
    require_audio: bool,
    max_shard_mb: float,
    describe: Callable[[Contents, totals.Figures], str],
    shelf: Shelf,
    passed: Collection[str] = (),
    advance: Callable[[int], object] = lambda rows: None,
) -> Contents:
    """Write the rows of all `parts` to `out_dir` and return what was written per split.

    The packs are read once, one row group at a time, so memory does not grow with the audio. A shard holds at most
    `max_shard_mb` million bytes of audio and text (Parquet's footer comes on top; a longer clip gets its own shard).
    `describe` returns the text of README.md, `advance` is told how many more rows are written. The folder
    is made beside `out_dir` and takes its place only when whole. A shard that lies there already, by its key and the
    SHA-256 that the `shelf` knows it by, is taken over if that is among those that an audit has `passed`: what was
    made of a damaged pack is not.
    Rows with audio keep the packs' order within their part, text pairs are sorted by `case_id`. Raises `DataError`: no
    rows, no audio, no room for it.
    """
    former = _Former(out_dir / "data", passed)
    places = (
        locations.locate([part.load(locations.COLUMNS) for part in parts], packs)
        if require_audio
        else [None] * len(parts)
    )
    fresh = _empty_folder(out_dir.with_name(f".{out_dir.name}.partial"))
    (fresh / "data").mkdir()
    work = partial(_part, fresh / "data", max_shard_mb, former, shelf, advance)
    found = list(spread(work, zip(count(), parts, places), engine="local", threads=True))
    files = [file for part in found for file in part.files]
    if not files:
        raise DataError("nothing to export: splits.parquet has no rows. Record and correct more cases, then dvc repro")
    if missing := [file for file in files if not file.written]:
        needed = sum(file.waiting.audio_bytes for file in missing if file.waiting)
        room.check(fresh, needed, f"the new dataset in {out_dir}")  # text shrinks, nobody knows to what
        written = _write_audio(missing, packs, shelf, advance)
        files = [file if file.written else replace(file, written=written[file.path]) for file in files]
    contents = _named(files)
    (fresh / "README.md").write_text(describe(contents, totals.total(part.tally for part in found)), encoding="utf-8")
    _replace(out_dir, fresh)
    return contents


class _Former:
    """The shards of the last dataset, by the SHA-256 of their bytes, as far as an audit has `passed` them."""

    def __init__(self, folder: Path, passed: Collection[str]) -> None:
        self._passed = passed
        self._paths: dict[int, list[Path]] = {}
        for path in sorted(folder.glob("*.parquet")):
            self._paths.setdefault(path.stat().st_size, []).append(path)
        self._sha256 = cache(shards.digest)

    def link(self, sha256: str, size: int, target: Path) -> bool:
        """Let `target` be the file with these bytes, if there is one: the same on disk where it can be, or a copy."""
        there = self._paths.get(size, ()) if sha256 in self._passed else ()
        if (found := next((path for path in there if self._sha256(path) == sha256), None)) is None:
            return False
        try:
            os.link(found.resolve(), target)  # DVC may have made it a link into its cache
        except OSError:
            shutil.copyfile(found, target)
        return True


@dataclass(frozen=True)
class _Written:
    """What a shard's file came to; `num_bytes` is the size of its rows in Arrow."""

    sha256: str
    file_bytes: int
    num_bytes: int


@dataclass(frozen=True)
class _Waiting:
    """A shard that is not written yet, and where the audio of its rows lies (see `locations.locate`)."""

    shard: Shard
    places: pd.DataFrame

    @property
    def audio_bytes(self) -> int:
        return int(self.places["bytes"].sum())


@dataclass(frozen=True)
class _File:
    """A shard in its place, but for its name: `written`, or `waiting` for its audio."""

    path: Path
    split: str
    rows: int
    written: _Written | None
    waiting: _Waiting | None


@dataclass(frozen=True)
class _Exported:
    """The files of a part, and what the card says of its rows."""

    files: list[_File]
    tally: pa.Table


def _part(
    folder: Path,
    max_shard_mb: float,
    former: _Former,
    shelf: Shelf,
    advance: Callable[[int], object],
    piece: tuple[int, Portion, pd.DataFrame | None],
) -> _Exported:
    """Take over what the last dataset has of a part, and write the other shards, as far as they have no audio."""
    number, part, places = piece
    audio = b"" if places is None else places["row"].to_numpy().tobytes()
    settings = str((places is not None, max_shard_mb, shards.ROW_GROUP_BYTES))
    key = key_of(part.key(), audio, settings, packages=("pyarrow", "numpy", "datasets"))
    listed, tally = shelf.get(f"{key}-shards"), shelf.get(f"{key}-tally")
    cut: list[Shard] = []
    if listed is None or tally is None:
        cut, tally = _cut(part, places, max_shard_mb)
        shelf.put(f"{key}-tally", tally)
        listed = pa.Table.from_pylist([{"split": at.split, "key": at.key, "rows": len(at.at)} for at in cut], _SHARDS)
        shelf.put(f"{key}-shards", listed)
    files = []
    for at, known in enumerate(listed.to_pylist()):
        path, waiting = folder / f"{number:05d}-{at:05d}", None
        written = _taken(former, shelf, known["key"], path)
        if written is None:
            cut = cut or _cut(part, places, max_shard_mb)[0]
            if places is None:
                written = _write(cut[at], path, shelf)
            else:
                waiting = _Waiting(cut[at], places.iloc[cut[at].at])
        if written:
            advance(known["rows"])
        files.append(_File(path, known["split"], known["rows"], written, waiting))
    return _Exported(files, tally)


def _taken(former: _Former, shelf: Shelf, key: str, path: Path) -> _Written | None:
    """Take a shard over from the last dataset, if its file is there and as it was."""
    if (record := shelf.get(f"{key}-file")) is None:
        return None
    known = _Written(**record.to_pylist()[0])
    return known if former.link(known.sha256, known.file_bytes, path) else None


def _kept(shelf: Shelf, key: str, path: Path, num_bytes: int) -> _Written:
    """Return what was written to `path`, and keep it for the next build."""
    written = _Written(shards.digest(path), path.stat().st_size, num_bytes)
    shelf.put(f"{key}-file", pa.Table.from_pylist([asdict(written)]))
    return written


def _cut(part: Portion, places: pd.DataFrame | None, max_shard_mb: float) -> tuple[list[Shard], pa.Table]:
    """Return the shards of a part, and its tally."""
    found = part.read(_COLUMNS)
    content = shards.fields(found)
    tally = totals.tally(found)
    if places is not None:
        order = pa.array(places["row"].to_numpy())
        found, content = found.take(order).combine_chunks(), content.take(order).combine_chunks()
    return shards.cut(found, content, require_audio=places is not None, max_shard_mb=max_shard_mb), tally


def _write(shard: Shard, path: Path, shelf: Shelf) -> _Written:
    """Write a shard of texts."""
    writer = Writer(path, features(require_audio=False).arrow_schema)
    for block, group in enumerate(shard.groups()):
        writer.append(group, block)
    return _kept(shelf, shard.key, path, writer.close())


def _write_audio(
    files: Sequence[_File], packs: Sequence[Path], shelf: Shelf, advance: Callable[[int], object]
) -> dict[Path, _Written]:
    """Write all shards with audio in one pass over the packs; each is hashed while the next ones are written."""
    schema = features(require_audio=True).arrow_schema
    waiting = [file.waiting for file in files if file.waiting]
    writers: dict[int, Writer] = {}
    left = [file.rows for file in files]
    written: dict[Path, Future[_Written]] = {}
    with ThreadPoolExecutor(1) as keeper:
        for number, block, table in _one_ahead(_with_audio(waiting, packs)):
            path = files[number].path
            if number not in writers:
                writers[number] = Writer(path, schema)
            writers[number].append(table, block)
            left[number] -= len(table)
            if not left[number]:
                num_bytes = writers.pop(number).close()
                written[path] = keeper.submit(_kept, shelf, waiting[number].shard.key, path, num_bytes)
            advance(len(table))
        return {path: found.result() for path, found in written.items()}


_Block = tuple[int, int, pa.Table]
"""The number of a file, the number of a row group in it, and the next rows of that group."""


def _with_audio(waiting: Sequence[_Waiting], packs: Sequence[Path]) -> Iterator[_Block]:
    """Yield the rows of one row group of a pack after the other, with their audio."""
    picks = pd.concat(
        found.places.assign(file=number, at=np.arange(len(found.places)), block=found.shard.blocks)
        for number, found in enumerate(waiting)
    )
    for number, of_pack in picks.groupby("pack"):
        with open_pack(packs[int(str(number))]) as opened:
            for group, of_group in of_pack.groupby("group"):
                sounds = opened.read_row_group(group, ["bytes"]).column(0).combine_chunks().cast(pa.binary())
                for key, of_block in of_group.groupby(["file", "block"]):
                    file, block = cast(tuple[int, int], key)
                    found = waiting[file].shard.fields.take(pa.array(of_block["at"].to_numpy())).combine_chunks()
                    audio = [sounds.take(pa.array(of_block["index"].to_numpy())), found["path"].chunk(0)]
                    audio = pa.StructArray.from_arrays(audio, names=["bytes", "path"])
                    yield file, block, found.set_column(0, "audio", audio)
                del sounds, found, audio  # before the next group is read beside the one that is written


def _one_ahead(blocks: Iterator[_Block]) -> Iterator[_Block]:
    """Yield `blocks`, each read while the one before it is written."""
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(next, blocks, None)
        while (block := waiting.result()) is not None:
            waiting = reader.submit(next, blocks, None)
            yield block


def _named(files: Sequence[_File]) -> Contents:
    """Give every file its name, and return what was written."""
    contents = {}
    for split in split_order(file.split for file in files):
        own = [file for file in files if file.split == split]
        names = tuple(shard_name(split, number, len(own)) for number in range(len(own)))
        for file, name in zip(own, names, strict=True):
            file.path.rename(file.path.with_name(name))
        written = [file.written for file in own if file.written]
        sizes = (sum(found.num_bytes for found in written), sum(found.file_bytes for found in written))
        contents[split] = SplitContents(sum(file.rows for file in own), *sizes, names)
    return contents


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
