"""Room: what a file system that is full, read-only or gone says of itself. Standard library only."""

import errno
import os
from pathlib import Path

from mondegreen.errors import DataError

FULL = (errno.ENOSPC, errno.EDQUOT)


def explain(error: OSError, path: Path | None = None) -> str:
    """Return one line: what could not be done with which file, and of a full disk where it is and what is left there.

    `path` stands in where the error names none.
    """
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
    what = error.strerror or str(error) or type(error).__name__
    line = f"{named}: {what}" if named else what
    return f"{line} ({_left(named)})" if error.errno in FULL else line


def check(folder: Path, needed: int, what: str) -> None:
    """Raise `DataError` where the file system of `folder` has less than `needed` bytes left for `what`."""
    place = _mount(folder)
    known = os.statvfs(place)
    left = known.f_bavail * known.f_frsize
    if left < needed:
        raise DataError(
            f"{what} needs about {needed:,} bytes, but the file system {place} has {left:,} bytes left: make room "
            "('mondegreen gc' removes what no version needs), then run the same command again"
        )


def _left(path: Path | None) -> str:
    """Return the file system that holds `path`, and how many bytes of it are free."""
    place = _mount(path or Path())
    try:
        known = os.statvfs(place)
    except OSError:
        return f"the file system {place}"
    return f"the file system {place} has {known.f_bavail * known.f_frsize:,} bytes left"


def _mount(path: Path) -> Path:
    """Return where the file system that holds `path`, or will hold it, is mounted."""
    place = path.absolute()
    while not place.exists() or not place.is_mount():
        place = place.parent
    return place
