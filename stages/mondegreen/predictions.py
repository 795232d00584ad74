"""What a model is measured on: the references of a split, and its predictions for every one of them.

Predictions are JSON Lines, one `{"case_id": …, "hypothesis": …}` per case: a model that crashed on half of the test set
is not measured on the rest.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mondegreen.errors import DataError

LISTED = 20
"""How many examples of each kind of problem an error names."""

_COLUMNS = [
    "case_id",
    "text",
    "original_transcript",
    "error_types",
    "speaker_id",
    "recording_id",
    "language",
    "duration",
]
_SHARD = re.compile(r"(?P<split>\w+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet")


@dataclass(frozen=True)
class References:
    """The cases of a split, sorted by case_id, with the dataset's columns; `test_set` is a digest of ids and texts."""

    split: str
    test_set: str
    rows: pd.DataFrame = field(repr=False, compare=False)


def read_references(dataset: Path, split: str) -> References:
    """Return the cases of `split` from the Parquet shards of a dataset folder, without their audio.

    Raises `DataError`: no such split, a missing shard, a case without text, a case_id twice.
    """
    shards = _shards(dataset, split)
    try:
        table = pa.concat_tables([pq.read_table(shard, columns=_COLUMNS) for shard in shards])
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{shards[0].parent}: {split} cannot be read ({str(error)[:200]}): run 'dvc checkout'"
        ) from error
    if missing := sorted(set(_COLUMNS) - set(table.column_names)):
        raise DataError(f"{shards[0]} has no column {missing[0]}: it is no shard of a Mondegreen dataset")
    columns = {name: pd.Series(table[name].to_pylist(), dtype=object) for name in _COLUMNS}
    rows = pd.DataFrame(columns).sort_values("case_id", ignore_index=True)
    if rows.empty or rows[["case_id", "text"]].isna().any(axis=None) or rows["case_id"].duplicated().any():
        raise DataError(f"{shards[0].parent}: {split} needs cases, each with a text and a case_id of its own")
    identity = json.dumps(rows[["case_id", "text"]].to_numpy().tolist(), separators=(",", ":"))
    return References(split, hashlib.sha256(identity.encode()).hexdigest()[:16], rows)


def _shards(dataset: Path, split: str) -> list[Path]:
    found = {path: match for path in (dataset / "data").glob("*.parquet") if (match := _SHARD.fullmatch(path.name))}
    if not found:
        raise DataError(f"{dataset} holds no dataset (no data/*.parquet): run 'dvc repro' or 'dvc checkout'")
    shards = sorted(path for path, match in found.items() if match["split"] == split)
    if not shards:
        splits = ", ".join(sorted({match["split"] for match in found.values()}))
        raise DataError(f"{dataset} has no split {split!r}: choose one of {splits}")
    if {(int(found[path]["number"]), int(found[path]["count"])) for path in shards} != {
        (number, len(shards)) for number in range(len(shards))
    }:
        raise DataError(f"{dataset}: {split} misses a shard, or has one too many: run 'dvc checkout' or 'dvc pull'")
    return shards


def read_predictions(path: Path, references: References) -> list[str]:
    """Return the hypothesis of every case of `references`, in its order, from JSON Lines (`.gz`: compressed).

    Raises one `DataError` that lists every problem: lines that are no prediction, hypotheses that are no string,
    case_ids twice, missing or not of this split; up to `LISTED` of each kind, the totals exact.
    """
    wanted = dict.fromkeys(references.rows["case_id"], "")
    seen: set[str] = set()
    problems: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        case_id, hypothesis = _prediction(line)
        if case_id is None:
            problems["not of the form {case_id, hypothesis}"].append(f"line {number}")
        elif case_id in seen:
            problems["given twice"].append(case_id)
        elif case_id not in wanted:
            problems[f"not in {references.split}"].append(case_id)
        elif hypothesis is None:
            problems["hypothesis is not a string"].append(case_id)
        else:
            wanted[case_id] = hypothesis
        seen.add(case_id or "")
    problems["missing"] = [case_id for case_id in wanted if case_id not in seen]
    if lists := [_listed(what, which) for what, which in problems.items() if which]:
        raise DataError(
            f"{path}: cannot be measured against the {len(wanted)} cases of {references.split}; "
            'give each exactly one hypothesis, "" where the model heard nothing\n' + "\n".join(lists)
        )
    return list(wanted.values())


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _prediction(line: bytes) -> tuple[str | None, str | None]:
    """Return case_id and hypothesis, each None where it is not a string."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, None
    values = (row.get("case_id"), row.get("hypothesis")) if isinstance(row, dict) else (None, None)
    case_id, hypothesis = (
        value.encode("utf-8", "replace").decode() if isinstance(value, str) else None for value in values
    )
    return case_id, hypothesis


def _listed(what: str, which: Sequence[str]) -> str:
    more = f" and {len(which) - LISTED} more" if len(which) > LISTED else ""
    return f"  {len(which)} {what}: {', '.join(which[:LISTED])}{more}"


def dataset_version(root: Path) -> str | None:
    """Return the DVC hash of data/dataset, as stage `export` left it in dvc.lock; None where it was never built."""
    lock = root / "dvc.lock"
    if not lock.exists():
        return None
    try:
        stages = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))["stages"]
        outs = stages.get("export", {}).get("outs", [])
        return next((str(out["md5"]) for out in outs if out["path"] == "data/dataset"), None)
    except (OSError, UnicodeDecodeError, YAMLError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{lock} cannot be read ({error}): restore it, or give --dataset-version") from error
