"""Corpora: speech with its text, imported as utterances to replay, the same ones whenever it is imported.

Read are an audio folder as Hugging Face has it (a metadata.csv, .jsonl or .parquet with `file_name` beside the audio,
in any depth), and Parquet files with the audio inside, such as the shards of a Hugging Face dataset.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import columns, events, sources
from mondegreen.errors import DataError, RecordError, SpoolError
from mondegreen.importer import Imported, Rejects
from mondegreen.recorder import Recorder
from mondegreen.sources import Row, Unreadable

FIELDS = ("audio", "transcript", "source", "language", "speaker_id", "recording_id")
"""What a row may give."""

_ALSO = {"transcript": ("transcription", "text", "sentence", "normalized_text"), "audio": ("file_name",)}
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_CHUNK = 100
_BATCH_ROWS = 16


@dataclass(frozen=True)
class _Place:
    """Where a row stands."""

    file: Path
    number: int


def import_corpus(
    path: Path,
    spool: Path,
    *,
    mapped: Mapping[str, str],
    defaults: Mapping[str, str],
    advance: Callable[[int], object] = lambda by: None,
) -> Imported:
    """Record the utterances of the folder or file at `path` in `spool`; when it returns, all of them are durable.

    `mapped` names columns by field, `defaults` what stands where a row gives nothing; `source` is the name of the
    folder or file unless given; `advance` is told how many rows are done. Rows that can never be right, or whose audio
    cannot be read, go to `<path>.rejected.jsonl`. Raises `DataError` and `SpoolError`.
    """
    for field in (*mapped, *defaults):
        if field not in FIELDS:
            raise DataError(f"{field} is no field of an utterance; the fields are {', '.join(FIELDS)}")
    names = {field: (mapped[field],) if field in mapped else (field, *_ALSO.get(field, ())) for field in FIELDS}
    rest = {"source": path.resolve().name} | dict(defaults)
    result = Imported()
    with Recorder(spool) as recorder, Rejects(path, result) as rejects:
        rows = _rows(path)
        while chunk := list(islice(rows, _CHUNK)):
            made = []
            for place, row in chunk:
                try:
                    made.append(_event(place, row, names, rest, recorder))
                except SpoolError:
                    raise
                except (RecordError, OSError, ValueError) as error:
                    shown = row.text if isinstance(row, Unreadable) else {k: v for k, v in row.items() if k != "audio"}
                    rejects.add(place.number, f"{place.file}: {error}", shown)
            recorder.extend(made)
            result.cases += len(made)
            advance(len(chunk))
    result.rows = result.cases + result.rejected
    if not result.rows:
        raise DataError(f"{path} has no rows")
    return result


def _rows(path: Path) -> Iterator[tuple[_Place, Row | Unreadable]]:
    """Yield all rows at `path`."""
    if not path.exists():
        raise DataError(f"{path} is not there: give the path of an audio folder or a dataset")
    if path.is_file():
        files = [path]
    else:
        files = sorted(file for name in _METADATA for file in path.rglob(name)) or sorted(path.rglob("*.parquet"))
    if not files:
        raise DataError(
            f"{path} holds no {', '.join(_METADATA)} and no other .parquet: it is no audio folder or dataset"
        )
    for file in files:
        rows = _parquet(file) if file.suffix == ".parquet" else sources.open_source(file).rows()
        for number, row in rows:
            yield _Place(file, number), row


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a Parquet file, columns of bytes too, a few at a time."""
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(_BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no sound Parquet file: {error}; write it again") from error


def _event(
    place: _Place,
    row: Row | Unreadable,
    names: Mapping[str, tuple[str, ...]],
    rest: Mapping[str, str],
    recorder: Recorder,
) -> events.Event:
    """Return the event of a row, its audio stored."""
    if isinstance(row, Unreadable):
        raise RecordError("row", row.text[:60], row.reason)
    given = {field: _first(row, columns_) for field, columns_ in names.items()}
    given = dict(rest) | {field: value for field, value in given.items() if value not in (None, "")}
    if row.get("origin") == "augmented":
        raise RecordError("origin", "augmented", "speech as it was recorded; its parent is in the same dataset")
    for field in ("transcript", "audio"):
        if field not in given:
            columns_ = [name for name in names[field] if name in row]
            expected = f"something in {columns_[0]}" if columns_ else f"a column of that name, or --map {field}=COLUMN"
            raise RecordError(field, None, expected if columns_ else f"{expected}; there are {', '.join(row)}")
    audio, ident = given.pop("audio"), {name: str(value) for name, value in given.items()}
    source, shown = _clip(place.file, audio)
    stored = recorder.store(source)
    words = json.dumps([ident, stored["sha256"]], sort_keys=True)
    event_id = f"import-{hashlib.sha256(words.encode()).hexdigest()[:32]}"
    return events.make_event("utterance", event_id=event_id, source_path=shown, **ident) | {"audio": stored}


def _first(row: Row, names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := columns.value_of(row, name)) is not None), None)


def _clip(file: Path, audio: Any) -> tuple[Path | bytes, str]:
    """Return the audio that a row names or holds, and its name; raises `RecordError` for a path out of its folder."""
    if isinstance(audio, Mapping):
        audio = audio.get("bytes") or audio.get("path")
    if isinstance(audio, bytes):
        return audio, str(file)
    if not isinstance(audio, str):
        raise RecordError("audio", audio, "the path of a file, or its bytes")
    path = (file.parent / audio).resolve()
    if not path.is_relative_to(file.parent.resolve()):
        raise RecordError("audio", audio, f"a path that stays inside {file.parent}")
    return path, audio
