"""The ledger: strict reading, appending that never touches what stands there."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mondegreen import ledger
from mondegreen.errors import DataError

HEADER = b"case_id,split,release\n"


def written(folder: Path, lines: bytes, header: bytes = HEADER) -> Path:
    path = folder / "ledger.csv"
    path.write_bytes(header + lines)
    return path


def rows(*lines: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=list(ledger.COLUMNS), dtype="str")


def test_rows_come_sorted_by_case(tmp_path):
    path = written(tmp_path, b"b,test,v1\na,validation,v1\n")
    assert ledger.read(path).values.tolist() == [["a", "validation", "v1"], ["b", "test", "v1"]]


def test_a_missing_file_is_empty_only_if_asked(tmp_path):
    with pytest.raises(DataError, match=r"the ledger is missing.*git checkout"):
        ledger.read(tmp_path / "ledger.csv")
    table = ledger.read(tmp_path / "ledger.csv", missing_ok=True)
    assert table.empty
    assert list(table) == list(ledger.COLUMNS)


def test_a_union_merge_may_repeat_a_case_in_its_split(tmp_path):
    path = written(tmp_path, b"a,test,v1\nb,test,v1\na,test,v1\nb,test,v2\n")
    assert ledger.read(path).values.tolist() == [["a", "test", "v1"], ["b", "test", "v1"]]


def test_windows_line_ends_are_read(tmp_path):
    path = written(tmp_path, b"a,test,v1\r\n", header=b"case_id,split,release\r\n")
    assert ledger.read(path)["release"].tolist() == ["v1"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"a,test,v1\nb,trial,v1\n", r"line 3: unknown split 'trial'.*Known are train, validation, test"),
        (b"a,test,v1\n\nb,test,v1\n", r"line 3: expected case_id,split,release"),
        (b"a,test\n", r"line 2: expected case_id,split,release, found 'a,test'"),
        (b"a,test,v1,x\n", r"line 2: expected case_id,split,release"),
        (
            b"a,test,v1\nc,test,v1\na,validation,v2\n",
            r"line 4: case 'a' is in validation, but line 2 froze it into test",
        ),
        (b",test,v1\n", r"line 2: case_id=''"),
        (b"a,test, \n", r"line 2: release=' '"),
        (b"a,test,v1\n<<<<<<< HEAD\nb,test,v1\n", r"line 3: a Git conflict marker"),
        (b'"a,test,v1\n', r"line 2: .*Restore the line"),
        (b"a,test,v1\n\xff\xfe,test,v1\n", r"line 3: not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        ledger.read(written(tmp_path, lines))


@pytest.mark.parametrize("header", [b"", b"case,split,release\n", b"a,test,v1\n"])
def test_a_missing_header_is_an_error(tmp_path, header):
    with pytest.raises(DataError, match="line 1: expected the header case_id,split,release"):
        ledger.read(written(tmp_path, b"", header=header))


def test_appending_keeps_the_bytes_and_sorts_what_is_new(tmp_path):
    path = written(tmp_path, b"z,test,v1\nb,validation,v1")  # no newline at the end
    added = ledger.append(path, rows(("y", "test", "v2"), ("a", "validation", "v2"), ("z", "test", "v2")))
    assert added == 2
    assert path.read_bytes() == HEADER + b"z,test,v1\nb,validation,v1\na,validation,v2\ny,test,v2\n"
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.csv"]


def test_appending_makes_the_file(tmp_path):
    path = tmp_path / "ledger.csv"
    assert ledger.append(path, rows(("a,b", "test", "v1"))) == 1
    assert ledger.read(path)["case_id"].tolist() == ["a,b"]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (("a", "validation", "v2"), "case 'a' was frozen into test by release 'v1' and cannot go to validation"),
        (("c", "trial", "v2"), "unknown split 'trial'"),
        (("c\nd", "test", "v2"), "must be one line"),
        (("c", "test", ""), "release=''"),
    ],
)
def test_a_refused_append_writes_nothing(tmp_path, new, message):
    path = written(tmp_path, b"a,test,v1\n")
    with pytest.raises(DataError, match=message):
        ledger.append(path, rows(("b", "test", "v2"), new))
    assert path.read_bytes() == HEADER + b"a,test,v1\n"


def test_what_was_in_reserve_can_be_taken_but_not_moved(tmp_path):
    path = written(tmp_path, b"a,test_reserve,v1\nb,test_reserve,v1\n")
    assert ledger.append(path, rows(("a", "test", "v2"), ("b", "test_reserve", "v2"))) == 1
    assert ledger.read(path).values.tolist() == [["a", "test", "v2"], ["b", "test_reserve", "v1"]]
    assert ledger.append(path, rows(("a", "test_reserve", "v3"))) == 0
    with pytest.raises(DataError, match="cannot go to validation"):
        ledger.append(path, rows(("b", "validation", "v3")))


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
frozen = st.dictionaries(names, st.sampled_from(ledger.FROZEN_SPLITS), max_size=8)


@settings(deadline=None)  # each append is fsynced
@given(first=frozen, second=frozen)
def test_two_appends_read_back_as_their_union(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("ledger") / "ledger.csv"
    second = {case: first.get(case, split) for case, split in second.items()}  # a frozen case keeps its split
    ledger.append(path, rows(*((case, split, "v1") for case, split in first.items())))
    before = path.read_bytes()
    added = ledger.append(path, rows(*((case, split, "v2") for case, split in second.items())))
    table = ledger.read(path)
    assert path.read_bytes().startswith(before)
    assert added == len(second.keys() - first.keys())
    assert dict(zip(table["case_id"], table["split"], strict=True)) == first | second
