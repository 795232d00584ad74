"""Releasing: a version of the dataset comes to be by one step, the creation of its tag: before it nothing, then all.

Checks first. Then the release's commit is made where nobody sees it, and tagged: from here on the release exists. Then
the branch and the work tree are moved on to that commit; a journal in .git lets the next call finish what was killed.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mondegreen import freezing, ledger, machine, readiness, repository, snapshot, tables, versions
from mondegreen.balancing import SPLITS
from mondegreen.errors import RepositoryError
from mondegreen.proposal import Proposal, propose
from mondegreen.schemas import RETENTION
from mondegreen.versions import TAG, Version

LEDGER, LOCK = "data/ledger.csv", "dvc.lock"
CHANGED = (LEDGER, "data/metrics/frozen.json", LOCK)
"""What a release may change in Git."""

_BUILD = "mondegreen-build-"


@dataclass(frozen=True)
class Plan:
    """A release that every check has passed: what it will be called and why, and where it will stand."""

    version: str
    why: str
    parent: str
    branch: str
    head: str
    proposal: Proposal
    notes: tuple[str, ...] = ()


def release(
    root: Path,
    version: str | None = None,
    message: str = "",
    quality_check: bool = True,
    *,
    say: Callable[[str], object] = lambda text: None,
) -> Version:
    """Release the dataset as it is built and committed, and return its version; the next one if `version` is None.

    A release that was killed before it was whole is finished first, and is the one returned unless another `version`
    is named. With `quality_check` every file that the version consists of is hashed again, raw batches apart: of
    these, and without it of all, it is checked that the cache has them in their full size. Releases in one clone wait
    for each other. Raises `RepositoryError` naming the reason and the command that mends it; then nothing was changed.
    """
    with _alone(root):
        finished = finish(root)
        if finished and version in (None, finished, f"{TAG}{finished}"):
            say(f"finished {TAG}{finished}, which had been interrupted")
            return _find(root, finished)
        planned = plan(root, version, quality_check)
        for line in (*planned.notes, f"{planned.version}: {planned.why}"):
            say(line)
        commit = _commit(root, planned)
        _tag(root, planned, commit, message)
        finish(root)
        return _find(root, planned.version)


def plan(root: Path, version: str | None = None, quality_check: bool = True) -> Plan:
    """Check all that a release needs, and return what it would be; changes nothing. Raises `RepositoryError`."""
    wanted = versions.named(version) if version else ""
    readiness.git(root)
    known = versions.tags(root)
    notes = readiness.remote(root, known)
    if wanted in known:
        raise RepositoryError(f"{TAG}{wanted} exists: choose a higher version, or none to have the next one chosen")
    readiness.built(root)
    readiness.cache(root, quality_check=quality_check)
    head = repository.commit_of("HEAD", root)
    merged = repository.git(
        ["for-each-ref", "--merged", "HEAD", "--format=%(refname:lstrip=2)", f"refs/tags/{TAG}v*"], root
    )
    parent = next((name for name in known if f"{TAG}{name}" in merged.split()), "")
    proposal = propose(root, parent, set(known))
    if not wanted and not proposal.version:
        raise RepositoryError(
            f"nothing to release: {proposal.why}. To release it again under another name, name the version"
        )
    why = "named by you" if wanted and wanted != proposal.version else proposal.why
    return Plan(wanted or proposal.version, why, parent, repository.branch(root), head, proposal, notes)


def finish(root: Path) -> str:
    """Move branch and work tree on to a release that exists, if the last one was interrupted, and return its version.

    Returns '' where nothing was interrupted. Raises `RepositoryError` where the branch or a file was changed since.
    """
    version = versions.unfinished(root)
    place = repository.git_folder(root)
    if version:
        journal = versions.journal(root)
        if (repository.branch(root), repository.commit_of("HEAD", root)) != (journal["branch"], journal["head"]):
            raise RepositoryError(
                f"{TAG}{version} was released on {journal['branch']}, which has moved on since: "
                f"git checkout {journal['branch']} && git merge {TAG}{version}"
            )
        wanted = dict(
            zip(CHANGED, repository.cat([f"{journal['commit']}:{path}" for path in CHANGED], root), strict=True)
        )
        here = dict(zip(CHANGED, repository.cat([f"{journal['head']}:{path}" for path in CHANGED], root), strict=True))
        for path in repository.changed(root):
            if path not in wanted or (root / path).read_bytes() not in (wanted[path], here[path]):
                raise RepositoryError(
                    f"{TAG}{version} was interrupted, and {path} was changed since: git stash, then mondegreen release"
                )
        differing = [path for path in CHANGED if wanted[path] != here[path]]
        if differing:
            repository.git(["checkout", journal["commit"], "--", *differing], root, quiet=True)
        repository.git(["merge", "--quiet", "--ff-only", journal["commit"]], root, quiet=True)
    (place / versions.JOURNAL).unlink(missing_ok=True)
    return version


def _commit(root: Path, planned: Plan) -> str:
    """Return the release's commit, made in a folder of its own: nothing names it yet.

    Only the stage `split` runs there: a release changes the ledger, and no row of the dataset depends on that.
    """
    place = repository.git_folder(root)
    for left in place.glob(f"{_BUILD}*"):
        shutil.rmtree(left, ignore_errors=True)
    build = Path(tempfile.mkdtemp(prefix=_BUILD, dir=place))
    try:
        tree = build / "tree"
        tree.mkdir()
        env = {"GIT_DIR": str(place), "GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(build / "index")}
        repository.git(["read-tree", planned.head], tree, env=env)
        repository.git(["checkout-index", "--all", "--quiet"], tree, env=env)
        _freeze(root, tree, planned.version)
        repository.git(["add", "--update"], tree, env=env)
        changed = repository.git(["diff", "--cached", "--name-only", planned.head], tree, env=env).split()
        if odd := sorted(set(changed) - set(CHANGED)):
            raise RepositoryError(
                f"a release changes no data, but this one would change {', '.join(odd)}: dvc repro --force split, "
                f"commit, then again; if it stays so, it is a defect of Mondegreen"
            )
        written = repository.git(["write-tree"], tree, env=env).strip()
        text = f"Release {TAG}{planned.version}"
        return repository.git(["commit-tree", written, "-p", planned.head, "-m", text], tree, env=env).strip()
    finally:
        shutil.rmtree(build, ignore_errors=True)


def _freeze(root: Path, tree: Path, version: str) -> None:
    """Extend the ledger in `tree`, a copy of the work tree's Git files, and run the stage `split` there."""
    state = snapshot.at(root)
    frozen = ledger.read(root / LEDGER)
    columns = ["case_id", "split", "component", "speaker_id"]
    kept = state.table("data/splits.parquet", columns).assign(kept=True)
    left = state.table("data/left_out.parquet", columns[:3]).assign(kept=False)
    speakers = state.table("data/valid.parquet", ["case_id", "speaker_id"])
    left = left.merge(speakers, on="case_id", how="left")
    rows = pd.concat([kept, left], ignore_index=True)
    rows = freezing.to_freeze(rows[rows["split"].isin((*SPLITS, RETENTION))], frozen)
    if rows.empty:
        return
    (tree / ".dvc/config.local").write_text(
        f"[core]\n    no_scm = true\n[cache]\n    dir = {state.store.cache.parent.parent}\n", encoding="utf-8"
    )
    needed = state.yaml("dvc.yaml")["stages"]["split"]["deps"]
    repository.dvc(["checkout", *(path for path in needed if path in state.outputs)], tree)
    ledger.append(tree / LEDGER, rows.assign(release=version))
    repository.dvc(["repro", "--single-item", "split"], tree)


