"""Publishing: a release's dataset as plain files, for training jobs that have neither Git nor DVC.

    finetuning_datasets/<version>/   the dataset's files, then `_COMPLETE`: without it, nothing there may be used
    metadata/<version>/              manifest.json, which claims the version for one content and comes first; the
                                     release's report and metrics, and how models did until then

What is published is read from the release, never from the work tree, and is the same whenever it is published again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from mondegreen import performance, repository, snapshot
from mondegreen.carrying import PATIENCE, carry
from mondegreen.environments import DATASETS, METADATA
from mondegreen.errors import CloudError, RepositoryError
from mondegreen.place import WORKERS, Place
from mondegreen.reporting import METRICS
from mondegreen.schemas import PERFORMANCE

COMPLETE, MANIFEST = "_COMPLETE", "manifest.json"


@dataclass(frozen=True)
class Publication:
    """What a release puts out: the dataset's files, and what is known about it, by name."""

    version: str
    commit: str
    dataset_hash: str
    files: dict[str, Path]
    metadata: dict[str, bytes | Path]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The release, and the hashes and sizes of its files."""
        return {
            "version": self.version,
            "commit": self.commit,
            "dataset_hash": self.dataset_hash,
            "files": {name: _hashes(path) for name, path in sorted(self.files.items())},
        }

    @property
    def size(self) -> int:
        """Bytes of the dataset."""
        return sum(path.stat().st_size for path in self.files.values())


def releases(root: Path) -> list[str]:
    """Return the versions of all releases, newest first."""
    listed = repository.git(["tag", "--list", f"{snapshot.TAG}*", "--sort=-version:refname"], root)
    return [tag.removeprefix(snapshot.TAG) for tag in listed.split()]


def gather(root: Path, version: str | None = None) -> Publication:
    """Return what a release puts out, the newest one unless `version` names another; all of it is here and intact.

    Raises `RepositoryError` where there is no such release, or where its data can't be had.
    """
    known = releases(root)
    wanted = (version or (known[0] if known else "")).removeprefix(snapshot.TAG)
    if wanted not in known:
        raise RepositoryError(
            f"there is no release {wanted or 'yet'}: 'mondegreen release' makes one"
            + (f"; there are {', '.join(known[:5])}" if known else "")
        )
    state = snapshot.at(root, f"{snapshot.TAG}{wanted}")
    dataset = dict(_folder(state, repository.DATASET.as_posix()))
    metadata: dict[str, bytes | Path] = dict(_folder(state, "data/report"))
    metadata |= {f"metrics/{name}.json": _json(state.json(f"data/metrics/{name}.json")) for name in METRICS}
    measured = performance.flatten(state.table("data/performance.parquet", PERFORMANCE.arrow.names))
    metadata["performance.json"] = _json(performance.records(measured))
    return Publication(wanted, state.commit, state.dataset_hash, dataset, metadata)


def _folder(state: snapshot.Snapshot, path: str) -> Iterator[tuple[str, Path]]:
    if not state.has(path):
        raise RepositoryError(f"{state.name} has no {path}: it was not built there")
    for item in state.store.listing(state.outputs[path]):
        yield PurePosixPath(item.path).relative_to(path).as_posix(), state.store.load(item.md5)


@dataclass(frozen=True)
class Published:
    """What was sent: files and their bytes; nothing where all was there."""

    url: str
    files: int
    size: int
    new: bool
    """It was not complete before."""


def publish(
    found: Publication,
    place: Place,
    advance: Callable[[int], object] = lambda size: None,
    *,
    patience: float = PATIENCE,
) -> Published:
    """Put a release into the bucket `place`: every file, then `_COMPLETE`; again, only what is lost or damaged there.

    Raises `RepositoryError` where another content has this version, also when somebody publishes it just now;
    `CloudError` where the bucket can't be used, or nothing gets through for `patience` seconds. Run again, it goes on.
    """
    place.check()
    base, about = f"{DATASETS}/{found.version}", f"{METADATA}/{found.version}"
    there = place.tree(base)
    complete = COMPLETE in there
    _claim(found, place, complete=complete)
    strange = sorted(there.keys() - found.files.keys() - {COMPLETE})
    if strange:
        raise RepositoryError(
            f"{place.url}/{base} holds files that are not of this release, such as {strange[0]}: remove them, or make "
            f"a new release"
        )
    wanted: dict[str, bytes | Path] = {f"{base}/{name}": path for name, path in found.files.items()}
    wanted |= {f"{about}/{name}": content for name, content in found.metadata.items()}
    sent: list[int] = []

    def bring(name: str) -> None:
        size = _size(wanted[name])
        if not place.holds(name, wanted[name]):
            place.replace(name, wanted[name])
            sent.append(size)
        advance(size)

    failed = carry(wanted, bring, jobs=WORKERS, patience=patience)
    if not failed and not complete:
        failed = carry(
            [f"{base}/{COMPLETE}"], lambda name: place.replace(name, _json(found.manifest)), patience=patience
        )
    if failed:
        name, why = min(failed.items())
        raise CloudError(f"{len(failed)} files were not published, such as {name}: {why}. Run this again: it goes on")
    return Published(f"{place.url}/{base}", len(sent), sum(sent), not complete)


def _claim(found: Publication, place: Place, *, complete: bool) -> None:
    """Make sure that the version is for this content alone, whoever else publishes it just now.

    Of many who ask at once to make the manifest that claims it, the service lets one; the others read it.
    """
    name = f"{DATASETS}/{found.version}/{COMPLETE}" if complete else f"{METADATA}/{found.version}/{MANIFEST}"
    try:
        if not complete:
            place.make(name, _json(found.manifest))
            return
    except FileExistsError:
        pass
    there = _read(place, name)
    if there.get("files") != found.manifest["files"]:
        raise RepositoryError(
            f"{place.url}/{name}: {found.version} is another dataset there (of commit {str(there.get('commit'))[:12]})"
            + (", and a published version never changes" if complete else ", which somebody has begun to publish")
            + ": make a new release"
        )


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _read(place: Place, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(place.read(name)))
    except (ValueError, TypeError) as error:
        raise RepositoryError(f"{place.url}/{name} is damaged: remove it, then publish again") from error


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"


def _hashes(path: Path) -> dict[str, Any]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            md5.update(chunk)
            sha256.update(chunk)
    return {"bytes": path.stat().st_size, "md5": md5.hexdigest(), "sha256": sha256.hexdigest()}


def to_hub(found: Publication, name: str) -> Published:
    """Put a release into the private dataset repository `name` of the Hugging Face Hub: one commit, then its tag.

    Raises `RepositoryError` where another content has this version.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download

    api, kind = HfApi(), "dataset"
    url = str(api.create_repo(name, repo_type=kind, private=True, exist_ok=True))
    if any(tag.name == found.version for tag in api.list_repo_refs(name, repo_type=kind).tags):
        there = json.loads(Path(hf_hub_download(name, COMPLETE, repo_type=kind, revision=found.version)).read_bytes())
        if there.get("files") != found.manifest["files"]:
            raise RepositoryError(f"{url} has another dataset as {found.version}: make a new release")
        return Published(url, 0, 0, new=False)
    wanted: dict[str, bytes | Path] = {**found.files, COMPLETE: _json(found.manifest)}
    old = set(api.list_repo_files(name, repo_type=kind)) - wanted.keys() - {".gitattributes"}
    operations = [CommitOperationAdd(path, content) for path, content in sorted(wanted.items())]
    deletions = [CommitOperationDelete(path) for path in sorted(old)]
    commit = api.create_commit(name, [*operations, *deletions], commit_message=found.version, repo_type=kind)
    api.create_tag(name, tag=found.version, revision=commit.oid, repo_type=kind)
    return Published(url, len(wanted), found.size, new=True)
