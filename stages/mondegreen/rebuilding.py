"""Rebuilding: a version of which something was erased is built again, from its batches as they are now.

That is done in a work tree of its own below `.dvc/tmp`, over this clone's cache: nothing here changes before the result
is whole, and what a crash leaves there is removed by the next run.
"""

import shutil
from pathlib import Path

from mondegreen import erasures, repository, snapshot
from mondegreen.errors import RepositoryError
from mondegreen.objects import Store
from mondegreen.snapshot import Snapshot

FOLDER = Path(".dvc/tmp/rebuilding")
_BUILT = ("dvc.lock", "data/.gitignore", "data/metrics", "data/plots")


def rebuild(root: Path, tree: str, target: Snapshot, onto: str) -> str:
    """Build `tree`, that of the version `target`, with the batches that stand in for the erased ones; return its name.

    `onto` is the commit that it will follow. Raises `RepositoryError` where that cannot be built; nothing is changed.
    """
    place = root / FOLDER
    _remove(root, place)
    start = repository.git(["commit-tree", tree, "-p", onto, "-m", f"To build {target.name} again"], root).strip()
    try:
        repository.git(["worktree", "add", "--quiet", "--detach", str(place), start], root, quiet=True)
        names = _replace_batches(root, place, target)
        store = Store(root)
        _bring(place, store)
        repository.dvc(["config", "--local", "cache.dir", str(store.cache.parent.parent)], place)
        repository.dvc(["checkout", "--force", *names], place)
        try:
            repository.dvc(["repro"], place)
        except RepositoryError as error:
            raise RepositoryError(
                f"{target.name}, of which something was erased, cannot be built again with this code: {error}. "
                f"Nothing was changed; '--with-code' builds with the code of then"
            ) from error
        present = [path for path in (*_BUILT, repository.RAW.as_posix()) if (place / path).exists()]
        repository.git(["add", "--all", "--", *present], place)
        return repository.git(["write-tree"], place).strip()
    finally:
        _remove(root, place)


def _replace_batches(root: Path, place: Path, target: Snapshot) -> list[str]:
    """Put the .dvc files of the batches' successors in place of those that stand no more; return all that there are."""
    moved = {old: new for entry in erasures.read(root) for old, new in entry.batches.items()}
    raw = repository.RAW.as_posix()
    for path in target.erased:
        name = erasures.end(path.removeprefix(f"{raw}/"), moved)
        (place / f"{path}.dvc").unlink(missing_ok=True)
        wanted = f"{raw}/{name}.dvc"
        commit = repository.git(["log", "--all", "-1", "--diff-filter=AM", "--format=%H", "--", wanted], root).strip()
        content = repository.cat([f"{commit}:{wanted}"], root)[0] if commit else None
        if content is None:
            raise RepositoryError(f"{wanted}, which stands in for {path}, is in no commit here: 'git pull' brings it")
        (place / wanted).write_bytes(content)
    return sorted(file.relative_to(place).as_posix() for file in (place / raw).glob("*.dvc"))


def _bring(place: Path, store: Store) -> None:
    """Bring the batches of the work tree `place` into the cache, each file hashed."""
    raw = f"{repository.RAW.as_posix()}/"
    outputs = [output for path, output in snapshot.at(place, store=store).outputs.items() if path.startswith(raw)]
    absent = {item.md5: item.path for item in store.objects(outputs) if not store.intact(item.md5)}
    for md5, why in store.fetch(absent).items():
        raise RepositoryError(
            f"{absent[md5]} cannot be had ({why}); nothing was changed. Its owner runs 'mondegreen push'"
        )


def _remove(root: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    repository.git(["worktree", "prune"], root)
