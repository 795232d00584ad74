"""Tables on disk: one Arrow schema and one Pandera schema each, checked where they are read and where they are written.

The same table always makes the same bytes: fixed Parquet options, no pandas metadata, floats rounded to 6 digits
(processors differ in the last bit of vectorised maths), no clock.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
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


@dataclass(frozen=True)
class Table:
    """The form of a table: column types, and what makes the rules that hold for its values, when they are needed."""

    name: str
    arrow: pa.Schema
    rules: Callable[[], "pandera.DataFrameSchema"]

    def check(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return `frame` with a fresh index, or raise `DataError` naming the first broken rule and a row of it."""
        if missing := [name for name in self.arrow.names if name not in frame.columns]:
            raise DataError(
                f"{self.name}: the column {missing[0]!r} is missing; the stage that makes it is out of date"
            )
        frame = frame[self.arrow.names].reset_index(drop=True)
        from pandera.errors import SchemaError  # as long to import as pandas: who only reads a column does not wait

        try:
            return self.rules().validate(frame)
        except SchemaError as error:
            rule = error.check.name if hasattr(error.check, "name") else error.check
            column = getattr(error.schema, "name", None) or "the table"
            found = error.failure_cases if isinstance(error.failure_cases, pd.DataFrame) else pd.DataFrame()
            example = found.iloc[0].to_dict() if len(found) else ""
            raise DataError(
                f"{self.name}: {column} breaks the rule '{rule}', for example {str(example)[:200]}"
            ) from None


def read(path: str | Path, table: Table, only: pc.Expression | None = None) -> pd.DataFrame:
    """Return a table, or `only` some rows of it.

    Strings are pandas strings, integers and booleans nullable, lists NumPy arrays. Raises `DataError` when the file is
    missing, is no Parquet file or breaks a rule of the table.
    """
    try:
        arrow = pq.read_table(path, filters=only)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({str(error)[:200]}): run 'dvc repro' or 'dvc checkout'") from error
    return table.check(arrow.to_pandas(types_mapper=_PANDAS.get))


def write(frame: pd.DataFrame, path: str | Path, table: Table) -> None:
    """Write a table; raises `DataError` when it breaks one of its rules."""
    checked = table.check(frame)
    floats = checked.select_dtypes("float64")
    checked = checked.assign(**floats.round(DIGITS))
    arrow = pa.Table.from_pandas(checked, schema=table.arrow, preserve_index=False)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}.new")
    pq.write_table(
        arrow.replace_schema_metadata(None).combine_chunks(),  # pages end where chunks end
        hidden,
        compression="zstd",
        compression_level=3,
        row_group_size=ROW_GROUP,
        version="2.6",
        store_schema=False,
    )
    hidden.replace(target)


def among(values: pd.Series, wanted: pd.Series) -> pd.Series:
    """Return where strings stand in `wanted`, null nowhere: `Series.isin` through Arrow, in a tenth of its time."""
    asked, known = (pa.array(column, pa.string(), from_pandas=True) for column in (values, wanted))
    found = pc.is_in(asked, value_set=known.drop_null())
    return pd.Series(found.to_numpy(zero_copy_only=False), index=values.index, dtype=bool)


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
