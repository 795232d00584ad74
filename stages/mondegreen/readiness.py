"""Readiness: what must hold before a release; each refusal names the reason and the command that mends it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from mondegreen import repository, snapshot, tables
from mondegreen.errors import RepositoryError
from mondegreen.objects import FOLDER, Object, Output, Store
from mondegreen.status import stale_stages
from mondegreen.versions import NUMBER, TAG

REMOTE_SECONDS = 5.0
"""How long the Git remote may take to tell its tags."""


def git(root: Path) -> None:
    """Raise `RepositoryError` unless a branch is checked out, all is committed and Git knows who commits."""
    if not repository.branch(root):
        raise RepositoryError("HEAD is detached, a release stands on a branch: git switch main, or git switch -c NAME")
    try:
        repository.git(["var", "GIT_COMMITTER_IDENT"], root)
    except RepositoryError as error:
        raise RepositoryError(
            "Git does not know who you are: git config user.name Ann && git config user.email ann@example.org"
        ) from error
    if dirty := repository.changed(root):
        shown = ", ".join(dirty[:3]) + (f" and {len(dirty) - 3} more" if len(dirty) > 3 else "")
        raise RepositoryError(f"not committed: {shown}. git add -A && git commit, or git stash -u; then again")
    if (repository.git_folder(root) / "MERGE_HEAD").exists():
        raise RepositoryError("a merge is not committed yet: git commit, or git merge --abort; then again")


def remote(root: Path, known: dict[str, str]) -> tuple[str, ...]:
    """Raise `RepositoryError` when the Git remote has a release that is not here, or another one of the same name.

    `known` are the versions here. Returns notes: one, when the remote does not answer within `REMOTE_SECONDS`.
    """
    theirs = repository.remote_tags(f"{TAG}v*", root, REMOTE_SECONDS)
    if theirs is None:
        return ("note: the Git remote does not answer; if somebody released meanwhile, your push will be refused",)
    for tag, found in sorted(theirs.items()):
        version = tag.removeprefix(TAG)
        if version in known and repository.git(["rev-parse", f"refs/tags/{tag}"], root).strip() != found:
            raise RepositoryError(
                f"{tag} here is not the {tag} of the Git remote, which came first. Take yours back, no data is lost: "
                f"git rebase --onto {tag}~1 {tag} && git tag -d {tag}; then git pull --tags, dvc repro, commit, and "
                f"mondegreen release"
            )
        if version not in known and NUMBER.fullmatch(version):
            raise RepositoryError(
                f"the Git remote has {tag}, which is not here: git pull --tags, dvc repro, then again"
            )
    return ()


def built(root: Path) -> None:
    """Raise `RepositoryError` unless the pipeline is up to date, and gate and audit passed."""
    if stale := stale_stages(root):
        raise RepositoryError(f"not up to date: {', '.join(stale)}. dvc repro, commit, then again")
    for name, what in (("gate", "the gate"), ("dataset", "the audit")):
        if not tables.read_json(root / f"data/metrics/{name}.json").get("passed"):
            raise RepositoryError(f"{what} did not pass: data/metrics/{name}.json says why. Mend it, dvc repro, commit")


def cache(root: Path, *, quality_check: bool) -> None:
    """Raise `RepositoryError` unless the cache has all files of the version.

    Their sizes are checked; with `quality_check`, all but those of raw batches are hashed again, too.
    """
    state = snapshot.at(root)
    for output in state.outputs.values():
        again = quality_check and not output.path.startswith(f"{repository.RAW.as_posix()}/")
        if damaged := _damaged(state.store, output, again=again):
            raise RepositoryError(
                f"{damaged} is not in the cache as it was: dvc fetch brings it from the remote, else rm -r "
                f".dvc/cache/runs && dvc repro --force makes it again; then again"
            )


def _damaged(store: Store, output: Output, *, again: bool) -> str:
    """Return the first file of an output that the cache does not hold whole, '' if none."""
    if not store.cache_path(output.md5).is_file():
        return output.path
    items = list(store.objects([output]))
    with ThreadPoolExecutor() as pool:
        for item, good in zip(items, pool.map(partial(_whole, store, again=again), items), strict=True):
            if not good:
                return item.path
    return "" if output.size in (0, _size(store, items)) else output.path


def _whole(store: Store, item: Object, *, again: bool) -> bool:
    return store.intact(item.md5) if again else store.cache_path(item.md5).is_file()


def _size(store: Store, items: Iterable[Object]) -> int:
    """Return the bytes of an output's files, without the list of a folder."""
    files = (item.md5 for item in items if not item.md5.endswith(FOLDER))
    return sum(store.cache_path(md5).stat().st_size for md5 in files)
