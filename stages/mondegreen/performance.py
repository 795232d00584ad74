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

_LOWER = re.compile(r"wer|cer|mer|wil|(^|_)(error|loss|perplexity|latency|time|seconds|rtf|hallucination|empty)(_|$)")
_HIGHER = re.compile(r"(^|_)(accuracy|precision|recall|f1|correction|score|confidence|wip|bleu|speed|throughput)(_|$)")

GROUP = ("test_set", "normaliser")


def better(metric: str) -> str:
    """Return which way is better for `metric`: 'lower' for error rates and times, 'higher' for rates of success.

    A name that says neither is 'unknown': then a change is shown, and not called an improvement.
    """
    name = metric.lower()
    return LOWER if _LOWER.search(name) else HIGHER if _HIGHER.search(name) else UNKNOWN


def flatten(performance: pd.DataFrame) -> pd.DataFrame:
    """Return one row per measurement, oldest first: what, when, on which test set, and a column per metric."""
    rows = performance.sort_values(["recorded_at", "event_id"], ignore_index=True)
    metrics = pd.DataFrame([_loads(text) for text in rows["metrics"]], index=rows.index)
    metadata = pd.DataFrame([_loads(text) for text in rows["metadata"]], index=rows.index)
    named = {name: metadata.get(name, pd.Series(index=rows.index, dtype=object)) for name in GROUP}
    kept = rows[["event_id", "recorded_at", "model_version", "dataset_version", "wer", "cer"]]
    texts = {
        name: column.astype(object).map(lambda value: "unknown" if pd.isna(value) else str(value))
        for name, column in named.items()
    }
    return kept.assign(**texts).join(metrics[[name for name in metrics if name not in kept]])


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
    times, timed = runs["inference_time"], runs[runs["audio_seconds"] > 0]
    return {
        "count": len(runs),
        "failed": int(runs["failed"].sum()),
        "error_rate": float(runs["failed"].mean()),
        "mean_inference_time": times.mean(),
        "median_inference_time": times.median(),
        "p95_inference_time": times.quantile(0.95),
        "max_inference_time": times.max(),
        "mean_confidence": runs["model_confidence"].mean() if runs["model_confidence"].notna().any() else None,
        "real_time_factor": timed["inference_time"].sum() / timed["audio_seconds"].sum() if len(timed) else None,
    }


def records(flat: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table of measurements as JSON takes them: times as text, nothing as None."""
    times = flat["recorded_at"].map(lambda moment: None if pd.isna(moment) else moment.isoformat())
    timed = flat.assign(recorded_at=times)
    rows = timed.astype(object).where(timed.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
