"""Tables on disk: one Arrow schema and one Pandera schema each, checked where they are read and where they are written.

The same table always makes the same bytes: fixed Parquet options, no pandas metadata, floats rounded to 6 digits
(processors differ in the last bit of vectorised maths), no clock.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mondegreen.errors import DataError

if TYPE_CHECKING:
    import pandera.pandas as pandera

DIGITS = 6
ROW_GROUP = 100_000

_PANDAS = {pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()} | {
    pa.bool_(): pd.BooleanDtype()
}
_LISTS = pa.list_(pa.string())


@dataclass(frozen=True)
class Table:
    """The form of a table: column types, and what makes the rules that hold for its values, when they are needed."""

    name: str
    arrow: pa.Schema
    rules: Callable[[], "pandera.DataFrameSchema"]

    def of(self, columns: Iterable[str]) -> "Table":
        """Return the form of some columns of this table, in its order."""
        wanted = [name for name in self.arrow.names if name in {*columns}]
        fields = [self.arrow.field(name) for name in wanted]
        return Table(self.name, pa.schema(fields), lambda: self.rules().select_columns(wanted))

    def check(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return `frame` with a fresh index, or raise `DataError` naming the first broken rule and a row of it."""
        if missing := [name for name in self.arrow.names if name not in frame.columns]:
            raise DataError(
                f"{self.name}: the column {missing[0]!r} is missing; the stage that makes it is out of date"
            )
        frame = frame[self.arrow.names].reset_index(drop=True)
        from pandera.errors import SchemaError  # as long to import as pandas: who only reads a column does not wait

        try:
            return self.rules().validate(frame, inplace=True)
        except SchemaError as error:
            rule = error.check.name if hasattr(error.check, "name") else error.check
            column = getattr(error.schema, "name", None) or "the table"
            found = error.failure_cases if isinstance(error.failure_cases, pd.DataFrame) else pd.DataFrame()
            example = found.iloc[0].to_dict() if len(found) else ""
            raise DataError(
                f"{self.name}: {column} breaks the rule '{rule}', for example {str(example)[:200]}"
            ) from None


def read(
    path: str | Path,
    table: Table,
    only: pc.Expression | None = None,
    columns: Iterable[str] | None = None,
    *,
    lists: bool = True,
) -> pd.DataFrame:
    """Return a table, or `only` some rows of it, or some `columns`.

    Strings are pandas strings, integers and booleans nullable, lists NumPy arrays; without `lists` they stay what they
    are in Arrow, which costs nothing. Raises `DataError` when the file is
    missing, is no Parquet file or breaks a rule of the table.
    """
    table = table if columns is None else table.of(columns)
    return table.check(frame(load(path, only, None if columns is None else table.arrow.names), lists=lists))


