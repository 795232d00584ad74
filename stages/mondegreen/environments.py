"""Environments: DVC remotes by name, each with a bucket for everything that leaves this machine."""

import re
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from pathlib import Path

from mondegreen import repository
from mondegreen.errors import RepositoryError

LEARNING, VERSIONS, DATASETS, METADATA = "learning_data", "data_versions", "finetuning_datasets", "metadata"
"""What a bucket holds: agents' spools; DVC's objects; published releases; reports and performance history."""

_BUCKET = re.compile(r"(?:gs://)?([a-z0-9][a-z0-9._-]{1,220}[a-z0-9](?:/[^\s/]+)*)/?")


@dataclass(frozen=True)
class Environment:
    """A DVC remote: its name, the address of its objects, its project ('' for any), and whether it is the default."""

    name: str
    url: str
    project: str = ""
    chosen: bool = False

    def address(self, part: str) -> str:
        """Return where `part` of the bucket is, such as `gs://bucket/learning_data`.

        Raises `RepositoryError` for an environment without a bucket.
        """
        base, _, last = self.url.rstrip("/").rpartition("/")
        if not self.url.startswith("gs://") or last != VERSIONS or "YOUR-" in self.url:
            raise RepositoryError(
                f"the environment {self.name} has no bucket ({self.url or 'no address'}): choose another with "
                f"'mondegreen environment NAME', or 'mondegreen environment {self.name} --bucket BUCKET' sets one"
            )
        return f"{base}/{part}"


def known(root: Path) -> dict[str, Environment]:
    """Return all environments of the repository at `root`, by name, from .dvc/config and .dvc/config.local."""
    settings = ConfigParser(interpolation=None, strict=False)
    try:
        for path in (root / ".dvc/config", root / ".dvc/config.local"):
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            settings.read_string(re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE), str(path))
    except (OSError, ValueError, ConfigError) as error:
        raise RepositoryError(f"the settings of DVC cannot be read: {error}") from error
    chosen = settings.get("core", "remote", fallback="")
    found: dict[str, Environment] = {}
    for section in settings.sections():
        if (match := re.fullmatch(r"'?remote \"(.+)\"'?", section)) and settings.has_option(section, "url"):
            url = settings[section]["url"]
            address = url if "://" in url else str((root / ".dvc" / url).resolve())
            project = settings[section].get("projectname", "")
            found[match[1]] = Environment(match[1], address, project, match[1] == chosen)
    return found


def find(root: Path, name: str | None = None) -> Environment:
    """Return the environment `name`, or the chosen one; raises `RepositoryError` where there is none."""
    environments = known(root)
    for each in environments.values():
        if each.name == name or (name is None and each.chosen):
            return each
    raise RepositoryError(
        f"{name or 'a default'} is no environment here: there are {', '.join(environments) or 'none'}; "
        f"'mondegreen environment NAME --bucket BUCKET' adds one"
    )


def address(part: str, *, url: str | None = None, name: str | None = None) -> str:
    """Return `url` if it is given, else where `part` is in the bucket of the environment `name`, or the chosen one."""
    return url or find(repository.root(), name).address(part)


def choose(root: Path, name: str) -> Environment:
    """Make `name` the default of this clone alone, in .dvc/config.local."""
    if "YOUR-" in find(root, name).url:
        raise RepositoryError(f"{name} has no bucket yet: 'mondegreen environment {name} --bucket BUCKET' sets it")
    repository.dvc(["config", "--local", "core.remote", name], root)
    return find(root, name)


def set_bucket(root: Path, name: str, bucket: str, project: str | None = None) -> None:
    """Write an environment's bucket, and the project that its credentials must be of, into .dvc/config.

    The file is edited in place: `dvc remote modify` would drop its comments. Raises `RepositoryError` for what can be
    no name of a bucket.
    """
    match = _BUCKET.fullmatch(bucket)
    if not match or not re.fullmatch(r"[\w.-]+", name):
        raise RepositoryError(
            f"{bucket!r} is no bucket for {name!r}: small letters, digits, '-', '_' and '.', or gs://…"
        )
    lines = [f"    url = gs://{match[1]}/{VERSIONS}\n", "    verify = true\n"]
    lines += [f"    projectname = {project}\n"] if project else []
    path = root / ".dvc/config"
    text = path.read_text(encoding="utf-8").rstrip("\n") + "\n"
    header = f"['remote \"{name}\"']\n"
    before, found, after = text.partition(header)
    kept = re.split(r"^(?=\[|#)", after, maxsplit=1, flags=re.MULTILINE)[1:] if found else []
    path.write_text(before + header + "".join(lines) + "".join(kept), encoding="utf-8")
