"""The log as tables: the events of the batches, one table per kind, as they were recorded."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import events
from mondegreen.errors import DataError, RecordError
from mondegreen.events import FIELDS
from mondegreen.executor import spread
from mondegreen.schemas import CASES, CORRECTIONS, INFERENCES, PERFORMANCE
from mondegreen.shelf import Shelf, key_of

KINDS = tuple(FIELDS)
"""All kinds of event."""

_MISFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)
"""What a value of the wrong kind raises on its way into a column."""

Log = dict[str, pd.DataFrame]
"""A table per kind: a column per field of the event (`audio` as audio_sha256, audio_bytes, audio_ext) and `batch`."""

_AUDIO = pa.struct([("sha256", pa.string()), ("bytes", pa.int64()), ("ext", pa.string())])
_TYPES = {field.name: field.type for table in (CASES, CORRECTIONS, INFERENCES, PERFORMANCE) for field in table.arrow}
_TYPES |= {
    name: pa.string()
    for name in (
        "model_name",
        "parent",
        "reason",
        "stage",
        "transcript",
        "confirmed_transcript",
        "source",
        "decision",
        "undoes",
        "asked",
        "line",
    )
}
_TYPES |= {"audio": _AUDIO, "training_data_size": pa.int64()}
_PART = 64 << 20
"""Bytes of a batch's events that a worker parses at once: about a second's work."""

_COLUMNS = {kind: ("event_id", "recorded_at", *FIELDS[kind]) for kind in KINDS}


def read(files: Iterable[Path], segments: Iterable[Path] = (), *, shelf: Shelf | None = None) -> Log:
    """Return the events of the batches' `events.jsonl` files, and of a spool's segments (their `batch` is empty).

    An event that stands in several places comes once. What was parsed before comes from the `shelf`, if there is one.
    Raises `DataError` naming a line of a batch that is no event.
    """
    found = tables(files, segments, shelf=shelf)
    return {kind: pandas(found.pop(kind)) for kind in KINDS}


def tables(
    files: Iterable[Path],
    segments: Iterable[Path] = (),
    *,
    shelf: Shelf | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    kinds: Collection[str] = KINDS,
) -> dict[str, pa.Table]:
    """Return what `read` returns, of some `kinds`, as Arrow tables; with `columns` by kind only those, and the ids.

    event_id and recorded_at are always there. The segments are read before the first of `files` is asked for (see
    `mondegreen.live.files`).
    """
    asked = {
        kind: ["event_id", "recorded_at", *columns.get(kind, ())] if columns is not None else None for kind in kinds
    }
    waiting = [_chosen(_of_segment(segment), asked) for segment in segments]
    parts = [_batch(file, shelf, asked) for file in files] + waiting
    return {kind: _concatenated(kind, [part[kind] for part in parts], asked[kind]) for kind in kinds}


_Columns = Mapping[str, list[str] | None]
"""The columns that are asked for, by kind; None: all."""


def _batch(file: Path, shelf: Shelf | None, asked: _Columns) -> dict[str, pa.Table]:
    """Return the tables of one batch, a function of the file's bytes and this code alone."""
    if shelf is None:
        return _chosen(_of_file(file), asked)
    key = _key(file, shelf)
    kept = {kind: shelf.get(f"{key}-{kind}", asked[kind]) for kind in asked}
    found = {kind: table for kind, table in kept.items() if table is not None}
    if len(found) < len(kept):
        found = _of_file(file)
        for kind, table in found.items():
            shelf.put(f"{key}-{kind}", table)
    return _chosen(found, asked)


def kept(file: Path, kind: str, shelf: Shelf) -> pa.Table | None:
    """Return a batch's events of one kind where the shelf has them, None where the batch has to be read for that."""
    return shelf.get(f"{_key(file, shelf)}-{kind}")


def _key(file: Path, shelf: Shelf) -> str:
    return key_of(file.parent.name, shelf.digest(file), packages=("pyarrow", "orjson"))


def _of_file(file: Path) -> dict[str, pa.Table]:
    try:
        parts = list(spread(partial(_of_part, file), _parts(file), engine="local"))
        return {kind: pa.concat_tables([part[kind] for part in parts]) for kind in KINDS}
    except _MISFIT as error:
        said = str(error)[:200]
        raise DataError(f"{file} has an event of no known form ({said}): a batch never changes, restore it") from error


def _parts(file: Path) -> Iterator[tuple[int, int]]:
    """Yield where in `file` each part begins and ends, at least one part: whole lines, about `_PART` bytes."""
    start, size = 0, file.stat().st_size
    with file.open("rb") as lines:
        while True:
            lines.seek(start + _PART)
            lines.readline()
            end = min(lines.tell(), size)
            yield start, end
            if end == size:
                return
            start = end


