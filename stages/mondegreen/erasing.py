"""Erasing: what a person said leaves the batches, and with `purging` every place that this clone reaches.

1. find every event of the cases, and every clip that they name
2. write new batches without them: a tombstone (kind `erasure`, a hash) in place of each event
3. note what has to go (`doomed`), sign the record (`erasures`): from here on a rerun goes on by itself
4. put the new batches in place of the old ones
5. build anew; what cannot be built is removed
6. purge cache and remotes, recall what was uploaded; commit
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
import pandas as pd

from mondegreen import (
    batches,
    compaction,
    confirmed,
    doomed,
    environments,
    erasures,
    ledger,
    purging,
    recall,
    repository,
    snapshot,
    spool,
)
from mondegreen.doomed import Doomed
from mondegreen.erasures import Erasure, hash_of
from mondegreen.errors import DataError, RepositoryError
from mondegreen.events import encode, make_event
from mondegreen.log import batch_events, segment_events
from mondegreen.rewriting import rewrite

KIND = "erasure"
"""The kind of a tombstone: `event_id` and `recorded_at` of what it stands for, and the SHA-256 of its line."""

LEDGER = Path("data/ledger.csv")
COMMITTED = ("data/raw", "dvc.lock", "data/metrics", "data/plots", str(LEDGER), str(erasures.PATH))


@dataclass(frozen=True)
class Found:
    """What there is of some cases: their ids, the SHA-256 of their clips, the ids of their events, and their places."""

    cases: frozenset[str]
    audio: frozenset[str]
    events: frozenset[str]
    batches: tuple[Path, ...]
    live: tuple[Path, ...]
    """Segments of the inbox."""


NOTHING = Found(frozenset(), frozenset(), frozenset(), (), ())


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
    paths = ["params.yaml", "dvc.yaml", "stages", *([] if doomed.read(root).events else [str(LEDGER)])]
    changed = repository.git(["status", "--porcelain", "--", *paths], root)
    if changed:
        raise RepositoryError(
            f"{changed.split()[1]} has uncommitted changes: commit or stash them, then run this again"
        )


def swap(root: Path) -> None:
    """Take batches out of the work tree that the record says were replaced: a crash, or another clone, left them."""
    for old in (old for entry in erasures.read(root) for old in entry.batches):
        folder = root / repository.RAW / old
        hidden = folder.with_name(f".{old}.erased")
        if folder.is_dir():
            shutil.rmtree(hidden, ignore_errors=True)
            folder.rename(hidden)
        folder.with_name(f"{old}.dvc").unlink(missing_ok=True)
        shutil.rmtree(hidden, ignore_errors=True)
    for left in (root / repository.RAW).glob(".2*"):  # of this, an ingest or a compaction that was interrupted
        shutil.rmtree(left, ignore_errors=True)


def erase(root: Path, found: Found, asked: str, *, reason: str, author: str, remotes: Sequence[str]) -> list[str]:
    """Erase what was `found` for the id `asked` for; return what could not be reached, to be erased by hand.

    Safe to stop and run again, also when `found` is empty because an earlier run came half-way.
    """
    if found.batches:
        _sign(root, found, asked, reason, author)
    return finish(root, remotes, uploads=_uploads(root, remotes))


def finish(root: Path, remotes: Sequence[str], *, uploads: Sequence[str] = ()) -> list[str]:
    """Do what the record says and is not done yet, here and at `remotes` and `uploads`; return what is left."""
    swap(root)
    todo = doomed.read(root)
    for sha in todo.audio:
        for clip in (root / repository.INBOX / "audio" / sha[:2]).glob(f"{sha}*"):
            clip.unlink(missing_ok=True)
    ledger.append(root / LEDGER, pd.DataFrame(sorted(todo.ledger), columns=list(ledger.COLUMNS), dtype="str"))
    problem = _build(root)
    gone = {batch for entry in erasures.read(root) for batch in entry.batches}
    left = purging.purge(root, gone, remotes, built=not problem)
    left += [why for url in uploads if (why := recall.recall(url, todo.audio, todo.events))]
    repository.git(["add", "--all", "--", *_present(root)], root)
    if repository.git(["diff", "--cached", "--name-only", "--", *COMMITTED], root):
        repository.git(
            ["commit", "--quiet", "-m", "Erase what a consent was withdrawn for", "--", *_present(root)], root
        )
    if not left:
        doomed.forget(root)
    return [*left, *([problem] if problem else [])]


def versions_of(root: Path, found: Found) -> dict[str, str]:
    """Return the releases whose dataset holds one of the cases, each with its dataset's hash.

    One whose table of splits is nowhere to be had counts when it has one of the batches.
    """
    releases = {}
    names = {f"{repository.RAW.as_posix()}/{batch.name}" for batch in found.batches}
    for tag in repository.git(["tag", "--list", f"{snapshot.TAG}*"], root).split():
        version = snapshot.at(root, tag)
        try:
            holds = bool(set(version.table("data/splits.parquet", ["case_id"])["case_id"]) & found.cases)
        except (RepositoryError, DataError):
            holds = bool(names & version.outputs.keys())
        if holds:
            releases[tag.removeprefix(snapshot.TAG)] = version.dataset_hash
    return releases


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
    objects = purging.objects_with(root, moved)
    doomed.note(root, Doomed(objects, found.audio, found.events, _heirs(root, found.cases)))
    versions = versions_of(root, found)
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


def _heirs(root: Path, erased: frozenset[str]) -> frozenset[tuple[str, str, str]]:
    """Return a row of the ledger for another case of each speaker whose only row for train is one of an erased case."""
    speakers: dict[str, str] = {}
    for row in _rows(root):
        if row.case and (row.speaker or "").strip():
            speakers.setdefault(row.case, str(row.speaker))
    rows = ledger.read(root / LEDGER, missing_ok=True)
    train = rows[rows["split"] == "train"]
    held = {speakers.get(case) for case in train["case_id"] if case not in erased}
    heirs = {}
    for case, release in zip(train["case_id"], train["release"], strict=True):
        speaker = speakers.get(case)
        if case in erased and speaker and speaker not in held:
            others = (other for other, who in sorted(speakers.items()) if who == speaker and other not in erased)
            if heir := next((other for other in others if other not in set(rows["case_id"])), None):
                heirs[speaker] = (heir, "train", str(release))
    return frozenset(heirs.values())


def _uploads(root: Path, remotes: Sequence[str]) -> list[str]:
    """Return the places that agents upload to, as far as this clone knows them."""
    known = environments.known(root)
    buckets = [known[name].address(environments.LEARNING) for name in remotes if known[name].url.startswith("gs://")]
    return sorted({*buckets, *confirmed.targets(root / repository.INBOX)})


def _build(root: Path) -> str:
    """Build from what is left; where that fails, remove what was built before and say why."""
    try:
        repository.dvc(["repro"], root)
    except RepositoryError as error:
        raw = f"{repository.RAW.as_posix()}/"
        made = [root / path for path in snapshot.at(root).outputs if not path.startswith(raw)]
        for path in [*(root / "data").glob("*.parquet"), *made]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return f"the dataset could not be built again, so none is here: {error}"
    return ""


def _tracked(root: Path) -> list[str]:
    return [path for path in COMMITTED if repository.git(["ls-files", "--", path], root)]


def _present(root: Path) -> list[str]:
    return [path for path in COMMITTED if (root / path).exists()]
