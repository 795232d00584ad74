"""The events of the log: their kinds, fields and text form. Standard library only.

An event is one JSON object on one line: `{"schema": 1, "event": KIND, "event_id": …, "recorded_at": …, …}`.
Fields that are not known are left out. What can never be right raises `RecordError`.
"""

import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from numbers import Real
from typing import Any, BinaryIO

from mondegreen.errors import RecordError

SCHEMA = 1

TEXT_CHARACTERS, ITEMS, LINE_BYTES = 1_000_000, 1000, 32 * 1024 * 1024
"""At most: characters of a text, items of a list, bytes of a line. No event of the first two exceeds the third."""

Event = dict[str, Any]
Check = Callable[[str, Any], Any]

_METHOD = re.compile(r"manual|user_feedback|(rule|model):[\w.\-/]+")
_EXT = re.compile(r"(\.[a-z0-9]{1,10})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RecordError(field, value, "a string")
    if len(value) > TEXT_CHARACTERS:
        raise RecordError(field, value[:80], f"a string of at most {TEXT_CHARACTERS:,} characters, not {len(value):,}")
    return _encodable(value)


def _encodable(text: str) -> str:
    """Return `text` with lone surrogates, which UTF-8 cannot hold, replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _identifier(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 512 or _CONTROL.search(value):
        raise RecordError(field, value, "a string of 1 to 512 characters without control characters")
    return _encodable(value)


def _matching(pattern: re.Pattern[str], expected: str) -> Check:
    def check(field: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise RecordError(field, value, expected)
        return value

    return check


def _number(low: float = 0.0, high: float = math.inf, unit: str = "") -> Check:
    expected = f"a number from {low:g} to {high:g}" if high < math.inf else f"a finite number of at least {low:g}"

    def check(field: str, value: Any) -> float:
        if type(value) is not float and (isinstance(value, bool) or not isinstance(value, Real)):
            raise RecordError(field, value, expected + unit)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not (low <= number <= high and math.isfinite(number)):
            raise RecordError(field, value, expected + unit)
        return number

    return check


def _count(field: str, value: Any) -> int:
    number = _number()(field, value)
    if number != int(number):
        raise RecordError(field, value, "a whole number of at least 0")
    return int(number)


def _flag(field: str, value: Any) -> bool:
    if value is True or value is False or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise RecordError(field, value, "True or False")


def _labels(field: str, value: Any) -> list[str]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise RecordError(field, value, "a list of strings, such as ['all_caps']")
    labels = [_identifier(field, label) for label in islice(value, ITEMS + 1)]
    if len(labels) > ITEMS:
        raise RecordError(field, labels[:3], f"at most {ITEMS:,} strings")
    return labels


def _metrics(field: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise RecordError(field, value, "numbers by name, such as {'loss': 0.3}")
    if len(value) > ITEMS:
        raise RecordError(field, sorted(value)[:3], f"at most {ITEMS:,} numbers")
    check = _number(low=-math.inf)
    return {_identifier(field, name): check(f"{field}.{name}", number) for name, number in value.items()}


def _metadata(field: str, value: Any) -> dict[str, Any]:
    """Whatever JSON can hold is kept; the rest is kept as text, since metadata must never cost the event."""
    if not isinstance(value, Mapping):
        raise RecordError(field, value, "a dictionary")
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
        if len(text) > TEXT_CHARACTERS:
            return {"too_long": ascii(text[:1000])}
        return dict(json.loads(_encodable(text), parse_constant=str))
    except (ValueError, TypeError, RecursionError):
        return {"unserialisable": ascii(value)[:1000]}


def _audio(field: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise RecordError(field, value, "an object with sha256, bytes and ext")
    return {
        "sha256": _matching(_SHA256, "64 hexadecimal digits")(f"{field}.sha256", value.get("sha256")),
        "bytes": _count(f"{field}.bytes", value.get("bytes")),
        "ext": _matching(_EXT, "an extension such as '.wav'")(f"{field}.ext", value.get("ext", "")),
    }


_share = _number(0.0, 1.0)
_seconds = _number(unit=" (seconds)")
_method = _matching(_METHOD, "'manual', 'user_feedback', 'rule:NAME' or 'model:NAME'")
_hash = _matching(_SHA256, "64 hexadecimal digits")
_decision = _matching(re.compile("skip|unsure|bad_audio|undo"), "'skip', 'unsure', 'bad_audio' or 'undo'")

FIELDS: dict[str, dict[str, Check]] = {
    "failure": {
        "case_id": _identifier,
        "audio": _audio,
        "source_path": _text,
        "original_transcript": _text,
        "error_types": _labels,
        "error_score": _share,
        "inference_time": _seconds,
        "model_confidence": _share,
        "model_version": _identifier,
        "language": _identifier,
        "speaker_id": _identifier,
        "recording_id": _identifier,
        "start": _seconds,
        "end": _seconds,
        "is_speech": _flag,
        "metadata": _metadata,
    },
    "correction": {
        "case_id": _identifier,
        "corrected_transcript": _text,
        "method": _method,
        "author": _identifier,
        "is_speech": _flag,
        "metadata": _metadata,
    },
    "review": {
        "case_id": _identifier,
        "decision": _decision,
        "undoes": _identifier,
        "author": _identifier,
        "metadata": _metadata,
    },
    "hearing": {
        "case_id": _identifier,
        "transcript": _text,
        "model_version": _identifier,
        "model_confidence": _share,
        "metadata": _metadata,
    },
    "inference": {
        "inference_time": _seconds,
        "model_version": _identifier,
        "model_confidence": _share,
        "audio_seconds": _seconds,
        "failed": _flag,
        "audio": _audio,
        "source_path": _text,
        "confirmed_transcript": _text,
        "language": _identifier,
        "speaker_id": _identifier,
        "recording_id": _identifier,
        "metadata": _metadata,
    },
    "utterance": {
        "audio": _audio,
        "source_path": _text,
        "transcript": _text,
        "source": _identifier,
        "language": _identifier,
        "speaker_id": _identifier,
        "recording_id": _identifier,
        "metadata": _metadata,
    },
    "performance": {
        "model_version": _identifier,
        "wer": _number(),
        "cer": _number(),
        "metrics": _metrics,
        "dataset_version": _identifier,
        "metadata": _metadata,
    },
    "model_version": {
        "model_version": _identifier,
        "model_name": _identifier,
        "parent": _identifier,
        "training_data_size": _count,
        "dataset_version": _identifier,
        "metadata": _metadata,
    },
    "learning_progress": {"stage": _identifier, "metrics": _metrics, "metadata": _metadata},
    "withdrawal": {"case_id": _identifier, "speaker_id": _identifier, "reason": _text},
    "erasure": {"asked": _hash, "line": _hash},
}
"""Every kind of event, with the check of each field it may have.

A `hearing` is what another recogniser made of a case's sound: a witness, never a correction. An `erasure` stands in the
place of an event that was erased, with its id and time: `asked` and `line` are the SHA-256 of the id that was asked for
and of the line that stood there.
"""

MEASURED_ON = ("test_set", "normaliser")
"""In a performance event's metadata: only figures that agree in both are ever compared."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "failure": ("case_id", "original_transcript"),
    "correction": ("case_id", "corrected_transcript", "method"),
    "review": ("case_id", "decision"),
    "hearing": ("case_id", "transcript", "model_version"),
    "inference": ("failed",),
    "utterance": ("transcript", "source"),
    "performance": ("wer", "cer"),
    "model_version": ("model_version",),
    "learning_progress": ("stage", "metrics"),
    "withdrawal": ("reason",),
    "erasure": ("asked", "line"),
}
"""The fields without which an event of a kind means nothing."""


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False).encode
_COMMON = {"schema", "event", "event_id", "recorded_at"}
_KNOWN = {kind: _COMMON | fields.keys() for kind, fields in FIELDS.items()}


