"""The executor: where independent pieces of work run, on this machine's cores or on a Dask cluster.

params.yaml's `engine` says which: `local` or `dask`. The place of a cluster is no parameter of the result: the
environment variable MONDEGREEN_SCHEDULER names its scheduler, or Dask's own configuration (`scheduler-address`) does.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from mondegreen.errors import ParamsError
from mondegreen.params import top_level

ENGINES = ("local", "dask")

Work = TypeVar("Work")
Result = TypeVar("Result")


def engine(path: str | Path = "params.yaml") -> str:
    """Return the engine that params.yaml names; raises `ParamsError` for one that is not in `ENGINES`."""
    found = top_level("engine", path) or "local"
    if found not in ENGINES:
        raise ParamsError(f"engine={found!r}: expected one of {', '.join(ENGINES)}; change it in params.yaml")
    return str(found)


def spread(work: Callable[[Work], Result], pieces: Sequence[Work], *, engine: str) -> Iterator[Result]:
    """Yield `work` of each piece, in their order, from all cores or from the cluster.

    `work` must be a function of a module and depend on its piece alone: a piece whose worker died is done again.
    A single piece is done here.
    """
    if len(pieces) < 2 and engine == "local":
        yield from map(work, pieces)
        return
    with executor(engine) as pool:
        yield from pool.map(work, pieces)


@contextmanager
def executor(engine: str) -> Iterator[Executor]:
    """Yield an executor of the standard library's kind; on a cluster Dask's own, which retries what a worker lost."""
    if engine == "dask":
        with _client() as client, client.get_executor(retries=3) as pool:
            yield pool
        return
    with _main_hidden(), ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        yield pool


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep new processes from running the script that started this one: work is a function of a module."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


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
