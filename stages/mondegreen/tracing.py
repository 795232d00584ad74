"""Tracing: the whole way of one case, from the segment it was recorded in to the releases that contain it."""

import csv
import json
import mmap
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mondegreen import batches, cases, log, params, repository, snapshot, spool, tables, versions
from mondegreen.components import KEYS, link_keys
from mondegreen.errors import DataError
from mondegreen.events import FIELDS
from mondegreen.objects import Output, Store
from mondegreen.rules import RULES
from mondegreen.shelf import FOLDER, Shelf
from mondegreen.snapshot import TAG

_JOBS = 4
_NEAR = 3
_KINDS = ("failure", "correction", "review")
_SPLITS, _TEXT = "data/splits.parquet", "corrected_transcript"
_MEASURED = ("detected_error_types", "wer", "cer", "duration", "audio_error", _TEXT, "withdrawn")


@dataclass(frozen=True)
class Trace:
    """The way of a case, in its order; None or empty where it has not come so far.

    `failure` is the event; `segment` the spool's file while it waits in the inbox, then `batch` and the `commit`
    that added it. `hearings` are what other recognisers heard as witnesses; `corrections` and `reviews` oldest
    first, each with what became of it. `measured`: what stage collect found. `reasons`: why validate rejected it.
    `component`: its size, and `links` by key to the other cases. `releases`: version and split, oldest first. Of a
    withdrawn case, what was said is None.
    """

    case_id: str
    place: str
    failure: dict[str, Any]
    segment: str
    batch: str
    commit: dict[str, str] | None
    hearings: list[dict[str, Any]]
    corrections: list[dict[str, Any]]
    reviews: list[dict[str, Any]]
    withdrawals: list[dict[str, Any]]
    measured: dict[str, Any] | None
    reasons: list[dict[str, str]]
    left_out: str
    split: str
    component: dict[str, Any] | None
    copies: list[dict[str, Any]]
    frozen: dict[str, str] | None
    releases: list[dict[str, str]]


def trace(root: Path, case_id: str) -> Trace:
    """Return the way of a case from the batches, the inbox, the tables of the work tree, Git and the releases.

    Raises `DataError` for an id that nobody knows, naming those that are like it.
    """
    events = list(_events(root, case_id))
    failures = [event for event in events if event["event"] == "failure"]
    if not failures:
        raise _unknown(root, case_id, events)
    failure = max(failures, key=lambda event: (event["recorded_at"], event["event_id"]))
    row = _row(root, "data/cases.parquet", case_id, _MEASURED)
    chosen = _row(root, _SPLITS, case_id, ("case_id", "split", "component", _TEXT, *KEYS[:-1]))
    rejected = _row(root, "data/rejected.parquet", case_id, ("reasons",))
    left_out = _row(root, "data/left_out.parquet", case_id, ("reason",))
    withdrawals = list(_withdrawals(root, case_id, failure.get("speaker_id")))
    reasons = [str(reason) for reason in rejected["reasons"]] if rejected else []
    found = Trace(
        case_id=case_id,
        place="",
        failure={name: value for name, value in failure.items() if name not in ("batch", "segment")},
        segment=failure["segment"],
        batch=failure["batch"],
        commit=_commit(root, failure["batch"]) if failure["batch"] else None,
        hearings=[event for event in events if event["event"] == "hearing"],
        corrections=_corrections(events),
        reviews=[event for event in events if event["event"] == "review"],
        withdrawals=withdrawals,
        measured=row,
        reasons=[{"reason": reason} | _explained(reason) for reason in reasons],
        left_out=left_out["reason"] if left_out else "",
        split=chosen["split"] if chosen else "",
        component=_component(root, chosen) if chosen else None,
        copies=_rows(root, "data/augmented/rows.parquet", "parent_case_id", case_id, ["case_id", "augmentation"]),
        frozen=_frozen(root, case_id),
        releases=_releases(root, case_id),
    )
    return replace(_hidden(found) if withdrawals else found, place=_place(found))


def _hidden(found: Trace) -> Trace:
    """Return the trace without what was said: it was withdrawn."""
    return replace(
        found,
        failure=found.failure | {"original_transcript": None},
        hearings=[event | {"transcript": None} for event in found.hearings],
        corrections=[event | {"corrected_transcript": None} for event in found.corrections],
        measured=found.measured and found.measured | {"corrected_transcript": None},
    )


def _place(found: Trace) -> str:
    """Say in a word where the case is now."""
    if found.withdrawals:
        dropped = found.measured is None or found.measured["withdrawn"]
        return "withdrawn" if dropped else "withdrawn: the next 'dvc repro' drops it"
    if found.segment:
        return "waits in the inbox: 'mondegreen ingest'"
    if found.measured is None:
        return "sealed, not built yet: 'dvc repro'"
    if found.split:
        return f"in {found.split} of the dataset"
    if found.reasons:
        return "rejected"
    if found.left_out:
        return "valid, and left out"
    return "uncorrected" if not found.corrections else "corrected, not built yet: 'dvc repro'"


