"""Work that is killed (SIGKILL) at any instant: done in forks of one process that has imported what it needs.

    with Nursery(root, "mondegreen.rollback") as nursery:
        nursery.run("rollback.rollback(Path.cwd(), 'v1.0.0')", 0.3)  # killed after 0.3 s, with all that it started
        nursery.run("rollback.rollback(Path.cwd(), 'v1.0.0')")  # never; returns how long it took

Run as a script it is that process: code and seconds come in as lines of JSON, how each ended goes out.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Self

ROOT = Path(__file__).parent.parent
TORTURE = "TORTURE" in os.environ


def rounds(few: int) -> int:
    """Return how often something is killed: 200 times by `make torture`, a few times in the suite."""
    return 200 if TORTURE else few


class Nursery:
    """A process in `cwd` that has imported `modules`; what it runs ends well or is killed, or the test fails."""

    def __init__(self, cwd: Path, *modules: str, env: Mapping[str, str] | None = None) -> None:
        self.killed = self.ended = 0
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        stages = str(ROOT / "stages")
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**(env or os.environ), "PATH": path, "PYTHONPATH": stages, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, code: str, seconds: float | None = None, *, alone: bool = False) -> float | None:
        """Run `code`; return how long it took, None if it was killed after `seconds`, with its children or `alone`."""
        self._process.stdin.write(json.dumps([code, seconds, alone]) + "\n")
        self._process.stdin.flush()
        status, took, said = json.loads(self._process.stdout.readline())
        assert status == 0 or (seconds is not None and status == -signal.SIGKILL), f"status {status}: {said}"
        self.killed, self.ended = self.killed + (status != 0), self.ended + (status == 0)
        return took if status == 0 else None

    def torment(self, code: str, seconds: float, dice: Random, *, alone: bool = False) -> None:
        """Run `code` and kill it at any instant of the `seconds` that it takes; where it was quicker, again."""
        took: float | None = seconds
        while took is not None:
            took = self.run(code, dice.uniform(0, took), alone=alone)


def main(modules: list[str]) -> None:
    """Do what comes in on standard input, each in a process group of its own."""
    names = {name.rpartition(".")[2]: import_module(name) for name in modules} | {"Path": Path, "__name__": "__main__"}
    with tempfile.TemporaryFile("w+b") as log:
        for line in sys.stdin:
            code, seconds, alone = json.loads(line)
            log.seek(0)
            log.truncate()
            began = time.monotonic()
            if not (pid := os.fork()):
                work(code, names, log.fileno())
            status = wait(pid, seconds, alone)
            log.seek(0)
            said = log.read().decode(errors="replace")[-3000:]
            print(json.dumps([status, time.monotonic() - began, said]), flush=True)


def work(code: str, names: dict[str, object], log: int) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 0
    try:
        exec(code, names)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait(pid: int, seconds: float | None, alone: bool) -> int:
    process = os.pidfd_open(pid)
    try:
        if not select.select([process], [], [], seconds)[0]:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(process)
    if not alone:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    return status


if __name__ == "__main__":
    main(sys.argv[1:])
