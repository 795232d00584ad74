"""The report: what the tables and metrics say about cases, quality, dataset and models, and what to do next.

`gather` reads; everything below it is a function of tables and metrics. Withdrawn cases are counted, never shown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mondegreen import params, performance, tables
from mondegreen.distributions import calibration, durations, error_types, over_time
from mondegreen.recommendations import recommend
from mondegreen.schemas import CASES, FAILURE, INFERENCES, PERFORMANCE, SPLITS, UNLABELLED, VALID
from mondegreen.terminal import plain
from mondegreen.worst import SHOWN as WORST
from mondegreen.worst import worst_cases

_BRACKETS = str.maketrans("<>", "‹›")

_TYPES = ("case_id", "corrected_transcript", "error_types", "detected_error_types")
_OF_CASES = (*_TYPES, "recorded_at", "corrected_at", "conflicting_corrections", "error_score", "withdrawn")
_OF_VALID = (
    *_TYPES,
    *WORST,
    "duration",
    "model_confidence",
    "reference_words",
    "substitutions",
    "deletions",
    "insertions",
)
_OF_SPLITS = ("case_id", "split", "origin", "speaker_id")

METRICS = ("collect", "quality", "gate", "split", "dataset")
FIGURES = ("wer", "wer_low", "wer_high", "cer", "cer_low", "cer_high")


def gather(root: Path) -> dict[str, Any]:
    """Return the report on the repository at `root`, as its last `dvc repro` left it; plain values, floats rounded.

    Raises `DataError` where a table or a metrics file is missing.
    """
    data, settings = root / "data", params.load(params.Report, root / "params.yaml")
    metrics = {name: tables.read_json(data / f"metrics/{name}.json") for name in METRICS}
    found = report(
        cases=tables.read(data / "cases.parquet", CASES, columns=_OF_CASES, lists=False),
        valid=tables.read(data / "valid.parquet", VALID, columns=_OF_VALID, lists=False),
        splits=tables.read(data / "splits.parquet", SPLITS, columns=_OF_SPLITS),
        inferences=tables.read(data / "inferences.parquet", INFERENCES),
        measured=tables.read(data / "performance.parquet", PERFORMANCE),
        metrics=metrics,
        settings=settings,
    )
    export = params.load(params.Export, root / "params.yaml")
    found["dataset"] |= {"name": export.name, "licence": export.licence}
    return dict(tables.rounded(found))


def report(
    *,
    cases: pd.DataFrame,
    valid: pd.DataFrame,
    splits: pd.DataFrame,
    inferences: pd.DataFrame,
    measured: pd.DataFrame,
    metrics: Mapping[str, dict[str, Any]],
    settings: params.Report,
) -> dict[str, Any]:
    """Return the report on these tables; `metrics` are the stages' metrics files by name."""
    kept = cases[~cases["withdrawn"]]
    types = error_types(kept, valid)
    flat = performance.flatten(measured)
    names = [str(name) for name in flat.columns if pd.api.types.is_float_dtype(flat[name])]
    trends = {name: performance.trend(flat, name) for name in names}
    facts: dict[str, Any] = {
        "system_statistics": {
            "data_management": data_management(cases, types, metrics["collect"]),
            "performance_trends": {name: trends[name] for name in ("wer", "cer")},
            "learning_summary": learning_summary(flat),
            "inference_stats": performance.inference_statistics(inferences),
            "version_control": {},
            "available_datasets": 1,
        },
        "performance_trends": trends,
        "models": models(flat),
        "measurements": measurements(flat),
        "correctors": metrics["collect"]["correctors"],
        "data_quality_assessment": quality_assessment(metrics["quality"], metrics["gate"]),
        "dataset": dataset(splits, metrics),
        "error_types": types,
        "correction_rate": over_time(kept),
        "durations": durations(valid),
        "calibration": calibration(inferences, valid, confident=settings.confident, wrong=settings.wrong),
        "worst_cases": worst_cases(valid, splits, settings.worst_cases, metrics["collect"]["normaliser"]),
    }
    labelled = splits[(splits["split"] != UNLABELLED) & (splits["origin"] == FAILURE)]
    return facts | {"recommendations": recommend(facts, kept, labelled, settings)}


