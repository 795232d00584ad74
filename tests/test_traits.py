"""Splits are made part by part: only what changed is made again, to the bytes of a build from nothing."""

from pathlib import Path

import pandas as pd
import pytest

from conftest import case_row, case_table
from mondegreen import assigned, parts, tables, traits
from mondegreen.errors import DataError
from mondegreen.schemas import SPLITS, VALID
from mondegreen.shelf import Shelf


def valid(folder: Path, *parts: list[dict[str, object]]) -> Path:
    """Write valid.parquet of such parts."""
    (folder / "valid.parquet").mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(parts):
        content = tables.encode(tables.arrow(case_table(rows), VALID), VALID)
        (folder / f"valid.parquet/{number:05d}.parquet").write_bytes(content)
    return folder / "valid.parquet"


def build(path: Path, shelf: Shelf, *, moved: int | None = None, others: int = 0) -> list[bytes]:
    """Return the parts of a splits.parquet in which all cases train, but for one."""
    rows = traits.read(path, min_shared_words=8, shelf=shelf)
    rows = rows.assign(split="train", component=rows["case_id"])
    rows.loc[rows["at"] == moved, "split"] = "test"
    behind = [case_row(900 + number) for number in range(others)]
    more = case_table(behind).assign(split="train", component="c", primary_error_type="none", origin="replay")
    more = more.assign(parent_case_id=None, augmentation=None).astype({"component": "str"})
    assigned.write(rows, more, path, path.with_name("splits.parquet"), shelf=shelf)
    shelf.sweep()
    return [file.read_bytes() for file in tables.files(path.with_name("splits.parquet"))]


def rows(first: int, last: int) -> list[dict[str, object]]:
    return [case_row(number) for number in range(first, last)]


def test_parts_that_stay_are_not_made_again_and_bytes_are_those_of_a_build_from_nothing(tmp_path, monkeypatch):
    path, kept = valid(tmp_path, rows(0, 4), rows(4, 6)), tmp_path / "shelf"
    first = build(path, Shelf(kept))
    made: list[int] = []
    encode = tables.encode
    monkeypatch.setattr(tables, "encode", lambda columns, table: made.append(len(columns)) or encode(columns, table))
    assert build(path, Shelf(kept)) == first
    assert made == []
    second = build(path, Shelf(kept), moved=5)
    assert (second[0], made) == (first[0], [2])
    monkeypatch.undo()
    valid(tmp_path, rows(0, 4), rows(4, 6), rows(6, 9))
    third = build(path, Shelf(kept), moved=5)
    assert third[:2] == second
    assert third == build(path, Shelf(tmp_path / "other"), moved=5)


def test_rows_pass_whole_and_what_is_no_case_stands_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "SIZE", 2)
    path = valid(tmp_path, rows(0, 2), [])
    build(path, Shelf(tmp_path / "shelf"), moved=0, others=3)
    files = tables.files(tmp_path / "splits.parquet")
    found = [tables.read(file, SPLITS) for file in files]
    assert [len(table) for table in found] == [2, 0, 2, 1]
    pd.testing.assert_frame_equal(found[0][VALID.arrow.names], tables.read(path, VALID))
    assert found[0][["split", "origin"]].values.tolist() == [["test", "failure"], ["train", "failure"]]


def test_a_column_that_breaks_a_rule_is_refused(tmp_path):
    path = valid(tmp_path, rows(0, 2))
    read = traits.read(path, min_shared_words=8, shelf=Shelf(tmp_path / "shelf"))
    broken = read.assign(split=pd.Series([None, "train"], dtype="str"), component="c")
    with pytest.raises(DataError, match="split breaks"):
        assigned.write(broken, broken[:0], path, tmp_path / "splits.parquet", shelf=Shelf(tmp_path / "shelf"))
