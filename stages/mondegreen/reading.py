"""Readings: what the shards of a dataset say, read as a user reads them, through `datasets`; each clip decoded.

A reading is a table of the shard's rows: every column but the audio, what was heard (`HEARD`), and what its texts come
to (`JUDGED`). It is a function of the shard's bytes, so one whose bytes are known is not read again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Audio, Features, IterableDataset, load_dataset
from datasets.exceptions import DatasetsError
from rapidfuzz.distance import Levenshtein
from yaml import YAMLError  # `datasets` reads the card with it

from mondegreen import audio
from mondegreen.executor import spread
from mondegreen.shards import features
from mondegreen.tables import pieces
from mondegreen.text import NORMALISERS, heeds, normalise

READ_ERRORS = (OSError, ValueError, pa.ArrowException, DatasetsError)

HEARD = pa.schema(
    {"audio_sha256": pa.string(), "sample_rate": pa.int64(), "frames": pa.int64(), "pcm_sha256": pa.string()}
    | {"error": pa.string(), "peak": pa.float64()}
)
JUDGED = pa.schema(
    [("word_errors", pa.int64()), ("reference_words", pa.int64()), ("long_text", pa.string()), ("pair", pa.binary(16))]
)
"""Under the normaliser: errors and words; the text, null where it is short; a digest of both texts.

The last two are what must not be twice (see `components.link_keys` and `traits`).
"""

_COLUMNS = pa.schema([*features(require_audio=False).arrow_schema])
_HEARD_ROWS = pa.schema([*_COLUMNS, *HEARD])
_READING = pa.schema([*_HEARD_ROWS, *JUDGED])
_PIECE = 50_000
"""Rows whose texts a worker judges at once: about a second's work."""
_TEXTS = ("text", "original_transcript", "language")

Add = Callable[[str, Iterable[object]], None]
"""Takes a kind of problem, and examples."""


@dataclass(frozen=True)
class Shard:
    """A file with rows of a `split`, and its `place` in the split's `stream` as `datasets` has it.

    Where it is not known which files that stream has, it is all of them, without file and place.
    """

    split: str
    file: Path | None
    stream: IterableDataset
    place: int | None


def shards(
    folder: Path, files: Iterable[Path], cache: str, wanted: Features, add: Add
) -> tuple[list[Shard], dict[str, int | None]]:
    """Return the shards that `datasets` finds in `folder`, and how many rows the card says each split has.

    `files` are all its Parquet files, in order; `cache` is an empty folder. A split of which the card says other
    features than `wanted` has no shards: nobody can read it.
    """
    try:
        streams = dict(load_dataset(str(folder.resolve()), streaming=True, cache_dir=cache))
    except (*READ_ERRORS, YAMLError) as error:
        add("unreadable", [error])
        return [], {}
    found: list[Shard] = []
    said: dict[str, int | None] = {}
    for split, stream in streams.items():
        info = (stream.info.splits or {}).get(split)
        said[split] = info.num_examples if info else None
        own = [file for file in files if file.name.startswith(f"{split}-")]
        if stream.features != wanted:
            add("wrong_columns", [f"{split}, as the card has it"])
        elif stream.num_shards != len(own):  # other files lie there
            found.append(Shard(split, None, stream, None))
        else:
            found += [Shard(split, file, stream, place) for place, file in enumerate(own)]
    return found, said