def data_management(cases: pd.DataFrame, types: list[dict[str, Any]], collect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of cases and corrections, withdrawn cases in `withdrawn_cases` alone.

    `types` are the `distributions.error_types` of those that are not withdrawn.
    """
    kept = cases[~cases["withdrawn"]]
    corrected = int(kept["corrected_transcript"].notna().sum())
    return {
        "total_failed_cases": len(kept),
        "corrected_cases": corrected,
        "uncorrected_cases": len(kept) - corrected,
        "correction_rate": corrected / len(kept) if len(kept) else 0.0,
        "withdrawn_cases": len(cases) - len(kept),
        "total_corrections": collect["corrections"],
        "corrections_of_unknown_cases": collect["corrections_of_unknown_cases"],
        "disputed_cases": collect["disputed_cases"],
        "error_type_distribution": {row["error_type"]: row["corrected"] + row["uncorrected"] for row in types},
        "average_error_score": kept["error_score"].mean() if kept["error_score"].notna().any() else None,
        "last_updated": _moment(cases[["recorded_at", "corrected_at"]].max().max()),
    }


def learning_summary(flat: pd.DataFrame) -> dict[str, Any]:
    """Return which models were measured: how many, and the one measured last."""
    named = flat["model_version"].dropna()
    return {"model_versions": int(named.nunique()), "latest_model_version": named.iloc[-1] if len(named) else None}


def models(flat: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the latest figures of every model per test set and normaliser, best WER first within one."""
    return performance.records(performance.compare(flat))


def measurements(flat: pd.DataFrame) -> list[dict[str, Any]]:
    """Return every measurement with its figures and, where it has them, their intervals; oldest first."""
    columns = ["recorded_at", "model_version", *performance.GROUP, *FIGURES]
    return performance.records(flat.reindex(columns=columns))


def quality_assessment(quality: Mapping[str, Any], gate: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measures against their thresholds, and why candidates were rejected."""
    names = ("passed", "quality_metrics", "counts", "issues", "warnings", "rejected_by_reason")
    return {name: quality[name] for name in names} | {"thresholds": gate["thresholds"], "misses_by": gate["misses_by"]}


def dataset(splits: pd.DataFrame, metrics: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what is in the dataset, what was left out, and the recogniser's error rates on all corrected cases."""
    names = ("passed", "rows", "hours", "speakers", "recordings", "languages", "bytes", "uniqueness", "wer")
    audit, split, collect = metrics["dataset"], metrics["split"], metrics["collect"]
    return {name: audit[name] for name in names} | {
        "cases": int(((splits["split"] != UNLABELLED) & (splits["origin"] == FAILURE)).sum()),
        "error_types": audit["error_types"],
        "ratios": split["ratios"],
        "left_out": {reason: found["cases"] for reason, found in split["left_out"].items()},
        "normaliser": collect["normaliser"],
        "errors": collect["errors"]["all"],
    }


def plots(found: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the tables behind `dvc plots`, by name.

    Names in them lose their angle brackets: `dvc plots show` (3.67) writes them into a script, unescaped.
    """
    bins = found["calibration"]["bins"]
    frames = {
        "performance": pd.DataFrame(
            [{"measurement": number} | row for number, row in enumerate(found["measurements"], 1)],
            columns=["measurement", "recorded_at", "model_version", *performance.GROUP, *FIGURES],
        ),
        "error_types": pd.DataFrame(found["error_types"], columns=["error_type", "corrected", "uncorrected", "valid"]),
        "correction_rate": pd.DataFrame(
            found["correction_rate"]["periods"], columns=["start", "cases", "corrected", "correction_rate"]
        ),
        "calibration": pd.DataFrame(bins, columns=["low", "high", "count", "mean_confidence", "right"]),
    }
    return {name: frame.map(_harmless) for name, frame in frames.items()}


def _harmless(value: Any) -> Any:
    return plain(value).translate(_BRACKETS) if isinstance(value, str) else value


def _moment(moment: Any) -> str | None:
    return None if pd.isna(moment) else pd.Timestamp(moment).isoformat()