def make_event(kind: str, *, event_id: str | None = None, recorded_at: str | None = None, **fields: Any) -> Event:
    """Return a checked event of `kind`; `event_id` and `recorded_at` are new ones unless given.

    Raises `RecordError` for a field that is unknown, missing or can never be right.
    """
    return check_event(
        {
            "schema": SCHEMA,
            "event": kind,
            "event_id": new_id() if event_id is None else event_id,
            "recorded_at": now() if recorded_at is None else recorded_at,
            **fields,
        }
    )


def check_event(event: Mapping[str, Any]) -> Event:
    """Return `event` in its canonical form: its fields checked, in the order of `FIELDS`, unknown values left out.

    Raises `RecordError` where the event can never be right, or was written by a newer schema.
    """
    kind = event.get("event")
    if event.get("schema") != SCHEMA:
        raise RecordError("schema", event.get("schema"), f"{SCHEMA}; a newer number needs a newer Mondegreen")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise RecordError("event", kind, f"one of {', '.join(FIELDS)}")
    if not event.keys() <= _KNOWN[kind]:
        unknown = event.keys() - _KNOWN[kind]
        raise RecordError(min(unknown), event[min(unknown)], f"a field of {kind}: {', '.join(FIELDS[kind])}")
    checked: Event = {
        "schema": SCHEMA,
        "event": kind,
        "event_id": _identifier("event_id", event.get("event_id")),
        "recorded_at": _timestamp("recorded_at", event.get("recorded_at")),
    }
    for field, check in FIELDS[kind].items():
        if (value := event.get(field)) is not None:
            checked[field] = check(field, value)
    for field in REQUIRED[kind]:
        if field not in checked:
            raise RecordError(field, None, f"a value: a {kind} event means nothing without it")
    if kind == "correction" and not checked["corrected_transcript"].strip() and checked.get("is_speech") is not False:
        raise RecordError(
            "corrected_transcript", event.get("corrected_transcript"), "a text, or is_speech=False with it"
        )
    if kind == "review" and ("undoes" in checked) != (checked["decision"] == "undo"):
        raise RecordError("undoes", event.get("undoes"), "the event_id that an 'undo', and nothing else, takes back")
    if kind == "inference" and checked["failed"] and "confirmed_transcript" in checked:
        raise RecordError("failed", True, "False where the transcript was confirmed; else record a failure")
    if kind == "performance":
        _check_performance(checked)
    if kind == "failure":
        checked.setdefault("audio", None)
    if kind == "withdrawal" and ("case_id" in checked) == ("speaker_id" in checked):
        raise RecordError("case_id", event.get("case_id"), "either case_id or speaker_id, not both")
    return checked


