"""Transfer of objects between this clone's cache and its remote: what is lacking goes over, and an audit has the word.

Written beside `dvc push` and `dvc pull`, for the same remotes, because DVC takes a folder's list on the remote as proof
that its files are there, checks out although objects are missing, and tries a dead server for minutes.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mondegreen import repository, snapshot
from mondegreen.carrying import JOBS, PATIENCE, carry
from mondegreen.cloud import Bucket, Stored
from mondegreen.errors import RepositoryError
from mondegreen.objects import FOLDER, Object, Store
from mondegreen.service import Advance
from mondegreen.terminal import counted, progress

_SINGLE = 100
"""Up to so many objects are sent one by one; for more there is a quicker way."""

_SMALL = 1_000_000
"""Bytes below which an object's own time counts for less than what is around it."""


@dataclass(frozen=True)
class Transfer:
    """What was needed at `place`, what went over (bytes), and what is still wrong, by path."""

    place: str
    needed: int
    size: int
    moved: int = 0
    moved_bytes: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def needed(root: Path, store: Store, *, all_versions: bool = False) -> tuple[list[Object], dict[str, str]]:
    """Return the objects that the work tree needs, or every branch and tag as well, and the folders whose list is lost.

    An object that several need is named once.
    """
    names: list[str | None] = [None, *(repository.references(root) if all_versions else ())]
    outputs = {output for name in names for output in snapshot.at(root, name, store=store).lasting.values()}
    objects: dict[str, Object] = {}
    lost: dict[str, str] = {}
    for output in sorted(outputs):
        try:
            for item in store.objects([output]):
                objects.setdefault(item.md5, item)
        except RepositoryError as error:
            lost[output.path] = str(error)
    return sorted(objects.values()), lost


def audit(store: Store, objects: Sequence[Object], *, deep: bool = False) -> dict[Object, str]:
    """Return which of `objects` the remote does not hold as it should, and why.

    Compared are the size (where the cache or the list knows it) and, in a bucket, the MD5 that the service took; with
    `deep`, content whose MD5 the service does not know is read and hashed.
    """
    known = store.stored(item.md5 for item in objects)

    def judge(item: Object) -> str:
        return _judge(store, item, known[item.md5], deep)

    with ThreadPoolExecutor(JOBS) as pool:
        found = (pool.map if deep else map)(judge, objects)
        return {item: why for item, why in zip(objects, found, strict=True) if why}


def _judge(store: Store, item: Object, stored: Stored | None, deep: bool) -> str:
    if stored is None:
        return "is not there"
    size = item.size if item.size is not None else store.size(item.md5)
    if size not in (None, stored.size):
        return f"has {stored.size} bytes instead of {size}"
    md5 = store.remote_md5(item.md5, stored) if deep else stored.md5
    return "has another content" if md5 not in ("", item.md5.removesuffix(FOLDER)) else ""


def push(
    root: Path,
    store: Store,
    *,
    all_versions: bool = False,
    deep: bool = False,
    dry: bool = False,
    jobs: int = JOBS,
    patience: float = PATIENCE,
) -> Transfer:
    """Bring what the remote lacks there, what is wrong there anew, and audit all of it; `dry` only audits.

    Raises `CloudError` where the remote cannot be used. What could not be brought is in `problems`.
    """
    store.place.check(write=not dry)
    objects, lost = needed(root, store, all_versions=all_versions)
    lacking = audit(store, objects, deep=deep)
    total = sum(store.size(item.md5) or 0 for item in objects)
    if dry or not lacking:
        return Transfer(str(store.place), len(objects), total, problems=lost | _by_path(lacking))
    size = sum(store.size(item.md5) or 0 for item in lacking)
    files = [item for item in lacking if not item.md5.endswith(FOLDER)]
    lists = [item for item in lacking if item.md5.endswith(FOLDER)]
    with progress(size, "B", f"pushing to {store.place}", scale=True) as advance:

        def send(item: Object) -> None:
            store.send(item.md5, advance)

        done = _sweep(store, files, jobs, advance)
        failed = carry([item for item in files if item not in done], send, jobs=jobs, patience=patience)
        if failed:  # a folder's list says that its files are there
            failed |= dict.fromkeys(lists, "waits for its files")
        else:
            failed = carry(lists, send, jobs=jobs, patience=patience)
    still = audit(store, objects, deep=deep)
    moved = lacking.keys() - still.keys()
    reasons = {item: failed.get(item, why) for item, why in still.items()}
    return Transfer(
        str(store.place),
        len(objects),
        total,
        len(moved),
        sum(store.size(item.md5) or 0 for item in moved),
        lost | _by_path(reasons),
    )


