"""`DataVersionControl`: versions of the dataset, from Python. Its names stand; releases are still to come."""

from typing import Any, NoReturn

from mondegreen.errors import RepositoryError


class DataVersionControl:
    """Versions are Git commits with their dvc.lock; until releases exist, each method says how Git and DVC do it."""

    def create_version(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `RepositoryError`."""
        _not_yet("create_version", "git add -A && git commit -m '...' && dvc push")

    def list_versions(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `RepositoryError`."""
        _not_yet("list_versions", "git log --oneline dvc.lock")

    def compare_versions(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `RepositoryError`."""
        _not_yet("compare_versions", "dvc metrics diff A B; dvc params diff A B")

    def rollback_to_version(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `RepositoryError`."""
        _not_yet("rollback_to_version", "git checkout VERSION && dvc checkout")

    def get_version_lineage(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `RepositoryError`."""
        _not_yet("get_version_lineage", "git log dvc.lock")

    def generate_version_report(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `RepositoryError`."""
        _not_yet("generate_version_report", "dvc metrics show --all-commits")


def _not_yet(name: str, instead: str) -> NoReturn:
    raise RepositoryError(f"{name} is not there yet: releases are still to come; until then: {instead}")
