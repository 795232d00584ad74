"""What the report shows of many cases at once: error types, corrections over time, durations, confidence."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

MAX_PERIODS = 60
"""Bars of a plot over time: days while there are no more of them than this, else weeks, months, quarters, years."""

_UNITS = {"D": "day", "W": "week", "M": "month", "Q": "quarter", "Y": "year"}
_MAX_BINS = 20
_CONFIDENCE_BINS = 10


def labels(cases: pd.DataFrame) -> tuple[Ints, Ints, list[str]]:
    """Return each case with each of its labels once, the agent's own and the detected: their places, and the names."""
    both = [pa.array(cases[name], pa.list_(pa.string())) for name in ("error_types", "detected_error_types")]
    columns = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in both]
    rows = np.concatenate([pc.list_parent_indices(column).to_numpy() for column in columns]).astype(np.int64)
    found = pa.concat_arrays([column.flatten() for column in columns]).dictionary_encode()
    names = found.dictionary.to_pylist()
    pairs = pd.unique(rows * len(names) + found.indices.to_numpy())
    return pairs // max(1, len(names)), pairs % max(1, len(names)), names


def error_types(cases: pd.DataFrame, valid: pd.DataFrame) -> list[dict[str, Any]]:
    """Return per error type how many cases have it: corrected ones, uncorrected ones, and those that passed every rule.

    A case counts under each of its types, those that the agent gave it and those that the alignment found.
    """
    rows, codes, names = labels(cases)
    done = cases["corrected_transcript"].notna().to_numpy()[rows]
    counts = pd.DataFrame(
        {
            "corrected": _counted(codes[done], names),
            "uncorrected": _counted(codes[~done], names),
            "valid": _counted(*labels(valid)[1:]),
        }
    )
    table = counts.fillna(0).astype(int).rename_axis("error_type").reset_index()
    table = table.assign(total=table["corrected"] + table["uncorrected"])
    ordered = table.sort_values(["total", "error_type"], ascending=[False, True]).drop(columns="total")
    return [{str(name): value for name, value in row.items()} for row in ordered.to_dict("records")]


def _counted(codes: Ints, names: list[str]) -> "pd.Series[int]":
    """Return how often each name is meant."""
    return pd.Series(np.bincount(codes, minlength=len(names)), index=pd.Index(names, dtype="str"))


def over_time(cases: pd.DataFrame) -> dict[str, Any]:
    """Return per period in which cases were recorded how many there are and how many of them are corrected by now.

    `unit` is the shortest with at most `MAX_PERIODS` periods; periods without a case are in between, with a rate of
    None. `earlier` counts the cases before the last `MAX_PERIODS` years, should a clock have been that wrong.
    """
    if cases.empty:
        return {"unit": "day", "periods": [], "earlier": 0}
    moments = cases["recorded_at"].dt.tz_localize(None)
    unit = next(
        (unit for unit in _UNITS if _span(moments.min(), moments.max(), unit) <= MAX_PERIODS),
        "Y",
    )
    periods = moments.dt.to_period(unit)
    recorded = cases["corrected_transcript"].notna().groupby(periods).agg(["size", "sum"])
    start = max(periods.min(), periods.max() - (MAX_PERIODS - 1))
    every = recorded.reindex(pd.period_range(start, periods.max(), freq=unit), fill_value=0)
    rows = [
        {
            "start": str(period.start_time.date()),
            "cases": int(total),
            "corrected": int(done),
            "correction_rate": done / total if total else None,
        }
        for period, total, done in every.itertuples()
    ]
    earlier = int((periods < start).sum())
    return {"unit": _UNITS[unit], "periods": rows, "earlier": earlier}


def _span(first: pd.Timestamp, last: pd.Timestamp, unit: str) -> int:
    return int((last.to_period(unit) - first.to_period(unit)).n) + 1


def durations(cases: pd.DataFrame) -> dict[str, Any]:
    """Return a histogram of the cases' lengths in seconds: `bins` of equal width from 0, and the whole in hours."""
    known = cases["duration"].dropna()
    if known.empty:
        return {"bins": [], "hours": 0.0, "unknown": len(cases)}
    width = _nice(known.max() / _MAX_BINS)
    number = (known // width).astype(int)
    counts = number.value_counts().reindex(range(int(number.max()) + 1), fill_value=0)
    bins = [{"low": at * width, "high": (at + 1) * width, "cases": int(count)} for at, count in enumerate(counts)]
    whole = {"hours": known.sum() / 3600, "median": known.median(), "max": known.max()}
    return {"bins": bins, "unknown": len(cases) - len(known), **whole}


def _nice(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, … times a power of ten that is at least `least`, and at least 0.1."""
    power = 10.0 ** math.floor(math.log10(max(least, 0.1)))
    return round(next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9)), 6)


def calibration(runs: pd.DataFrame, valid: pd.DataFrame, *, confident: float, wrong: float) -> dict[str, Any]:
    """Return how much the recogniser's confidence is worth.

    `bins`: tenths of the confidence, with how many fell in and which share of them was `right`. The `basis` is every
    run of the recogniser where successes were recorded beside failures; else the valid cases, and then the share is
    that of words (1 - corpus WER, at least 0): among failures alone no run was right. `gap` is the expected
    calibration error: the mean distance of confidence and share over the bins, weighted by their counts (Guo et al.
    2017, "On Calibration of Modern Neural Networks").
    `confident_and_wrong` counts valid cases with confidence >= `confident` and errors per word said >= `wrong`.
    """
    known = runs[runs["model_confidence"].notna()]
    scored = valid[valid["model_confidence"].notna()]
    errors = scored[["substitutions", "deletions", "insertions"]].sum(axis=1).astype("float64")
    words = scored["reference_words"].astype("float64")
    basis = "runs" if (~known["failed"]).any() else "cases" if len(scored) else None
    if basis == "runs":
        bins = _bins(known["model_confidence"], 1.0 - known["failed"].astype("float64"), pd.Series(1.0, known.index))
    else:
        bins = _bins(scored["model_confidence"], words - errors, words)
    sure = scored["model_confidence"] >= confident
    total = sum(each["count"] for each in bins)
    gaps = sum(each["count"] * abs(each["right"] - each["mean_confidence"]) for each in bins)
    return {
        "basis": basis,
        "bins": bins,
        "gap": gaps / total if total else None,
        "scored_cases": len(scored),
        "confident": confident,
        "wrong": wrong,
        "confident_cases": int(sure.sum()),
        "confident_and_wrong": int((sure & (errors / words.clip(lower=1) >= wrong)).sum()),
        "confident_runs": int((known["model_confidence"] >= confident).sum()),
        "confident_failed_runs": int((known["failed"] & (known["model_confidence"] >= confident)).sum()),
    }


def _bins(confidence: pd.Series, right: pd.Series, whole: pd.Series) -> list[dict[str, Any]]:
    number = np.minimum((confidence * _CONFIDENCE_BINS).astype(int), _CONFIDENCE_BINS - 1)
    frame = pd.DataFrame({"confidence": confidence, "right": right, "whole": whole, "count": 1})
    sums = frame.groupby(number).sum()
    return [
        {
            "low": at / _CONFIDENCE_BINS,
            "high": (at + 1) / _CONFIDENCE_BINS,
            "count": int(row["count"]),
            "mean_confidence": row["confidence"] / row["count"],
            "right": max(0.0, row["right"] / row["whole"]) if row["whole"] else 0.0,
        }
        for at, row in zip(sums.index.tolist(), sums.to_dict("records"), strict=True)
    ]
