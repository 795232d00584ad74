"""Versions: the releases of the dataset, newest first, read from Git's objects by two processes, however many."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mondegreen import repository
from mondegreen.errors import RepositoryError

if TYPE_CHECKING:
    from mondegreen.objects import Store

TAG = "dataset@"
SPLITS = ("train", "validation", "test")
JOURNAL = "mondegreen-release.json"
NUMBER = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_FIELDS = ("refname:lstrip=2", "objectname", "*objectname", "taggerdate:iso-strict", "contents")
_DATASET = ("export", "data/dataset")


@dataclass(frozen=True)
class Version:
    """One release of the dataset.

    `date` is when it was tagged (ISO 8601), `quality_score` 0..1, `sizes` rows by split, copies and replay among them.
    `parent` is the version that the cases `cases_added` and `cases_removed` count from ('' for the first); both are
    null for a tag that `mondegreen release` did not make. `in_cache` and `in_remote` tell whether all files of the
    dataset are there, by name and not by content (`mondegreen verify` reads them); null where nobody looked.
    """

    version: str
    tag: str
    commit: str
    date: str
    quality_score: float | None
    sizes: dict[str, int]
    parent: str
    cases_added: int | None
    cases_removed: int | None
    dataset_hash: str
    in_cache: bool | None = None
    in_remote: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the version for JSON."""
        return asdict(self)


def number(version: str) -> tuple[int, int, int]:
    """Return the three numbers of `v1.2.0`; raises `RepositoryError` for anything else."""
    found = NUMBER.fullmatch(version)
    if not found:
        raise RepositoryError(f"{version!r} is no version: expected v and three numbers, such as v1.2.0")
    return int(found[1]), int(found[2]), int(found[3])


def named(version: str) -> str:
    """Return `v1.2.0` for `1.2.0`, `v1.2.0` and `dataset@v1.2.0`; raises `RepositoryError` for anything else."""
    bare = version.removeprefix(TAG)
    name = bare if bare.startswith("v") else f"v{bare}"
    number(name)
    return name


def versions(
    root: Path, min_quality_score: float | None = None, *, remote: bool = False, store: "Store | None" = None
) -> list[Version]:
    """Return every release of the repository at `root`, the highest version first.

    A release is an annotated tag `dataset@vX.Y.Z`, as GTO has it. With `remote`, the default DVC remote is asked which
    versions it holds, over the network. Versions without a quality score are left out by `min_quality_score`.
    """
    found = _tagged(root)
    if min_quality_score is not None:
        found = [one for one in found if one.quality_score is not None and one.quality_score >= min_quality_score]
    if not found:
        return []
    from mondegreen.objects import Store

    store = store or Store(root)
    held = store.holds((one.dataset_hash for one in found), remote=remote)
    return [replace(one, in_cache=held[one.dataset_hash][0], in_remote=held[one.dataset_hash][1]) for one in found]


def latest(root: Path) -> Version | None:
    """Return the highest version, None if there is none; where its data is, nobody looks."""
    return next(iter(_tagged(root)), None)


def built(root: Path) -> str:
    """Return the hash of the dataset that the work tree's dvc.lock names, '' if none."""
    lock = root / "dvc.lock"
    return locked(lock.read_bytes(), *_DATASET) if lock.is_file() else ""


def unfinished(root: Path) -> str:
    """Return the version whose tag exists, but whose branch was not moved on to it: it was interrupted; '' if none."""
    found = journal(root)
    if not found or repository.commit_of(f"refs/tags/{TAG}{found['version']}", root) != found["commit"]:
        return ""
    ahead = repository.git(["rev-list", "--max-count=1", found["commit"], "--not", "HEAD"], root).strip()
    return found["version"] if ahead else ""


def journal(root: Path) -> dict[str, str]:
    """Return what a release that is going on, or was interrupted, has noted in .git; {} if nothing."""
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads((repository.git_folder(root) / JOURNAL).read_text(encoding="utf-8")))
    return {}


def tags(root: Path) -> dict[str, str]:
    """Return the commit of every release by its version, the highest first; one process."""
    return {one[0].removeprefix(TAG): one[2] for one in _refs(root)}


def locked(lock: bytes, stage: str, path: str) -> str:
    """Return the hash of an output that dvc.lock names, '' if none; by its lines: YAML takes 25 ms a lock."""
    block = re.split(r"\n  (?=\S)", lock.decode(errors="replace").partition(f"\n  {stage}:\n")[2])[0]
    outs = block.partition("    outs:\n")[2]
    found = re.search(rf"^ *- path: {re.escape(path)}\n +hash: md5\n +md5: (\S+)$", outs, re.MULTILINE)
    return found[1] if found else ""


def in_order(sizes: dict[str, int]) -> dict[str, int]:
    """Return sizes by split: train, validation, test, then any others."""
    return {split: sizes[split] for split in dict.fromkeys((*SPLITS, *sizes)) if split in sizes}


def _tagged(root: Path) -> list[Version]:
    refs = _refs(root)
    files = ("data/metrics/quality.json", "data/metrics/dataset.json", "dvc.lock")
    contents = repository.cat([f"{commit}:{file}" for _, _, commit, _, _ in refs for file in files], root)
    return [
        _version(tag, commit, date, said, contents[3 * place : 3 * place + 3])
        for place, (tag, _, commit, date, said) in enumerate(refs)
    ]


def _refs(root: Path) -> list[tuple[str, ...]]:
    """Return `_FIELDS` of every annotated tag of a release, the highest version first."""
    asked = "".join(f"%({field})%00" for field in _FIELDS)
    parts = repository.git(["for-each-ref", f"--format={asked}", f"refs/tags/{TAG}v*"], root).split("\0")
    rows = [tuple(parts[at : at + len(_FIELDS)]) for at in range(0, len(parts) - 1, len(_FIELDS))]
    rows = [(row[0].lstrip("\n"), *row[1:]) for row in rows]
    known = [row for row in rows if row[2] and NUMBER.fullmatch(row[0].removeprefix(TAG))]
    return sorted(known, key=lambda row: number(row[0].removeprefix(TAG)), reverse=True)


def _version(tag: str, commit: str, date: str, said: str, contents: Sequence[bytes | None]) -> Version:
    quality, dataset = (_json(content) for content in contents[:2])
    lines = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    cases = re.fullmatch(r"(\d+) added, (\d+) removed", lines.get("Cases", ""))
    score = quality.get("quality_metrics", {}).get("overall_score")
    return Version(
        version=tag.removeprefix(TAG),
        tag=tag,
        commit=commit,
        date=date,
        quality_score=score,
        sizes=in_order(dataset.get("rows", {})),
        parent="" if (parent := lines.get("Parent", "none")) == "none" else parent,
        cases_added=int(cases[1]) if cases else None,
        cases_removed=int(cases[2]) if cases else None,
        dataset_hash=locked(contents[2] or b"", *_DATASET),
    )


def _json(content: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
