"""The standing of a repository: the cases, the dataset, what waits, and what to do next."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from pyarrow.dataset import dataset

from mondegreen import batches, live, repository, spool, tables, versions
from mondegreen.errors import DataError
from mondegreen.terminal import counted

EXAMPLES = 5
"""How many uncorrected cases are named."""


def standing(root: Path, stale_stages: Callable[[], list[str]]) -> dict[str, Any]:
    """Return the state of the repository at `root`, see `status`; `stale_stages` is asked last."""
    built = _metrics(root, "collect")
    quality = _metrics(root, "quality")
    audit = _metrics(root, "dataset") if (root / repository.DATASET).is_dir() else {}
    cases, corrected = built.get("cases", 0), built.get("corrected_cases", 0)
    missing = _missing_batches(root)
    waiting = _waiting(root, known=not missing)
    examples, release = _uncorrected(root), _release(root)
    stale = [] if missing else stale_stages()
    state: dict[str, Any] = {
        "batches": len(batches.folders(root / repository.RAW)) if not missing else None,
        "cases": cases,
        "corrected_cases": corrected,
        "uncorrected_cases": cases - corrected - built.get("withdrawn_cases", 0),
        "uncorrected_examples": examples,
        "withdrawn_cases": built.get("withdrawn_cases", 0),
        "correction_rate": built.get("correction_rate", 0.0),
        "correctors": built.get("correctors", {}),
        "suspect_corrections": quality.get("suspects", {}).get("cases", 0),
        "error_type_distribution": built.get("error_types", {}),
        "waiting_in_inbox": waiting,
        "gate_passed": quality.get("passed"),
        "dataset_passed": audit.get("passed"),
        "dataset_rows": audit.get("rows", {}),
        "unknown": built.get("corrections_of_unknown_cases", 0) + built.get("withdrawals_of_unknown", 0),
        "notes": _metrics(root, "split").get("notes", []),
        "up_to_date": not stale and not missing,
        "stale_stages": stale,
        **release,
    }
    return state | {"next": _next(state, missing, quality)}


def _release(root: Path) -> dict[str, Any]:
    """Return the last release, whether the dataset is another one by now, and which release was interrupted."""
    if (root / ".git").exists() and (last := versions.latest(root)):
        return {
            "last_release": last.version,
            "released_at": last.date,
            "unreleased": last.dataset_hash != versions.built(root),
            "interrupted_release": versions.unfinished(root),
        }
    return {"last_release": None, "released_at": None, "unreleased": True, "interrupted_release": ""}


def _metrics(root: Path, name: str) -> dict[str, Any]:
    path = root / f"data/metrics/{name}.json"
    return tables.read_json(path) if path.exists() else {}


def _uncorrected(root: Path) -> dict[str, str]:
    """Return the first cases that wait for a correction, with what the recogniser said; no more is read than that."""
    path = root / "data/cases.parquet"
    if not path.exists():
        return {}
    waiting = pc.field("corrected_transcript").is_null() & ~pc.field("withdrawn")
    columns = ["case_id", "original_transcript"]
    found = dataset(path).scanner(columns=columns, filter=waiting, batch_readahead=0, fragment_readahead=0)
    return dict(zip(*(column.to_pylist() for column in found.head(EXAMPLES).columns), strict=True))


def _waiting(root: Path, *, known: bool) -> dict[str, int]:
    """Return how many events of each kind are in the inbox and, where the batches are `known`, in none of them."""
    kinds = {event["event_id"]: event["event"] for part in spool.read(root / repository.INBOX) for event in part.events}
    if kinds and known:
        for event_id in live.sealed(root / repository.INBOX, kinds):
            del kinds[event_id]
    return dict(sorted(Counter(kinds.values()).items()))


def _missing_batches(root: Path) -> str:
    try:
        batches.folders(root / repository.RAW)
    except DataError as error:
        return str(error)
    return ""


def _next(state: dict[str, Any], missing: str, quality: dict[str, Any]) -> str:
    if state["interrupted_release"]:
        return f"mondegreen release: finish {state['interrupted_release']}, which was interrupted"
    if missing:
        return missing
    if state["waiting_in_inbox"]:
        return "mondegreen ingest: seal what waits in the inbox into a batch"
    if state["gate_passed"] is False:
        main = next((issue for issue in quality["issues"]), None)
        why = f": mainly {main['reason']} ({counted(main['count'], 'case')})" if main else ""
        return f"the gate is shut{why}; mend the cases or the thresholds, then dvc repro"
    if not state["up_to_date"]:
        return f"dvc repro: {', '.join(state['stale_stages'])} changed"
    if state["unknown"]:
        return f"{state['unknown']} corrections or withdrawals name no known case: mend the ids, or ingest their cases"
    if state["uncorrected_cases"]:
        return f"correct the {state['uncorrected_cases']} uncorrected cases: mondegreen review"
    if state["unreleased"] and state["dataset_passed"]:
        since = f", the dataset is not that of {state['last_release']}" if state["last_release"] else ""
        return f"everything is corrected and built: commit, then mondegreen release{since}"
    return "nothing: everything is corrected, built and released; dvc push and git push if you have not"