def read(
    shards: Iterable[Shard],
    step: int,
    normaliser: str,
    min_shared_words: int,
    *,
    add: Add,
    advance: Callable[[int], object],
) -> list[pa.Table | None]:
    """Return the reading of each shard, None of one that cannot be read; clips are decoded, texts judged on all cores.

    `step` rows are read at once; a text of `min_shared_words` normalised words is long. A shard is asked for when its
    turn has come.
    """
    parts: list[list[pa.Table]] = []
    batches: list[tuple[int, pa.Table]] = []
    unreadable = set()

    def clips() -> Iterator[pa.ChunkedArray]:
        for number, shard in enumerate(shards):
            parts.append([_HEARD_ROWS.empty_table()])
            try:
                for batch in _batches(shard, step):
                    batches.append((number, batch.select(_COLUMNS.names).replace_schema_metadata()))
                    advance(len(batch))
                    audio = "audio" in batch.column_names
                    yield pc.struct_field(batch["audio"], "bytes") if audio else pa.nulls(len(batch))
                _check_place(shard, (batch["case_id"] for place, batch in batches if place == number))
            except READ_ERRORS as error:
                unreadable.add(number)
                add("unreadable", [f"{shard.file.name if shard.file else shard.split}: {error}"])

    for place, heard in enumerate(spread(_hear, clips(), engine="local", threads=True)):
        number, batch = batches[place]
        parts[number].append(pa.table([*batch.columns, *heard.columns], _HEARD_ROWS))
    tables = [pa.concat_tables(found).combine_chunks() for found in parts]
    texts = pa.concat_tables([empty(_TEXTS), *(table.select(_TEXTS) for table in tables)]).combine_chunks()
    judge = partial(_judge, normaliser, min_shared_words)
    judged = pa.concat_tables(spread(judge, pieces(texts, _PIECE), engine="local")).combine_chunks()
    ends = np.cumsum([len(table) for table in tables])
    own = [judged.slice(end - len(table), len(table)) for table, end in zip(tables, ends, strict=True)]
    done = [pa.table([*table.columns, *more.columns], _READING) for table, more in zip(tables, own, strict=True)]
    return [None if number in unreadable else table for number, table in enumerate(done)]


def _batches(shard: Shard, step: int) -> Iterator[pa.Table]:
    """Yield the rows of a shard as `datasets` reads them, `step` at a time."""
    stream = shard.stream
    if shard.place is not None:
        stream = stream.shard(stream.num_shards, shard.place)
    if "audio" in stream.features:
        stream = stream.cast_column("audio", Audio(decode=False))
    yield from stream.with_format("arrow").iter(step)


def _check_place(shard: Shard, read: Iterable[pa.ChunkedArray]) -> None:
    """Raise `ValueError` where `datasets` had other rows in the place of a file than that file has."""
    if shard.file is not None:
        found = pa.chunked_array([chunk for column in read for chunk in column.chunks], pa.string())
        with pq.ParquetFile(shard.file) as file:  # unlike `read_table`, it holds no audio meanwhile
            there = file.read(["case_id"], use_threads=False)["case_id"]
        if not there.equals(found):
            raise ValueError("datasets reads other rows of it than pyarrow")


def _hear(clips: pa.ChunkedArray) -> pa.Table:
    """Decode and hash clips; where there are none at all, the columns are null."""
    if pa.types.is_null(clips.type):
        return pa.table([pa.nulls(len(clips), field.type) for field in HEARD], schema=HEARD)
    found = []
    for clip in clips:
        data = clip.as_py()
        probe = audio.probe(data) if data else audio.Probe(error="holds no bytes")
        sha256 = hashlib.sha256(data).hexdigest() if data else None
        found.append({"audio_sha256": sha256} | {name: getattr(probe, name) for name in HEARD.names[1:]})
    return pa.Table.from_pylist(found, HEARD)


def _judge(normaliser: str, min_shared_words: int, texts: pa.Table) -> pa.Table:
    """Return `JUDGED` of texts."""
    fold, plainly = NORMALISERS[normaliser], NORMALISERS["basic-1"]
    columns: tuple[list[Any], ...] = ([], [], [], [])
    for text, original, language in zip(*(column.to_pylist() for column in texts.columns), strict=True):
        reference, heard = both = [fold(each or "", language) for each in (text, original)]
        if fold is not plainly or (language and heeds(language)):
            both = [normalise(each or "") for each in (text, original)]
        words = reference.split()
        long = both[0] if len(both[0].split()) >= min_shared_words else None
        pair = hashlib.blake2b(f"{both[1]}\n{both[0]}".encode(errors="surrogatepass"), digest_size=16).digest()
        row = (Levenshtein.distance(words, heard.split()), len(words), long, pair)
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return pa.table(dict(zip(JUDGED.names, columns, strict=True)), schema=JUDGED)


def empty(columns: Iterable[str] = _READING.names) -> pa.Table:
    """Return a reading of nothing, or some columns of it."""
    return _READING.empty_table().select([*columns])
