"""Rolling back: a version's data comes back as a new commit, once every byte of it is known to be at hand."""

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mondegreen import ledger, mending, rebuilding, repository, snapshot, verifying
from mondegreen.errors import RepositoryError
from mondegreen.objects import Output, Store
from mondegreen.snapshot import TAG, Snapshot
from mondegreen.terminal import counted, progress
from mondegreen.verifying import CACHE, WORK_TREE

RESTORED = ("params.yaml", "dvc.yaml", "dvc.lock", "data/.gitignore", "data/raw", "data/metrics", "data/plots")
"""What comes back. Code does not, unless it is asked for; the ledger only ever grows."""

CODE, LEDGER, SPLITS = "stages", "data/ledger.csv", "data/splits.parquet"

_JOURNAL = "mondegreen-rollback"  # in Git's folder: from which commit to which; there while a rollback is going on


@dataclass(frozen=True)
class Rollback:
    """What was done: the commits before and after (the same if there was nothing to restore).

    `files` that Git changed, `batches` that left the work tree, `hashed` files that were checked. `frozen`: cases that
    only later releases froze; `trained`: evaluation cases of theirs that train in this version. `code`: files of
    stages/ that are not the version's. `erased`: its batches of which something was erased since; if there are any,
    the version was built again from what is left.
    """

    version: str
    before: str
    after: str
    files: tuple[str, ...]
    batches: tuple[str, ...]
    hashed: int
    frozen: int
    trained: int
    code: tuple[str, ...]
    erased: tuple[str, ...] = ()


def rollback(root: Path, version: str, *, message: str = "", code: bool = False) -> Rollback:
    """Restore params, dvc.yaml, dvc.lock, batches, metrics and data of a version, as a new commit on a clean tree.

    With `code` the stages' code as well. All data is brought into the cache and hashed before anything changes; the
    branch then moves in one step. If that is interrupted later, the next call finishes it first. A version of which
    something was erased since is built again without that (see `rebuilding`). Raises
    `RepositoryError` that names what is not committed, not what dvc.lock says, or nowhere to be had.
    """
    _finish(root)
    store = Store(root)
    target = snapshot.at(root, version, store=store)
    if not target.dataset_hash:
        raise RepositoryError(f"{version} has no dataset: it was not built there; 'mondegreen versions' lists versions")
    check_clean(root)
    here = snapshot.at(root, "HEAD", store=store)
    _secure(root, store)
    paths = (*RESTORED, CODE) if code else RESTORED
    _bring(target, store)
    tree = _tree(root, here.commit, target, paths)
    if target.erased:
        tree = rebuilding.rebuild(root, tree, target, here.commit)
    after = here.commit
    if tree != repository.git(["rev-parse", f"{here.commit}^{{tree}}"], root).strip():
        text = "\n\n".join(filter(None, (f"Roll back to {version}", message, _trailer(target))))
        after = repository.git(["commit-tree", tree, "-p", here.commit], root, text=text).strip()
    _journal(root).write_text(json.dumps({"before": here.commit, "after": after}), encoding="utf-8")
    repository.git(["update-ref", "-m", f"rollback: {version}", "HEAD", after, here.commit], root)
    hashed = _apply(root, here, snapshot.at(root, after, store=store))
    return _result(root, version, here, target, after, hashed)


def check_clean(root: Path) -> None:
    """Raise `RepositoryError` naming what is changed or new in the work tree and not committed."""
    if found := repository.changed(root):
        shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        raise RepositoryError(
            f"not committed: {shown}; commit ('git add -A && git commit') or put it away ('git stash -u')"
        )


def _finish(root: Path) -> None:
    """Finish a rollback that was interrupted after it had moved the branch."""
    journal = _journal(root)
    if not journal.exists():
        return
    interrupted: dict[str, str] = json.loads(journal.read_text(encoding="utf-8") or "{}")
    if interrupted and repository.commit_of("HEAD", root) == interrupted["after"]:
        store = Store(root)
        before, after = (snapshot.at(root, interrupted[name], store=store) for name in ("before", "after"))
        _check_unedited(root, before.commit, after.commit)
        _apply(root, before, after)
    journal.unlink(missing_ok=True)


def _secure(root: Path, store: Store) -> None:
    """See to it that the cache holds what the work tree holds, since that is about to be replaced."""
    found = verifying.verify(root, store)
    if any(problem.where == CACHE for problem in found.problems):
        for problem in found.problems:
            if problem.where == CACHE:
                mending.mend(problem, root, store)
        found = verifying.verify(root, store)
    edited = [problem.path for problem in found.problems if problem.where == WORK_TREE and problem.what != "missing"]
    if edited:
        more = f" and {len(edited) - 1} more" if len(edited) > 1 else ""
        raise RepositoryError(
            f"{edited[0]}{more} is not what dvc.lock says, and would be lost: 'dvc repro' builds it anew, 'mondegreen "
            f"verify --repair' puts it aside"
        )


def _bring(target: Snapshot, store: Store) -> None:
    """Bring everything that a version needs into the cache, each file hashed; raises naming what cannot be had."""
    need = verifying.needed({target.name: target}, store)
    lost = {problem.path: "nobody has the list of its files" for problem in need.unlisted}
    absent = []
    with progress(len(need.objects), "file", "hashing the cache") as advance:
        for md5 in need.objects:
            absent += [] if store.intact(md5) else [md5]
            advance(1)
    for md5, why in store.fetch(absent).items():
        lost.setdefault(need.objects[md5][0].path, why)
    if lost:
        path, why = next(iter(lost.items()))
        more = f" and {counted(len(lost) - 1, 'more file')}" if len(lost) > 1 else ""
        raise RepositoryError(
            f"{path}{more} of {target.name} cannot be had ({why}); nothing was changed. Someone who has it runs "
            f"'mondegreen push'; 'mondegreen verify --remote --all-versions' lists what is missing"
        )


