"""Lineage: what each version came from, what it added, and what that fixed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mondegreen import snapshot, versions
from mondegreen.errors import MondegreenError, RepositoryError
from mondegreen.objects import Store
from mondegreen.versions import Version

BUCKETS = (0.99, 0.95, 0.9)
"""From which quality score on a version is in a bucket of the report; below the last is a bucket, too."""

_SPLITS, _TEXT = "data/splits.parquet", "corrected_transcript"
_COLUMNS = ["case_id", "primary_error_type", "origin", _TEXT]


def lineage(root: Path, version: str | None = None) -> list[Version]:
    """Return a version and those it came from, newest first; of the newest one where `version` is None.

    Raises `RepositoryError` for a version that is not there.
    """
    known = {each.version: each for each in versions.versions(root)}
    name = versions.named(version) if version else next(iter(known), "")
    if version and name not in known:
        raise RepositoryError(
            f"{version} is no version here: 'mondegreen versions' lists them, 'git fetch --tags' brings those of others"
        )
    found: list[Version] = []
    while name in known:
        found.append(known.pop(name))
        name = found[-1].parent
    return found


def report(root: Path) -> dict[str, Any]:
    """Return all versions by bucket of quality, how they grew, and what each release fixed, oldest first.

    A release fixed the recogniser's mistakes in the cases that it added, and the texts that it corrected again, both by
    error type. Where a version's tables cannot be had, `unread` says why.
    """
    found = versions.versions(root)[::-1]
    scores = [each.quality_score for each in found if each.quality_score is not None]
    return {
        "total_versions": len(found),
        "latest_version": found[-1].version if found else None,
        "mean_quality_score": round(sum(scores) / len(scores), 6) if scores else None,
        "quality_buckets": _buckets(found),
        "growth": [
            {"version": each.version, "date": each.date, "cases": sum(each.sizes.values()), "sizes": each.sizes}
            | {"added": each.cases_added, "removed": each.cases_removed, "quality_score": each.quality_score}
            for each in found
        ],
        "fixed": _fixed(root, found),
    }


def _buckets(found: Sequence[Version]) -> dict[str, list[str]]:
    names = [f">= {low:g}" for low in BUCKETS] + [f"< {BUCKETS[-1]:g}", "unknown"]
    buckets: dict[str, list[str]] = {name: [] for name in names}
    for each in found:
        score = each.quality_score
        reached = [place for place, low in enumerate(BUCKETS) if score is not None and score >= low]
        buckets[names[-1] if score is None else names[min(reached, default=len(BUCKETS))]].append(each.version)
    return buckets


def _fixed(root: Path, found: Sequence[Version]) -> list[dict[str, Any]]:
    """Return what each version has that its parent has not, from their tables; each table is read once."""
    store = Store(root)
    texts: dict[str, dict[str, tuple[str, str | None]]] = {"": {}}
    fixed: list[dict[str, Any]] = []
    for each in found:
        try:
            texts[each.version] = now = _texts(snapshot.at(root, each.tag, store=store))
            was = texts.get(each.parent, {})
        except MondegreenError as error:
            fixed.append({"version": each.version, "parent": each.parent, "unread": str(error)})
            continue
        added = [case_id for case_id in now if case_id not in was]
        corrected = [case_id for case_id in now if case_id in was and now[case_id][1] != was[case_id][1]]
        fixed.append(
            {
                "version": each.version,
                "parent": each.parent,
                "added": len(added),
                "corrected_again": len(corrected),
                "error_types": dict(Counter(now[case_id][0] for case_id in added + corrected).most_common()),
                "cases": sorted(added + corrected),
            }
        )
    return fixed


def _texts(state: snapshot.Snapshot) -> dict[str, tuple[str, str | None]]:
    """Return error type and text of each case of a version, without copies and replayed speech."""
    rows = state.table(_SPLITS, _COLUMNS) if state.has(_SPLITS) else None
    if rows is None:
        return {}
    rows = rows[rows["origin"].isna() | (rows["origin"] == "failure")]
    rows = rows.astype(object).where(rows.notna(), None)
    return dict(zip(rows["case_id"], zip(rows["primary_error_type"], rows[_TEXT], strict=True), strict=True))
