"""The audit: the exported dataset read back as a user reads it, and everything about it checked anew from its bytes.

It is read through `datasets`, streamed, so that no copy lands in a cache; every clip is decoded and hashed.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mondegreen import faults, reading, shards, spans
from mondegreen.dataset import shard_name, split_order
from mondegreen.errors import DataError
from mondegreen.executor import spread
from mondegreen.faults import Limits
from mondegreen.portions import Portion
from mondegreen.reading import READ_ERRORS, Shard
from mondegreen.schemas import SPLITS
from mondegreen.shards import ROW_GROUP_BYTES, features
from mondegreen.shelf import NOWHERE, Shelf, key_of
from mondegreen.spans import Rows
from mondegreen.tables import rounded

LISTED = 20
"""How many examples are kept of each kind of problem; the totals are exact."""

PROBLEMS = {
    "unreadable": "cannot be read back",
    "wrong_files": "files that are missing or do not belong there",
    "wrong_columns": "columns, types or features other than they should be",
    "wrong_count": "row counts other than expected or than the card says",
    "missing_case": "cases that were to be exported and are not there",
    "unexpected_case": "cases that were not to be exported",
    "wrong_split": "cases in another split than assigned",
    "changed_case": "cases with other values than were to be exported",
    "changed_audio": "cases with other audio than was recorded",
    "undecodable_audio": "cases whose audio is missing, empty or cannot be decoded",
    "wrong_duration": "cases whose duration is not the length of their audio",
    "implausible_duration": "cases whose audio is too short or too long",
    "clipped_copy": "copies that reach full scale",
    "stray_row": "copies or replayed speech where only failures belong, failures in retention, copies without a parent",
    "empty_text": "cases of speech without a text",
    "machine_corrected": "cases of validation or test that no person corrected",
    "wrong_wer": "cases whose wer is not that of their texts",
    "duplicate_case": "case_ids of more than one row",
    "duplicate_audio": "sounds of more than one row",
    "duplicate_pair": "pairs of texts in more than one row",
    "shared_speaker": "speakers in more than one split",
    "shared_recording": "recordings in more than one split",
    "shared_audio": "sounds in more than one split",
    "shared_text": "long texts in more than one split",
}
"""Every kind of problem and its meaning."""

_SHARD = re.compile(r"(?P<split>\w+)-\d{5}-of-(?P<count>\d{5})\.parquet")
_MOST_ROWS = 1000
_READ_WITH = ("datasets", "pyarrow", "soundfile", "rapidfuzz")
_COMPARED_WITH = ("pyarrow", "numpy", "pandera")


@dataclass(frozen=True)
class AuditReport:
    """The result: `metrics` for metrics/dataset.json, one line per kind of problem found, and the shards' SHA-256."""

    metrics: dict[str, Any]
    problems: list[str]
    sha256: list[str]

    @property
    def passed(self) -> bool:
        """Return whether no problem was found."""
        return not self.problems


