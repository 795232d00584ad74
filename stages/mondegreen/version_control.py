"""`DataVersionControl`: versions of the dataset, from Python; thin over `release`, `compare`, `rollback` and Git."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mondegreen import changes, lineage, releasing, repository, rollback, snapshot, tables, versions
from mondegreen.errors import RepositoryError


class DataVersionControl:
    """The versions of one repository: annotated Git tags `dataset@vX.Y.Z`, each with its dvc.lock."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Work on the repository around `path`, or around the working directory."""
        self._path = path

    @property
    def root(self) -> Path:
        """The repository; raises `RepositoryError` where there is none."""
        return repository.root(Path(self._path) if self._path is not None else None)

    def create_version(
        self,
        dataset_path: str | os.PathLike[str] = repository.DATASET,
        run_quality_check: bool = True,
        *,
        version: str | None = None,
        message: str = "",
    ) -> str:
        """Release the dataset as it is built and committed (`mondegreen release`), and return its version, `v1.2.0`.

        `version` is chosen by what changed where it is None. With `run_quality_check` all files of the version are
        hashed again. Raises `RepositoryError` with the reason and the command that mends it; then nothing was changed.
        """
        root = self.root
        if (root / dataset_path).resolve() != (root / repository.DATASET).resolve():
            raise RepositoryError(
                f"dataset_path={str(dataset_path)!r}: this repository has one dataset, {repository.DATASET}; another "
                f"one is versioned in its own clone"
            )
        return releasing.release(root, version, message, run_quality_check).version

    def list_versions(self, min_quality_score: float | None = None) -> list[dict[str, Any]]:
        """Return every version, newest first: date, quality, sizes, parent, growth, and whether its data is here."""
        return [each.as_dict() for each in versions.versions(self.root, min_quality_score)]

    def compare_versions(self, before: str, after: str | None = None) -> dict[str, Any]:
        """Return what differs between two versions, or a version and the work tree, case by case."""
        old = snapshot.at(self.root, before)
        return changes.compare(old, snapshot.at(self.root, after, store=old.store)).to_dict()

    def rollback_to_version(self, version: str, message: str = "", *, with_code: bool = False) -> dict[str, Any]:
        """Restore the data of a version in a new commit (`mondegreen rollback`), and return what that changed."""
        return asdict(rollback.rollback(self.root, version, message=message, code=with_code))

    def get_version_lineage(self, version: str | None = None) -> list[dict[str, Any]]:
        """Return a version (the newest one) and those it came from, newest first, with what each added."""
        return [each.as_dict() for each in lineage.lineage(self.root, version)]

    def generate_version_report(self, output_path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Return versions by bucket of quality, their growth and what each fixed; and write it to `output_path`."""
        report = lineage.report(self.root)
        if output_path is not None:
            tables.write_json(report, output_path)
        return report

    def get_statistics(self) -> dict[str, Any]:
        """Return how many versions there are, the newest one, and the one that the work tree holds (None: of none)."""
        try:
            root = self.root
        except RepositoryError:
            return {"total_versions": 0, "latest_version": None, "latest_quality_score": None, "current_version": None}
        found = versions.versions(root)
        latest = found[0] if found else None
        return {
            "total_versions": len(found),
            "latest_version": latest.version if latest else None,
            "latest_quality_score": latest.quality_score if latest else None,
            "current_version": current(root),
        }


def current(root: Path) -> str | None:
    """Return the newest version whose dataset is that of the work tree; None where no release has it."""
    built = versions.built(root)
    return next((each.version for each in versions.versions(root) if built and each.dataset_hash == built), None)
