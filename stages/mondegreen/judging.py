"""Judging: every candidate among the cases passes or is rejected, part by part; only a part that changed is read whole.

What a case says by itself (the rules of a row, its wordings, the keys that it may share) follows from its part, and
lies on the shelf. Then the cases that share a sound, a span or a take are read, and judged together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mondegreen import params, parts, quality, rules, tables, wordings
from mondegreen.errors import DataError
from mondegreen.quality import Reasons, Sorted
from mondegreen.schemas import CASES, REJECTED, VALID
from mondegreen.shelf import Shelf, key_of

Mask = npt.NDArray[np.bool_]
Files = Mapping[Path, bytes]
"""The parts of a table in their order, each with the SHA-256 of its bytes."""

NARROW = (
    *("case_id", "speaker_id", "recording_id", "start", "recorded_at", "duration", "withdrawn"),
    *("model_version", "model_confidence", "conflicting_corrections"),
)
"""Columns that are needed of every case."""

SHARED = ("event_id", "audio_sha256", "pcm_sha256", "end", "original_transcript", "corrected_transcript")
"""Columns that are needed only where a case may share a key with another."""

KEYS = ("file", "sound", "span", "take")
"""What cases may share: audio as bytes, audio as it sounds, a span of a recording, a take of neither."""

_NO_CANDIDATE = -1
_PACKAGES = ("num2words", "pandas", "pandera", "pyarrow", "rapidfuzz")


@dataclass(frozen=True)
class Part:
    """The bytes of a part of the cases, and what they are judged by."""

    content: bytes
    settings: params.Validate
    require_audio: bool


@dataclass(frozen=True)
class Judged:
    """All cases of a table, judged; a row is named by its number in the whole table.

    `narrow` has the columns `NARROW` of all cases, `texts` the wordings of those that passed. `shared` are the cases,
    withdrawn ones aside, that may share a key with another, with the columns `SHARED`, too. `passed` says which cases
    are valid, `reasons` why others are rejected.
    """

    narrow: pd.DataFrame
    texts: pa.Table
    shared: pd.DataFrame
    passed: Mask
    reasons: Reasons

    def sorted(self) -> Sorted:
        """Return the candidates, narrow: the columns `SHARED` are null where no key is shared."""
        valid = self.narrow[self.passed].join(self.shared[list(SHARED)])
        bad = sorted(self.reasons)
        rejected = self.narrow.loc[bad].assign(reasons=pd.Series(self.reasons)[bad])
        return Sorted(valid.reset_index(drop=True), rejected.reset_index(drop=True))


def judge(
    files: Files, settings: params.Validate, *, require_audio: bool, shelf: Shelf, engine: str = "local"
) -> Judged:
    """Judge the cases of `files`, the parts of a table.

    Raises `DataError` when they break a rule of their form, or when none can be trained on.
    """
    by = key_of(repr(settings), str(require_audio), packages=_PACKAGES)
    keys = [key_of(by, digest) for digest in files.values()]
    paths = list(files)

    def part(number: int) -> Part:
        return Part(paths[number].read_bytes(), settings, require_audio)

    alone = pa.concat_tables(parts.each(_alone, part, keys, shelf=shelf, engine=engine))
    if pc.count_distinct(alone["case_id"]).as_py() < len(alone):
        raise DataError("cases: a case_id stands in two parts; delete data/cases.parquet and run 'dvc repro'")
    count = pc.list_value_length(alone["reasons"]).fill_null(_NO_CANDIDATE).to_numpy()
    if (count == _NO_CANDIDATE).all():
        raise quality.nothing_to_train_on(len(alone))
    passed, bad = count == 0, np.flatnonzero(count > 0)
    reasons = dict(zip(bad.tolist(), alone["reasons"].take(pa.array(bad)).to_pylist(), strict=True))
    shared = _rows(files, _shared(alone), [*NARROW, *SHARED])
    for schema in rules.schemas(settings, require_audio=require_audio)[1:]:
        late = quality.broken(shared[passed[shared.index]], schema)
        passed[list(late)] = False
        reasons |= late
    texts = alone.select(wordings.COLUMNS).filter(pa.array(passed))
    return Judged(tables.frame(alone.select(NARROW)), texts, shared, passed, reasons)


def write(judged: Judged, files: Files, valid: str | Path, rejected: str | Path, *, shelf: Shelf) -> None:
    """Write the valid ones of the cases of `files` as as many parts, and the rejected ones, with their reasons."""
    bad = np.zeros(len(judged.passed), bool)
    bad[list(judged.reasons)] = True
    paths, good_ones, bad_ones = list(files), _cut(judged.passed, files), _cut(bad, files)
    good_keys, bad_keys = _keyed(files, good_ones), _keyed(files, bad_ones)

    def bad_rows(number: int) -> pa.Table:
        return tables.load(paths[number]).filter(pa.array(bad_ones[number]))

    def good_rows(number: int) -> pa.Table:
        columns = tables.load(paths[number])
        shelf.put(bad_keys[number], columns.filter(pa.array(bad_ones[number])))  # now that they are at hand
        return columns.filter(pa.array(good_ones[number]))

    parts.write(valid, VALID, good_keys, good_rows, shelf=shelf)
    found = [shelf.table(key, partial(bad_rows, number)) for number, key in enumerate(bad_keys)]
    reasons = pa.array([judged.reasons[row] for row in sorted(judged.reasons)], REJECTED.arrow.field("reasons").type)
    tables.save(pa.concat_tables(found).append_column("reasons", reasons), rejected, REJECTED)


def _alone(part: Part) -> pa.Table:
    """Return what the cases of a part say by themselves; `reasons` are null where a case is no candidate."""
    try:
        columns = pq.read_table(pa.BufferReader(part.content))
    except pa.ArrowException as error:
        raise DataError(f"a part of the cases cannot be read ({str(error)[:200]}): run 'dvc repro'") from error
    rows = CASES.check(tables.frame(columns))
    candidate = quality.candidates(rows)
    own, *_ = rules.schemas(part.settings, require_audio=part.require_audio)
    reasons = quality.broken(rows[candidate], own)
    good = candidate.to_numpy() & ~rows.index.isin(list(reasons))
    VALID.check(rows[good])
    worded = wordings.wordings(columns.filter(pa.array(good))).take(pa.array(np.cumsum(good) - 1, mask=~good))
    why = [reasons.get(row, []) if asked else None for row, asked in enumerate(candidate)]
    kept = [columns.select(NARROW), worded, pa.table(_keys(rows) | {"reasons": pa.array(why, pa.list_(pa.string()))})]
    return pa.table({name: table[name] for table in kept for name in table.column_names})


def _keys(rows: pd.DataFrame) -> dict[str, pa.Array]:
    """Return hashes of what each case may share with others; null where it has no such thing."""
    sounds = rows["pcm_sha256"]
    span = rows[["recording_id"]].join(rows[["start", "end"]] + 0.0)  # no hash of its own for -0.0
    take = rows[["recording_id"]].where(sounds.isna() & rows["start"].isna())
    keys = {"file": rows[["audio_sha256"]], "sound": sounds.to_frame(), "span": span, "take": take}
    found = {}
    for name, key in keys.items():
        known, hashes = key.notna().all(axis=1).to_numpy(), np.zeros(len(key), np.uint64)
        hashes[known] = pd.util.hash_pandas_object(key[known], index=False)
        found[name] = pa.array(hashes, mask=~known)
    return found


def _shared(alone: pa.Table) -> Mask:
    """Return which cases, withdrawn ones aside, have a key that another has; by chance, some may only seem to."""
    found = np.zeros(len(alone), bool)
    here = pc.invert(alone["withdrawn"])
    for name in KEYS:
        at = np.flatnonzero(pc.and_(here, alone[name].is_valid()).to_numpy())
        values = alone[name].take(pa.array(at)).to_numpy()
        found[at[pd.Series(values).duplicated(keep=False)]] = True
    return found


def _rows(files: Files, wanted: Mask, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows that are `wanted`, by their number."""
    cut = zip(files, _cut(wanted, files), strict=True)
    found = [tables.load(file, columns=columns).filter(pa.array(mask)) for file, mask in cut if mask.any()]
    empty = CASES.of(columns).arrow.empty_table().select(columns)
    return tables.frame(pa.concat_tables(found) if found else empty).set_axis(np.flatnonzero(wanted))


def _cut(mask: Mask, files: Files) -> list[Mask]:
    """Return a mask of all rows as one of each part's."""
    return np.split(mask, np.cumsum([pq.read_metadata(file).num_rows for file in files])[:-1])


def _keyed(files: Files, masks: Sequence[Mask]) -> list[str]:
    return [key_of(digest, mask.tobytes()) for digest, mask in zip(files.values(), masks, strict=True)]