@dataclass
class _Findings:
    """What was found so far: exact counts, some examples."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROBLEMS, 0))
    examples: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in PROBLEMS})

    def add(self, kind: str, found: Iterable[object]) -> None:
        for example in found:
            self.counts[kind] += 1
            if self.counts[kind] <= LISTED:
                self.examples[kind].append(str(example)[:200])

    def lines(self) -> list[str]:
        return [
            f"{kind}: {count} {PROBLEMS[kind]}: {'; '.join(self.examples[kind])}{'; …' if count > LISTED else ''}"
            for kind, count in self.counts.items()
            if count
        ]


def audit(
    folder: Path,
    expected: pd.DataFrame | Sequence[Portion],
    *,
    require_audio: bool,
    normaliser: str,
    min_shared_words: int,
    min_duration: float,
    max_duration: float,
    shelf: Shelf = NOWHERE,
    advance: Callable[[int], object] = lambda rows: None,
) -> AuditReport:
    """Read the dataset in `folder` and compare it with the `expected` rows (columns of splits.parquet).

    Durations are seconds; a text of at least `min_shared_words` normalised words must not be in two splits.
    `advance` is told how many more rows were read. What a shard says, and how it compares with the portions that hold
    its cases, comes from the `shelf` where the bytes of both are known; all else is checked each time. Never raises
    for a bad dataset: whatever is wrong is among the report's problems.
    """
    if isinstance(expected, pd.DataFrame):
        expected = [Portion(None, pa.Table.from_pandas(expected, SPLITS.arrow, preserve_index=False))]
    findings = _Findings()
    files = _check_files(folder, require_audio, findings)
    size = sum(file.stat().st_size for file in files)
    step = max(1, min(_MOST_ROWS, ROW_GROUP_BYTES * sum(files.values()) // max(size, 1)))
    with tempfile.TemporaryDirectory() as cache:
        there, said = reading.shards(folder, files, cache, features(require_audio=require_audio), findings.add)
        read = partial(reading.read, step=step, normaliser=normaliser, min_shared_words=min_shared_words)
        settings = str((require_audio, normaliser, min_shared_words, unidata_version))
        found = _read(there, partial(read, add=findings.add, advance=advance), settings, shelf, advance)
    splits = pa.concat_tables([portion.load(("case_id", "split")) for portion in expected]).combine_chunks()
    rows, at = _rows(found, splits)
    _check_counts(rows, splits, said, findings)
    _check_cases(rows, at, splits, findings)
    _compare(found, at, expected, Limits(require_audio, min_duration, max_duration), shelf, findings)
    spans.check(rows, require_audio=require_audio, add=findings.add)
    names = split_order([*splits["split"].unique().to_pylist(), *rows.splits])
    metrics = _metrics(spans.metrics(rows, names), size, findings)
    return AuditReport(metrics, findings.lines(), [one.sha256 for one in found])


@dataclass(frozen=True)
class _Reading:
    """A shard and what it says, in few columns; the `whole` of it, where it was read now; the key of that."""

    shard: Shard
    sha256: str
    key: str
    narrow: pa.Table
    whole: pa.Table | None


def _read(
    there: Sequence[Shard],
    read: Callable[[Iterable[Shard]], list[pa.Table | None]],
    settings: str,
    shelf: Shelf,
    advance: Callable[[int], object],
) -> list[_Reading]:
    """Return what each shard says, from the shelf or from its bytes; a split is read whole or not at all."""
    hashes: list[str] = []
    keys: list[str] = []
    known: list[pa.Table | None] = []

    def fresh() -> Iterator[Shard]:
        """Yield what is not known; the next ones are hashed while one is read."""
        looked = spread(partial(_known, settings, shelf), there, engine="local", threads=True)
        for shard, (sha256, key, narrow) in zip(there, looked, strict=True):
            hashes.append(sha256)
            keys.append(key)
            known.append(narrow)
            if narrow is None:
                yield shard
            else:
                advance(len(narrow))

    tables = read(fresh())
    made = dict(zip((number for number, narrow in enumerate(known) if narrow is None), tables, strict=True))
    lasting = [(keys[number], table) for number, table in made.items() if keys[number] and table is not None]
    for _ in spread(partial(_keep, shelf), lasting, engine="local", threads=True):
        pass
    found = []
    broken = {there[number].split for number, table in made.items() if table is None}
    for number, (shard, narrow) in enumerate(zip(there, known, strict=True)):
        if shard.split not in broken:
            whole = made.get(number)
            narrow = spans.narrow(whole) if narrow is None else narrow
            found.append(_Reading(shard, hashes[number], keys[number], narrow, whole))
    return found


def _known(settings: str, shelf: Shelf, shard: Shard) -> tuple[str, str, pa.Table | None]:
    """Return the SHA-256 of a shard and its key, '' of one that cannot have them, and what is known of it."""
    if shard.file is None:
        return "", "", None
    sha256 = shards.digest(shard.file)
    key = key_of(sha256, settings, packages=_READ_WITH)
    shelf.hold([f"{key}-whole"])
    return sha256, key, shelf.get(f"{key}-narrow")


def _keep(shelf: Shelf, kept: tuple[str, pa.Table]) -> None:
    key, whole = kept
    shelf.put(f"{key}-whole", whole)
    shelf.put(f"{key}-narrow", spans.narrow(whole))


def _rows(found: Sequence[_Reading], splits: pa.Table) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Return all rows, and which of those that were to be exported each is; -1 of one that was not."""
    nothing = spans.narrow(reading.empty(spans.COLUMNS))
    table = pa.concat_tables([nothing, *(one.narrow for one in found)]).unify_dictionaries().combine_chunks()
    names = list(dict.fromkeys(one.shard.split for one in found))
    places = [names.index(one.shard.split) for one in found]
    split = np.repeat(np.array(places, np.int64), [len(one.narrow) for one in found])
    case_ids = table["case_id"].combine_chunks()
    at = pc.index_in(case_ids, value_set=splits["case_id"].combine_chunks(), skip_nulls=True)
    at = at.fill_null(-1).to_numpy().astype(np.int64)
    strange = pc.index_in(case_ids, value_set=case_ids.filter(pa.array(at < 0)).unique(), skip_nulls=True)
    case = np.where(at >= 0, at, len(splits) + strange.fill_null(-1 - len(splits)).to_numpy())
    return Rows(table, names, split, case), at


