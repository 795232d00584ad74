"""Parts: a table as a folder of Parquet files, each of at most `SIZE` cases, that go through the stages by themselves.

    data/cases.parquet/00000.parquet, 00001.parquet, …

A part whose inputs are what they were is not made again: it comes from the shelf, under a key that names them all.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import tables
from mondegreen.executor import spread
from mondegreen.shelf import Shelf, key_of
from mondegreen.tables import Table

SIZE = 50_000
"""Cases of a part, at most: about a second's work for each of the heavier steps."""

Work = TypeVar("Work")


def each(
    work: Callable[[Work], pa.Table],
    piece: Callable[[int], Work],
    keys: Sequence[str],
    *,
    shelf: Shelf,
    engine: str = "local",
) -> list[pa.Table]:
    """Return `work(piece(i))` for each of the `keys`: from the shelf, or made on all cores and kept under its key.

    `work` must be a function of a module, and its result one of the piece, which the key has to name.
    """
    found = list(spread(shelf.get, keys, engine="local", threads=True))
    missing = [number for number, table in enumerate(found) if table is None]
    for number, made in zip(missing, spread(work, map(piece, missing), engine=engine), strict=True):
        shelf.put(keys[number], made)
        found[number] = made
    return [table for table in found if table is not None]


def write(
    path: str | Path, table: Table, keys: Sequence[str], make: Callable[[int], pa.Table], *, shelf: Shelf
) -> None:
    """Write a table of as many parts as there are `keys`: each from the shelf, or `make(number)` and kept.

    `make` is called in the parts' order, once for each that is missing; what it returns has to obey the rules of
    `table` (see `tables.arrow`). The folder at `path` appears whole.
    """
    own = [key_of(key, table.name, packages=("pyarrow",)) for key in keys]
    found = [shelf.content(key) for key in own]
    missing = [number for number, content in enumerate(found) if content is None]
    encoded = spread(partial(tables.encode, table=table), map(make, missing), engine="local", threads=True)
    for number, content in zip(missing, encoded, strict=True):
        shelf.keep(own[number], content)
        found[number] = content
    put(path, [content for content in found if content is not None])


def put(path: str | Path, contents: Iterable[bytes | pa.Buffer]) -> None:
    """Write the files of a table's parts; the folder at `path` appears whole, and what was there goes at once."""
    target = Path(path)
    fresh, former = (target.with_name(f".{target.name}.{name}") for name in ("new", "old"))
    for folder in (fresh, former):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(parents=True)
    for number, content in enumerate(contents):
        (fresh / f"{number:05d}.parquet").write_bytes(content)
    if target.is_dir():
        target.rename(former)
    else:
        target.unlink(missing_ok=True)
    fresh.rename(target)
    shutil.rmtree(former, ignore_errors=True)


def numbers(path: str | Path) -> npt.NDArray[np.int64]:
    """Return the number of the part that each row of a table lies in."""
    sizes = [pq.read_metadata(file).num_rows for file in tables.files(path)]
    return np.repeat(np.arange(len(sizes)), sizes)