def _tree(root: Path, before: str, target: Snapshot, paths: Sequence[str]) -> str:
    """Write the tree of `before` with the `paths` of `target`, and what its ledger has more; return its name."""
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        repository.git(["read-tree", before], root, env=env)
        repository.git(["rm", "-rfq", "--cached", "--ignore-unmatch", "--", *paths], root, env=env)
        listed = repository.git(["ls-tree", "-rz", target.commit, "--", *paths], root)
        repository.git(["update-index", "-z", "--index-info"], root, text=listed, env=env)
        if blob := _ledger(root, before, target, Path(folder)):
            repository.git(["update-index", "--cacheinfo", f"100644,{blob},{LEDGER}"], root, env=env)
        return repository.git(["write-tree"], root, env=env).strip()


def _ledger(root: Path, before: str, target: Snapshot, folder: Path) -> str:
    """Store the ledger of `before` with what only the target's has (it is of another branch); '' if that is nothing."""
    now, then = repository.cat([f"{before}:{LEDGER}", f"{target.commit}:{LEDGER}"], root)
    if now is None or then is None:
        return ""
    ours, theirs = folder / "ledger.csv", folder / "theirs.csv"
    ours.write_bytes(now)
    theirs.write_bytes(then)
    if not ledger.append(ours, ledger.read(theirs)):
        return ""
    return repository.git(["hash-object", "-w", "--path", LEDGER, str(ours)], root).strip()


def _trailer(target: Snapshot) -> str:
    name = f"{TAG}{target.name.removeprefix(TAG)}"
    named = name if repository.commit_of(f"refs/tags/{name}", target.root) else target.name
    return f"Rolled-back-to: {named} ({target.commit})"


def _check_unedited(root: Path, before: str, after: str) -> None:
    """Raise `RepositoryError` for a file that is neither as it was before nor as it shall be: somebody edited it."""
    known: dict[str, set[str]] = {}
    for commit in (before, after):
        for line in filter(None, repository.git(["ls-tree", "-rz", commit], root).split("\0")):
            known.setdefault(line.partition("\t")[2], set()).add(line.split()[2].partition("\t")[0])
    for line in filter(None, repository.git(["status", "--porcelain", "-z", "--no-renames", "-uno"], root).split("\0")):
        file = root / line[3:]
        if file.is_file() and repository.git(["hash-object", "--", line[3:]], root).strip() not in known[line[3:]]:
            raise RepositoryError(
                f"{line[3:]} was edited after a rollback was interrupted: move it away, 'git checkout HEAD -- "
                f"{line[3:]}', then roll back again: that finishes it"
            )


def _apply(root: Path, before: Snapshot, after: Snapshot) -> int:
    """Bring index and work tree from one commit to the other, and hash what is there then; return how many files."""
    repository.git(["read-tree", "--reset", "-u", after.commit], root)
    for output in before.outputs.values():
        if output.path not in after.outputs:
            _remove(root, output, before.store)
    repository.dvc(["checkout", "--force"], root)
    here = snapshot.at(root, store=before.store)
    expected = verifying.expected_files(here)
    for problem in list(verifying.work_tree(here, expected)):
        _, why = mending.mend(problem, root, before.store)
        if why:
            raise RepositoryError(f"{problem.path} could not be restored: {why}")
    _journal(root).unlink(missing_ok=True)
    return len(expected)


def _remove(root: Path, output: Output, store: Store) -> None:
    """Remove the files of an output from the work tree; the cache has them. A file that it does not know stays."""
    for item in store.listing(output):
        (root / item.path).unlink(missing_ok=True)
    folder = root / output.path
    if folder.is_dir():
        for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            _remove_empty(inner)
        _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _journal(root: Path) -> Path:
    return root / repository.git(["rev-parse", "--git-path", _JOURNAL], root).strip()


def _result(root: Path, version: str, here: Snapshot, target: Snapshot, after: str, hashed: int) -> Rollback:
    def differing(other: str, *paths: str) -> tuple[str, ...]:
        listed = repository.git(["diff", "--name-only", "--no-renames", "-z", other, after, "--", *paths], root)
        return tuple(filter(None, listed.split("\0")))

    raw = f"{repository.RAW.as_posix()}/"
    made = snapshot.at(root, after, store=here.store)
    gone = [path.removeprefix(raw) for path in here.outputs if path.startswith(raw) and path not in made.outputs]
    known = _frozen(target)
    later = {case: split for case, split in _frozen(made).items() if case not in known}
    evaluation = {case for case, split in later.items() if not split.startswith("train")}
    splits = (
        made.table(SPLITS, ["case_id", "split"]) if made.has(SPLITS) else pd.DataFrame({"case_id": [], "split": []})
    )
    train = set(splits["case_id"][splits["split"] == "train"])
    return Rollback(
        version=version,
        before=here.commit,
        after=after,
        files=differing(here.commit),
        batches=tuple(gone),
        hashed=hashed,
        frozen=len(later),
        trained=len(evaluation & train),
        code=differing(target.commit, CODE),
        erased=tuple(path.removeprefix(raw) for path in target.erased),
    )


def _frozen(state: Snapshot) -> dict[str, str]:
    """Return the cases of a state's ledger, each with its split."""
    rows = csv.DictReader(io.StringIO((state.read(LEDGER) or b"").decode()))
    return {row["case_id"]: row["split"] for row in rows}
