"""Mending: what `verifying` found is restored from wherever it is intact; what is replaced is put aside, not lost."""

import json
import shutil
import tempfile
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mondegreen import repository, verifying
from mondegreen.objects import FOLDER, Store, md5_of
from mondegreen.verifying import HERE, REMOTE, WORK_TREE, Problem, Verification

ASIDE = Path(".dvc/tmp/put-aside")
"""Where a file of the work tree goes before it is replaced: it may be an edit."""

_ROUNDS = 4  # a folder's list, then its files, the remote's copies, the work tree


def repair(root: Path, store: Store, *, remote: bool = False, all_versions: bool = False) -> Verification:
    """Verify, mend what can be mended, and verify again, until nothing more can be done; return the last verification.

    The cache is mended from the work tree or the remote, the remote from the cache (with `remote`), the work tree from
    the cache or Git. `mended` says what was done; a problem that is left says in `mend` why it is.
    """
    mended: list[Problem] = []
    for _ in range(_ROUNDS):
        found = verifying.verify(root, store, remote=remote, all_versions=all_versions)
        tried = [mend(problem, root, store) for problem in found.problems]
        mended += [problem for problem, why in tried if not why]
        if all(why for _, why in tried):
            break
    left = tuple(replace(problem, mend=why) for problem, why in tried if why)
    return replace(found, problems=left, mended=tuple(mended))


def mend(problem: Problem, root: Path, store: Store) -> tuple[Problem, str]:
    """Do what can be done about one problem; return it with what was done, and '' or why nothing could be."""
    if problem.where == REMOTE:
        return replace(problem, mend="uploaded again from the cache"), store.upload(problem.md5)
    if problem.where == WORK_TREE:
        return _mend_file(problem, root, store)
    return _mend_cache(problem, root, store)


def _mend_cache(problem: Problem, root: Path, store: Store) -> tuple[Problem, str]:
    file = root / problem.path
    if problem.md5.endswith(FOLDER):
        if not _keep_list(file, problem.md5, store):
            return replace(problem, mend="made again from the work tree"), ""
    elif file.is_file() and not store.keep(problem.md5, file):
        return replace(problem, mend="copied from the work tree"), ""
    why = store.fetch([problem.md5]).get(problem.md5, "")
    sealed = problem.path.startswith(f"{repository.RAW.as_posix()}/") or HERE not in problem.versions
    remedy = "someone who has it runs 'mondegreen push'" if sealed else "'dvc repro' builds it again"
    return replace(problem, mend="fetched from the remote"), f"{why}; {remedy}" if why else ""


def _keep_list(folder: Path, md5: str, store: Store) -> str:
    """Make a folder's list from its files in the work tree, as DVC writes it, and keep it; return why not, or ''."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    entries = [{"md5": md5_of(file), "relpath": file.relative_to(folder).as_posix()} for file in files]
    with tempfile.NamedTemporaryFile() as made:
        made.write(json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True).encode())
        made.flush()
        return store.keep(md5, Path(made.name))


def _mend_file(problem: Problem, root: Path, store: Store) -> tuple[Problem, str]:
    if problem.what == "unknown":
        return replace(problem, mend=f"moved to {_put_aside(root, problem.path)}"), ""
    file, cached = root / problem.path, store.cache_path(problem.md5) if problem.md5 else None
    hidden = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
    hidden.parent.mkdir(parents=True, exist_ok=True)
    try:
        if cached and store.intact(problem.md5):
            shutil.copyfile(cached, hidden)
        else:
            hidden.write_bytes(repository.cat([f":{problem.path}"], root)[0] or b"")
        if problem.md5 and md5_of(hidden) != problem.md5:
            return problem, "neither the cache nor Git has it; 'dvc repro' or 'dvc pull' brings it back"
        old = f"; what was there is in {_put_aside(root, problem.path)}" if file.exists() else ""
        hidden.replace(file)
    finally:
        hidden.unlink(missing_ok=True)
    return replace(problem, mend=f"restored{old}"), ""


def _put_aside(root: Path, path: str) -> Path:
    """Move a file of the work tree to where nothing overwrites it; return where that is, from `root`."""
    target = ASIDE / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:4]}" / path
    (root / target).parent.mkdir(parents=True)
    shutil.move(root / path, root / target)
    return target
