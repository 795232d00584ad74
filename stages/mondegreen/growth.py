"""Growth: raw batches and the ledger only ever grow; this tells what was added, and what was lost all the same.

A batch may leave when others hold all its events (compaction), when the record says that it was erased, and when a
rollback took it out; each is told apart.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mondegreen import erasures, repository, snapshot
from mondegreen.compaction import compacted
from mondegreen.errors import DataError, RepositoryError
from mondegreen.ledger import COLUMNS
from mondegreen.objects import Output
from mondegreen.snapshot import Snapshot

LEDGER = "data/ledger.csv"


@dataclass(frozen=True)
class Batches:
    """Raw batches by name; `lost_files` and `changed_files` (paths) are those of batches that are still there.

    `replaced` left, but others hold all their events, or the record of erasures names them; `rolled_back` left by the
    commit that `rollback` describes. Neither is in `lost`.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    rollback: str = ""
    lost: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    lost_files: tuple[str, ...] = ()
    changed_files: tuple[str, ...] = ()

    @property
    def grew(self) -> bool:
        """Tell whether everything that was there is there unchanged, or left for a reason that is on record."""
        return not (self.lost or self.changed)


@dataclass(frozen=True)
class Ledger:
    """Lines of data/ledger.csv: how many were added, and which are no longer there as they were."""

    added: int = 0
    lost: tuple[str, ...] = ()


def batches(before: Snapshot, after: Snapshot) -> Batches:
    """Compare the raw batches of two states: those that DVC keeps by their hash, those in Git (the sample) by file."""
    old, new = _tracked(before), _tracked(after)
    altered = sorted(name for name in old.keys() & new.keys() if old[name].md5 != new[name].md5)
    files = [_altered_files(before, old[name], after, new[name]) for name in altered]
    gone, other = _altered_in_git(before, after)
    kept = {path.split("/")[2] for path in _git_files(after)}
    in_git = {path.split("/")[2] for path in gone + other}
    left = (old.keys() - new.keys()) | (in_git - kept - new.keys())
    replaced = _replaced(before, after, left & old.keys(), [*(new.keys() - old.keys()), *(new.keys() & old.keys())])
    rollback, rolled_back = _rolled_back(before, after, left - replaced) if left - replaced else ("", set[str]())
    return Batches(
        added=tuple(sorted(new.keys() - old.keys())),
        replaced=tuple(sorted(replaced)),
        rolled_back=tuple(sorted(rolled_back)),
        rollback=rollback,
        lost=tuple(sorted(left - replaced - rolled_back)),
        changed=tuple(sorted({*altered, *(in_git & kept)})),
        lost_files=tuple(sorted([path for lost, _ in files for path in lost] + _of(gone, kept))),
        changed_files=tuple(sorted([path for _, changed in files for path in changed] + _of(other, kept))),
    )


def ledger(before: Snapshot, after: Snapshot) -> Ledger:
    """Compare the ledgers of two states, line by line."""
    old, new = (set(_lines(state.read(LEDGER))) for state in (before, after))
    return Ledger(len(new - old), tuple(sorted(old - new)))


def frozen(state: Snapshot) -> dict[str, str]:
    """Return the release that froze each case, by case_id, as far as the ledger's lines can be read."""
    fields = [line.split(",") for line in _lines(state.read(LEDGER))]
    return {line[0]: line[-1] for line in reversed(fields) if len(line) == len(COLUMNS)}


