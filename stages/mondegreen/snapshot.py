"""Snapshots: the files and tables of any commit, tag or branch, or of the work tree, without touching the work tree."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mondegreen import erasures, repository
from mondegreen.errors import DataError, RepositoryError
from mondegreen.objects import FOLDER, Output, Store

if TYPE_CHECKING:
    import pandas as pd

TAG = "dataset@"
"""What the tag of a release begins with; `v1.2.0` means `dataset@v1.2.0`."""


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a hundred locks in a second, not in thirty


@dataclass(frozen=True)
class Snapshot:
    """One state of the repository: a commit, or the work tree (`commit` is '')."""

    root: Path
    name: str
    commit: str
    store: Store

    def read(self, path: str) -> bytes | None:
        """Return a Git file's bytes; None where it is not there."""
        if not self.commit:
            file = self.root / path
            return file.read_bytes() if file.is_file() else None
        return repository.cat([f"{self.commit}:{path}"], self.root)[0]

    def json(self, path: str) -> dict[str, Any]:
        """Return a JSON file of Git, such as metrics; {} where it is not there."""
        content = self.read(path)
        try:
            return dict(json.loads(content)) if content else {}
        except ValueError as error:
            raise DataError(f"{path} of {self.name} is no JSON ({error}): choose another version") from error

    def yaml(self, path: str) -> dict[str, Any]:
        """Return a YAML file of Git; {} where it is not there."""
        return parse_yaml(self.read(path), f"{path} of {self.name}")

    @cached_property
    def outputs(self) -> dict[str, Output]:
        """Everything that DVC keeps for this state, by path: batches, tables, dataset, report."""
        files = self._tracked_batches()
        contents = (
            [self.read(path) for path in files]
            if not self.commit
            else repository.cat([f"{self.commit}:{path}" for path in files], self.root)
        )
        batches = {path: parse_yaml(content, path) for path, content in zip(files, contents, strict=True)}
        return outputs(self.yaml("dvc.lock"), self.yaml("dvc.yaml"), batches)

    @cached_property
    def erased(self) -> list[str]:
        """Those of its batches (`data/raw/<batch>`) that stand no more: this state can be built again, not restored."""
        return erasures.erased(self.root, self.outputs) if self.commit else []

    @property
    def lasting(self) -> dict[str, Output]:
        """What of `outputs` has to be somewhere: of a state in which something was erased, the other batches alone."""
        raw = f"{repository.RAW.as_posix()}/"
        return {
            path: output
            for path, output in self.outputs.items()
            if not self.erased or (path.startswith(raw) and path not in self.erased)
        }

    @property
    def dataset_hash(self) -> str:
        """The dataset's identity, its DVC hash; '' where none is built."""
        found = self.outputs.get(repository.DATASET.as_posix())
        return found.md5 if found else ""

    def file(self, path: str) -> Path:
        """Return a local, intact copy of a file that DVC keeps: it must not be written to.

        `path` may lie in a folder that DVC keeps. A commit's file comes from the cache or the remote. Raises
        `RepositoryError` when this state does not have it, or when it is nowhere to be had.
        """
        if not self.commit and (self.root / path).is_file():
            return self.root / path
        if self.erased and path not in self.lasting:
            raise RepositoryError(
                f"{path} of {self.name} is no more: part of it was erased. 'mondegreen rollback {self.name}' builds it "
                f"again without that"
            )
        for output in self.outputs.values():
            if path == output.path or path.startswith(f"{output.path}/"):
                try:
                    for item in self.store.listing(output):
                        if item.path == path:
                            return self.store.load(item.md5)
                except RepositoryError as error:
                    raise RepositoryError(f"{path} of {self.name} cannot be had: {error}") from error
        raise RepositoryError(f"{self.name} has no {path}: it was not built there")

    def files(self, path: str) -> list[Path]:
        """Return local, intact copies of the files of a table, in their order: its parts, or the one file that it is.

        Raises as `file` does.
        """
        if not self.commit and (self.root / path).is_dir():
            return sorted((self.root / path).glob("*.parquet"))
        output = self.lasting.get(path)
        parts = self.store.listing(output) if output and output.md5.endswith(FOLDER) else []
        return [self.file(name) for name in sorted(part.path for part in parts) or [path]]

    def has(self, path: str) -> bool:
        """Tell whether this state has a file or folder that DVC keeps, wherever its data is."""
        return path in self.outputs

    def table(self, path: str, columns: Sequence[str]) -> "pd.DataFrame":
        """Return columns of a table that DVC keeps; one that this state's table does not have yet is all null.

        Raises `RepositoryError` as `file` does, `DataError` when the file cannot be read.
        """
        import pyarrow as pa  # half a second, which who only asks for hashes does not wait
        import pyarrow.parquet as pq

        parts = []
        for file in self.files(path):
            try:
                known = [name for name in columns if name in pq.read_schema(file).names]
                parts.append(pq.read_table(file, columns=known))
            except (OSError, pa.ArrowException) as error:
                raise DataError(f"{path} of {self.name} cannot be read ({str(error)[:200]})") from error
        frame: pd.DataFrame = pa.concat_tables(parts).to_pandas()
        return frame.reindex(columns=list(columns))

    def _tracked_batches(self) -> list[str]:
        raw = repository.RAW.as_posix()
        if not self.commit:
            return sorted(file.relative_to(self.root).as_posix() for file in (self.root / raw).glob("*.dvc"))
        listed = repository.git(["ls-tree", "-z", "--name-only", self.commit, f"{raw}/"], self.root)
        return sorted(name for name in listed.split("\0") if name.endswith(".dvc"))