def _check_performance(event: Event) -> None:
    """Raise `RecordError` where a further metric bears a name of the event's own, or what was measured is no text."""
    own = (*FIELDS["performance"], *_COMMON, *MEASURED_ON)
    for name in event.get("metrics", {}):
        if name in own:
            raise RecordError(f"metrics.{name}", event["metrics"][name], f"another name: {', '.join(own)} are taken")
    for name in MEASURED_ON:
        if (value := event.get("metadata", {}).get(name)) is not None:
            _identifier(f"metadata.{name}", value)


def encode(event: Event) -> bytes:
    """Return the line of `event`, newline included, in UTF-8."""
    return _encode(event).encode() + b"\n"


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of `file` with their newlines; of one that is longer than `LINE_BYTES` the beginning, cut.

    So memory stays bounded whatever a file holds; what was cut is no event for `decode`, its newline is kept.
    """
    while line := file.readline(LINE_BYTES + 1):
        rest = line
        while len(rest) > LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(LINE_BYTES + 1)
        yield line if rest is line else line + rest[-1:] if rest.endswith(b"\n") else line


def decode(line: bytes) -> Event:
    """Return the checked event of one line; raises `RecordError` when it is none."""
    if len(line) > LINE_BYTES:
        raise RecordError("line", line[:60], f"at most {LINE_BYTES:,} bytes")
    try:
        event = _decode(line.decode(json.detect_encoding(line), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise RecordError("line", line[:60], f"one JSON object in UTF-8 ({error})") from error
    if not isinstance(event, dict):
        raise RecordError("line", line[:60], "one JSON object")
    return check_event(event)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def now() -> str:
    """Return the time: RFC 3339, UTC, microseconds."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC with microseconds; a naive time is taken as UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _timestamp(field: str, value: Any) -> str:
    try:
        moment = datetime.fromisoformat(value)
        return value if _CANONICAL.fullmatch(value) else timestamp(moment)
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(field, value, "a time such as '2026-01-31T12:00:00.000000Z'") from error


_ids = threading.Lock()
_last_tick = 0


def new_id() -> str:
    """Return a UUID version 7 (RFC 9562, method 3): later ids of one process sort after earlier ones.

    The clock may jump back; the ids of a process still grow. Its 62 random bits keep those of two processes apart.
    """
    global _last_tick
    with _ids:
        _last_tick = max(time.time_ns() * 4096 // 1_000_000, _last_tick + 1)
        tick = _last_tick
    random = int.from_bytes(os.urandom(8), "big") >> 2
    value = tick >> 12 << 80 | 7 << 76 | (tick & 0xFFF) << 64 | 2 << 62 | random
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _reset_after_fork() -> None:
    global _ids
    _ids = threading.Lock()


os.register_at_fork(after_in_child=_reset_after_fork)