def _lines(content: bytes | None) -> list[str]:
    lines = (content or b"").decode("utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip() and line.strip() != ",".join(COLUMNS)]


def _tracked(state: Snapshot) -> dict[str, Output]:
    raw = f"{repository.RAW.as_posix()}/"
    return {path.removeprefix(raw): output for path, output in state.outputs.items() if path.startswith(raw)}


def _replaced(before: Snapshot, after: Snapshot, left: set[str], present: list[str]) -> set[str]:
    """Return those of the batches that left whose every event is in a `present` one, or whose erasure is on record."""
    if not left:
        return set()
    moved = {old: new for entry in erasures.parse(after.read(str(erasures.PATH))) for old, new in entry.batches.items()}
    erased = left & moved.keys()
    for name in present if erased else ():
        file = after.read(f"{repository.RAW.as_posix()}/{name}.dvc")
        moved |= dict.fromkeys(compacted(snapshot.parse_yaml(file, name)), name)
    found = {name for name in erased if erasures.end(name, moved) in present}
    wanted = {name: lines for name in left - found if (lines := _events(before, name))}
    for name in present:
        if wanted:
            held = _events(after, name)
            rests = {name: {line for line in lines if line not in held} for name, lines in wanted.items()}
            found |= {name for name, rest in rests.items() if not rest}
            wanted = {name: rest for name, rest in rests.items() if rest}
    return found


def _events(state: Snapshot, batch: str) -> set[bytes]:
    """Return a hash of each event of a batch; none where they are nowhere to be had."""
    try:
        with state.file(f"{repository.RAW.as_posix()}/{batch}/events.jsonl").open("rb") as lines:
            return {hashlib.blake2b(line, digest_size=16).digest() for line in lines}
    except (DataError, RepositoryError):
        return set()


def _rolled_back(before: Snapshot, after: Snapshot, left: set[str]) -> tuple[str, set[str]]:
    """Return the newest rollback between two states, and those of the batches that are not in what it went back to."""
    between = f"{before.commit}..{after.commit or 'HEAD'}"
    form = "--format=%h %(trailers:key=Rolled-back-to,valueonly,separator=%x20)"
    for line in repository.git(["log", form, between], after.root).splitlines():
        if found := re.fullmatch(r"(\w+) (\S+) \((\w+)\)\s*", line):
            commit, name, target = found.groups()
            if repository.commit_of(target, after.root):
                there = _tracked(snapshot.at(after.root, target, store=after.store))
                return f"to {name} by {commit}", left - there.keys()
    return "", set()


def _altered_files(before: Snapshot, old: Output, after: Snapshot, new: Output) -> tuple[list[str], list[str]]:
    """Return the lost and the changed files of a batch; none of either where the lists of its files can't be had."""
    try:
        was, now = (
            {item.path: item.md5 for item in state.store.listing(output)}
            for state, output in ((before, old), (after, new))
        )
    except (DataError, RepositoryError):
        return [], []
    return _differing(was, now)


def _differing(was: Mapping[str, str], now: Mapping[str, str]) -> tuple[list[str], list[str]]:
    return sorted(was.keys() - now.keys()), sorted(path for path in was.keys() & now.keys() if was[path] != now[path])


def _of(paths: Iterable[str], kept: set[str]) -> list[str]:
    return [path for path in paths if path.split("/")[2] in kept]


def _altered_in_git(before: Snapshot, after: Snapshot) -> tuple[list[str], list[str]]:
    """Return the files of batches in Git that were deleted, and those that were changed."""
    states = [before.commit, after.commit] if after.commit else [before.commit]
    told = repository.git(
        ["diff", "--name-status", "--no-renames", "-z", *states, "--", f"{repository.RAW}/"], after.root
    )
    fields = told.split("\0")
    found = [(kind, path) for kind, path in zip(fields[::2], fields[1::2], strict=False) if path.count("/") > 2]
    return [path for kind, path in found if kind == "D"], [path for kind, path in found if kind not in "AD"]


def _git_files(state: Snapshot) -> list[str]:
    """Return the files of batches that Git keeps."""
    if state.commit:
        told = repository.git(["ls-tree", "-r", "-z", "--name-only", state.commit, f"{repository.RAW}/"], state.root)
    else:
        told = repository.git(["ls-files", "-z", "--", f"{repository.RAW}/"], state.root)
    return [path for path in told.split("\0") if path.count("/") > 2 and (state.commit or (state.root / path).exists())]
