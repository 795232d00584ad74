"""Everything that was recorded, as of now: the batches of a repository and the spool that waits beside them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import batches, cases, log, repository, shelf, spool
from mondegreen.errors import RepositoryError
from mondegreen.log import Log
from mondegreen.shelf import Shelf

Found = TypeVar("Found")


def files(inbox: Path) -> Iterator[Path]:
    """Yield the event files of the repository around `inbox`, none where there is none.

    They are listed when the first is asked for. Ask once the inbox's segments are read: an event that ingest moves
    meanwhile is then found in both, or in its batch.
    """
    root = _root(inbox)
    raw = root / repository.RAW if root else None
    yield from batches.event_files(raw) if raw and raw.is_dir() else ()


def read(inbox: Path) -> Log:
    """Return every event that can be read now."""
    return _steadily(lambda: log.read(files(inbox), spool.segments(inbox), shelf=_shelf(inbox)))


def tables(inbox: Path, columns: Mapping[str, Sequence[str]]) -> dict[str, pa.Table]:
    """Return `columns` of every event that can be read now, by kind (see `mondegreen.log.tables`)."""
    return _steadily(lambda: log.tables(files(inbox), spool.segments(inbox), shelf=_shelf(inbox), columns=columns))


def _steadily(read: Callable[[], Found]) -> Found:
    """Read again where a compaction took batches away meanwhile: another one holds what they held."""
    for _ in range(3):
        with suppress(FileNotFoundError):
            return read()
    return read()


def sealed(inbox: Path, event_ids: Iterable[str]) -> set[str]:
    """Return those of `event_ids` that a batch holds."""
    kept, asked = _shelf(inbox), pa.array(event_ids, pa.string())
    known = (
        table["event_id"] for file in files(inbox) for table in log.tables([file], shelf=kept, columns={}).values()
    )
    return {found for ids in known for found in ids.filter(pc.is_in(ids, asked)).to_pylist()}


def read_cases(inbox: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the cases, one row each, and every correction ever made, best last; audio's length is not looked up."""
    events = read(inbox)
    ranked = cases.rank(events)
    nothing = batches.PACK.remove(batches.PACK.get_field_index("bytes")).empty_table()
    return cases.fold(events, ranked, nothing), ranked


def _root(inbox: Path) -> Path | None:
    try:
        return repository.root(inbox)
    except RepositoryError:
        return None


def _shelf(inbox: Path) -> Shelf | None:
    """Return the repository's shelf: a batch is parsed once, by whoever needs it first."""
    root = _root(inbox)
    return Shelf(root / shelf.FOLDER, dated=True) if root else None
