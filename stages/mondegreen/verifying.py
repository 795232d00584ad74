"""Verifying: what the work tree, the cache and the remote hold is hashed again, byte by byte, not looked up."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mondegreen import repository, snapshot
from mondegreen.errors import RepositoryError
from mondegreen.objects import FOLDER, Object, Output, Store, md5_of
from mondegreen.snapshot import Snapshot
from mondegreen.terminal import progress

WORK_TREE, CACHE, REMOTE = "work tree", "cache", "remote"
HERE = "this work tree"

_JOBS = 4


@dataclass(frozen=True, order=True)
class Problem:
    """Something that is not what it was made as.

    `where` it is; its `path` in the work tree; `what` is wrong: missing, damaged, changed (in the work tree: damaged
    or edited), unknown (no part of its folder), unlisted (nobody has the list of the folder's files); the hash it
    should have; the `versions` that need it; `mend`, what was done, or why it could not be ('': nobody tried).
    """

    where: str
    path: str
    what: str
    md5: str
    versions: tuple[str, ...]
    mend: str = ""


@dataclass(frozen=True)
class Verification:
    """What was checked, how many files by place, for which versions; what is wrong; and what was mended before.

    `erased`: versions that were erased in part; only what is left of their batches is looked for.
    """

    versions: tuple[str, ...]
    checked: dict[str, int]
    problems: tuple[Problem, ...]
    mended: tuple[Problem, ...] = ()
    erased: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needed:
    """What versions need: every object once, by hash, with the versions; and folders that nobody can list."""

    objects: dict[str, tuple[Object, tuple[str, ...]]]
    unlisted: tuple[Problem, ...]


def verify(root: Path, store: Store, *, remote: bool = False, all_versions: bool = False) -> Verification:
    """Hash everything that the version in the work tree needs; with `all_versions` that releases, branches, tags need.

    Looks into the work tree and the cache, with `remote` into the remote as well. Changes nothing. An object of
    another version that is not in the cache counts as missing only when the remote does not have it either. Raises
    `CloudError` or `RepositoryError` when the remote cannot be asked.
    """
    if remote:
        store.place.check(write=False)  # a bucket that cannot be used says so within seconds
    here = snapshot.at(root, store=store)
    versions = {HERE: here}
    if all_versions:
        versions |= {version.name: version for version in snapshot.every(root, store=store)}
    need = needed(versions, store)
    expected = expected_files(here)
    with progress(len(expected) + len(need.objects) * (1 + remote), "file", "hashing") as advance:
        problems = [*need.unlisted, *work_tree(here, expected, advance)]
        cache = list(_differing(CACHE, need, lambda md5: _md5(store.cache_path(md5)), advance))
        known = store.stored(need.objects) if remote else {}

        def remote_md5(md5: str) -> str:
            return store.remote_md5(md5, known[md5]) if known[md5] else ""

        there = list(_differing(REMOTE, need, remote_md5, advance)) if remote else []
    lacking = {problem.md5 for problem in cache if problem.what != "damaged" and HERE not in problem.versions}
    elsewhere = {} if remote else store.stored(lacking)
    lost = {problem.md5 for problem in there} | {md5 for md5, at in elsewhere.items() if at is None}
    problems += [problem for problem in cache if problem.md5 in lost or problem.md5 not in lacking]
    checked = {WORK_TREE: len(expected), CACHE: len(need.objects)} | ({REMOTE: len(need.objects)} if remote else {})
    erased = tuple(name for name, version in versions.items() if version.erased)
    return Verification(tuple(versions), checked, tuple(sorted({*problems, *there})), erased=erased)


def needed(versions: dict[str, Snapshot], store: Store) -> Needed:
    """Return what `versions`, by name, need."""
    users: dict[Output, list[str]] = {}
    for name, version in versions.items():
        for output in version.lasting.values():
            users.setdefault(output, []).append(name)
    found: dict[str, tuple[Object, dict[str, None]]] = {}
    unlisted = []
    for output, names in users.items():
        try:
            items = list(store.objects([output]))
        except RepositoryError:
            items = [Object(output.md5, output.path)]
            unlisted.append(Problem(CACHE, output.path, "unlisted", output.md5, tuple(names)))
        for item in items:
            found.setdefault(item.md5, (item, {}))[1].update(dict.fromkeys(names))
    return Needed({md5: (item, tuple(names)) for md5, (item, names) in found.items()}, tuple(unlisted))


def expected_files(here: Snapshot) -> dict[str, str]:
    """Return path and hash of every file that DVC knows in the work tree: outputs, batches, and metrics in Git.

    The files of a folder that nobody can list are left out.
    """
    stages = here.yaml("dvc.lock").get("stages", {}).values()
    outs = {out["path"]: out.get("md5", "") for stage in stages for out in stage.get("outs", ())}
    files = {path: md5 for path, md5 in outs.items() if path not in here.outputs and md5}
    for output in here.outputs.values():
        try:
            files |= {item.path: item.md5 for item in here.store.listing(output)}
        except RepositoryError:
            continue
    return dict(sorted(files.items()))


def work_tree(
    here: Snapshot, expected: dict[str, str], advance: Callable[[int], object] = lambda by: None
) -> Iterator[Problem]:
    """Yield what differs in the work tree from what DVC knows, and from what Git has of its batches (the sample)."""
    for path, found in _hashed(expected, lambda path: _md5(here.root / path), advance):
        if found != expected[path]:
            yield Problem(WORK_TREE, path, "changed" if found else "missing", expected[path], (HERE,))
    for output in here.outputs.values():
        inside = f"{output.path}/"
        if output.md5.endswith(FOLDER) and any(path.startswith(inside) for path in expected):
            files = (file for file in (here.root / output.path).rglob("*") if file.is_file())
            names = {file.relative_to(here.root).as_posix() for file in files if not file.name.startswith(".")}
            yield from (Problem(WORK_TREE, name, "unknown", "", (HERE,)) for name in sorted(names - expected.keys()))
    yield from (Problem(WORK_TREE, path, what, "", (HERE,)) for path, what in _batches_in_git(here.root))


def _batches_in_git(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the files of batches that Git keeps, such as the sample, which are not what Git has."""
    listed = repository.git(["ls-files", "-z", "--stage", repository.RAW.as_posix()], root)
    lines = (line.partition("\t") for line in listed.split("\0") if line and not line.endswith(".dvc"))
    known = {path: entry.split()[1] for entry, _, path in lines}
    there = [path for path in known if (root / path).is_file()]
    blobs = repository.git(["hash-object", "--", *there], root).split() if there else []
    found = dict(zip(there, blobs, strict=True))
    for path, blob in known.items():
        if found.get(path) != blob:
            yield path, "changed" if path in found else "missing"


def _differing(
    where: str, need: Needed, hash_of: Callable[[str], str], advance: Callable[[int], object]
) -> Iterator[Problem]:
    for md5, found in _hashed(need.objects, hash_of, advance):
        if found != md5.removesuffix(FOLDER):
            item, versions = need.objects[md5]
            yield Problem(where, item.path, "damaged" if found else "missing", md5, versions)


def _hashed(
    names: Iterable[str], hash_of: Callable[[str], str], advance: Callable[[int], object]
) -> list[tuple[str, str]]:
    def one(name: str) -> tuple[str, str]:
        found = hash_of(name)
        advance(1)
        return name, found

    with ThreadPoolExecutor(_JOBS) as pool:
        return list(pool.map(one, names))


def _md5(path: Path) -> str:
    """Return a file's hash; '' where there is none, "unreadable" where it cannot be read."""
    try:
        return md5_of(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""
    except OSError:
        return "unreadable"
