"""Stage `collect`: the events of all batches become one row per case, with what the recogniser got wrong in it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import batches, cases, collecting, excerpts, executor, log, params, parts, performance, tables
from mondegreen.errors import DataError
from mondegreen.log import Log
from mondegreen.schemas import HEARINGS, INFERENCES, PERFORMANCE, UTTERANCES
from mondegreen.shelf import Shelf
from mondegreen.stage import run
from mondegreen.utterances import gather

RAW = Path("data/raw")
LISTS = ("timestamps", "values", "model_versions")


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


def unknown(events: Log, unheard: list[str]) -> list[str]:
    """Return a line for corrections and withdrawals that name no case: mistyped, or their case is still to come.

    `unheard` are the case_ids of such corrections.
    """
    withdrawn = events["withdrawal"][~cases.known_withdrawals(events)]
    withdrawals = withdrawn["case_id"].fillna(withdrawn["speaker_id"]).tolist()
    named = {"corrections": unheard, "withdrawals": withdrawals}
    return [f"{len(ids)} {kind} name no known case or speaker, such as {ids[0]}" for kind, ids in named.items() if ids]


def metrics(made: list[dict[str, bytes]], events: Log, used: int, normaliser: str) -> dict[str, Any]:
    """Return metrics/collect.json: how many cases, what kinds of errors, and the corpus WER and CER by language."""
    counts = collecting.total([json.loads(part["counts"]) for part in made])
    decisions = cases.standing(events["review"])["decision"]
    return {
        **collecting.rates(counts),
        "batches": used,
        "reviews": {name: int((decisions == name).sum()) for name in ("skip", "unsure", "bad_audio")},
        "corrections_of_unknown_cases": json.loads(made[-1]["counts"])["corrections"],
        "withdrawals_of_unknown": int((~cases.known_withdrawals(events)).sum()),
        "normaliser": normaliser,
    }


def main() -> None:
    """Read the batches, write the tables."""
    settings, shelf, files = params.load(params.Collect), Shelf(), batches.event_files(RAW)
    batches.check_unchanged(RAW, shelf.hashed)
    read = log.tables(files, shelf=shelf, columns=excerpts.LARGE, kinds=excerpts.LARGE)
    read |= log.tables(files, shelf=shelf, kinds=[kind for kind in log.KINDS if kind not in excerpts.LARGE])
    if not len(read["failure"]):
        raise DataError(
            "data/raw holds no case: record some (see README.md), run 'mondegreen ingest', then 'dvc repro'"
        )
    audio = batches.audio_index(RAW)
    cut = excerpts.cut(read, audio)
    made = collecting.collected(cut, files, settings.normaliser, shelf=shelf, engine=executor.engine())
    shelf.sweep()
    parts.put("data/cases.parquet", [part["cases"] for part in made[:-1]])
    parts.put("data/corrections.parquet", [part["corrections"] for part in made])
    events = {kind: log.pandas(table) for kind, table in read.items() if kind != "correction"}
    tables.write(gather(events, audio, settings.normaliser), "data/utterances.parquet", UTTERANCES)
    tables.write(events["hearing"].sort_values("event_id"), "data/hearings.parquet", HEARINGS)
    tables.write(events["inference"].sort_values("event_id"), "data/inferences.parquet", INFERENCES)
    tables.write(events["performance"].sort_values("event_id"), "data/performance.parquet", PERFORMANCE)
    tables.write_json(performance_metrics(events["performance"]), "data/metrics/performance.json")
    of_nobody = pq.read_table(pa.BufferReader(made[-1]["corrections"]), columns=["case_id"])["case_id"].to_pylist()
    for warning in unknown(events, of_nobody):
        print(f"warning: {warning}")
    used = len({name for excerpt in cut[:-1] for name in excerpt.events["failure"]["batch"].unique().to_pylist()})
    tables.write_json(metrics(made, events, used, settings.normaliser), "data/metrics/collect.json")


if __name__ == "__main__":
    run(main)
