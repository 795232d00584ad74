"""Purging: objects that hold what was erased leave the cache and the remotes, whatever version they belong to.

Every commit that had a batch in its old form loses that batch and all that its build made of it: such a version can be
built again, from the batches as they are now, but not restored.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from mondegreen import repository, snapshot
from mondegreen.errors import CloudError, RepositoryError
from mondegreen.objects import FOLDER, Output, Store
from mondegreen.shelf import FOLDER as SHELF

LOOSE = (SHELF, Path("data/exports"))
"""What else this clone keeps that can be made again."""


def purge(root: Path, batches: Iterable[str], remotes: Iterable[str]) -> list[str]:
    """Delete what holds the `batches` (names, in their old form) everywhere this clone reaches; return what is left.

    Objects that the work tree's own dvc.lock and .dvc files name stay: they must be built anew before. Running it
    again goes on where it was stopped: what is gone is gone.
    """
    store = Store(root)
    kept = {item.md5 for item in _objects(store, snapshot.at(root).outputs.values())}
    doomed = {item.md5 for item in _objects(store, _outputs(root, set(batches)))} - kept
    left = [problem for remote in remotes if (problem := _purge_remote(Store(root, remote), doomed))]
    _purge_cache(store, kept | {item.md5 for item in _objects(store, _outputs(root, None))} - doomed)
    for path in LOOSE:
        shutil.rmtree(root / path, ignore_errors=True)
    return left


def versions_with(root: Path, batches: set[str]) -> list[str]:
    """Return the commits of all branches and tags that hold one of the `batches`."""
    commits = repository.git(["rev-list", "--all"], root).split()
    names = [f"{commit}:{repository.RAW}/{batch}.dvc" for commit in commits for batch in sorted(batches)]
    found = repository.cat(names, root)
    width = len(batches)
    return [commit for number, commit in enumerate(commits) if any(found[number * width : (number + 1) * width])]


def _outputs(root: Path, batches: set[str] | None) -> Iterator[Output]:
    """Yield what DVC keeps for the commits that hold one of `batches`: these and all derived; None: for all commits."""
    all_commits = repository.git(["rev-list", "--all"], root).split()
    raw = f"{repository.RAW.as_posix()}/"
    parse = lru_cache(maxsize=None)(snapshot.parse_yaml)
    for commit in all_commits if batches is None else versions_with(root, batches):
        lock, stages = repository.cat([f"{commit}:dvc.lock", f"{commit}:dvc.yaml"], root)
        listed = repository.git(["ls-tree", "-z", "--name-only", commit, raw], root).split("\0")
        files = [name for name in listed if name.endswith(".dvc")]
        contents = repository.cat([f"{commit}:{name}" for name in files], root)
        tracked = {name: parse(content, name) for name, content in zip(files, contents, strict=True)}
        for output in snapshot.outputs(parse(lock, "dvc.lock"), parse(stages, "dvc.yaml"), tracked).values():
            if batches is None or not output.path.startswith(raw) or output.path.removeprefix(raw) in batches:
                yield output


def _objects(store: Store, outputs: Iterable[Output]) -> Iterator[Output]:
    """Yield every object of the outputs; of a folder whose list is nowhere any more, the list alone."""
    for output in set(outputs):
        yield output
        if output.md5.endswith(FOLDER):
            with suppress(RepositoryError):
                yield from (Output(item.path, item.md5, item.size or 0) for item in store.listing(output))


def _purge_cache(store: Store, kept: set[str]) -> None:
    """Delete every object of the cache but `kept`: also those of builds that were never committed."""
    for path in store.cache.glob("??/*"):
        if path.parent.name + path.name not in kept:
            path.unlink(missing_ok=True)
    shutil.rmtree(store.cache.parent.parent / "runs", ignore_errors=True)


def _purge_remote(store: Store, doomed: set[str]) -> str:
    """Delete objects from a remote; return what went wrong, '' when all are gone."""
    try:
        store.place.check(write=False)
        for md5 in sorted(doomed):
            store.place.delete(store.remote_name(md5))
    except (OSError, CloudError, RepositoryError) as error:
        return f"the remote {store.remote}: {error or type(error).__name__}"
    return ""
