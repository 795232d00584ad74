"""Import: the rows of a file become failures and corrections in a spool, the same ones whenever it is imported.

Event ids, and case ids where the file has none, are hashes of what the rows say: ingest drops what it has seen, so an
import may be stopped and run again. A row that can never be right is set aside with its reason, the others go on.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from mondegreen import columns, events
from mondegreen.errors import DataError, RecordError, SpoolError
from mondegreen.events import Event
from mondegreen.recorder import Recorder
from mondegreen.sources import Row, Source, Unreadable

_CHUNK = 2000
_AUDIO_WEIGHT = 20
"""A chunk is 2,000 rows of text or 100 with audio: one wait for the disk, one step of the progress bar."""
_WRITERS = 8
"""Threads that store audio: they mostly wait for the disk."""
_REMEMBERED = 100_000
"""Audio paths whose content is remembered: many rows may name one recording."""
_SHOWN = 10
_UNSET = "import"
_CORRECTED = ("corrected_transcript", "method", "author", "is_speech")
_NOT_SAID = {"schema", "event", "event_id", "recorded_at", "case_id"}
_CORRECTION = {"corrected_transcript": "corrected_transcript", "correction_method": "method", "author": "author"}

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class Rejection:
    """A row that can never be right: where it stands and why."""

    line: int
    reason: str


@dataclass
class Imported:
    """What an import did."""

    rows: int = 0
    cases: int = 0
    corrections: int = 0
    without_audio: int = 0
    """Cases recorded without audio, for whatever reason."""
    unreadable_audio: int = 0
    """Those of them whose row names audio that cannot be read."""
    rejected: int = 0
    rejected_file: Path | None = None
    rejections: list[Rejection] = field(default_factory=list)
    """The first few."""
    unreadable: list[str] = field(default_factory=list)
    """The first few audio files that cannot be read, and why."""
    columns_left: tuple[str, ...] = ()


def import_rows(
    source: Source,
    spool: Path,
    *,
    mapped: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    audio_root: Path | None = None,
    advance: Callable[[int], Any] = lambda by: None,
) -> Imported:
    """Record the rows of `source` in `spool`; when it returns, all of them are durable.

    `mapped` names columns by field, `defaults` the text for a field that a row does not give (`mondegreen.columns`).
    Audio paths are relative to `audio_root`, and may not leave it. `advance(by)` is told how much of `source.total`
    is done. Rows that can never be right go to `<source>.rejected.jsonl`. Raises `DataError` and `SpoolError`.
    """
    if "audio" in source.embedded and "audio" not in (mapped or {}):
        raise DataError(
            f"{source.path}: the column 'audio' holds bytes, which are not read. Write its audio to "
            "files and give their paths (--map audio=COLUMN), or import without audio (--map audio=)"
        )
    chosen = columns.choose(source, mapped or {}, defaults or {})
    builder = _Builder(audio_root)
    builder.check_defaults(chosen.defaults)
    result = Imported(columns_left=(*chosen.left, *source.embedded))
    with Recorder(spool) as recorder, Rejects(source.path, result) as rejects, ThreadPoolExecutor(_WRITERS) as pool:
        clips, done = _Clips(recorder, pool, result), 0
        for cases in _chunks(_good(source.rows(), chosen, builder, rejects)):
            clips.attach(cases)
            recorder.extend(event for case in cases for event in _identified(case))
            _count(result, cases)
            advance(source.position - done)
            done = source.position
    result.rows = result.cases + result.rejected
    return result


@dataclass
class _Case:
    """A row that can be right: its checked events, still without their ids and audio."""

    failure: Event
    correction: Event | None
    audio: str | None
    """Where its audio lies."""
    named: bool
    """The row says itself what its case is called."""
    dated: bool
    """The row says itself when it was recorded."""


class _Builder:
    """Makes events of fields. Those of one import get the same instant, but for a microsecond per row.

    So the later row wins where two rows name one case, and a correction is never older than its failure.
    """

    def __init__(self, audio_root: Path | None) -> None:
        self._start = datetime.now(UTC)
        if audio_root is not None and not audio_root.is_dir():
            raise DataError(f"{audio_root} is not a folder: give the one that the paths of audio are relative to")
        self._root = None if audio_root is None else os.path.normpath(audio_root.absolute())

    def check_defaults(self, defaults: Mapping[str, Any]) -> None:
        """Raise `DataError` for a default that no row could have."""
        try:
            self.case({"original_transcript": "", "corrected_transcript": "-", **defaults}, 0)
        except RecordError as error:
            raise DataError(f"--default {error}") from error

    def case(self, fields: dict[str, Any], number: int) -> _Case:
        """Return the case of the row `number`; raises `RecordError` where it can never be right."""
        instant = events.timestamp(self._start + timedelta(microseconds=number))
        correction = {name: fields.pop(field, None) for field, name in _CORRECTION.items()}
        recorded_at, audio = fields.pop("recorded_at", None), fields.pop("audio", None)
        if audio is not None:
            fields["source_path"] = audio
        named = "case_id" in fields
        fields = {"case_id": _UNSET, "error_types": (), **fields}
        failure = events.make_event("failure", event_id=_UNSET, recorded_at=recorded_at or instant, **fields)
        path = None if audio is None else self._inside(audio)
        if correction["corrected_transcript"] is None:
            return _Case(failure, None, path, named, recorded_at is not None)
        corrected = events.make_event(
            "correction",
            event_id=_UNSET,
            recorded_at=max(instant, failure["recorded_at"]),
            case_id=_UNSET,
            is_speech=failure.get("is_speech"),
            **correction | {"method": correction["method"] or "manual"},
        )
        return _Case(failure, corrected, path, named, recorded_at is not None)

    def _inside(self, audio: str) -> str:
        if self._root is None:
            return audio
        path = os.path.normpath(os.path.join(self._root, audio))  # noqa: PTH118  (Path keeps the dots)
        if os.path.commonpath([path, self._root]) != self._root:
            raise RecordError("audio", audio, f"a path that stays inside {self._root}")
        return path


def _good(
    rows: Iterable[tuple[int, Row | Unreadable]], chosen: columns.Columns, builder: _Builder, rejects: "Rejects"
) -> Iterator[_Case]:
    """Yield the cases of the rows that can be right; the others are set aside."""
    for number, row in rows:
        if isinstance(row, Unreadable):
            rejects.add(number, row.reason, row.text)
            continue
        try:
            yield builder.case(chosen.fields(row), number)
        except RecordError as error:
            rejects.add(number, str(error), row)


def _chunks(cases: Iterable[_Case]) -> Iterator[list[_Case]]:
    """Cut `cases` into what is written at once."""
    chunk: list[_Case] = []
    weight = 0
    for case in cases:
        chunk.append(case)
        weight += 1 if case.audio is None else _AUDIO_WEIGHT
        if weight >= _CHUNK:
            yield chunk
            chunk, weight = [], 0
    if chunk:
        yield chunk


def _identified(case: _Case) -> Iterator[Event]:
    """Yield the events of `case` with the ids that derive from what they say.

    The case is named by its failure alone, so that it may be imported again once it is corrected; but where nothing
    tells two utterances of the same words apart (no audio, no place in a recording), also by its correction.
    """
    failure, correction = case.failure, case.correction
    told = {name: value for name, value in failure.items() if name not in _NOT_SAID}
    if failure["audio"] is not None:
        told |= {"audio": failure["audio"]["sha256"], "source_path": None}
    if case.dated:
        told["recorded_at"] = failure["recorded_at"]
    words = _canonical(told)
    if not case.named:
        alike = case.audio is None and not ("recording_id" in failure and "start" in failure)
        text = correction["corrected_transcript"] if alike and correction is not None else None
        failure["case_id"] = _hash("case", words, _canonical(text))
    failure["event_id"] = _hash("failure", words, failure["case_id"])
    yield failure
    if correction is not None:
        correction["case_id"] = failure["case_id"]
        correction["event_id"] = _hash(
            "correction", _canonical([*map(correction.get, _CORRECTED)]), failure["event_id"]
        )
        yield correction


def _hash(*words: str) -> str:
    return f"import-{hashlib.sha256(chr(10).join(words).encode()).hexdigest()[:32]}"


def _count(result: Imported, cases: list[_Case]) -> None:
    result.cases += len(cases)
    result.corrections += sum(case.correction is not None for case in cases)
    result.without_audio += sum(case.failure["audio"] is None for case in cases)
    result.unreadable_audio += sum(case.failure["audio"] is None and case.audio is not None for case in cases)


class _Clips:
    """Stores the audio of cases, each path once."""

    def __init__(self, recorder: Recorder, pool: ThreadPoolExecutor, result: Imported) -> None:
        self._recorder = recorder
        self._pool = pool
        self._result = result
        self._known: dict[str, dict[str, Any] | None] = {}

    def attach(self, cases: list[_Case]) -> None:
        """Store the audio of `cases` and name it in their failures; null where it cannot be read."""
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        new = list({case.audio: None for case in cases if case.audio is not None and case.audio not in self._known})
        for path, stored in zip(new, self._pool.map(self._store, new), strict=True):
            self._known[path] = stored if isinstance(stored, dict) else None
            if isinstance(stored, str) and len(self._result.unreadable) < _SHOWN:
                self._result.unreadable.append(f"{path}: {stored}")
        for case in cases:
            if case.audio is not None:
                case.failure["audio"] = self._known[case.audio]

    def _store(self, path: str) -> dict[str, Any] | str:
        """Return the event's `audio` object, or why the file cannot be read."""
        try:
            if Path(path).exists() and not Path(path).is_file():
                return "not a file"
            return self._recorder.store(path)
        except SpoolError:
            raise
        except (OSError, ValueError) as error:
            return str(getattr(error, "strerror", None) or error)


class Rejects:
    """The file of rejected rows, one JSON object each: `{"line", "reason", "row"}`; none when there are none.

    It lies beside the imported file, or in the current folder where that one cannot be written to.
    """

    def __init__(self, path: Path, result: Imported) -> None:
        """Count in `result` what is set aside of `path`."""
        self._result = result
        self._name = f"{path.name}.rejected.jsonl"
        self._folder = path.parent if os.access(path.parent, os.W_OK) else Path()
        self._file: TextIO | None = None

    def __enter__(self) -> "Rejects":
        """Take away the file of an earlier import."""
        (self._folder / self._name).unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def add(self, line: int, reason: str, row: Row | str) -> None:
        """Set `row` aside; raises `DataError` where it cannot be written."""
        result = self._result
        result.rejected += 1
        if len(result.rejections) < _SHOWN:
            result.rejections.append(Rejection(line, reason))
        try:
            if self._file is None:
                result.rejected_file = self._folder / self._name
                self._file = result.rejected_file.open("w", encoding="utf-8", errors="backslashreplace")
            record = {"line": line, "reason": reason, "row": row}
            self._file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
        except OSError as error:
            raise DataError(f"cannot write {result.rejected_file}: {error.strerror}; make room for it") from error
