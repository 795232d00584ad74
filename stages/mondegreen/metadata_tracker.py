"""`MetadataTracker`: how models do and how learning goes, from Python. A thin layer over the recorder and the log."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from mondegreen import live, performance
from mondegreen.recorder import Recorder
from mondegreen.tables import rounded, write_json


class MetadataTracker:
    """Records performance, models, learning and inferences in a spool, and reads them back from all of the log.

    Nothing is held in memory: two trackers, in one process or in many, never overwrite each other.
    """

    def __init__(self, local_storage_dir: str | os.PathLike[str] = "data/inbox") -> None:
        """Use the spool `local_storage_dir`, which agents and trainers may share."""
        self.path = Path(local_storage_dir)
        self.recorder = Recorder(self.path)

    def record_performance(
        self,
        wer: float,
        cer: float,
        model_version: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        dataset_version: str | None = None,
        test_set: str | None = None,
        normaliser: str | None = None,
        **metrics: float,
    ) -> None:
        """Record error rates as shares, and any further numbers by name.

        `test_set` and `normaliser` say what was measured: only figures that agree in both are ever compared.
        """
        measured = {"test_set": test_set, "normaliser": normaliser}
        known = {name: value for name, value in measured.items() if value is not None}
        self.recorder.performance(
            wer=wer,
            cer=cer,
            model_version=model_version,
            dataset_version=dataset_version,
            metadata={**(metadata or {}), **known},
            **metrics,
        )

    def record_model_version(
        self,
        model_version: str,
        model_name: str | None = None,
        parent: str | None = None,
        training_data_size: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        dataset_version: str | None = None,
    ) -> None:
        """Record that a model was made."""
        self.recorder.model_version(
            model_version,
            model_name=model_name,
            parent=parent,
            training_data_size=training_data_size,
            dataset_version=dataset_version,
            metadata=metadata,
        )

    def record_learning_progress(
        self, stage: str, metrics: Mapping[str, float], metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Record numbers of a stage of training."""
        self.recorder.learning_progress(stage, metrics, metadata=metadata)

    def record_inference_stats(
        self,
        inference_time: float | None = None,
        failed: bool = False,
        model_version: str | None = None,
        model_confidence: float | None = None,
        audio_seconds: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record one run of the recogniser: times in seconds."""
        self.recorder.inference(
            inference_time=inference_time,
            failed=failed,
            model_version=model_version,
            model_confidence=model_confidence,
            audio_seconds=audio_seconds,
            metadata=metadata,
        )

    def get_performance_trend(self, metric: str = "wer", time_window_days: float | None = None) -> dict[str, Any]:
        """Return how `metric` went (see `mondegreen.performance.trend`); an empty result has `count: 0`."""
        since = None if time_window_days is None else datetime.now(UTC) - timedelta(days=time_window_days)
        return dict(rounded(performance.trend(self.export_performance_to_dataframe(), metric, since=since)))

    def get_learning_summary(self) -> dict[str, Any]:
        """Return the latest numbers of every stage of training, and how many models are known."""
        progress, models = self.export_learning_to_dataframe(), self.export_models_to_dataframe()
        latest = progress.drop_duplicates("stage", keep="last")
        return {
            "count": len(progress),
            "stages": dict(zip(latest["stage"], latest["metrics"], strict=True)),
            "model_versions": len(models.drop_duplicates("model_version")),
            "latest_model_version": models["model_version"].iloc[-1] if len(models) else None,
        }

    def get_inference_statistics(self, hours: float | None = None) -> dict[str, Any]:
        """Return how often the recogniser ran and failed, and how fast it was; `hours` limits it to the last ones.

        Times are seconds; `error_rate` is failed / count; `real_time_factor` is time over length of audio.
        """
        runs = live.read(self.path)["inference"]
        if hours is not None:
            runs = runs[runs["recorded_at"] >= pd.Timestamp(datetime.now(UTC) - timedelta(hours=hours))]
        return dict(rounded(performance.inference_statistics(runs)))

    def get_model_comparison(self) -> pd.DataFrame:
        """Return the latest figures of every model, per test set and normaliser, best WER first within one."""
        return performance.compare(self.export_performance_to_dataframe())

    def export_performance_to_dataframe(self) -> pd.DataFrame:
        """Return one row per measurement, oldest first, a column per metric."""
        return performance.flatten(live.read(self.path)["performance"])

    def export_models_to_dataframe(self) -> pd.DataFrame:
        """Return one row per recorded model, oldest first."""
        return _oldest_first(live.read(self.path)["model_version"])

    def export_learning_to_dataframe(self) -> pd.DataFrame:
        """Return one row per report of learning, oldest first; `metrics` are dictionaries."""
        return _oldest_first(live.read(self.path)["learning_progress"])

    def export_inferences_to_dataframe(self) -> pd.DataFrame:
        """Return one row per run of the recogniser, oldest first."""
        return _oldest_first(live.read(self.path)["inference"])

    def generate_performance_report(self, output_path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Return trends, models, learning and inferences in one dictionary; written as JSON to `output_path` too."""
        flat = self.export_performance_to_dataframe()
        names = [name for name in flat.columns if pd.api.types.is_float_dtype(flat[name])]
        report = {
            "performance_trends": {name: performance.trend(flat, name) for name in names},
            "models": performance.records(performance.compare(flat)),
            "learning_summary": self.get_learning_summary(),
            "inference_stats": self.get_inference_statistics(),
        }
        plain: dict[str, Any] = rounded(report)
        if output_path is not None:
            write_json(plain, output_path)
        return plain


def _oldest_first(events: pd.DataFrame) -> pd.DataFrame:
    rows = events.sort_values(["recorded_at", "event_id"], ignore_index=True)
    dictionaries = {
        name: rows[name].map(lambda text: orjson.loads(text) if isinstance(text, str) else {})
        for name in ("metrics", "metadata")
        if name in rows
    }
    return rows.assign(**dictionaries)
