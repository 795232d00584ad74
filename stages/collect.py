"""Stage `collect`: the events of all batches become one row per case, with what the recogniser got wrong in it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mondegreen import batches, cases, executor, log, params, parts, performance, tables, utterances
from mondegreen.errors import DataError
from mondegreen.measured import measured
from mondegreen.precision import precision
from mondegreen.schemas import CASES, CORRECTIONS, HEARINGS, INFERENCES, MEASURES, PERFORMANCE, UTTERANCES
from mondegreen.shelf import Shelf
from mondegreen.stage import run

RAW = Path("data/raw")
LISTS = ("timestamps", "values", "model_versions")


def with_figures(found: pd.DataFrame, ranked: pd.DataFrame, normaliser: str, shelf: Shelf) -> pd.DataFrame:
    """Return the cases with their error types and, where they are corrected, the alignment's figures."""
    won = ranked[ranked["won"]].set_index("case_id")["batch"]
    figures = measured(found, found["case_id"].map(won), normaliser, shelf=shelf, engine=executor.engine())
    columns = figures.reindex(found.index)
    types = columns["detected_error_types"].map(lambda value: [] if value is None or value is np.nan else value)
    return found.assign(**{name: columns[name] for name in MEASURES}, detected_error_types=types)


def corpus(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the error rates of `rows` as one corpus: all errors over all words or characters that were really said.

    Clips in which nobody speaks have no words to divide by; what was heard in them is a rate of its own.
    """
    spoken = rows[rows["reference_words"] > 0]
    silent = rows[rows["reference_words"] == 0]
    sums = spoken[list(MEASURES)].sum()
    rates: dict[str, Any] = {"cases": len(rows)}
    for prefix in ("", "raw_"):
        errors = sums[[f"{prefix}substitutions", f"{prefix}deletions", f"{prefix}insertions"]].sum()
        rates[f"{prefix}wer"] = errors / max(1, sums[f"{prefix}reference_words"])
        rates[f"{prefix}cer"] = sums[f"{prefix}character_errors"] / max(1, sums[f"{prefix}reference_characters"])
    heard = (silent["original_transcript"].str.strip() != "").sum()
    return rates | {"silent_cases": len(silent), "silence_hallucination_rate": heard / max(1, len(silent))}


def metrics(events: log.Log, found: pd.DataFrame, ranked: pd.DataFrame, normaliser: str) -> dict[str, Any]:
    """Return metrics/collect.json: how many cases, what kinds of errors, and the corpus WER and CER by language."""
    counted = found["corrected_transcript"].notna() & ~found["withdrawn"]
    corrected = found.loc[counted, ["original_transcript", "language", "detected_error_types", *MEASURES]]
    languages = corrected["language"].fillna("unknown")
    types = corrected.pop("detected_error_types").explode().dropna().value_counts()
    decisions = cases.standing(events["review"])["decision"]
    return {
        "batches": int(found["batch"].nunique()),
        "cases": len(found),
        "corrected_cases": len(corrected),
        "withdrawn_cases": int(found["withdrawn"].sum()),
        "correction_rate": len(corrected) / max(1, int((~found["withdrawn"]).sum())),
        "corrections": len(ranked),
        "undone_corrections": int(ranked["undone"].sum()),
        "reviews": {name: int((decisions == name).sum()) for name in ("skip", "unsure", "bad_audio")},
        "corrections_of_unknown_cases": int((~ranked["known_case"]).sum()),
        "withdrawals_of_unknown": int((~cases.known_withdrawals(events)).sum()),
        "disputed_cases": int((found["conflicting_corrections"] > 0).sum()),
        "error_types": {str(name): int(count) for name, count in types.items()},
        "correctors": precision(found, ranked, normaliser),
        "normaliser": normaliser,
        "errors": {"all": corpus(corrected)}
        | {str(language): corpus(rows) for language, rows in corrected.groupby(languages)},
    }


def unknown(events: log.Log, ranked: pd.DataFrame) -> list[str]:
    """Return a line for corrections and withdrawals that name no case: mistyped, or their case is still to come."""
    corrected = ranked.loc[~ranked["known_case"], "case_id"].tolist()
    withdrawn = events["withdrawal"][~cases.known_withdrawals(events)]
    withdrawals = withdrawn["case_id"].fillna(withdrawn["speaker_id"]).tolist()
    named = {"corrections": corrected, "withdrawals": withdrawals}
    return [f"{len(ids)} {kind} name no known case or speaker, such as {ids[0]}" for kind, ids in named.items() if ids]


def performance_metrics(measured: pd.DataFrame) -> dict[str, Any]:
    """Return metrics/performance.json: the trend of WER and CER, and every model's latest figures."""
    flat = performance.flatten(measured)
    trends = {name: performance.trend(flat, name) for name in ("wer", "cer")}
    models = performance.compare(flat)
    return {
        "measurements": len(flat),
        "trends": {name: {key: trend[key] for key in trend if key not in LISTS} for name, trend in trends.items()},
        "models": {
            f"{row.model_version}, {row.test_set}, {row.normaliser}": {"wer": row.wer, "cer": row.cer}
            for row in models.itertuples()
        },
    }


def main() -> None:
    """Read the batches, write the tables."""
    settings = params.load(params.Collect)
    batches.check_unchanged(RAW)
    shelf = Shelf()
    events = log.read(batches.event_files(RAW), shelf=shelf)
    if events["failure"].empty:
        raise DataError(
            "data/raw holds no case: record some (see README.md), run 'mondegreen ingest', then 'dvc repro'"
        )
    ranked = cases.rank(events)
    folded = cases.fold(events, ranked, batches.audio_index(RAW))
    found = with_figures(folded, ranked, settings.normaliser, shelf)
    at, _ = tables.place(found["event_id"], events["failure"]["event_id"])
    count = -(-len(events["failure"]) // parts.SIZE)
    parts.write_rows(found, at // parts.SIZE, count, "data/cases.parquet", CASES, shelf=shelf)
    shelf.sweep()
    spoken = utterances.gather(events, batches.audio_index(RAW), settings.normaliser)
    tables.write(spoken, "data/utterances.parquet", UTTERANCES)
    tables.write(ranked, "data/corrections.parquet", CORRECTIONS)
    tables.write(events["hearing"].sort_values("event_id"), "data/hearings.parquet", HEARINGS)
    tables.write(events["inference"].sort_values("event_id"), "data/inferences.parquet", INFERENCES)
    tables.write(events["performance"].sort_values("event_id"), "data/performance.parquet", PERFORMANCE)
    tables.write_json(performance_metrics(events["performance"]), "data/metrics/performance.json")
    for warning in unknown(events, ranked):
        print(f"warning: {warning}")
    tables.write_json(metrics(events, found, ranked, settings.normaliser), "data/metrics/collect.json")


if __name__ == "__main__":
    run(main)