def at(root: Path, name: str | None = None, *, store: Store | None = None) -> Snapshot:
    """Return the snapshot of a version, tag, branch or commit; of the work tree where `name` is None.

    `v1.2.0` means the tag `dataset@v1.2.0`. Raises `RepositoryError` for a name that Git does not know.
    """
    store = store or Store(root)
    if name is None:
        return Snapshot(root, "the work tree", "", store)
    return Snapshot(root, name, resolve(root, name), store)


def every(root: Path, *, store: Store | None = None) -> list[Snapshot]:
    """Return the snapshots of all releases, branches (remote ones too) and tags, each commit once, by all its names."""
    store = store or Store(root)
    form = "%(objectname) %(*objectname) %(refname)"
    listed = repository.git(["for-each-ref", f"--format={form}", "refs/tags", "refs/heads", "refs/remotes"], root)
    names: dict[str, list[str]] = {}
    for line in sorted(listed.splitlines(), key=lambda line: " refs/tags/" not in line):
        *commits, ref = line.split()
        if ref.endswith("/HEAD"):  # of a remote: another name for one of its branches
            continue
        names.setdefault(commits[-1], []).append(ref.split("/", 2)[2].removeprefix(TAG))
    return [Snapshot(root, ", ".join(found), commit, store) for commit, found in names.items()]


def resolve(root: Path, name: str) -> str:
    """Return the commit that a version (`v1.2.0` or `dataset@v1.2.0`), tag, branch or commit names."""
    wanted = (f"refs/tags/{TAG}{name}", name)
    for candidate in wanted:
        found = repository.commit_of(candidate, root)
        if found:
            return found
    raise RepositoryError(
        f"{name!r} is no version, tag, branch or commit here: 'mondegreen versions' lists versions, 'git fetch --tags' "
        f"brings those of others"
    )


def parse_yaml(content: bytes | None, name: str) -> dict[str, Any]:
    """Return a YAML mapping, {} for no content; raises `DataError` naming `name`."""
    if not content:
        return {}
    try:
        return dict(yaml.load(content.decode(), Loader=_LOADER) or {})  # noqa: S506, both are safe
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise DataError(f"{name} cannot be read ({str(error)[:200]}): restore it from Git") from error


def outputs(lock: dict[str, Any], stages: dict[str, Any], batches: dict[str, dict[str, Any]]) -> dict[str, Output]:
    """Return what DVC keeps, by path: outputs of `lock` (dvc.lock) that `stages` (dvc.yaml) lets it cache, and batches.

    `batches` holds the content of each .dvc file by its path.
    """
    loose = set(_uncached(stages))
    entries: list[tuple[str, dict[str, Any]]] = [
        (out["path"], out) for stage in lock.get("stages", {}).values() for out in stage.get("outs", ())
    ]
    for file, content in batches.items():
        folder = file.rpartition("/")[0]
        entries += [(f"{folder}/{out['path']}", out) for out in content.get("outs", ())]
    return {
        path: Output(path, out["md5"], int(out.get("size", 0)), int(out.get("nfiles", 1)))
        for path, out in sorted(entries, key=lambda entry: entry[0])
        if path not in loose and "md5" in out
    }


def _uncached(stages: dict[str, Any]) -> Iterable[str]:
    """Yield the outputs, metrics and plots of dvc.yaml that Git keeps (`cache: false`)."""
    for stage in stages.get("stages", {}).values():
        for kind in ("outs", "metrics", "plots"):
            for item in stage.get(kind, ()):
                if isinstance(item, dict):
                    yield from (path for path, options in item.items() if (options or {}).get("cache") is False)