def _events(root: Path, case_id: str) -> Iterator[dict[str, Any]]:
    """Yield the events that name a case, once each, oldest first, with their `batch` or their `segment`."""
    found = {event["event_id"]: event for event in _inbox(root) if event.get("case_id") == case_id}
    for event in _sealed(batches.event_files(root / repository.RAW), case_id):
        if event.get("case_id") == case_id:
            found[event["event_id"]] = event
    yield from sorted(found.values(), key=lambda event: (event["recorded_at"], event["event_id"]))


def _withdrawals(root: Path, case_id: str, speaker: str | None) -> Iterator[dict[str, Any]]:
    known = {case_id} | ({speaker} if speaker else set())
    shelf = Shelf(root / FOLDER, dated=True)
    files = (file for file in batches.event_files(root / repository.RAW) if _may_withdraw(file, known, shelf))
    for event in (*_sealed(files, "withdrawal"), *_inbox(root)):
        if event["event"] == "withdrawal" and known & {event.get("case_id"), event.get("speaker_id")}:
            yield event


def _may_withdraw(file: Path, known: set[str], shelf: Shelf) -> bool:
    """Tell whether a batch may withdraw a case or speaker of `known`: most hold no withdrawal, and need not be read."""
    found = log.kept(file, "withdrawal", shelf)
    return found is None or any(known & set(found[name].to_pylist()) for name in ("case_id", "speaker_id"))


def _sealed(files: Iterable[Path], text: str) -> Iterator[dict[str, Any]]:
    """Yield the events of batches in whose lines `text` stands, with their `batch`."""
    needle = json.dumps(text, ensure_ascii=False)[1:-1].encode()
    for file in files:
        if not file.stat().st_size:
            continue
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(needle)
            while at >= 0:
                end = content.find(b"\n", at) % (len(content) + 1)
                yield orjson.loads(content[content.rfind(b"\n", 0, at) + 1 : end]) | {
                    "batch": file.parent.name,
                    "segment": "",
                }
                at = content.find(needle, end)


def _inbox(root: Path) -> Iterator[dict[str, Any]]:
    for part in spool.read(root / repository.INBOX):
        yield from (event | {"batch": "", "segment": part.segment.name} for event in part.events)


def _corrections(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the corrections as they were made; `won` and `undone` as stage collect decides."""
    log = {}
    for kind in _KINDS:
        rows = [event for event in events if event["event"] == kind]
        columns = ["event_id", "recorded_at", "batch", *FIELDS[kind]]
        log[kind] = pd.DataFrame(rows).reindex(columns=columns).astype(object)
    if log["correction"].empty:
        return []
    ranked = cases.rank(log).set_index("event_id")
    return [
        event | {"won": bool(ranked["won"][event["event_id"]]), "undone": bool(ranked["undone"][event["event_id"]])}
        for event in events
        if event["event"] == "correction"
    ]


def _row(root: Path, path: str, case_id: str, columns: Sequence[str]) -> dict[str, Any] | None:
    return next(iter(_rows(root, path, "case_id", case_id, columns)), None)


def _rows(root: Path, path: str, key: str, value: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a table of the work tree whose `key` is `value`; none where it is not built."""
    rows: list[dict[str, Any]] = []
    for file in tables.files(root / path) if (root / path).exists() else ():
        here = set(pq.read_schema(file).names)  # a table may have been made before a column was
        known = [name for name in columns if name in here]
        rows += pq.read_table(file, columns=known, filters=[(key, "==", value)]).to_pylist()
    return rows


def _explained(reason: str) -> dict[str, str]:
    rule = RULES.get(reason)
    return {"meaning": rule.meaning, "remedy": rule.remedy} if rule else {}


def _component(root: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Return the size of a case's component, and which other cases share a key with the case itself, by key."""
    words = params.load(params.Split, root / "params.yaml").min_shared_words
    alone = link_keys(pd.DataFrame([case]), min_shared_words=words)
    own = {kind: alone.column(kind)[0] for kind in KEYS}
    long = pd.notna(own["long_text"])
    table = _linked(root / _SPLITS, pc.field("component") == case["component"], text=long)
    size = len(table)
    shared = [pc.field(kind) == case[kind] for kind in KEYS[:-1] if (case[kind] or "").strip()]
    valid = root / "data/valid.parquet"
    if shared and valid.exists():
        others = reduce(or_, shared) & ~pc.field("case_id").isin(pa.array(table["case_id"], pa.string()))
        table = pd.concat([table, _linked(valid, others, text=long)], ignore_index=True)
    keys = link_keys(table, min_shared_words=words)
    links = []
    for kind in KEYS:
        same = table["case_id"][(keys.column(kind) == own[kind]) & (table["case_id"] != case["case_id"])]
        if pd.notna(own[kind]) and len(same):
            links.append({"kind": kind, "key": str(own[kind]), "cases": sorted(same)})
    return {"name": case["component"], "size": size, "links": links}


def _linked(path: Path, wanted: pc.Expression, *, text: bool) -> pd.DataFrame:
    """Return the ids and keys of the rows that are `wanted`; with `text`, which is most of a table, read apart."""
    found: pd.DataFrame = pq.read_table(path, columns=["case_id", *KEYS[:-1]], filters=wanted).to_pandas()
    if not text or found.empty:
        return found.assign(**{_TEXT: None})
    ids = pa.array(found["case_id"], pa.string())
    texts = pq.read_table(path, columns=["case_id", _TEXT], filters=pc.field("case_id").isin(ids))
    return found.merge(texts.to_pandas(), on="case_id")


def _commit(root: Path, batch: str) -> dict[str, str] | None:
    """Return the commit that added a batch, None while it is not committed."""
    path = f"{repository.RAW.as_posix()}/{batch}"
    form = "--format=%H%x00%an%x00%cI%x00%s"
    command = ["log", "--diff-filter=A", "--reverse", form, "--", f"{path}.dvc", f"{path}/events.jsonl"]
    lines = repository.git(command, root).splitlines()
    return dict(zip(("commit", "author", "date", "subject"), lines[0].split("\0"), strict=True)) if lines else None


def _frozen(root: Path, case_id: str) -> dict[str, str] | None:
    """Return split and release of the ledger's line of a case."""
    path = root / "data/ledger.csv"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = (row for row in csv.DictReader(lines) if row["case_id"] == case_id)
    return next(({"split": row["split"], "release": row["release"]} for row in rows), None)


def _releases(root: Path, case_id: str) -> list[dict[str, str]]:
    """Return version and split of every release that contains a case, oldest first."""
    form = "--format=%(refname:strip=2)"
    tags = repository.git(
        ["for-each-ref", "--sort=version:refname", "--sort=creatordate", form, f"refs/tags/{TAG}*"], root
    ).split()
    locks = repository.cat([f"{tag}:dvc.lock" for tag in tags], root)
    hashes = [_splits_hash(lock, tag) for lock, tag in zip(locks, tags, strict=True)]
    store = Store(root)

    def split(md5: str) -> str:
        path = store.cache_path(md5)
        path = path if path.is_file() else store.load(md5)
        rows = pq.read_table(path, columns=["split"], filters=[("case_id", "==", case_id)])
        return str(rows["split"][0]) if len(rows) else ""

    parts = [[part.md5 for part in store.listing(Output(_SPLITS, md5, 0))] if md5 else [] for md5 in hashes]
    with ThreadPoolExecutor(_JOBS) as pool:
        unique = sorted({md5 for found in parts for md5 in found})  # releases share most of them
        splits = dict(zip(unique, pool.map(split, unique), strict=True))
    return [
        {"version": tag.removeprefix(TAG), "split": where}
        for tag, found in zip(tags, parts, strict=True)
        for where in map(splits.__getitem__, found)
        if where
    ]


def _splits_hash(lock: bytes | None, tag: str) -> str:
    if found := versions.locked(lock or b"", "split", _SPLITS):
        return found
    other = snapshot.outputs(snapshot.parse_yaml(lock, f"dvc.lock of {tag}"), {}, {}).get(_SPLITS)
    return other.md5 if other else ""


def _unknown(root: Path, case_id: str, events: list[dict[str, Any]]) -> DataError:
    if copies := _rows(root, "data/augmented/rows.parquet", "case_id", case_id, ["parent_case_id"]):
        parent = copies[0]["parent_case_id"]
        return DataError(f"{case_id} is a copy that stage augment made of {parent}: mondegreen trace {parent}")
    sealed = _sealed(batches.event_files(root / repository.RAW), case_id)
    if found := next((each for each in (*_inbox(root), *sealed) if each["event_id"] == case_id), None):
        chosen = _row(root, _SPLITS, case_id, ("split",))
        return DataError(
            f"{case_id} is no case: an event {found['event']} of {found['batch'] or 'the inbox'}"
            + (f", in {chosen['split']} of the dataset" if chosen else "")
        )
    if events:
        return DataError(
            f"no case {case_id!r} yet: {len(events)} corrections or reviews name it, but no batch has its failure"
        )
    from rapidfuzz import process

    path = root / "data/cases.parquet"
    known = pq.read_table(path, columns=["case_id"])["case_id"].to_pylist() if path.exists() else []
    known += [event["case_id"] for event in _inbox(root) if event["event"] == "failure"]
    near = [name for name in known if name.startswith(case_id)][:_NEAR]
    near += [name for name, _, _ in process.extract(case_id, known, limit=_NEAR, score_cutoff=60) if name not in near]
    like = f"; like it: {', '.join(near[:_NEAR])}" if near else ""
    return DataError(f"no case {case_id!r} in any batch or the inbox{like}")
