"""Where things stand, without waiting for DVC and the tables one after the other."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mondegreen import repository


def status(root: Path) -> dict[str, Any]:
    """Return the state of the repository at `root`; the counts of cases are those of the last `dvc repro`."""
    with ThreadPoolExecutor(1) as other:
        stale = other.submit(stale_stages, root)
        from mondegreen.standing import standing  # takes half a second to import: DVC works meanwhile

        return standing(root, stale.result)


def stale_stages(root: Path) -> list[str]:
    """Return the stages of dvc.yaml that `dvc repro` would run again, and whatever else DVC says has changed."""
    return sorted(json.loads(repository.dvc(["status", "--json"], root) or "{}"))
