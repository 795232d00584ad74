"""Spans: what lies in more than one row or split of a dataset and must not, and the dataset's figures.

All rows are looked at together, each time, in few columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen.faults import seconds
from mondegreen.reading import Add
from mondegreen.schemas import AUGMENTED, FAILURE, REPLAY, RETENTION, UNLABELLED

COLUMNS = (
    *("case_id", "speaker_id", "recording_id", "language", "origin", "parent_case_id", "error_types", "duration"),
    *("pcm_sha256", "sample_rate", "frames", "long_text", "pair", "word_errors", "reference_words"),
)
"""What has to be known of all rows at once."""

_REPEATED = ("speaker_id", "recording_id", "long_text", "language", "origin")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """All rows of a dataset (`COLUMNS`), the split of each, by its place in `splits`, and a number for its case."""

    table: pa.Table
    splits: Sequence[str]
    split: npt.NDArray[np.int64]
    case: npt.NDArray[np.int64]

    @cached_property
    def coded(self) -> dict[str, tuple[npt.NDArray[np.int64], pa.Array]]:
        """Return, by column, the place of each row's value among the different ones, -1 of a null, and these."""
        return {name: _codes(self.table[name]) for name in ("speaker_id", "recording_id", "pcm_sha256", "long_text")}

    def of(self, *names: str) -> Mask:
        """Return which rows are in one of these splits."""
        return np.isin(self.split, [number for number, name in enumerate(self.splits) if name in names])

    def origin(self, name: str) -> Mask:
        """Return which rows are of an origin."""
        codes, names = _codes(self.table["origin"])
        return np.isin(codes, [place for place, found in enumerate(names.to_pylist()) if found == name])


def narrow(reading: pa.Table) -> pa.Table:
    """Return `COLUMNS` of a reading, each name once in those that repeat themselves."""
    kinds = {name: pa.dictionary(pa.int32(), pa.string()) for name in _REPEATED}
    found = reading.select(COLUMNS)
    return found.cast(pa.schema([field.with_type(kinds.get(field.name, field.type)) for field in found.schema]))


def _mask(values: pa.ChunkedArray) -> Mask:
    found: Mask = pc.fill_null(values, False).to_numpy()
    return found


def _codes(values: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], pa.Array]:
    if pa.types.is_dictionary(values.type):
        encoded = values.combine_chunks()
    else:
        encoded = values.combine_chunks().dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy().astype(np.int64), encoded.dictionary


def _repeated(codes: npt.NDArray[np.int64]) -> Mask:
    """Return which codes stand more than once; none that is negative."""
    counts = np.bincount(codes[codes >= 0], minlength=1)
    return (codes >= 0) & (counts[codes] > 1)


def check(rows: Rows, *, require_audio: bool, add: Add) -> None:
    """Look for copies and replayed speech that strayed, and for what lies in more than one row, or split."""
    _strays(rows, add)
    names = rows.table["case_id"]
    twice = {"duplicate_case": rows.case, "duplicate_audio": rows.coded["pcm_sha256"][0]}
    if not require_audio:
        twice["duplicate_pair"] = np.where(rows.of(UNLABELLED), -1, _codes(rows.table["pair"])[0])
    for kind, codes in twice.items():
        at = np.flatnonzero(_repeated(codes))
        if len(at):
            found = pd.Series(names.take(pa.array(at)).to_pylist(), dtype=object).astype(str)
            add(kind, (", ".join(group) for _, group in found.groupby(codes[at])))
    side = np.where(rows.of("train", UNLABELLED), -1, rows.split)  # who trains on both may meet a speaker in both
    for kind, (codes, values) in zip(("speaker", "recording", "audio", "text"), rows.coded.values(), strict=True):
        add(f"shared_{kind}", _shared(codes, values, side, rows.splits))


def _shared(
    codes: npt.NDArray[np.int64], values: pa.Array, side: npt.NDArray[np.int64], splits: Sequence[str]
) -> list[str]:
    """Return the values that stand on more than one side, with the names of the sides; the first is train's."""
    sides = np.unique(side)
    names = ["train" if number < 0 else splits[number] for number in sides]
    there = [np.bincount(codes[(codes >= 0) & (side == one)], minlength=len(values)) > 0 for one in sides]
    spanning = np.flatnonzero(np.sum([np.zeros(len(values)), *there], axis=0) > 1)
    found = [
        f"{values[at].as_py()} ({', '.join(sorted(name for name, seen in zip(names, there, strict=True) if seen[at]))})"
        for at in spanning
        if values[at].as_py().strip()
    ]
    return sorted(found)


def _strays(rows: Rows, add: Add) -> None:
    """Look for rows where they do not belong; that a copy differs from its parent, `check` tells."""
    train, replayed = rows.of("train"), rows.origin(REPLAY)
    copies = np.flatnonzero(rows.origin(AUGMENTED))
    if len(copies):
        parents = rows.table["case_id"].filter(pa.array(train & rows.origin(FAILURE)))
        known = _mask(pc.is_in(rows.table["parent_case_id"].take(pa.array(copies)), value_set=parents.drop_null()))
        _add_cases(rows, copies[~(train[copies] & known)], add)
    strays = (replayed & ~rows.of("train", RETENTION)) | (~replayed & rows.of(RETENTION))
    _add_cases(rows, np.flatnonzero(strays), add)


def _add_cases(rows: Rows, at: npt.NDArray[np.int64], add: Add) -> None:
    add("stray_row", rows.table["case_id"].take(pa.array(at)).to_pylist())


def metrics(rows: Rows, splits: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a dataset for metrics/dataset.json, `splits` being those to be named."""
    table = rows.table
    speakers, recordings, sounds, _ = (codes for codes, _ in rows.coded.values())
    single = ~np.where(sounds >= 0, _repeated(sounds), _repeated(rows.case)) & ~_repeated(rows.case)
    lengths = np.nan_to_num(seconds(table))
    words, errors = (table[name].fill_null(0).to_numpy() for name in ("reference_words", "word_errors"))
    failures = rows.origin(FAILURE)
    per_split: dict[str, dict[str, Any]] = {name: {} for name in ("rows", "hours", "speakers", "recordings", "wer")}
    for split in splits:
        own = rows.of(split)
        spoken = own & failures & (words > 0)
        per_split["rows"][split] = int(own.sum())
        per_split["hours"][split] = fsum(lengths[own]) / 3600
        per_split["speakers"][split] = len(np.setdiff1d(speakers[own], [-1]))
        per_split["recordings"][split] = len(np.setdiff1d(recordings[own], [-1]))
        if spoken.any():
            per_split["wer"][split] = float(errors[spoken].sum() / words[spoken].sum())
    labels = pc.list_flatten(table["error_types"].filter(pa.array(failures)))
    return {
        "uniqueness": float(single.mean()) if len(table) else 0.0,
        **per_split,
        "origins": _tally(table["origin"]),
        "languages": _tally(table["language"].cast(pa.string()).fill_null("unknown")),
        "error_types": _tally(labels),
        "sample_rates": _tally(table["sample_rate"]),
    }


def _tally(values: pa.ChunkedArray | pa.Array) -> dict[Any, int]:
    codes, names = _codes(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    return {name: count for name, count in zip(names.to_pylist(), counts, strict=True) if count}
