"""The schema of every table that a stage reads or writes."""

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from mondegreen.tables import Table

if TYPE_CHECKING:
    import pandera.pandas as pandera

RETENTION = "retention"
"""The split of speech that the recogniser gets right, to measure what training makes it forget."""

UNLABELLED = "unlabelled"
"""The split of cases that nobody has corrected: sound without a target."""

FAILURE, AUGMENTED, REPLAY = "failure", "augmented", "replay"
"""Where a row of the dataset comes from: a recogniser's mistake, a copy of one, or speech that it got right."""

_STRING, _TIME, _LABELS = pa.string(), pa.timestamp("us", tz="UTC"), pa.list_(pa.string())

_MEASURES = {
    "reference_words": pa.int32(),
    "substitutions": pa.int32(),
    "deletions": pa.int32(),
    "insertions": pa.int32(),
    "reference_characters": pa.int32(),
    "character_errors": pa.int32(),
    "wer": pa.float64(),
    "cer": pa.float64(),
}

MEASURES: tuple[str, ...] = (*_MEASURES, *(f"raw_{name}" for name in _MEASURES))
"""Columns of the alignment of `original_transcript` against the winning correction: normalised, then as they stand."""

_CASE = {
    "case_id": _STRING,
    "event_id": _STRING,
    "batch": _STRING,
    "recorded_at": _TIME,
    "audio_sha256": _STRING,
    "audio_bytes": pa.int64(),
    "audio_ext": _STRING,
    "source_path": _STRING,
    "sample_rate": pa.int32(),
    "frames": pa.int64(),
    "channels": pa.int16(),
    "pcm_sha256": _STRING,
    "audio_error": _STRING,
    "duration": pa.float64(),
    "original_transcript": _STRING,
    "corrected_transcript": _STRING,
    "correction_method": _STRING,
    "correction_author": _STRING,
    "corrected_at": _TIME,
    "correction_count": pa.int32(),
    "conflicting_corrections": pa.int32(),
    "error_types": _LABELS,
    "detected_error_types": _LABELS,
    "error_score": pa.float64(),
    "inference_time": pa.float64(),
    "model_confidence": pa.float64(),
    "model_version": _STRING,
    "language": _STRING,
    "speaker_id": _STRING,
    "recording_id": _STRING,
    "start": pa.float64(),
    "end": pa.float64(),
    "is_speech": pa.bool_(),
    "metadata": _STRING,
    "withdrawn": pa.bool_(),
} | {name: _MEASURES[name.removeprefix("raw_")] for name in MEASURES}

_CORRECTION = {
    "case_id": _STRING,
    "event_id": _STRING,
    "batch": _STRING,
    "recorded_at": _TIME,
    "corrected_transcript": _STRING,
    "method": _STRING,
    "author": _STRING,
    "is_speech": pa.bool_(),
    "metadata": _STRING,
    "undone": pa.bool_(),
    "won": pa.bool_(),
    "known_case": pa.bool_(),
}

_HEARING = {
    "case_id": _STRING,
    "event_id": _STRING,
    "batch": _STRING,
    "recorded_at": _TIME,
    "transcript": _STRING,
    "model_version": _STRING,
    "model_confidence": pa.float64(),
    "metadata": _STRING,
}

_INFERENCE = {
    "event_id": _STRING,
    "batch": _STRING,
    "recorded_at": _TIME,
    "inference_time": pa.float64(),
    "model_version": _STRING,
    "model_confidence": pa.float64(),
    "audio_seconds": pa.float64(),
    "failed": pa.bool_(),
    "metadata": _STRING,
}

_PERFORMANCE = {
    "event_id": _STRING,
    "batch": _STRING,
    "recorded_at": _TIME,
    "model_version": _STRING,
    "wer": pa.float64(),
    "cer": pa.float64(),
    "metrics": _STRING,
    "dataset_version": _STRING,
    "metadata": _STRING,
}

