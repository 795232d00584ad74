"""Compaction: all batches that DVC keeps become one, so that what DVC does per batch stays cheap.

1. write the one beside the others (`rewriting`): their events as they were, their clips in the order in which they lay
2. track it, and note in its .dvc file whose place it takes (`meta: compacted:`)
3. only then remove the others: first their .dvc files, then their folders, each of which disappears whole

Killed between any two steps, events lie in two batches, which readers take for one; compacting again goes on.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from ruamel.yaml import YAML

from mondegreen import batches, ingest
from mondegreen.rewriting import rewrite


@dataclass(frozen=True)
class Compacted:
    """The batch that holds all, '' where there was none; and those whose place it took, none where nothing was done."""

    batch: str = ""
    replaced: tuple[str, ...] = ()


def compact(
    raw: Path, *, track: Callable[[Path], None], advance: Callable[[int], Any] = lambda size: None
) -> Compacted:
    """Make all batches below `raw`, the sample aside, one; with less than two of them, nothing changes.

    `track` is as in `ingest.ingest`; `advance` is told how many bytes of audio are in the new batch. Raises `DataError`
    for a batch that is not here or was changed.
    """
    with ingest.alone(raw):
        for hidden in raw.glob(".*.old"):
            shutil.rmtree(hidden)
        ingest.track_rest(raw, track)
        batches.check_unchanged(raw)
        found = [folder for folder in batches.folders(raw) if folder.name != batches.SAMPLE]
        if len(found) < 2:
            return Compacted(found[0].name if found else "")
        whole = _whole(found)
        if whole is None:
            whole = rewrite(raw, found, advance=advance)
            track(whole)
        others = [folder for folder in found if folder != whole]
        _note(whole, others)
        for folder in others:
            _dvc_file(folder).unlink(missing_ok=True)
            hidden = folder.rename(folder.with_name(f".{folder.name}.old"))
            shutil.rmtree(hidden)
    return Compacted(whole.name, tuple(folder.name for folder in others))


def compacted(content: dict[str, Any]) -> tuple[str, ...]:
    """Return the batches whose place a batch took, from the content of its .dvc file."""
    return tuple((content.get("meta") or {}).get("compacted") or ())


def _whole(found: list[Path]) -> Path | None:
    """Return a batch that holds all that the others hold: an interrupted compaction made it."""
    held = {folder: _content(folder) for folder in found}
    everything = frozenset().union(*held.values())
    return next((folder for folder in reversed(found) if len(held[folder]) == len(everything)), None)


def _content(folder: Path) -> frozenset[str]:
    """Return the ids of a batch's events, and the SHA-256 of its clips."""
    clips = (pq.read_table(pack, columns=["sha256"]).column(0).to_pylist() for pack in folder.glob("audio-*.parquet"))
    return frozenset(batches.ids_of(folder / "events.jsonl")).union(*clips)


def _note(whole: Path, others: list[Path]) -> None:
    """Write into the .dvc file of `whole` whose place it takes."""
    yaml, file = YAML(), _dvc_file(whole)
    content = yaml.load(file.read_text(encoding="utf-8")) or {}
    names = {folder.name for folder in others}
    for folder in [whole, *others]:
        if _dvc_file(folder).exists():
            names |= set(
                compacted(YAML(typ="safe", pure=True).load(_dvc_file(folder).read_text(encoding="utf-8")) or {})
            )
    content["meta"] = {"compacted": sorted(names)}
    hidden = file.with_name(f".{file.name}.partial")
    with hidden.open("w", encoding="utf-8") as target:
        yaml.dump(content, target)
    hidden.replace(file)


def _dvc_file(batch: Path) -> Path:
    return batch.with_name(f"{batch.name}.dvc")
