"""Commands in a temporary clone of this repository, with their time and memory."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))  # for the emulator
LIMIT = 3600.0
"""Seconds after which a command is ended: something hangs."""

SAMPLED = 0.1
"""Seconds between two looks at the memory: seldom enough to cost nothing."""


@dataclass
class Usage:
    """What a command took: seconds of clock and processor; bytes of its largest process, and of all together.

    `peak` is the kernel's own figure. `peak_sum` adds up samples of resident memory, shared pages in every process.
    """

    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak: int = 0
    peak_sum: int = 0
    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds after the start at which a process of each stage was seen."""

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Seconds from the first sight of each stage to the last."""
        return {stage: seen[-1] - seen[0] for stage, seen in self.stages.items()}


class Clone:
    """This work tree in a new Git repository of its own, without its data; nothing outside `folder` is touched."""

    def __init__(self, folder: Path) -> None:
        listed = _output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
        self.path = folder / "clone"
        for name in filter(None, listed):
            data = name.startswith(("data/raw/", "data/metrics/")) or name == "dvc.lock"
            if not data and (ROOT / name).is_file():
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.path / name)
        (self.path / "data/raw").mkdir(parents=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC", "GIT", "PYTHON"))}
        self.env = kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.path / "stages"),
            "DVC_SITE_CACHE_DIR": str(folder / "dvc"),
            "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc"),
            "HF_HOME": str(folder / "huggingface"),
            "HF_HUB_OFFLINE": "1",
        }
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-q", "-m", "start")

    def run(self, *command: str) -> Usage:
        """Run `command` here and measure it; raises `RuntimeError` with its output when it fails."""
        usage = Usage()
        with (self.path.parent / "output.txt").open("w+b") as output:
            start = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=self.path, env=self.env, stdout=output, stderr=output, start_new_session=True
            )
            with _watched(process.pid, usage):
                _, status, resources = os.wait4(process.pid, 0)
            usage.seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            usage.processor_seconds = resources.ru_utime + resources.ru_stime
            usage.peak = resources.ru_maxrss * 1024
            output.seek(0)
            if process.returncode:
                said = output.read().decode(errors="replace")
                raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}:\n{said[-4000:]}")
        return usage


@contextmanager
def _watched(pid: int, usage: Usage) -> Iterator[None]:
    """Sample the processes below `pid` into `usage`; end them all where the block is left early, or at the limit."""
    done = threading.Event()

    def watch() -> None:
        start = time.perf_counter()
        while not done.wait(SAMPLED):
            now = time.perf_counter() - start
            if now > LIMIT:
                os.killpg(pid, signal.SIGKILL)
                return
            _sample(pid, usage, now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    except BaseException:
        os.killpg(pid, signal.SIGKILL)
        raise
    finally:
        done.set()
        watcher.join()


def _sample(pid: int, usage: Usage, now: float) -> None:
    total = 0
    stages = set()
    try:
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            total += process.memory_info().rss
            stages |= {Path(word).stem for word in process.cmdline()[1:2] if word.startswith("stages/")}
    except psutil.Error:  # one ended while we looked
        pass
    usage.peak_sum = max(usage.peak_sum, total)
    for stage in stages:
        usage.stages[stage].append(now)


def _output(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout
