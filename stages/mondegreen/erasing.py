"""Erasing: what a person said leaves the batches, and with `purging` every place that this clone reaches.

1. find every event of the cases, and every clip that they name
2. write new batches without them: a tombstone (kind `erasure`, a hash) in place of each event
3. sign the record (`erasures`), with hashes only, durably; from here on a rerun goes on by itself
4. put the new batches in place of the old ones
5. build anew; what cannot be built is removed
6. purge cache and remotes; commit
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import orjson

from mondegreen import batches, compaction, erasures, purging, repository, snapshot, spool
from mondegreen.erasures import Erasure, hash_of
from mondegreen.errors import DataError, RepositoryError
from mondegreen.events import encode, make_event
from mondegreen.log import batch_events, segment_events
from mondegreen.rewriting import rewrite

KIND = "erasure"
"""The kind of a tombstone: `event_id` and `recorded_at` of what it stands for, and the SHA-256 of its line."""

COMMITTED = ("data/raw", "dvc.lock", "data/metrics", "data/plots", str(erasures.PATH))


@dataclass(frozen=True)
class Found:
    """What there is of some cases: their ids, the SHA-256 of their clips, the ids of their events, and their places."""

    cases: frozenset[str]
    audio: frozenset[str]
    events: frozenset[str]
    batches: tuple[Path, ...]
    live: tuple[Path, ...]
    """Segments of the inbox."""


def find(root: Path, *, case_id: str | None = None, speaker_id: str | None = None) -> Found:
    """Return all that there is of a case or of a speaker; another case with the same clip holds the same voice."""
    rows = list(_rows(root))
    cases, audio = {case_id} - {None}, set[str | None]()
    size = -1
    while size < len(cases) + len(audio):
        size = len(cases) + len(audio)
        for row in rows:
            if row.case in cases or row.audio in audio or (speaker_id and row.speaker == speaker_id):
                cases |= {row.case} - {None}
                audio |= {row.audio} - {None}
    events = [row for row in rows if row.case in cases or row.audio in audio or speaker_id == (row.speaker or "")]
    places = sorted({row.place for row in events})
    return Found(
        frozenset(str(case) for case in cases) if events else frozenset(),
        frozenset(map(str, audio)),
        frozenset(row.event_id for row in events),
        tuple(place.parent for place in places if place.name == "events.jsonl"),
        tuple(place for place in places if place.name != "events.jsonl"),
    )


class _Row(NamedTuple):
    place: Path
    event_id: str
    case: str | None
    speaker: str | None
    audio: str | None


def _rows(root: Path) -> Iterator[_Row]:
    """Yield every event that can hold what a person said; a withdrawal holds ids alone, and has to stay."""
    sealed = [(file, batch_events(file)) for file in batches.event_files(root / repository.RAW)]
    waiting = [(segment, segment_events(segment)) for segment in spool.segments(root / repository.INBOX)]
    for place, events in (*sealed, *waiting):
        for event in events:
            if event["event"] not in ("withdrawal", KIND):
                sound = (event.get("audio") or {}).get("sha256")
                named = event["event_id"] if event["event"] in ("inference", "utterance") else event.get("case_id")
                yield _Row(place, event["event_id"], named, event.get("speaker_id"), sound)


def check(root: Path, found: Found) -> None:
    """Raise `DataError` or `RepositoryError` where erasing cannot be done now."""
    sample = root / repository.RAW / batches.SAMPLE
    if sample in found.batches:
        raise DataError(
            f"some of it lies in {sample.relative_to(root)}, which Git holds: erasing means rewriting Git's history. "
            "Remove the sample batch from history (git filter-repo), or withdraw the case instead: leave out --erase"
        )
    changed = repository.git(
        ["status", "--porcelain", "--", "params.yaml", "dvc.yaml", "stages", "data/ledger.csv"], root
    )
    if changed:
        raise RepositoryError(
            f"{changed.split()[1]} has uncommitted changes: commit or stash them, then run this again"
        )


def erase(root: Path, found: Found, asked: str, *, reason: str, author: str, remotes: Sequence[str]) -> list[str]:
    """Erase what was `found` for the id `asked` for; return what could not be reached, to be erased by hand.

    Safe to stop and run again, also when `found` is empty because an earlier run came half-way.
    """
    if found.batches:
        _sign(root, found, asked, reason, author)
    mine = [entry for entry in erasures.read(root) if entry.asked == hash_of(asked)]
    gone = {batch for entry in mine for batch in entry.batches}
    _swap(root, mine)
    for sha in found.audio:
        for clip in (root / repository.INBOX / "audio" / sha[:2]).glob(f"{sha}*"):
            clip.unlink(missing_ok=True)
    problem = _build(root)
    left = purging.purge(root, gone, remotes)
    repository.git(["add", "--all", "--", *_present(root)], root)
    if repository.git(["diff", "--cached", "--name-only", "--", *COMMITTED], root):
        repository.git(["commit", "--quiet", "-m", f"Erase {len(mine[-1].cases) if mine else 0} cases"], root)
    return [*left, *([problem] if problem else [])]


def versions_of(root: Path, cases: frozenset[str]) -> dict[str, str]:
    """Return the releases whose dataset holds one of `cases`, each with its dataset's hash."""
    found = {}
    for tag in repository.git(["tag", "--list", f"{snapshot.TAG}*"], root).split():
        version = snapshot.at(root, tag)
        try:
            rows = version.table("data/splits.parquet", ["case_id"])
        except (RepositoryError, DataError):
            continue
        if set(rows["case_id"]) & cases:
            found[tag.removeprefix(snapshot.TAG)] = version.dataset_hash
    return found


def models_of(root: Path, versions: dict[str, str]) -> list[str]:
    """Return the models that were trained on, or measured against, one of the `versions`."""
    names = {*versions, *versions.values(), *(f"{snapshot.TAG}{version}" for version in versions)}
    models = set()
    for file in batches.event_files(root / repository.RAW):
        for event in batch_events(file):
            if event.get("dataset_version") in names and event.get("model_version"):
                models.add(str(event["model_version"]))
    return sorted(models)


def _sign(root: Path, found: Found, asked: str, reason: str, author: str) -> None:
    """Write the new batches beside the old ones, then the record: the point from which on a rerun finishes the work."""
    moved: dict[str, str] = {}
    for batch in found.batches:
        new = rewrite(
            root / repository.RAW,
            [batch],
            replaced=partial(_tombstone, found.events, hash_of(asked)),
            without_audio=found.audio,
        )
        repository.track(new)
        moved |= dict.fromkeys([batch.name, *_compacted(batch)], new.name)
    versions = versions_of(root, found.cases)
    entry = Erasure(
        datetime.now(UTC).isoformat(timespec="seconds"),
        author,
        reason,
        hash_of(asked),
        tuple(sorted(map(hash_of, found.cases))),
        tuple(sorted(map(hash_of, found.audio))),
        moved,
        tuple(versions),
        tuple(models_of(root, versions)),
    )
    erasures.append(root, entry)


def _compacted(batch: Path) -> tuple[str, ...]:
    """Return the batches that a compaction made part of this one: older commits hold the same in them."""
    file = batch.with_name(f"{batch.name}.dvc")
    return compaction.compacted(snapshot.parse_yaml(file.read_bytes(), str(file))) if file.exists() else ()


def _tombstone(erased: frozenset[str], asked: str, line: bytes) -> bytes:
    event = orjson.loads(line)
    if event["event_id"] not in erased:
        return line
    made = {"asked": asked, "line": hashlib.sha256(line).hexdigest()}
    return encode(make_event(KIND, event_id=event["event_id"], recorded_at=event["recorded_at"], **made))


def _swap(root: Path, entries: Sequence[Erasure]) -> None:
    """Take the old batches out of the work tree."""
    for old in (old for entry in entries for old in entry.batches):
        folder = root / repository.RAW / old
        folder.with_name(f"{old}.dvc").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _build(root: Path) -> str:
    """Build from what is left; where that fails, remove what was built before and say why."""
    try:
        repository.dvc(["repro", "--quiet"], root)
    except RepositoryError as error:
        for path in [*(root / "data").glob("*.parquet"), root / repository.DATASET, root / "data/report"]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return f"the dataset could not be built again, so none is here: {error}"
    return ""


def _present(root: Path) -> list[str]:
    return [path for path in COMMITTED if (root / path).exists()]
