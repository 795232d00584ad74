"""`DataManager`: failed cases and their corrections, from Python. A thin layer over the recorder and the log."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from mondegreen import live, spool, tally
from mondegreen.recorder import Recorder


@dataclass(frozen=True)
class FailedCase:
    """A failed transcription as it stands now; `corrected_transcript` is None until somebody corrects it."""

    case_id: str
    audio_path: str | None
    """The audio in the spool while it waits there, else the path that it was recorded from."""
    original_transcript: str
    corrected_transcript: str | None
    error_types: list[str]
    error_score: float | None
    timestamp: datetime
    correction_method: str | None
    inference_time: float | None
    model_confidence: float | None
    model_version: str | None
    language: str | None
    speaker_id: str | None
    recording_id: str | None
    metadata: dict[str, Any]


class DataManager:
    """Stores failed cases in a spool, and reads them back from there and from the batches of the repository around it.

    A case is visible to every reader, in any process, as soon as it is recorded: nothing is held in memory.
    """

    def __init__(self, local_storage_dir: str | os.PathLike[str] = "data/inbox", *, upload: str | None = None) -> None:
        """Use the spool `local_storage_dir`; it is made when first needed. `upload` is the recorder's."""
        self.path = Path(local_storage_dir)
        self.recorder = Recorder(self.path, upload=upload)

    def store_failed_case(
        self,
        audio_path: str | os.PathLike[str] | bytes | None,
        original_transcript: str,
        corrected_transcript: str | None = None,
        error_types: Iterable[str] = (),
        error_score: float | None = None,
        inference_time: float | None = None,
        model_confidence: float | None = None,
        additional_metadata: Mapping[str, Any] | None = None,
        *,
        correction_method: str = "manual",
        **facts: Any,
    ) -> str:
        """Record a case, and its correction if it is known; return its id. `facts` are `Recorder.failure`'s."""
        case_id = self.recorder.failure(
            audio_path,
            original_transcript=original_transcript,
            error_types=error_types,
            error_score=error_score,
            inference_time=inference_time,
            model_confidence=model_confidence,
            metadata=additional_metadata,
            **facts,
        )
        if corrected_transcript is not None:
            silent = {"is_speech": facts["is_speech"]} if "is_speech" in facts else {}
            self.recorder.correction(case_id, corrected_transcript, method=correction_method, **silent)
        return case_id

    def store_correction(
        self,
        case_id: str,
        corrected_transcript: str,
        correction_method: str = "manual",
        metadata: Mapping[str, Any] | None = None,
        *,
        author: str | None = None,
        is_speech: bool | None = None,
    ) -> None:
        """Record a correction; earlier ones stay in the log. A case that is not known (yet) is no error."""
        self.recorder.correction(
            case_id,
            corrected_transcript,
            method=correction_method,
            author=author,
            is_speech=is_speech,
            metadata=metadata,
        )

    def get_failed_case(self, case_id: str) -> FailedCase | None:
        """Return the case, or None."""
        cases = self._cases()
        return next(iter(self._objects(cases[cases["case_id"] == case_id])), None)

    def get_failed_cases_by_error_type(self, error_type: str) -> list[FailedCase]:
        """Return the cases that the agent gave this error type."""
        cases = self._cases()
        return self._objects(cases[cases["error_types"].map(lambda labels: error_type in labels).astype(bool)])

    def get_corrected_cases(self) -> list[FailedCase]:
        """Return the cases that are corrected and not withdrawn."""
        cases = self._cases()
        return self._objects(cases[cases["corrected_transcript"].notna()])

    def get_uncorrected_cases(self) -> list[FailedCase]:
        """Return the cases that wait for a correction."""
        cases = self._cases()
        return self._objects(cases[cases["corrected_transcript"].isna()])

    def export_to_dataframe(self) -> pd.DataFrame:
        """Return one row per case that is not withdrawn, with its winning correction."""
        return self._cases()

    def export_corrections_to_dataframe(self) -> pd.DataFrame:
        """Return one row per correction ever made; `won` marks the one that counts."""
        return live.read_cases(self.path)[1].drop(columns="tier")

    def get_statistics(self) -> dict[str, Any]:
        """Return the counts of cases and corrections, as of now.

        Withdrawn cases are not counted. `correction_rate` is a share in 0..1, `average_error_score` None if no case
        has a score, `last_updated` the time of the newest event.
        """
        return tally.tally(live.tables(self.path, tally.COLUMNS))

    def _cases(self) -> pd.DataFrame:
        cases, _ = live.read_cases(self.path)
        return cases[~cases["withdrawn"]].reset_index(drop=True)

    def _objects(self, cases: pd.DataFrame) -> list[FailedCase]:
        rows = cases.astype(object).where(cases.notna(), None).to_dict("records")
        return [self._object({str(name): value for name, value in row.items()}) for row in rows]

    def _object(self, row: dict[str, Any]) -> FailedCase:
        path = row["source_path"]
        if row["audio_sha256"]:
            stored = spool.audio_path(self.path, {"sha256": row["audio_sha256"], "ext": row["audio_ext"]})
            path = str(stored) if stored.exists() else path
        names = FailedCase.__dataclass_fields__.keys() & row.keys()
        return FailedCase(
            **{name: row[name] for name in names - {"metadata", "error_types"}},
            audio_path=path,
            timestamp=row["recorded_at"].to_pydatetime(),
            error_types=list(row["error_types"] if row["error_types"] is not None else []),
            metadata=orjson.loads(row["metadata"]) if row["metadata"] else {},
        )
