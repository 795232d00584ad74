"""How models did over time: trends that never mix what cannot be compared. Pure functions of the performance table.

A figure belongs to a test set and a normaliser; the recorder keeps both in the event's metadata, as `test_set` and
`normaliser`. What an event does not say is a group of its own, named "unknown".
"""

import re
from datetime import datetime
from typing import Any

import orjson
import pandas as pd

LOWER, HIGHER, UNKNOWN = "lower", "higher", "unknown"

_HIGHER = {
    "accuracy",
    "bleu",
    "confidence",
    "correction",
    "f1",
    "precision",
    "recall",
    "score",
    "speed",
    "success",
    "wip",
}
_LOWER = {"cer", "deletions", "empty", "error", "errors", "hallucination", "insertions", "latency", "loss", "mer"}
_LOWER |= {"perplexity", "rtf", "seconds", "substitutions", "time", "wer", "wil"}
"""Words of a metric's name that say which way is better."""

GROUP = ("test_set", "normaliser")


def better(metric: str) -> str:
    """Return which way is better for `metric`: 'lower' for error rates and times, 'higher' for rates of success.

    Whole words of the name decide, those of success first: an error_correction_rate is better when higher. A name
    that says neither is 'unknown': then a change is shown, and not called an improvement.
    """
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    return HIGHER if words & _HIGHER else LOWER if words & _LOWER else UNKNOWN


def flatten(performance: pd.DataFrame) -> pd.DataFrame:
    """Return one row per measurement, oldest first: what, when, on which test set, and a column per metric.

    A test set that has no name is "unknown", or goes by the version of its dataset.
    """
    rows = performance.sort_values(["recorded_at", "event_id"], ignore_index=True)
    kept = rows[["event_id", "recorded_at", "model_version", "dataset_version", "wer", "cer"]]
    metadata = [_loads(text) for text in rows["metadata"]]
    texts = {name: [_text(found.get(name)) for found in metadata] for name in GROUP}
    versions = [
        f"unnamed, dataset {version}" if isinstance(version, str) else "" for version in rows["dataset_version"]
    ]
    texts["test_set"] = [name or version for name, version in zip(texts["test_set"], versions, strict=True)]
    named = {name: pd.Series([text or "unknown" for text in found], rows.index, "str") for name, found in texts.items()}
    table = kept.assign(**named)
    metrics = pd.DataFrame([_loads(text) for text in rows["metrics"]], index=rows.index)
    return table.join(metrics[[name for name in metrics if name not in table]])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _loads(text: Any) -> dict[str, Any]:
    return dict(orjson.loads(text)) if isinstance(text, str) else {}


def trend(flat: pd.DataFrame, metric: str, *, since: datetime | None = None) -> dict[str, Any]:
    """Return how `metric` went, oldest first, on one test set under one normaliser: those of its latest measurement.

    `improvement` is the first value against the latest, positive when things got better, None where `better` does not
    know; `improvement_percent` is its share of the first value. `std` is the sample's (n - 1), 0 for one value.
    `left_out` counts measurements on other test sets or under other normalisers. Nothing measured: `count` is 0.
    """
    direction = better(metric)
    empty: dict[str, Any] = {"metric": metric, "better": direction, "count": 0, "timestamps": [], "values": []}
    if metric not in flat:
        return empty
    measured = flat[flat[metric].notna()]
    if since is not None:
        measured = measured[measured["recorded_at"] >= pd.Timestamp(since)]
    if measured.empty:
        return empty
    latest = measured.iloc[-1]
    same = measured[(measured[list(GROUP)] == latest[list(GROUP)]).all(axis=1)]
    values = same[metric].astype("float64")
    return empty | {
        "count": len(values),
        "test_set": latest["test_set"],
        "normaliser": latest["normaliser"],
        "left_out": len(measured) - len(same),
        "first": values.iloc[0],
        "latest": values.iloc[-1],
        "mean": values.mean(),
        "std": values.std() if len(values) > 1 else 0.0,
        "min": values.min(),
        "max": values.max(),
        **_improvement(values.iloc[0], values.iloc[-1], direction),
        "timestamps": [moment.isoformat() for moment in same["recorded_at"]],
        "model_versions": [None if pd.isna(name) else str(name) for name in same["model_version"]],
        "values": values.tolist(),
    }


def _improvement(first: float, latest: float, direction: str) -> dict[str, float | None]:
    if direction == UNKNOWN:
        return {"improvement": None, "improvement_percent": None}
    gain = first - latest if direction == LOWER else latest - first
    return {"improvement": gain, "improvement_percent": 100 * gain / abs(first) if first else None}


def compare(flat: pd.DataFrame) -> pd.DataFrame:
    """Return the latest figures of every model per test set and normaliser; within these, best WER first."""
    if flat.empty:
        return flat
    latest = flat.drop_duplicates(["model_version", *GROUP], keep="last")
    return latest.sort_values([*GROUP, "wer", "event_id"], ignore_index=True)


def inference_statistics(runs: pd.DataFrame) -> dict[str, Any]:
    """Return how often the recogniser ran and failed, and how fast: seconds; `real_time_factor` is time over length."""
    if runs.empty:
        return {"count": 0}
    times, timed = runs["inference_time"].dropna(), runs[(runs["audio_seconds"] > 0) & runs["inference_time"].notna()]
    return {
        "count": len(runs),
        "failed": int(runs["failed"].sum()),
        "error_rate": float(runs["failed"].mean()),
        "mean_inference_time": times.mean() if len(times) else None,
        "median_inference_time": times.median() if len(times) else None,
        "p95_inference_time": times.quantile(0.95) if len(times) else None,
        "max_inference_time": times.max() if len(times) else None,
        "mean_confidence": runs["model_confidence"].mean() if runs["model_confidence"].notna().any() else None,
        "real_time_factor": timed["inference_time"].sum() / timed["audio_seconds"].sum() if len(timed) else None,
    }


def records(flat: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table of measurements as JSON takes them: times as text, nothing as None."""
    times = flat["recorded_at"].map(lambda moment: None if pd.isna(moment) else moment.isoformat())
    timed = flat.assign(recorded_at=times)
    rows = timed.astype(object).where(timed.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