_SHARES = {"error_score", "model_confidence", "score"}
_COUNTS = {"correction_count", "conflicting_corrections", "duration", "inference_time", "wer", "cer", "audio_seconds"}


def _table(name: str, columns: dict[str, pa.DataType], required: set[str], unique: str) -> Table:
    """Build both schemas: `required` columns are never null, shares lie in 0..1, counts and times are not negative."""
    arrow = pa.schema([pa.field(column, kind, column not in required) for column, kind in columns.items()])
    return Table(name, arrow, partial(_rules, tuple(columns), required, unique))


def _rules(columns: Collection[str], required: set[str], unique: str) -> "pandera.DataFrameSchema":
    import pandera.pandas as pandera

    rules = {}
    for column in columns:
        checks = []
        if column in _SHARES:
            checks.append(pandera.Check.in_range(0, 1, name="between 0 and 1"))
        elif column in _COUNTS:
            checks.append(pandera.Check.ge(0, name="not negative"))
        nullable = column not in required
        rules[column] = pandera.Column(None, checks, nullable=nullable, unique=column == unique)
    return pandera.DataFrameSchema(rules, strict=True, ordered=True)


_CASE_REQUIRED = {
    "case_id",
    "event_id",
    "batch",
    "recorded_at",
    "original_transcript",
    "correction_count",
    "conflicting_corrections",
    "error_types",
    "detected_error_types",
    "withdrawn",
}

CASES = _table("cases", _CASE, _CASE_REQUIRED, "case_id")
"""One row per case: what was recorded, the winning correction, and how the two differ."""

CORRECTIONS = _table("corrections", _CORRECTION, set(_CORRECTION) - {"author", "is_speech", "metadata"}, "event_id")
"""One row per correction ever made, whether it won or not, whether its case is known or not."""

HEARINGS = _table("hearings", _HEARING, set(_HEARING) - {"model_confidence", "metadata"}, "event_id")
"""One row per time that another recogniser listened to a case: witnesses, of which nothing is ever trained on."""

INFERENCES = _table("inferences", _INFERENCE, {"event_id", "batch", "recorded_at", "failed"}, "event_id")
"""One row per run of the recogniser."""

PERFORMANCE = _table("performance", _PERFORMANCE, {"event_id", "batch", "recorded_at", "wer", "cer"}, "event_id")
"""One row per measurement of a model."""

_SPOKEN = _CASE_REQUIRED - {"original_transcript"} | {"corrected_transcript", "source"}

UTTERANCES = _table("utterances", _CASE | {"source": _STRING}, _SPOKEN, "case_id")
"""Speech with a known text that is no failure, as rows of cases: confirmed runs of the agent (`source` is agent), and
collections that were imported. Nobody listened to these: they have no `original_transcript`."""

VALID = _table("valid", _CASE, _CASE_REQUIRED | {"corrected_transcript", "correction_method"}, "case_id")
"""The candidates that passed every rule."""

REJECTED = _table("rejected", _CASE | {"reasons": _LABELS}, _CASE_REQUIRED | {"reasons"}, "case_id")
"""The candidates that did not, with every reason."""

SUSPECTS = _table(
    "suspects",
    {"case_id": _STRING, "score": pa.float64(), "reasons": _LABELS},
    {"case_id", "score", "reasons"},
    "case_id",
)
"""The valid cases, the one whose correction is most probably wrong first."""

LEFT_OUT = _table(
    "left_out",
    dict.fromkeys(("case_id", "reason", "split", "component"), _STRING),
    {"case_id", "reason"},
    "case_id",
)
"""The valid cases that are not in the dataset, each with the reason, and the split that it would be in, if any."""

_ASSIGNED = {"split": _STRING, "component": _STRING, "primary_error_type": _STRING, "origin": _STRING}

SPLITS = _table(
    "splits",
    _CASE | _ASSIGNED | {"parent_case_id": _STRING, "augmentation": _STRING},
    _CASE_REQUIRED - {"original_transcript"} | set(_ASSIGNED),
    "case_id",
)
"""The selected cases, each in one split, with its `origin`."""