def load(path: str | Path, only: pc.Expression | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Return what `read` returns, unchecked, as Arrow columns."""
    try:
        return pa.concat_tables([pq.read_table(file, filters=only, columns=columns) for file in files(path)])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({str(error)[:200]}): run 'dvc repro' or 'dvc checkout'") from error


def files(path: str | Path) -> list[Path]:
    """Return the files of a table in their order: its parts (see `mondegreen.parts`), or the one file that it is."""
    path = Path(path)
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a table's bytes, one file after the other."""
    digest = hashlib.sha256()
    for file in files(path):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def frame(columns: pa.Table, *, lists: bool = True) -> pd.DataFrame:
    """Return Arrow columns as `read` does."""
    kinds = _PANDAS if lists else _PANDAS | {_LISTS: pd.ArrowDtype(_LISTS)}
    found: pd.DataFrame = columns.to_pandas(types_mapper=kinds.get)
    return found


def arrow(frame: pd.DataFrame, table: Table) -> pa.Table:
    """Return a checked table as Arrow columns, floats rounded; raises `DataError` when it breaks one of its rules."""
    checked = table.check(frame)
    floats = checked.select_dtypes("float64")
    checked = checked.assign(**floats.round(DIGITS))
    return pa.Table.from_pandas(checked, schema=table.arrow, preserve_index=False)


def encode(columns: pa.Table, table: Table) -> pa.Buffer:
    """Return the bytes of a Parquet file: the same for the same rows."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        columns.cast(table.arrow).replace_schema_metadata(None).combine_chunks(),  # pages end where chunks end
        sink,
        compression="zstd",
        compression_level=3,
        row_group_size=ROW_GROUP,
        version="2.6",
        store_schema=False,
    )
    return sink.getvalue()


def digest(columns: pa.Table) -> str:
    """Return a SHA-256 of Arrow columns: equal only where names, types and values are."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as stream:
        stream.write_table(columns.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def write(frame: pd.DataFrame, path: str | Path, table: Table) -> None:
    """Write a table; raises `DataError` when it breaks one of its rules."""
    save(arrow(frame, table), path, table)


def save(columns: pa.Table, path: str | Path, table: Table) -> None:
    """Write a table that was made to obey its rules, floats rounded: `write` without looking."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}.new")
    hidden.write_bytes(encode(columns, table))
    hidden.replace(target)


def among(values: pd.Series, wanted: pd.Series) -> pd.Series:
    """Return where strings stand in `wanted`, null nowhere: `Series.isin` through Arrow, in a tenth of its time."""
    if values.empty:  # nobody hashes what is `wanted` then
        return pd.Series(False, index=values.index, dtype=bool)
    asked, known = (pa.array(column, pa.string(), from_pandas=True) for column in (values, wanted))
    found = pc.is_in(asked, value_set=known.drop_null())
    return pd.Series(found.to_numpy(zero_copy_only=False), index=values.index, dtype=bool)


def place(values: pd.Series, among: pd.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return where each string stands first `among` others, and whether it does; a null stands nowhere."""
    asked, known = (pa.array(column, pa.string(), from_pandas=True) for column in (values, among))
    found = pc.index_in(asked, value_set=known, skip_nulls=True)
    return found.fill_null(0).to_numpy().astype(np.int64), found.is_valid().to_numpy(zero_copy_only=False)


def codes_of(values: pd.Series, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return where each string stands in `names`, -1 where it does not."""
    at, known = place(values, pd.Series(names, dtype="str"))
    return np.where(known, at, -1)


def named(codes: npt.NDArray[np.int64], names: Sequence[str]) -> pd.Series:
    """Return the string that each code stands for, null for -1: what `codes_of` takes apart."""
    found = pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(names, pa.string()))
    return pd.Series(found.cast(pa.string()).to_pandas(), dtype="str")


def in_order(frame: pd.DataFrame, by: Sequence[str], *, ignore_index: bool = False) -> pd.DataFrame:
    """Return `frame` sorted by columns, nulls last: stable, and in a fifth of the time of `DataFrame.sort_values`.

    Where the rows are in order already, they are returned as they are.
    """
    keys = pa.table([pa.array(frame[name], from_pandas=True) for name in by], names=[str(at) for at in range(len(by))])
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names]).to_numpy()
    if not (order[1:] > order[:-1]).all():
        frame = frame.iloc[order]
    return frame.reset_index(drop=True) if ignore_index else frame


def each_of(values: pd.Series, function: Callable[[str], Any]) -> pd.Series:
    """Return `function` of strings, called once for each different one; null where the string is."""
    codes, uniques = pd.factorize(values)
    made = pd.Series([function(value) for value in uniques])
    return made.reindex(codes).set_axis(values.index)


def pieces(table: pa.Table, size: int) -> Iterator[pa.Table]:
    """Yield a table in pieces of at most `size` rows, at least one; each owns its bytes.

    A slice would take the whole table with it to another process.
    """
    for start in range(0, max(1, len(table)), size):
        yield table.take(pa.array(np.arange(start, min(start + size, len(table)))))


def rounded(value: Any) -> Any:
    """Return `value` with every float rounded as in tables, NumPy numbers as plain ones, keys sorted."""
    if isinstance(value, Mapping):
        return {str(key): rounded(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [rounded(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return round(value, DIGITS) + 0.0 if isinstance(value, float) else value


def write_json(value: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a metrics file for people and `dvc metrics diff`: keys sorted, floats rounded, whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}.new")
    hidden.write_text(
        json.dumps(rounded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    hidden.replace(target)


def read_json(path: str | Path) -> dict[str, Any]:
    """Return a metrics file; raises `DataError` when it is missing or not JSON."""
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): run 'dvc repro'") from error
