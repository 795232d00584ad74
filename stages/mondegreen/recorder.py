"""The recorder: what a running agent calls. Standard library only; no call uses Git, DVC or the network."""

import io
import logging
import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mondegreen import events, spool
from mondegreen.errors import RecordError, SpoolError

if TYPE_CHECKING:
    from mondegreen.companion import Companion

_log = logging.getLogger("mondegreen")
_recorders: "weakref.WeakSet[Recorder]" = weakref.WeakSet()


class Recorder:
    """Appends events to a spool. Any number of threads, processes and forks may record at once.

    When a call returns, its event survives `kill -9` and, with `durability="power"`, power loss.
    A call that raises has recorded nothing: `RecordError` for a value that can never be right,
    `SpoolError` where the spool cannot be written.

    >>> with Recorder("data/inbox") as recorder:  # doctest: +SKIP
    ...     case_id = recorder.failure("call.wav", original_transcript="kiss this guy")
    ...     recorder.correction(case_id, "kiss the sky")
    """

    def __init__(self, path: str | os.PathLike[str], *, durability: str = "power", upload: str | None = None) -> None:
        """Record into the spool at `path`, made when first needed.

        `durability="os"` leaves the moment of writing to the operating system: faster, safe against a crash of this
        process, not against power loss. `upload="gs://BUCKET/learning_data"` has a process of its own send what is in
        the spool there (see `mondegreen.companion`): no call waits for it, or fails because of it.
        """
        if durability not in ("power", "os"):
            raise RecordError("durability", durability, "'power' or 'os'")
        if upload is not None and (not isinstance(upload, str) or "://" not in upload):
            raise RecordError("upload", upload, "an address such as 'gs://BUCKET/learning_data', or None")
        self.path = Path(path)
        self.upload = upload
        self._companion: Companion | None = None
        self._sync = durability == "power"
        self._segment: spool.Segment | None = None
        self._lock = threading.Lock()
        _recorders.add(self)
        self._accompany()

    def __enter__(self) -> "Recorder":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Finish the segment, so that ingest can take it away; recording again begins a new one.

        What is not uploaded yet goes on being uploaded; `uploaded(timeout)` waits for it.
        """
        with self._lock:
            if self._segment is not None:
                self._segment.close()
                self._segment = None
            if self._companion is not None:
                self._companion.close()
                self._companion = None

    def uploaded(self, timeout: float = 0.0) -> bool:
        """Return whether the cloud has confirmed all that is in the spool now, waiting up to `timeout` seconds."""
        if self.upload is None:
            raise RecordError("upload", None, "an address: this recorder was made without one")
        from mondegreen.companion import uploaded

        return uploaded(self.path, self.upload, timeout)

    def failure(
        self,
        audio: str | os.PathLike[str] | bytes | None,
        *,
        original_transcript: str,
        error_types: Iterable[str] = (),
        error_score: float | None = None,
        inference_time: float | None = None,
        model_confidence: float | None = None,
        model_version: str | None = None,
        language: str | None = None,
        speaker_id: str | None = None,
        recording_id: str | None = None,
        start: float | None = None,
        end: float | None = None,
        is_speech: bool | None = None,
        metadata: Mapping[str, Any] | None = None,
        case_id: str | None = None,
    ) -> str:
        """Record a failed transcription and return its case id.

        `audio` is a path, the bytes of an audio file, or None; audio that cannot be read is logged and recorded as
        missing, with its path. `error_score` and `model_confidence` lie in 0..1, `inference_time`, `start` and `end`
        are seconds; `start` and `end` say where in the recording `recording_id` the clip lies.
        """
        event_id = events.new_id()
        source_path = None if audio is None or isinstance(audio, bytes) else _readable(audio)
        event = events.make_event(
            "failure",
            event_id=event_id,
            case_id=event_id if case_id is None else case_id,
            source_path=source_path,
            original_transcript=original_transcript,
            error_types=error_types,
            error_score=error_score,
            inference_time=inference_time,
            model_confidence=model_confidence,
            model_version=model_version,
            language=language,
            speaker_id=speaker_id,
            recording_id=recording_id,
            start=start,
            end=end,
            is_speech=is_speech,
            metadata=metadata,
        )
        if audio is not None:
            event["audio"] = self._stored(audio)
        self._append(event)
        return str(event["case_id"])

    def correction(
        self,
        case_id: str,
        corrected_transcript: str,
        *,
        method: str = "manual",
        author: str | None = None,
        is_speech: bool | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what was really said in a case; an empty text needs `is_speech=False`: silence, noise.

        `method` is manual, user_feedback, rule:NAME or model:NAME. Earlier corrections of the case stay in the log.
        """
        self.record(
            "correction",
            case_id=case_id,
            corrected_transcript=corrected_transcript,
            method=method,
            author=author,
            is_speech=is_speech,
            metadata=metadata,
        )

    def review(
        self,
        case_id: str,
        decision: str,
        *,
        undoes: str | None = None,
        author: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what a person decided about a case without correcting it: skip, unsure, bad_audio, or undo.

        `undo` takes back the event whose id is `undoes`, a correction or a review: it stays in the log.
        """
        self.record("review", case_id=case_id, decision=decision, undoes=undoes, author=author, metadata=metadata)

    def hearing(
        self,
        case_id: str,
        transcript: str,
        *,
        model_version: str,
        model_confidence: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what another recogniser made of a case's sound, '' where it heard nothing: a witness.

        It never becomes a correction, or text to train on.
        """
        self.record(
            "hearing",
            case_id=case_id,
            transcript=transcript,
            model_version=model_version,
            model_confidence=model_confidence,
            metadata=metadata,
        )

    def inference(
        self,
        *,
        failed: bool,
        inference_time: float | None = None,
        model_version: str | None = None,
        model_confidence: float | None = None,
        audio_seconds: float | None = None,
        audio: str | os.PathLike[str] | bytes | None = None,
        confirmed_transcript: str | None = None,
        language: str | None = None,
        speaker_id: str | None = None,
        recording_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Record that the recogniser ran, whether it failed, times in seconds, and return the event's id.

        With `audio` and the `confirmed_transcript` of a run that did not fail, it is speech that the recogniser gets
        right: what may be replayed in training (params.yaml, `replay`). Withdraw it by its speaker, or by the id.
        """
        event = events.make_event(
            "inference",
            inference_time=inference_time,
            failed=failed,
            model_version=model_version,
            model_confidence=model_confidence,
            audio_seconds=audio_seconds,
            source_path=None if audio is None or isinstance(audio, bytes) else _readable(audio),
            confirmed_transcript=confirmed_transcript,
            language=language,
            speaker_id=speaker_id,
            recording_id=recording_id,
            metadata=metadata,
        )
        if audio is not None:
            event["audio"] = self._stored(audio)
        self._append(event)
        return str(event["event_id"])

    def performance(
        self,
        *,
        wer: float,
        cer: float,
        model_version: str | None = None,
        dataset_version: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **metrics: float,
    ) -> None:
        """Record how well a model did: error rates as shares (0.12, not 12), and any further numbers by name."""
        self.record(
            "performance",
            wer=wer,
            cer=cer,
            model_version=model_version,
            dataset_version=dataset_version,
            metrics=metrics or None,
            metadata=metadata,
        )

    def model_version(
        self,
        model_version: str,
        *,
        model_name: str | None = None,
        parent: str | None = None,
        training_data_size: int | None = None,
        dataset_version: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that a model was made: from which parent, on how many cases of which dataset."""
        self.record(
            "model_version",
            model_version=model_version,
            model_name=model_name,
            parent=parent,
            training_data_size=training_data_size,
            dataset_version=dataset_version,
            metadata=metadata,
        )

    def learning_progress(
        self, stage: str, metrics: Mapping[str, float], *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Record numbers of a stage of training."""
        self.record("learning_progress", stage=stage, metrics=metrics, metadata=metadata)

    def withdrawal(self, *, reason: str, case_id: str | None = None, speaker_id: str | None = None) -> None:
        """Record that consent for a case, or for all cases of a speaker, was withdrawn: later datasets leave it out."""
        self.record("withdrawal", case_id=case_id, speaker_id=speaker_id, reason=reason)

    def record(self, kind: str, **fields: Any) -> events.Event:
        """Record an event of any kind (see `mondegreen.events.FIELDS`) without audio; return it."""
        event = events.make_event(kind, **fields)
        self._append(event)
        return event

    def extend(self, checked: Iterable[events.Event]) -> None:
        """Record many events from `make_event` with one write and one wait for the disk; their audio is stored before.

        When it returns, all of them are as durable as if each had been recorded by itself.
        """
        self._write(b"".join(map(events.encode, checked)))

    def store(self, audio: str | os.PathLike[str] | bytes) -> dict[str, Any]:
        """Store the audio of an event that is recorded next, and return its `audio` object.

        Raises `OSError` or `ValueError` where it cannot be read, `SpoolError` where the spool cannot be written.
        """
        with _open(audio) as source:
            return spool.store_audio(self.path, source, _ext(audio), sync=self._sync)

    def _append(self, event: events.Event) -> None:
        self._write(events.encode(event), (event.get("audio") or {"bytes": 0})["bytes"])

    def _write(self, lines: bytes, audio: int = 0) -> None:
        with self._lock, spool.spool_errors(self.path):
            segment = self._segment or self._begin()
            self._segment = None  # until the write has succeeded: a segment with a torn tail is never appended to
            try:
                segment.append(lines, sync=self._sync)
            except BaseException:
                segment.close()
                raise
            segment.audio += audio
            if segment.full:
                segment.close()
            else:
                self._segment = segment

    def _begin(self) -> spool.Segment:
        self._accompany()
        return spool.Segment(self.path)

    def _accompany(self) -> None:
        if self.upload is not None and self._companion is None:
            from mondegreen.companion import Companion  # an agent that uploads nothing does not load it

            self._companion = Companion(self.path, self.upload)

    def _stored(self, audio: str | os.PathLike[str] | bytes) -> dict[str, Any] | None:
        """Store `audio` in the spool; None, and a warning in the log, where it cannot be read."""
        try:
            return self.store(audio)
        except SpoolError:
            raise
        except (OSError, ValueError) as error:
            _log.warning("audio %s cannot be read (%s): the case is recorded without it", audio, error)
            return None

    def _forget_segment(self) -> None:
        """In a forked child: the segment is the parent's; closing our copy of it leaves the parent's lock alone."""
        self._lock = threading.Lock()
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        self._companion = None  # the parent's


def _open(audio: str | os.PathLike[str] | bytes) -> BinaryIO:
    return io.BytesIO(audio) if isinstance(audio, bytes) else Path(audio).open("rb", buffering=0)


def _ext(audio: str | os.PathLike[str] | bytes) -> str:
    if isinstance(audio, bytes):
        return sniff(audio[:12])
    ext = Path(os.fsdecode(audio)).suffix.lower()
    return ext if ext.isascii() and ext[1:].isalnum() and len(ext) <= 11 else ""


def sniff(head: bytes) -> str:
    """Return the extension that the first 12 bytes of an audio file call for; '' when they are not known."""
    kinds = ((b"RIFF", ".wav"), (b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"FORM", ".aiff"), (b"ID3", ".mp3"))
    return next((ext for magic, ext in kinds if head.startswith(magic)), "")


def _readable(path: str | os.PathLike[str]) -> str:
    """Return `path` as text that UTF-8 can hold."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _forget_segments() -> None:
    for recorder in list(_recorders):
        recorder._forget_segment()


os.register_at_fork(after_in_child=_forget_segments)
