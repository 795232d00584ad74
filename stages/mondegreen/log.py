"""The log as tables: the events of the batches, one table per kind, as they were recorded."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen.errors import DataError
from mondegreen.events import FIELDS
from mondegreen.schemas import CASES, CORRECTIONS, INFERENCES, PERFORMANCE

KINDS = ("failure", "correction", "inference", "performance", "withdrawal")
"""The kinds that the pipeline reads."""

Log = dict[str, pd.DataFrame]
"""A table per kind: a column per field of the event (`audio` as audio_sha256, audio_bytes, audio_ext) and `batch`."""

_AUDIO = pa.struct([("sha256", pa.string()), ("bytes", pa.int64()), ("ext", pa.string())])
_TYPES = {field.name: field.type for table in (CASES, CORRECTIONS, INFERENCES, PERFORMANCE) for field in table.arrow}
_TYPES |= {"reason": pa.string(), "audio": _AUDIO}
_COLUMNS = {kind: ("event_id", "recorded_at", *FIELDS[kind]) for kind in KINDS}


def read(files: Iterable[Path]) -> Log:
    """Return the events of the batches' `events.jsonl` files; raises `DataError` naming a line that is no event."""
    parts = [_read_file(file) for file in files]
    return {kind: _pandas(pa.concat_tables([part[kind] for part in parts] or [_arrow(kind, [], "")])) for kind in KINDS}


def _read_file(file: Path) -> dict[str, pa.Table]:
    rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in KINDS}
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = orjson.loads(line)
                if (kind := event["event"]) in rows:
                    rows[kind].append(tuple(map(event.get, _COLUMNS[kind])))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{file}, line {number} is no event: a batch never changes, restore it") from error
    return {kind: _arrow(kind, rows[kind], file.parent.name) for kind in KINDS}


def _arrow(kind: str, rows: list[tuple[Any, ...]], batch: str) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS[kind])
    arrays = {name: _array(name, values) for name, values in zip(_COLUMNS[kind], columns, strict=True)}
    if "audio" in arrays:
        audio = arrays.pop("audio")
        arrays |= {f"audio_{field.name}": pc.struct_field(audio, field.name) for field in _AUDIO}
    return pa.table(arrays | {"batch": pa.array([batch] * len(rows), pa.string())})


def _array(name: str, values: Sequence[Any]) -> pa.Array:
    if name in ("metadata", "metrics"):
        values = [value and orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() for value in values]
    if name == "recorded_at":
        return pa.array(values, pa.string()).cast(_TYPES[name])
    return pa.array(values, _TYPES[name])


def _pandas(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype(), pa.int64(): pd.Int64Dtype()}.get)
    return frame
