"""What every stage script does besides its own work."""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mondegreen import machine, room
from mondegreen.errors import MondegreenError
from mondegreen.terminal import plain

_PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; an error that Mondegreen raises on purpose is printed, without a traceback, and exits 1."""
    _end_with_dvc()
    gc.disable()  # a stage makes millions of small objects, no cycles, and ends: a fifth less time
    _alone()
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except MondegreenError as error:
        print(f"\n{plain(str(error), lines=True)}\n", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"\n{plain(room.explain(error, Path('data')))}\n", file=sys.stderr)
        sys.exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all files are closed: taking the modules apart object by object would add a third of a second


def _end_with_dvc() -> None:
    """Let the kernel end this stage where the `dvc repro` that began it is killed; Linux alone can.

    It would write its files when the next `dvc repro` has already taken them from its cache.
    """
    if "DVC_STAGE" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getpgid(os.getppid()) != os.getpgrp():  # while this process imported what it needs
            sys.exit("the 'dvc repro' that began this stage was killed")


def _alone() -> None:
    """Wait until no other process runs this stage: a `dvc repro` that was killed can leave one behind."""
    name = Path(sys.argv[0]).stem
    path = Path(f".dvc/tmp/mondegreen-{name}.lock")
    with suppress(OSError):  # no repository, or a file system without locks
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)  # held until this process ends
        if not machine.lock(fd, path, wait=False):
            print(f"{name}: waiting for one that still runs; a 'dvc repro' that was killed left it", file=sys.stderr)
            parent = os.getppid()
            machine.lock(fd, path)
            if os.getppid() != parent:  # who wanted this was killed meanwhile, and may have begun anew
                sys.exit(f"{name}: nobody waits for it any more")
