"""Locations: where the audio of a row lies in the packs of data/raw and data/augmented."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen.batches import open_pack
from mondegreen.errors import DataError

COLUMNS = ("case_id", "audio_sha256", "audio_bytes")
"""The columns of splits.parquet that say which clip a row has."""


def locate(rows: Sequence[pa.Table], packs: Sequence[Path]) -> list[pd.DataFrame]:
    """Return, part by part, where each `row`'s clip lies: `pack`, `group`, `index`, `bytes`, in the order of the packs.

    `rows` are `COLUMNS` of the parts. Of several places, the first counts. Raises `DataError` where a row has no audio,
    or its audio is in no pack.
    """
    table = pa.concat_tables(rows)
    _check(table, pc.or_(table["audio_sha256"].is_null(), table["audio_bytes"].is_null()), "has no audio")
    names, places = _places(packs)
    at = pc.index_in(table["audio_sha256"], value_set=names)
    _check(table, at.is_null(), "names audio that is in no pack of data/raw")
    ends = np.cumsum([len(part) for part in rows])
    found = zip(rows, np.split(at.to_numpy(), ends[:-1]), strict=True)
    return [_in_order(part_at, places, part["audio_bytes"].to_numpy()) for part, part_at in found]


def _places(packs: Sequence[Path]) -> tuple[pa.Array, pd.DataFrame]:
    """Return the SHA-256 of every clip, and where it lies: `pack`, `group`, `index`."""
    names, places = [pa.array([], pa.string())], [np.empty((0, 3), np.int64)]
    for number, pack in enumerate(packs):
        with open_pack(pack) as file:
            for group in range(file.num_row_groups):
                found = file.read_row_group(group, ["sha256"]).column(0).combine_chunks()
                names.append(found)
                places.append(np.array([(number, group, index) for index in range(len(found))]).reshape(-1, 3))
    return pa.concat_arrays(names), pd.DataFrame(np.concatenate(places), columns=["pack", "group", "index"])


def _in_order(at: npt.NDArray[np.int64], places: pd.DataFrame, sizes: npt.NDArray[np.int64]) -> pd.DataFrame:
    rows = np.argsort(at, kind="stable")
    return places.iloc[at[rows]].assign(row=rows, bytes=sizes[rows]).reset_index(drop=True)


def _check(rows: pa.Table, missing: pa.ChunkedArray, problem: str) -> None:
    if pc.any(missing).as_py():
        found = rows.filter(missing)
        first = found.slice(0, 1).to_pylist()[0]
        raise DataError(
            f"case {first['case_id']} (sha256 {first['audio_sha256']}) {problem}; so do {len(found) - 1} more. "
            "Fetch every batch with `dvc pull`, or ingest the batch that holds it, "
            "or set export.require_audio: false to export text pairs"
        )
