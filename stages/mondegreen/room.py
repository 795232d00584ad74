"""Room: what a file system that is full, read-only or gone says of itself. Standard library only."""

import errno
import os
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


def explain(error: OSError, path: Path | None = None) -> str:
    """Return one line: what could not be done with which file, and of a full disk where it is and what is left there.

    `path` stands in where the error names none.
    """
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
    what = error.strerror or str(error) or type(error).__name__
    line = f"{named}: {what}" if named else what
    return f"{line} ({_left(named)})" if error.errno in FULL else line


def _left(path: Path | None) -> str:
    """Return the file system that holds `path`, and how many bytes of it are free."""
    place = next(
        (folder for folder in (path or Path(), *(path or Path()).absolute().parents) if folder.exists()), Path()
    )
    place = place.absolute()
    while not place.is_mount():
        place = place.parent
    try:
        known = os.statvfs(place)
    except OSError:
        return f"the file system {place}"
    return f"the file system {place} has {known.f_bavail * known.f_frsize:,} bytes left"