def _of_part(file: Path, part: tuple[int, int]) -> dict[str, pa.Table]:
    return _tables(batch_events(file, *part), file.parent.name)


def _of_segment(segment: Path) -> dict[str, pa.Table]:
    """Return the tables of a segment, without lines that could never be recorded: those are for ingest to report."""
    found = list(segment_events(segment))
    try:
        return _tables(found, "")
    except _MISFIT:
        return _tables(filter(_is_right, found), "")


def _is_right(event: dict[str, Any]) -> bool:
    try:
        events.decode(orjson.dumps(event))
    except (RecordError, TypeError):
        return False
    return True


def _chosen(found: dict[str, pa.Table], asked: _Columns) -> dict[str, pa.Table]:
    return {kind: found[kind].select(names or found[kind].column_names) for kind, names in asked.items()}


def _concatenated(kind: str, parts: list[pa.Table], columns: list[str] | None) -> pa.Table:
    if not parts:
        empty = _arrow(kind, [], "")
        return empty.select(columns or empty.column_names)
    table = pa.concat_tables(parts)
    if len(parts) == 1 or distinct(table["event_id"]):
        return table
    return table.filter(pa.array(~table["event_id"].to_pandas().duplicated()))


def distinct(ids: pa.ChunkedArray) -> bool:
    """Tell whether no id comes twice; in no time where they ascend, as those of a batch do."""
    whole = ids.combine_chunks()
    return bool(pc.all(pc.less(whole[:-1], whole[1:])).as_py()) or len(pc.unique(whole)) == len(whole)


def segment_events(segment: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a spool's segment that can be read; what cannot is for ingest to report."""
    yield from read_on(segment, 0)[0]


def read_on(segment: Path, start: int) -> tuple[list[dict[str, Any]], int]:
    """Return the events of a spool's segment from the byte `start` on, and the byte behind the last whole line."""
    try:
        with segment.open("rb") as file:
            file.seek(start)
            found, end = [], start
            for line in events.lines(file):
                if not line.endswith(b"\n"):
                    break
                end = end + len(line) if len(line) <= events.LINE_BYTES else file.tell()
                if (event := _loaded(line)) is not None:
                    found.append(event)
            return found, end
    except FileNotFoundError:  # ingested and removed a moment ago
        return [], start


def _loaded(line: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(line) if len(line) <= events.LINE_BYTES else None
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"event", "event_id", "recorded_at"} <= event.keys() else None


def batch_events(file: Path, start: int = 0, end: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events of a batch, or of its lines from the byte `start` to `end`.

    Raises `DataError` naming a line that is no event.
    """
    with file.open("rb") as lines:
        lines.seek(start)
        for line in lines:
            try:
                event = orjson.loads(line)
                str.encode(event["event"]), str.encode(event["event_id"]), str.encode(event["recorded_at"])
            except (ValueError, KeyError, TypeError) as error:
                lines.seek(0)
                number = lines.read(start).count(b"\n") + 1
                raise DataError(f"{file}, line {number} is no event: a batch never changes, restore it") from error
            yield event
            start += len(line)
            if start == end:
                return


def _tables(events: Iterable[dict[str, Any]], batch: str) -> dict[str, pa.Table]:
    rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in KINDS}
    for event in events:
        if (kind := event["event"]) in rows:
            rows[kind].append(tuple(map(event.get, _COLUMNS[kind])))
    return {kind: _arrow(kind, rows[kind], batch) for kind in KINDS}


def _arrow(kind: str, rows: list[tuple[Any, ...]], batch: str) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS[kind])
    arrays = {name: _array(name, values) for name, values in zip(_COLUMNS[kind], columns, strict=True)}
    if "audio" in arrays:
        audio = arrays.pop("audio")
        arrays |= {f"audio_{field.name}": pc.struct_field(audio, field.name) for field in _AUDIO}
    return pa.table(arrays | {"batch": pa.array([batch] * len(rows), pa.string())})


def _array(name: str, values: Sequence[Any]) -> pa.Array:
    if name in ("metadata", "metrics"):
        values = [
            None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() for value in values
        ]
    if name == "recorded_at":
        return pa.array(values, pa.string()).cast(_TYPES[name])
    return pa.array(values, _TYPES[name])


def pandas(table: pa.Table) -> pd.DataFrame:
    """Return a table of `tables` as `read` does."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype(), pa.int64(): pd.Int64Dtype()}.get)
    return frame
