"""What every stage script does besides its own work."""

import sys
from collections.abc import Callable

from mondegreen.errors import MondegreenError
from mondegreen.terminal import plain


def run(main: Callable[[], None]) -> None:
    """Run a stage's `main`; an error that Mondegreen raises on purpose is printed, without a traceback, and exits 1."""
    try:
        main()
    except MondegreenError as error:
        print(f"\n{plain(str(error), lines=True)}\n", file=sys.stderr)
        sys.exit(1)
