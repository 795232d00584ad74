"""The ledger: which cases a release has frozen into a split, as CSV in Git (`case_id,split,release`).

Validation, test and retention have a row per case, train one per speaker and one per case without a speaker.
`test_reserve` and `validation_reserve` name a case that the release had assigned, but left out of its dataset.
"""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mondegreen.errors import DataError

COLUMNS = ("case_id", "split", "release")
RESERVE = "_reserve"
FROZEN_SPLITS = ("train", "validation", "test", "retention", f"validation{RESERVE}", f"test{RESERVE}")
_HEADER = ",".join(COLUMNS)


def empty() -> pd.DataFrame:
    """Return a ledger without rows: nothing was released yet."""
    return pd.DataFrame({column: pd.Series(dtype="str") for column in COLUMNS})


def read(path: str | Path, *, missing_ok: bool = False) -> pd.DataFrame:
    """Return the ledger's rows (`case_id, split, release`), one per case, sorted by case_id.

    A case may stand there twice with the same split (a Git union merge of two branches): the first line counts. One
    in reserve that a later release took into its dataset counts as taken.
    Raises `DataError` that names line and fix for anything else; a missing file is an empty ledger only with
    `missing_ok`.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        if missing_ok:
            return empty()
        raise DataError(
            f"{path}: the ledger is missing. Restore it from Git (`git checkout -- {path}`), or, if nothing was ever "
            f"released, create it with the one line {_HEADER}"
        ) from error
    return _parse(content, path)


def append(path: str | Path, rows: pd.DataFrame) -> int:
    """Add `rows` (`case_id, split, release`) behind what the file holds and return how many were new.

    The existing bytes stay as they are, the new lines are sorted by case_id; cases that already stand there with
    the same split are skipped. The file is replaced in one step. Raises `DataError` for a case that was frozen
    into another split, and for a value that `read` would refuse; then nothing is written.
    """
    path = Path(path)
    content = path.read_bytes() if path.exists() else f"{_HEADER}\n".encode()
    frozen = _parse(content, path)
    wanted = _parse(rows.loc[:, list(COLUMNS)].to_csv(index=False, lineterminator="\n").encode(), path)
    _check_agreement(frozen, wanted, path)
    had = wanted["case_id"].map(frozen.set_index("case_id")["split"])
    added = wanted[had.isna() | ((had != wanted["split"]) & ~wanted["split"].str.endswith(RESERVE))]
    lines = added.to_csv(index=False, header=False, lineterminator="\n").encode()
    _replace(path, content + (b"" if content.endswith(b"\n") else b"\n") + lines)
    return len(added)


def _check_agreement(frozen: pd.DataFrame, wanted: pd.DataFrame, path: Path) -> None:
    both = wanted.merge(frozen, on="case_id", suffixes=("", "_frozen"))
    moved = both[both["split"].str.removesuffix(RESERVE) != both["split_frozen"].str.removesuffix(RESERVE)]
    if len(moved):
        first = moved.iloc[0]
        raise DataError(
            f"{path}: case {first['case_id']!r} was frozen into {first['split_frozen']} by release "
            f"{first['release_frozen']!r} and cannot go to {first['split']}. Run `dvc repro split` with this ledger "
            f"before the release"
        )


def _parse(content: bytes, path: Path) -> pd.DataFrame:
    splits: dict[str, tuple[str, int]] = {}
    releases: dict[str, str] = {}
    for number, (case_id, split, release) in _lines(content, path):
        frozen, line = splits.setdefault(case_id, (split, number))
        if frozen != split and frozen == split + RESERVE:
            splits[case_id], releases[case_id] = (split, number), release
        elif frozen.removesuffix(RESERVE) != split.removesuffix(RESERVE):
            raise DataError(
                f"{path}, line {number}: case {case_id!r} is in {split}, but line {line} froze it into {frozen}. "
                f"A frozen case never moves: delete the line of the later release"
            )
        releases.setdefault(case_id, release)
    case_ids = sorted(splits)
    columns = (case_ids, [splits[case_id][0] for case_id in case_ids], [releases[case_id] for case_id in case_ids])
    return pd.DataFrame({name: pd.Series(column, dtype="str") for name, column in zip(COLUMNS, columns, strict=True)})


def _lines(content: bytes, path: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Yield line number and fields of every row below the header."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8. Restore the file from Git") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise DataError(f"{path}, line 1: expected the header {_HEADER}, found {','.join(header)!r}. Put it back")
        for fields in reader:
            yield reader.line_num, _checked(fields, path, reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}. Restore the line from Git") from error


def _checked(fields: list[str], path: Path, number: int) -> tuple[str, str, str]:
    where = f"{path}, line {number}"
    if len(fields) != len(COLUMNS):
        if fields and fields[0].startswith(("<<<<<<<", "=======", ">>>>>>>", "|||||||")):
            raise DataError(f"{where}: a Git conflict marker. Keep the lines of both sides and delete the markers")
        raise DataError(f"{where}: expected {_HEADER}, found {','.join(fields)!r}. Correct or delete the line")
    case_id, split, release = fields
    if split not in FROZEN_SPLITS:
        raise DataError(f"{where}: unknown split {split!r}. Known are {', '.join(FROZEN_SPLITS)}")
    for name, value in (("case_id", case_id), ("release", release)):
        if not value.strip() or value != value.strip() or "\n" in value or "\r" in value:
            raise DataError(
                f"{where}: {name}={value!r} must be one line without outer blanks. Correct or delete the line"
            )
    return case_id, split, release


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")  # Git ignores it
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
