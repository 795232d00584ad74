"""From a row's columns to the fields of a case: which column is which field, and its value in the right type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from mondegreen.errors import DataError, RecordError
from mondegreen.events import FIELDS as EVENT_FIELDS
from mondegreen.sources import Row, Source, Unreadable, parse

_ABSENT = object()
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, True: True, False: False}


def _text(field: str, value: Any) -> Any:
    return value


def _identifier(field: str, value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    return value if isinstance(value, bool) or not isinstance(value, int | float) else str(value)


def _number(field: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if not isinstance(value, str):
        return value
    try:
        return float(value.replace("_", "?"))  # float() would take 1_0 for 10
    except ValueError as error:
        raise RecordError(field, value, "a number such as 0.85") from error


def _flag(field: str, value: Any) -> bool:
    try:
        return _WORDS[value.strip().casefold() if isinstance(value, str) else value]
    except (KeyError, TypeError) as error:
        raise RecordError(field, value, "true, false, yes, no, 1 or 0") from error


def _labels(field: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(field, value, list)
    return [label.strip() for label in value.split(";") if label.strip()]


def _metadata(field: str, value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise RecordError(field, value, "a JSON object")
    return _json(field, value, dict) if isinstance(value, str) else value


def _json(field: str, text: str, kind: type) -> Any:
    try:
        value = parse(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise RecordError(field, text, "a list: a;b or JSON" if kind is list else "a JSON object")
    return value


def _time(field: str, value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value.strip() if isinstance(value, str) else value


def _method(field: str, value: Any) -> Any:
    return EVENT_FIELDS["correction"]["method"](field, _identifier(field, value))


def _path(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RecordError(field, value, "the path of an audio file")
    return value


FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "case_id": _identifier,
    "audio": _path,
    "source_path": _text,
    "original_transcript": _text,
    "error_types": _labels,
    "error_score": _number,
    "inference_time": _number,
    "model_confidence": _number,
    "model_version": _identifier,
    "language": _identifier,
    "speaker_id": _identifier,
    "recording_id": _identifier,
    "start": _number,
    "end": _number,
    "is_speech": _flag,
    "metadata": _metadata,
    "recorded_at": _time,
    "corrected_transcript": _text,
    "correction_method": _method,
    "author": _identifier,
}
"""Every field that a row may give, with the conversion to its type; a value out of range is refused with the event."""


@dataclass(frozen=True)
class Columns:
    """Which column gives which field, and what stands where a row gives nothing."""

    by_field: Mapping[str, str]
    defaults: Mapping[str, Any]
    texts: frozenset[str]
    """The fields in which an empty text is a value: everywhere else it means that nothing is given."""
    left: tuple[str, ...] = ()
    """The columns of the first row that no field takes."""

    def fields(self, row: Row) -> dict[str, Any]:
        """Return the fields that `row` gives, in their types; raises `RecordError`."""
        given: dict[str, Any] = dict(self.defaults)
        for field, column in self.by_field.items():
            value = row.get(column)
            if value is None and ("." not in column or (value := value_of(row, column)) is None):
                continue
            if isinstance(value, str) and field not in self.texts and not _given(field, value):
                continue
            if field in FIELDS:
                given[field] = FIELDS[field](field, value)
            else:
                given["metadata"] = {**given.get("metadata", {}), field.removeprefix("metadata."): value}
        return given


def _given(field: str, text: str) -> bool:
    return bool(text if field == "corrected_transcript" else text.strip())


def value_of(row: Row, column: str, missing: Any = None) -> Any:
    """Return what `row` has in `column`, by its very name or along its dots into nested objects; else `missing`."""
    if column in row:
        return row[column]
    if "." not in column:
        return missing
    value: Any = row
    for name in column.split("."):
        value = value.get(name, missing) if isinstance(value, dict) else missing
    return value


def choose(source: Source, mapped: Mapping[str, str], defaults: Mapping[str, str]) -> Columns:
    """Return the columns to read: those that `mapped` names by field, else those with a field's own name.

    `metadata.NAME` as a field puts a column into the metadata; an empty column name leaves the field out. Raises
    `DataError` for an unknown field, a column that no row has, a default that can never be right, and no rows.
    """
    for field in (*mapped, *defaults):
        if field not in FIELDS and not (field in mapped and field.startswith("metadata.") and field != "metadata."):
            raise DataError(f"{field} is no field; the fields are {', '.join(FIELDS)}, metadata.NAME")
    by_field = {field: mapped.get(field, field) for field in {**dict.fromkeys(FIELDS), **mapped}}
    by_field = {field: column for field, column in by_field.items() if column}
    needed = {column for column in mapped.values() if column}
    if "original_transcript" not in defaults:
        needed.add(by_field.get("original_transcript", "original_transcript"))
    first = _first_row(source, needed)
    taken = {column.split(".")[0] for column in by_field.values()} | set(by_field.values())
    texts = {"original_transcript"} if source.empty_is_missing else {"original_transcript", "corrected_transcript"}
    left = tuple(name for name in first if name not in taken)
    return Columns(by_field, _defaults(defaults), frozenset(texts), left)


def _defaults(defaults: Mapping[str, str]) -> dict[str, Any]:
    try:
        return {field: FIELDS[field](field, text) for field, text in defaults.items()}
    except RecordError as error:
        raise DataError(f"--default {error}") from error


def _first_row(source: Source, needed: set[str]) -> Row:
    """Return the first row, having seen that every column in `needed` stands in some row; raises `DataError`."""
    first: Row | None = None
    fault = ""
    missing, seen = set(needed), dict[str, None]()
    for number, row in source.rows():
        if isinstance(row, Unreadable):
            fault = fault or f" that can be read: {source.place} {number}: {row.reason}"
            continue
        first = row if first is None else first
        if len(seen) < 100:
            seen.update(dict.fromkeys(row))
        missing = {column for column in missing if value_of(row, column, _ABSENT) is _ABSENT}
        if not missing:
            return first
    if first is None:
        raise DataError(f"{source.path} has no rows{fault}")
    raise DataError(
        f"{source.path} has no column {', '.join(sorted(missing))}; name another with --map field=column. "
        f"Its columns: {', '.join(seen)}. The fields: {', '.join(FIELDS)}"
    )
