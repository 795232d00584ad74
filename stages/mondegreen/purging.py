"""Purging: objects that hold what was erased leave the cache and the remotes, whatever version they belong to.

Every commit that had a batch in its old form loses that batch and all that its build made of it: such a version can be
built again, from the batches as they are now, but not restored.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import yaml

from mondegreen import doomed, repository, snapshot
from mondegreen.errors import CloudError, RepositoryError
from mondegreen.mending import ASIDE
from mondegreen.objects import FOLDER, Output, Store
from mondegreen.rebuilding import FOLDER as REBUILDING
from mondegreen.remotes import Folder
from mondegreen.shelf import FOLDER as SHELF

LOOSE = (SHELF, ASIDE, REBUILDING, Path(".dvc/tmp/exps"), Path("data/exports"))
"""What else this clone keeps: tables and exports that can be made again, files that `verify --repair` replaced."""

_RAW = f"{repository.RAW.as_posix()}/"


def objects_with(root: Path, batches: Iterable[str]) -> frozenset[str]:
    """Return the hashes of all objects that hold the `batches` (names): of commits, and of the work tree as it is."""
    names, store, here = set(batches), Store(root), snapshot.at(root)
    outputs = set(_outputs(root, names))
    if any(f"{_RAW}{name}" in here.outputs for name in names):  # perhaps never committed, but pushed
        outputs |= {output for path, output in here.outputs.items() if _made_of(path, names)}
    return frozenset(item.md5 for item in _objects(store, outputs))


def purge(root: Path, batches: Iterable[str], remotes: Iterable[str], *, built: bool) -> list[str]:
    """Delete what holds the `batches` (names, in their old form) everywhere this clone reaches; return what is left.

    Objects that the work tree needs stay; unless all was `built` anew, nothing that was made of the batches is among
    them: dvc.lock then loses these stages. Running it again goes on where it was stopped.
    """
    store = Store(root)
    gone = objects_with(root, batches) | doomed.read(root).objects
    if not built:
        _unlock(root, gone)
    kept = {item.md5 for item in _objects(store, snapshot.at(root).outputs.values())}
    gone -= kept
    left = [problem for remote in remotes if (problem := _purge_remote(Store(root, remote), gone))]
    if store.cache.resolve().is_relative_to(root.resolve()):
        _purge_cache(store, kept | {item.md5 for item in _objects(store, _outputs(root, None))} - gone)
    else:  # other repositories may use it, too
        for md5 in gone:
            store.cache_path(md5).unlink(missing_ok=True)
    for path in LOOSE:
        shutil.rmtree(root / path, ignore_errors=True)
    return left


def absent(root: Path, remotes: Iterable[str]) -> list[str]:
    """Return the remotes that are folders and not there: never used yet, or not mounted just now."""
    places = ((name, Store(root, name)) for name in remotes)
    return [
        f"the remote {name} ({store.place})"
        for name, store in places
        if isinstance(store.place, Folder) and not store.place.path.is_dir()
    ]


def _made_of(path: str, batches: set[str]) -> bool:
    """Tell whether a path is one of the batches, or made by the pipeline."""
    return not path.startswith(_RAW) or path.removeprefix(_RAW) in batches


def _unlock(root: Path, gone: Iterable[str]) -> None:
    """Take stages out of dvc.lock whose outputs are gone: they are not built."""
    path, lost = root / "dvc.lock", set(gone)
    lock = snapshot.parse_yaml(path.read_bytes() if path.exists() else None, "dvc.lock")
    stages = lock.get("stages", {})
    kept = {
        name: stage for name, stage in stages.items() if not lost & {out.get("md5") for out in stage.get("outs", ())}
    }
    if len(kept) < len(stages):
        path.write_text(yaml.safe_dump({**lock, "stages": kept}, sort_keys=False), encoding="utf-8")


def versions_with(root: Path, batches: set[str]) -> list[str]:
    """Return the commits, of all branches and tags and what they were before, that hold one of the `batches`."""
    commits = _commits(root)
    names = [f"{commit}:{repository.RAW}/{batch}.dvc" for commit in commits for batch in sorted(batches)]
    found = repository.cat(names, root)
    width = len(batches)
    return [commit for number, commit in enumerate(commits) if any(found[number * width : (number + 1) * width])]


def _commits(root: Path) -> list[str]:
    return repository.git(["rev-list", "--all", "--reflog"], root).split()


def _outputs(root: Path, batches: set[str] | None) -> Iterator[Output]:
    """Yield what DVC keeps for the commits that hold one of `batches`: these and all derived; None: for all commits."""
    parse = lru_cache(maxsize=None)(snapshot.parse_yaml)
    for commit in _commits(root) if batches is None else versions_with(root, batches):
        lock, stages = repository.cat([f"{commit}:dvc.lock", f"{commit}:dvc.yaml"], root)
        listed = repository.git(["ls-tree", "-z", "--name-only", commit, _RAW], root).split("\0")
        files = [name for name in listed if name.endswith(".dvc")]
        contents = repository.cat([f"{commit}:{name}" for name in files], root)
        tracked = {name: parse(content, name) for name, content in zip(files, contents, strict=True)}
        for output in snapshot.outputs(parse(lock, "dvc.lock"), parse(stages, "dvc.yaml"), tracked).values():
            if batches is None or _made_of(output.path, batches):
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


def _purge_remote(store: Store, gone: Iterable[str]) -> str:
    """Delete objects from a remote, lists of folders last; return what went wrong, '' when all are gone."""
    try:
        store.place.check(write=False)
        for md5 in sorted(gone, key=lambda md5: (md5.endswith(FOLDER), md5)):
            store.place.delete(store.remote_name(md5))
    except (OSError, CloudError, RepositoryError) as error:
        return f"the remote {store.remote}: {error or type(error).__name__}"
    return ""