def _sweep(store: Store, files: list[Object], jobs: int, advance: Advance) -> set[Object]:
    """Upload what is small, if the remote is a bucket; return what is there."""
    small = {store.remote_name(item.md5): item for item in files if (store.size(item.md5) or _SMALL) < _SMALL}
    if not isinstance(store.place, Bucket) or len(small) < _SINGLE:
        return set()
    sources = [(store.cache_path(item.md5), name, item.md5.removesuffix(FOLDER)) for name, item in small.items()]
    return {small[name] for name in store.place.upload_many(sources, jobs=jobs, advance=advance)}


def pull(root: Path, store: Store, *, jobs: int = JOBS, patience: float = PATIENCE) -> Transfer:
    """Bring what the work tree's dvc.lock and .dvc files name into the cache, then check it out.

    Nothing of the work tree is touched before all of it is here and intact; what is not is in `problems`.
    """
    store.place.check(write=False)
    outputs = snapshot.at(root, None, store=store).outputs.values()
    lists = [Object(output.md5, output.path) for output in outputs if output.md5.endswith(FOLDER)]
    moved, failed = _bring(store, [item for item in lists if not store.intact(item.md5)], jobs, patience)
    objects: dict[str, Object] = {}
    if not failed:
        files = list(store.objects(outputs))
        objects = {item.md5: item for item in files}
        absent = [item for item in objects.values() if not store.cache_path(item.md5).is_file()]
        more, failed = _bring(store, absent, jobs, patience)
        moved += more
    if not failed:
        _check_out(root, store, files)
    total = sum(store.size(item.md5) or 0 for item in objects.values())
    size = sum(store.size(item.md5) or 0 for item in moved)
    return Transfer(str(store.place), len(objects), total, len(moved), size, _by_path(failed))


def _check_out(root: Path, store: Store, files: list[Object]) -> None:
    repository.dvc(["checkout", "--allow-missing"], root)  # what no build has made yet is not missing
    absent = [file.path for file in files if not _stands(root / file.path, file, store)]
    if absent:  # of a full disk, too, DVC says nothing then
        more = f" and {counted(len(absent) - 1, 'more file')}" if len(absent) > 1 else ""
        raise RepositoryError(
            f"{absent[0]}{more} could not be put into the work tree, although all is in the cache: make room, or give "
            "write permission, then run this again"
        )


def _stands(path: Path, file: Object, store: Store) -> bool:
    if file.md5.endswith(FOLDER):
        return path.is_dir()
    return path.is_file() and path.stat().st_size == store.size(file.md5)


def _bring(store: Store, items: list[Object], jobs: int, patience: float) -> tuple[list[Object], dict[Object, str]]:
    if not items:
        return [], {}
    size = sum(item.size or 0 for item in items)
    if not size:  # no list says it
        size = sum(known.size for known in store.stored(item.md5 for item in items).values() if known)
    with progress(size, "B", f"pulling from {store.place}", scale=True) as advance:
        failed = carry(items, lambda item: store.bring(item.md5, advance), jobs=jobs, patience=patience)
    return [item for item in items if item not in failed], failed


def _by_path(problems: dict[Object, str]) -> dict[str, str]:
    return {f"{item.path} ({item.md5})": why for item, why in problems.items()}
