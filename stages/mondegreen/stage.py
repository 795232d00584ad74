"""What every stage script does besides its own work."""

import gc
import os
import sys
from collections.abc import Callable

from mondegreen import room
from mondegreen.errors import MondegreenError
from mondegreen.terminal import plain


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; an error that Mondegreen raises on purpose is printed, without a traceback, and exits 1."""
    gc.disable()  # a stage makes millions of small objects, no cycles, and ends: a fifth less time
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except MondegreenError as error:
        print(f"\n{plain(str(error), lines=True)}\n", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"\n{plain(room.explain(error))}\n", file=sys.stderr)
        sys.exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all files are closed: taking the modules apart object by object would add a third of a second
