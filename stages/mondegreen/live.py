"""Everything that was recorded, as of now: the batches of a repository and the spool that waits beside them."""

from pathlib import Path

import pandas as pd

from mondegreen import batches, cases, log, repository, spool
from mondegreen.errors import RepositoryError
from mondegreen.log import Log


def sources(inbox: Path) -> tuple[list[Path], list[Path]]:
    """Return the event files of the repository around `inbox` (none where there is none), and the inbox's segments.

    The segments are listed first: an event that ingest moves meanwhile is then found in both, or in its batch.
    """
    segments = spool.segments(inbox)
    try:
        raw = repository.root(inbox) / repository.RAW
    except RepositoryError:
        return [], segments
    return batches.event_files(raw) if raw.is_dir() else [], segments


def read(inbox: Path) -> Log:
    """Return every event that can be read now."""
    return log.read(*sources(inbox))


def read_cases(inbox: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the cases, one row each, and every correction ever made, best last; audio's length is not looked up."""
    events = read(inbox)
    ranked = cases.rank(events)
    nothing = batches.PACK.remove(batches.PACK.get_field_index("bytes")).empty_table()
    return cases.fold(events, ranked, nothing), ranked