def _tag(root: Path, planned: Plan, commit: str, message: str) -> None:
    """Write the journal, then create the tag: the one step by which the release comes to be."""
    place = repository.git_folder(root)
    journal = {"version": planned.version, "commit": commit, "branch": planned.branch, "head": planned.head}
    hidden = place / f"{versions.JOURNAL}.new"
    with hidden.open("w", encoding="utf-8") as file:
        json.dump(journal, file)
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(place / versions.JOURNAL)
    text = _message(root, planned, message)
    repository.git(
        ["tag", "--annotate", "-m", text, "--cleanup=verbatim", f"{TAG}{planned.version}", commit], root, quiet=True
    )


def _message(root: Path, planned: Plan, message: str) -> str:
    """Return the tag's message: what a person says about it, then what `versions` and people read of it."""
    dataset = tables.read_json(root / "data/metrics/dataset.json")
    quality = tables.read_json(root / "data/metrics/quality.json")
    found = planned.proposal
    facts = [
        f"Quality: {quality['quality_metrics']['overall_score']:.4f}",
        f"Sizes: {', '.join(f'{rows} {split}' for split, rows in versions.in_order(dataset['rows']).items())}",
        f"Parent: {planned.parent or 'none'}",
        f"Cases: {'unknown' if found.added is None else f'{found.added} added, {found.removed} removed'}",
    ]
    said = "\n".join(line.replace(": ", " : ") for line in message.strip().splitlines())
    return f"Dataset {planned.version}: {said or planned.why}\n\n" + "\n".join(facts) + "\n"


def _find(root: Path, version: str) -> Version:
    return next(found for found in versions.versions(root) if found.version == version)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Wait until no other release runs in this clone."""
    with machine.alone(repository.git_folder(root) / "mondegreen-release.lock", wait=True):
        yield
