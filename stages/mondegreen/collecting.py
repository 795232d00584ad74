"""Collecting: one part of the log becomes one part of the tables of cases and corrections, and the counts of it."""

import json
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mondegreen import cases, excerpts, log, measured, tables
from mondegreen.excerpts import Excerpt
from mondegreen.executor import spread
from mondegreen.precision import judge, precision
from mondegreen.schemas import CASES, CORRECTIONS, MEASURES
from mondegreen.shelf import Shelf, encode, key_of

Work = tuple[dict[str, pa.Table], pa.Table, pa.Table | None]
"""The events that concern a part, its rows of the packs' index, and what was measured of it before, if anything."""

Counts = dict[str, Any]
"""Numbers by name, nested: those of two parts add up."""

COLLECTED = ("cases", "corrections", "counts")
"""What `collect` makes of a part."""

FIGURES = "figures"
"""What it measured, to be kept for the next time."""

_PACKAGES = ("numpy", "pandas", "pyarrow", "orjson", "rapidfuzz", "num2words")


def collected(
    excerpted: Sequence[Excerpt], files: Sequence[Path], normaliser: str, *, shelf: Shelf, engine: str
) -> list[dict[str, bytes]]:
    """Return what `COLLECTED` names of each excerpt: from the shelf where nothing of it changed, else made anew.

    `files` are the batches' events. Of an excerpt that changed only the cases that did are measured again.
    """
    digests = {file.parent.name: shelf.digest(file) for file in files}
    keys = [key_of(excerpt.key(digests), normaliser, packages=_PACKAGES) for excerpt in excerpted]
    figures = [measured.key(normaliser, excerpt.name) for excerpt in excerpted]
    shelf.hold(figures)
    found = [{name: shelf.content(f"{key}-{name}") for name in COLLECTED} for key in keys]
    missing = [number for number, part in enumerate(found) if None in part.values()]
    changed = [excerpted[number] for number in missing]
    work = (
        (events, excerpt.audio, shelf.get(figures[number]))
        for number, excerpt, events in zip(missing, changed, excerpts.read(files, changed, shelf), strict=True)
    )
    for number, made in zip(missing, spread(partial(collect, normaliser), work, engine=engine), strict=True):
        shelf.keep(figures[number], made.pop(FIGURES))
        for name, content in made.items():
            shelf.keep(f"{keys[number]}-{name}", content)
        found[number] = dict(made)
    return [{name: content for name, content in part.items() if content is not None} for part in found]


def collect(normaliser: str, work: Work) -> dict[str, bytes]:
    """Return the part's files of cases.parquet and corrections.parquet, its `Counts` as JSON, and `FIGURES`."""
    events, audio, known = work
    said = {kind: log.pandas(table) for kind, table in events.items()}
    ranked = cases.rank(said)
    folded = cases.fold(said, ranked, audio)
    figures, kept = measured.measured(folded, normaliser, known)
    columns = figures.reindex(folded.index)
    types = columns["detected_error_types"].map(lambda value: [] if value is None or value is np.nan else value)
    found = folded.assign(**{name: columns[name] for name in MEASURES}, detected_error_types=types)
    return {
        "cases": tables.encode(tables.arrow(found, CASES), CASES).to_pybytes(),
        "corrections": tables.encode(tables.arrow(ranked, CORRECTIONS), CORRECTIONS).to_pybytes(),
        "counts": json.dumps(count(found, ranked, normaliser)).encode(),
        FIGURES: encode(kept).to_pybytes(),
    }


def count(found: pd.DataFrame, ranked: pd.DataFrame, normaliser: str) -> Counts:
    """Return what there is to count in some cases and all their corrections."""
    counted = found["corrected_transcript"].notna() & ~found["withdrawn"]
    corrected = found.loc[counted, ["original_transcript", "language", "detected_error_types", *MEASURES]]
    languages = corrected["language"].fillna("unknown")
    types = corrected.pop("detected_error_types").explode().dropna().value_counts()
    return {
        "cases": len(found),
        "corrected_cases": len(corrected),
        "withdrawn_cases": int(found["withdrawn"].sum()),
        "corrections": len(ranked),
        "undone_corrections": int(ranked["undone"].sum()),
        "disputed_cases": int((found["conflicting_corrections"] > 0).sum()),
        "error_types": {str(name): int(number) for name, number in types.items()},
        "correctors": judge(found, ranked, normaliser),
        "errors": {str(language): _errors(rows) for language, rows in corrected.groupby(languages)},
    }


def _errors(rows: pd.DataFrame) -> dict[str, int]:
    """Return the errors of `rows`, and the words and characters that were really said.

    Clips in which nobody speaks have no words to divide by; what was heard in them is counted apart.
    """
    silent = rows[rows["reference_words"] == 0]
    names = [name for name in MEASURES if not name.endswith(("wer", "cer"))]
    sums = rows.loc[rows["reference_words"] > 0, names].sum()
    heard = int((silent["original_transcript"].str.strip() != "").sum())
    return {"cases": len(rows), "silent_cases": len(silent), "heard": heard} | {name: int(sums[name]) for name in names}


def total(counts: list[Counts]) -> Counts:
    """Return the sums of `counts`, name by name."""
    return reduce(_added, counts, {})


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> Counts:
    return {
        name: _added(one.get(name, {}), other.get(name, {}))
        if isinstance(one.get(name, other.get(name)), Mapping)
        else one.get(name, 0) + other.get(name, 0)
        for name in {**one, **other}
    }


def rates(counts: Counts) -> dict[str, Any]:
    """Return what metrics/collect.json says of the cases that were counted.

    Error rates are those of one corpus: all errors over all words or characters that were really said.
    """
    errors = counts["errors"]
    return {
        **counts,
        "correction_rate": counts["corrected_cases"] / max(1, counts["cases"] - counts["withdrawn_cases"]),
        "correctors": {method: precision(found) for method, found in counts["correctors"].items()},
        "errors": {"all": _corpus(total([_NOTHING, *errors.values()]))}
        | {language: _corpus(found) for language, found in errors.items()},
    }


_NOTHING = dict.fromkeys(
    ["cases", "silent_cases", "heard", *(name for name in MEASURES if not name.endswith(("wer", "cer")))], 0
)


def _corpus(sums: Mapping[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {"cases": sums["cases"]}
    for prefix in ("", "raw_"):
        errors = sum(sums[f"{prefix}{name}"] for name in ("substitutions", "deletions", "insertions"))
        found[f"{prefix}wer"] = errors / max(1, sums[f"{prefix}reference_words"])
        found[f"{prefix}cer"] = sums[f"{prefix}character_errors"] / max(1, sums[f"{prefix}reference_characters"])
    rate = sums["heard"] / max(1, sums["silent_cases"])
    return found | {"silent_cases": sums["silent_cases"], "silence_hallucination_rate": rate}
