"""The cases in which the recogniser did worst, word by word, and their sound."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from mondegreen import batches
from mondegreen.alignment import edits
from mondegreen.tables import among, in_order
from mondegreen.text import NORMALISERS

PLAYABLE = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
}
"""What browsers play, by extension."""

SHOWN = (
    "case_id",
    "original_transcript",
    "corrected_transcript",
    "wer",
    "model_confidence",
    "model_version",
    "speaker_id",
    "language",
    "duration",
    "audio_sha256",
    "audio_ext",
    "audio_bytes",
)
"""The columns of a case that are shown."""


def worst_cases(valid: pd.DataFrame, splits: pd.DataFrame, limit: int, normaliser: str) -> list[dict[str, Any]]:
    """Return the `limit` cases with the most errors per word said, worst first, each with its alignment in `edits`.

    Where nothing was said, every word heard counts. `edits` are [kind, words said, words heard] under `normaliser`.
    """
    errors = valid[["substitutions", "deletions", "insertions"]].sum(axis=1).astype("float64")
    rate = errors / valid["reference_words"].astype("float64").clip(lower=1)
    worst = pd.DataFrame({"rate": -rate, "errors": -errors, "case_id": valid["case_id"]})
    worst = worst[worst["rate"] <= worst["rate"].nsmallest(limit).max()]  # few of many, mostly
    first = in_order(worst, ["rate", "errors", "case_id"]).index[:limit]
    ranked = valid.loc[first].assign(errors=errors[first])
    where = splits[among(splits["case_id"], ranked["case_id"])].set_index("case_id")["split"]
    return [_described(row, where, normaliser) for row in ranked.to_dict("records")]


def _described(row: Mapping[Any, Any], where: "pd.Series[str]", normaliser: str) -> dict[str, Any]:
    shown: dict[str, Any] = {name: None if pd.isna(row[name]) else row[name] for name in SHOWN}
    fold = NORMALISERS[normaliser]
    said, heard = (fold(shown[name], shown["language"]) for name in ("corrected_transcript", "original_transcript"))
    return shown | {
        "word_errors": int(row["errors"]),
        "split": where.get(shown["case_id"]),
        "error_types": sorted({*row["error_types"], *row["detected_error_types"]}),
        "edits": [list(edit) for edit in edits(said.split(), heard.split())],
    }


def clips(cases: Sequence[Mapping[str, Any]], raw: Path, *, most: int, most_bytes: int) -> dict[str, bytes]:
    """Return the sound of the first `most` cases that browsers can play, by case_id, `most_bytes` in all.

    A clip that no longer fits is left out, and a shorter one further down may take its place.
    """
    wanted: dict[str, str] = {}
    left = most_bytes
    for case in cases:
        size = case["audio_bytes"] or 0
        if case["audio_sha256"] and case["audio_ext"] in PLAYABLE and 0 < size <= left and len(wanted) < most:
            wanted[case["case_id"]] = case["audio_sha256"]
            left -= size
    found = _read(set(wanted.values()), batches.packs(raw)) if wanted else {}
    return {case_id: found[sha256] for case_id, sha256 in wanted.items() if sha256 in found}


def _read(wanted: set[str], packs: Sequence[Path]) -> dict[str, bytes]:
    """Return the bytes of the clips by SHA-256; only row groups that hold one of them are read."""
    found: dict[str, bytes] = {}
    for pack in packs:
        with pq.ParquetFile(pack) as file:
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, ["sha256"]).column(0).to_pylist()
                if here := [index for index, name in enumerate(names) if name in wanted and name not in found]:
                    column = file.read_row_group(group, ["bytes"]).column(0)
                    found |= {names[index]: column[index].as_py() for index in here}
    return found
