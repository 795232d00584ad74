"""The executor: where independent pieces of work run, on this machine's cores or on a Dask cluster.

params.yaml's `engine` says which: `local` or `dask`. The place of a cluster is no parameter of the result: the
environment variable MONDEGREEN_SCHEDULER names its scheduler, or Dask's own configuration (`scheduler-address`) does.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import current_process, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, TypeVar

from mondegreen.errors import ParamsError
from mondegreen.params import top_level
from mondegreen.shelf import code

ENGINES = ("local", "dask")

_MOST_THREADS = 8
"""Each holds some audio in memory."""

Work = TypeVar("Work")
Result = TypeVar("Result")


def engine(path: str | Path = "params.yaml") -> str:
    """Return the engine that params.yaml names; raises `ParamsError` for one that is not in `ENGINES`."""
    found = top_level("engine", path) or "local"
    if found not in ENGINES:
        raise ParamsError(f"engine={found!r}: expected one of {', '.join(ENGINES)}; change it in params.yaml")
    return str(found)


def spread(
    work: Callable[[Work], Result], pieces: Iterable[Work], *, engine: str, threads: bool = False
) -> Iterator[Result]:
    """Yield `work` of each piece, in their order, from all cores or from the cluster.

    `work` must be a function of a module and depend on its piece alone: a piece whose worker died is done again.
    A piece is taken when its turn is near, so neither pieces nor results pile up. A single piece is done here, and all
    are in a daemonic process, which may start no other.
    `threads`: locally, threads do (their work holds no lock for long), and nothing is copied to another process.
    """
    taken = iter(pieces)
    first = list(islice(taken, 2))
    if engine == "local" and (len(first) < 2 or (not threads and current_process().daemon)):
        yield from map(work, chain(first, taken))
        return
    with executor(engine, threads=threads) as (pool, workers):
        waiting: deque[Future[Result]] = deque()
        for piece in chain(first, taken):
            waiting.append(pool.submit(work, piece))
            if len(waiting) > (1 if threads else 2) * workers:  # a thread's piece is audio, at hand in no time
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def executor(engine: str, *, threads: bool = False) -> Iterator[tuple[Executor, int]]:
    """Yield an executor of the standard library's kind, and how many pieces it does at once.

    On a cluster it is Dask's own, which does again what a worker lost.
    """
    workers = os.cpu_count() or 1
    if engine == "dask":
        with _client() as client, client.get_executor(retries=3) as pool, _dropped(pool, wait=False):
            _check_workers(client)
            yield pool, max(1, sum(client.nthreads().values()))
    elif threads:
        workers = min(workers, _MOST_THREADS)
        with ThreadPoolExecutor(workers) as pool, _dropped(pool, cancel_futures=True):
            yield pool, workers
    else:
        with (
            _main_hidden(),
            ProcessPoolExecutor(workers, mp_context=_Spawn(), initializer=_end_with_parent) as pool,
            _dropped(pool, cancel_futures=True),
        ):
            yield pool, workers


@contextmanager
def _dropped(pool: Executor, **how: bool) -> Iterator[None]:
    """Where the block is left early, as by Ctrl-C, drop what waits for a worker."""
    try:
        yield
    except BaseException:
        pool.shutdown(**how)
        raise


class _Worker(SpawnProcess):
    """A process that is deaf to Ctrl-C, which a terminal sends to it too: who started it ends it."""

    def start(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Spawn(SpawnContext):
    Process = _Worker


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep new processes from running the script that started this one: work is a function of a module."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _end_with_parent() -> None:
    """Let a worker end when the process that started it was killed: nothing else would tell it."""
    parent = parent_process()
    if parent is not None:
        Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def _check_workers(client: Any) -> None:
    """Raise `ParamsError` where a worker has other code than this process: its bytes would be others."""
    ours = code()
    found = client.run(code, on_error="return")  # a worker that just died is an error too, which Dask itself mends
    told = str | ImportError | AttributeError
    others = [at for at, theirs in found.items() if isinstance(theirs, told) and theirs != ours]
    if others:
        raise ParamsError(
            f"{len(others)} of {len(found)} workers of the cluster, such as {others[0]}, have no Mondegreen or another "
            "than this: install this checkout on all of them and restart them, or set engine: local in params.yaml"
        )


def _client() -> Any:
    import dask.config
    from distributed import Client

    address = os.environ.get("MONDEGREEN_SCHEDULER") or dask.config.get("scheduler-address", None)
    if not address:
        raise ParamsError(
            "engine: dask, but no scheduler is named: set MONDEGREEN_SCHEDULER=tcp://HOST:8786, or engine: local in "
            "params.yaml"
        )
    try:
        return Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ParamsError(
            f"no Dask scheduler answers at {address} ({error}): start it, or set engine: local"
        ) from error