def _check_files(folder: Path, require_audio: bool, findings: _Findings) -> dict[Path, int]:
    """Return the shards and their rows; their names must be a whole sequence per split, their schema the dataset's."""
    shards = sorted((folder / "data").glob("*.parquet"))
    names = {shard.name for shard in shards}
    counts = {match["split"]: int(match["count"]) for match in map(_SHARD.fullmatch, sorted(names)) if match}
    whole = {shard_name(split, number, count) for split, count in counts.items() for number in range(count)}
    strange = {path.name for path in (folder / "data").glob("*")} - names
    strange |= {path.name for path in folder.glob("*")} ^ {"README.md", "data"}
    findings.add("wrong_files", sorted((names ^ whole) | strange))
    schema = features(require_audio=require_audio).arrow_schema
    rows = dict.fromkeys(shards, 0)
    for shard in shards:
        try:
            found = pq.read_metadata(shard)
        except READ_ERRORS as error:
            findings.add("unreadable", [f"{shard.name}: {error}"])
            continue
        rows[shard] = found.num_rows
        columns = found.schema.to_arrow_schema()
        if not columns.equals(schema) or columns.metadata != schema.metadata:
            findings.add("wrong_columns", [shard.name])
    return rows


def _check_counts(rows: Rows, splits: pa.Table, said: Mapping[str, int | None], findings: _Findings) -> None:
    counted = splits["split"].combine_chunks().value_counts().to_pylist()
    wanted = Counter({row["values"]: row["counts"] for row in counted})
    read = Counter(dict(zip(rows.splits, np.bincount(rows.split, minlength=len(rows.splits)).tolist(), strict=True)))
    for split in split_order([*wanted, *read, *said]):
        counts = [wanted[split], read[split], said.get(split)]
        if len(set(counts)) > 1:
            findings.add("wrong_count", ["{}: {} expected, {} read, {} in the card".format(split, *counts)])


def _check_cases(rows: Rows, at: npt.NDArray[np.int64], splits: pa.Table, findings: _Findings) -> None:
    """Look for cases that are not there, or were not to be."""
    there = np.zeros(len(splits), dtype=bool)
    there[at[at >= 0]] = True
    findings.add("missing_case", sorted(splits["case_id"].filter(pa.array(~there)).to_pylist()))
    findings.add("unexpected_case", sorted(set(map(str, rows.table["case_id"].filter(pa.array(at < 0)).to_pylist()))))


def _compare(
    found: Sequence[_Reading],
    at: npt.NDArray[np.int64],
    expected: Sequence[Portion],
    limits: Limits,
    shelf: Shelf,
    findings: _Findings,
) -> None:
    """Compare each shard with the portions that hold its cases, unless just these were compared before."""
    keys = _compared_keys(found, at, expected, limits)
    faulty = [shelf.get(key) if key else None for _, key in keys]
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, (held_by, _) in enumerate(keys):
        if faulty[number] is None:
            groups.setdefault(held_by, []).append(number)
    pieces = (([_whole(found[n], shelf) for n in own], [expected[n] for n in parts]) for parts, own in groups.items())
    made = spread(partial(faults.of_each, limits), pieces, engine="local", threads=True)
    for numbers, group in zip(groups.values(), made, strict=True):
        for number, table in zip(numbers, group, strict=True):
            faulty[number] = table
            if keys[number][1]:
                shelf.put(keys[number][1], table)
    for fault in (fault for table in faulty if table is not None for fault in table.to_pylist()):
        findings.add(fault["kind"], [fault["example"]])


def _compared_keys(
    found: Sequence[_Reading], at: npt.NDArray[np.int64], expected: Sequence[Portion], limits: Limits
) -> list[tuple[tuple[int, ...], str]]:
    """Return, for each shard, the portions that hold its cases, and a key of it and them; '' of one without a key."""
    contents = list(spread(Portion.key, expected, engine="local", threads=True))
    ends = np.cumsum([len(portion) for portion in expected])
    starts = np.cumsum([len(one.narrow) for one in found])[:-1]
    keys = []
    for one, own in zip(found, np.split(at, starts) if found else (), strict=True):
        held_by = tuple(np.unique(np.searchsorted(ends, own[own >= 0], side="right")).tolist())
        named = (one.key, one.shard.split, str(limits), *(contents[place] for place in held_by))
        keys.append((held_by, key_of(*named, packages=_COMPARED_WITH) if one.key else ""))
    return keys


def _whole(one: _Reading, shelf: Shelf) -> tuple[str, pa.Table]:
    """Return the split of a shard, and all that it says."""
    whole = shelf.get(f"{one.key}-whole") if one.whole is None else one.whole
    if whole is None:
        raise DataError(f"{shelf.folder} was changed while the audit read it: run 'dvc repro' again")
    return one.shard.split, whole


def _metrics(figures: Mapping[str, Any], size: int, findings: _Findings) -> dict[str, Any]:
    total = sum(findings.counts.values())
    problems = {"total": total, **findings.counts}
    return dict(rounded({"passed": not total, "problems": problems, "bytes": size, **figures}))
