"""Carrying: the same is done for many things over a line that fails at times, until nothing gets through for long."""

import errno
import random
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from mondegreen.errors import CloudError, DamagedError, RepositoryError, UnreachableError

JOBS = 16
PATIENCE = 120.0
"""Seconds without anything getting through, after which carrying ends."""

T = TypeVar("T", bound=Hashable)


def carry(
    items: Iterable[T], work: Callable[[T], object], *, jobs: int = JOBS, patience: float = PATIENCE
) -> dict[T, str]:
    """Do `work` for each item; return what could not be done, and why.

    What nobody answered to is done again after a growing, jittered pause, or the one that the service asks for, until
    nothing has got through for `patience` seconds. A refusal (`CloudError`) or a full disk ends everything.
    """
    waiting, pause = list(items), 1.0
    failed: dict[T, str] = {}
    latest = time.monotonic()
    while waiting:
        done, again, hopeless = _once(waiting, work, jobs)
        failed |= hopeless
        waiting = [item for item in waiting if item not in done and item not in hopeless]
        if done:
            latest, pause = time.monotonic(), 1.0
        if not waiting:
            return failed
        asked = max(error.wait for error in again.values())
        if time.monotonic() - latest > patience - asked:
            why = next(iter(again.values()))
            return failed | {item: str(again.get(item, f"was not tried: {why}")) for item in waiting}
        time.sleep(max(asked, pause * random.uniform(0.5, 1)))  # noqa: S311, no secret
        pause = min(2 * pause, 30.0)
    return failed


def _once(
    items: list[T], work: Callable[[T], object], jobs: int
) -> tuple[set[T], dict[T, UnreachableError], dict[T, str]]:
    """Return what was done, what may be tried again, and what is hopeless; the rest was not tried."""
    done: set[T] = set()
    again: dict[T, UnreachableError] = {}
    hopeless: dict[T, str] = {}
    stop, in_vain = Event(), 0

    def one(item: T) -> None:
        nonlocal in_vain
        if stop.is_set():
            return
        try:
            work(item)
        except UnreachableError as error:
            again[item] = error
            in_vain += 1
            if in_vain >= jobs:  # as many in a row: nobody is there
                stop.set()
        except (DamagedError, FileNotFoundError) as error:
            hopeless[item] = str(error) if isinstance(error, DamagedError) else "the remote does not have it"
        except BaseException:
            stop.set()
            raise
        else:
            done.add(item)
            in_vain = 0

    with ThreadPoolExecutor(jobs) as pool:
        try:
            list(pool.map(one, items))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise RepositoryError(f"the disk is full: {error}. Make room, then run this again") from error
            raise CloudError(f"the transfer stopped: {error}") from error
        except KeyboardInterrupt:
            stop.set()
            raise
    return done, again, hopeless
