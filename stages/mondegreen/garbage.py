"""Garbage: objects that no branch, tag or release needs, in this clone's cache and on its remote.

What goes is what `dvc gc` would remove, less what we know to be needed: branches of Git's remotes, and what was pushed
lately, perhaps by someone whose commits are not here yet. Only DVC's own objects are looked at.
"""

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from mondegreen import repository, transfer
from mondegreen.errors import RepositoryError
from mondegreen.objects import FOLDER, Store
from mondegreen.remotes import OBJECTS

DAYS = 14.0
"""Days that an object on a remote is kept, whatever needs it."""

_REMOVING = re.compile(rf"^Removing (.*){OBJECTS}([0-9a-f]{{2}})/([0-9a-f]{{30}}(?:\.dir)?)$", re.MULTILINE)


@dataclass(frozen=True)
class Garbage:
    """Hashes of objects that can go, with their sizes in bytes; how many of the remote's stay for being young."""

    cache: dict[str, int] = field(default_factory=dict)
    remote: dict[str, int] = field(default_factory=dict)
    young: int = 0


def find(root: Path, store: Store, *, remote: bool = False, days: float = DAYS) -> Garbage:
    """Return what nothing needs, in the cache and, with `remote`, in the remote of `store`.

    Raises `RepositoryError` when a folder's list is lost: what it needs cannot be known then.
    """
    needed, lost = transfer.needed(root, store, all_versions=True)
    if lost:
        path, why = next(iter(lost.items()))
        raise RepositoryError(f"nothing was removed: what {path} needs is not known ({why})")
    arguments = ["gc", "--workspace", "--all-branches", "--all-tags", "--dry", "--force"]
    if remote:
        store.place.check()
        arguments += ["--cloud", *(["--remote", store.remote] if store.remote else [])]
    keep = {item.md5 for item in needed}
    here: set[str] = set()
    there: set[str] = set()
    for place, first, others in _REMOVING.findall(repository.dvc(arguments, root)):
        mine = (Path(place) / OBJECTS).resolve() == store.cache.resolve()
        (here if mine else there).add(first + others)
    cache = {md5: store.cache_path(md5).stat().st_size for md5 in sorted(here - keep)}
    old, young = _by_age(store, there - keep, days) if there else ({}, 0)
    return Garbage(cache, old, young)


def _by_age(store: Store, hashes: set[str], days: float) -> tuple[dict[str, int], int]:
    """Return the sizes of those older than `days`, and how many are younger.

    The age is not taken from our clock alone, which may be ahead: the newest object is at least as old as now.
    """
    known = {name: stored for name, stored in store.place.list(OBJECTS)}  # noqa: C416, a copy
    now = min(time.time(), max((stored.created for stored in known.values()), default=0.0))
    found = {md5: known[store.remote_name(md5)] for md5 in sorted(hashes) if store.remote_name(md5) in known}
    old = {md5: stored.size for md5, stored in found.items() if now - stored.created >= days * 86_400}
    return old, len(found) - len(old)


def remove(store: Store, garbage: Garbage) -> None:
    """Remove it; the list of a folder goes before its files, since it stands for them."""
    for md5 in _lists_first(garbage.remote):
        store.place.delete(store.remote_name(md5))
    for md5 in _lists_first(garbage.cache):
        store.cache_path(md5).unlink(missing_ok=True)


def _lists_first(hashes: dict[str, int]) -> list[str]:
    return sorted(hashes, key=lambda md5: (not md5.endswith(FOLDER), md5))
