"""The machine: its name, what tells it from another of that name, and locks on its files. Standard library only.

Nothing here trusts a network file system further than NFS deserves: it can be without locks, it takes an exclusive lock
on a file that is open for writing alone (never on a folder), and it may answer a rename that it has made with an error.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_LOST_ANSWER = (errno.ENOENT, errno.ESTALE, errno.EIO)


def name() -> str:
    """Return the machine's name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_]", "_", os.uname().nodename)[:40] or "host"


def identity() -> str:
    """Return what no two running machines share, whatever they are called: the name, and the kernel's mark of its boot.

    A copy of a virtual machine has its name and all its files, but was started by itself.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{os.uname().nodename} {boot}"


def lock(fd: int, path: Path, *, wait: bool = True) -> bool:
    """Lock an open file for its one holder, until it is closed; False where another one has it and we do not `wait`.

    Raises `OSError` that says what to do where the file system of `path` knows no locks.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            said = f"its file system has no locks ({error.strerror}): mount it with them, or take a local folder"
            raise OSError(error.errno, said, str(path)) from error
        raise
    return True


@contextmanager
def alone(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file `path`, made where it is missing, never removed; yield False where another one holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield lock(fd, path, wait=wait)
    finally:
        os.close(fd)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder that is ours alone; an answer that was lost after it was done is no error."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in _LOST_ANSWER or source.exists() or not target.exists():
            raise
