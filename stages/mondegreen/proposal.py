"""Proposal: which version comes next, and why, from what changed in the dataset since the version before."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mondegreen import snapshot
from mondegreen.errors import RepositoryError
from mondegreen.snapshot import Snapshot
from mondegreen.versions import number

POLICY = {
    "split": ("seed", "train_ratio", "validation_ratio", "test_ratio", "min_shared_words"),
    "export": ("require_audio",),
    "collect": ("normaliser",),
}
"""Parameters that decide how cases are divided and measured: figures before and after a change do not compare."""

FIRST = "v1.0.0"


@dataclass(frozen=True)
class Proposal:
    """The next version; why; and how many cases came and went, null where the parent's table is not to be had."""

    version: str
    why: str
    added: int | None = None
    removed: int | None = None


def propose(root: Path, parent: str, taken: set[str]) -> Proposal:
    """Return the version after `parent` ('' for none) that is not `taken`, from the work tree as it is built.

    Major: the dataset's columns changed, or a parameter of `POLICY`. Minor: cases came or went. Patch: only texts and
    other fields of the same cases changed. `version` is '' when the dataset is that of the parent.
    """
    new = snapshot.at(root)
    if not parent:
        return Proposal(FIRST, "the first release", added=len(_case_ids(new)), removed=0)
    old = snapshot.at(root, parent, store=new.store)
    if old.dataset_hash == new.dataset_hash:
        return Proposal("", f"the dataset is that of {parent}", 0, 0)
    try:
        before, after = _case_ids(old), _case_ids(new)
        columns = _columns(old) != _columns(new)
    except RepositoryError as error:
        return Proposal(_next(parent, 1, taken), f"cases may have come: what {parent} held cannot be read ({error})")
    added, removed = len(after - before), len(before - after)
    policy = [name for name, value in _policy(old).items() if _policy(new)[name] != value]
    if columns or policy:
        why = "the dataset's columns changed" if columns else f"{', '.join(policy)} changed"
        return Proposal(_next(parent, 0, taken), f"major: {why} since {parent}", added, removed)
    if added or removed:
        why = f"minor: {added} cases came and {removed} went since {parent}"
        return Proposal(_next(parent, 1, taken), why, added, removed)
    return Proposal(_next(parent, 2, taken), f"patch: the cases of {parent}, corrected", 0, 0)


def _next(parent: str, place: int, taken: set[str]) -> str:
    """Return the first free version that raises the number at `place` (0 major, 1 minor, 2 patch)."""
    numbers = list(number(parent))
    numbers[place:] = [numbers[place] + 1, *[0] * (2 - place)]
    while (name := "v" + ".".join(map(str, numbers))) in taken:
        numbers[place] += 1
    return name


def _case_ids(state: Snapshot) -> set[str]:
    return set(state.table("data/splits.parquet", ["case_id"])["case_id"])


def _columns(state: Snapshot) -> Any:
    """Return the columns that the dataset's card declares."""
    card = state.file("data/dataset/README.md").read_bytes().split(b"\n---\n", 1)[0].removeprefix(b"---\n")
    return snapshot.parse_yaml(card, f"the dataset's card of {state.name}").get("dataset_info", {}).get("features")


def _policy(state: Snapshot) -> dict[str, Any]:
    params = state.yaml("params.yaml")
    return {f"{block}.{name}": params.get(block, {}).get(name) for block, names in POLICY.items() for name in names}
