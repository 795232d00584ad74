"""`make bench`: what Mondegreen takes, side by side with the least that the same work can take.

    python tests/bench/bench.py [--only NAME ...] [--quick] [--json]

Every figure of ours is measured in turn with its floor, in one run, on one file system. Takes about ten minutes.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import psutil
from material import clip, events
from running import ROOT, Clone, Usage

from mondegreen import Recorder
from mondegreen.events import Event, encode
from mondegreen.spool import sync_folder

NEEDED = 6_000_000_000
"""Bytes of disk at most."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    records: int = 1000
    record_audio: int = 160_000
    processes: int = 8
    per_process: int = 250
    imports: int = 25
    cases: int = 100_000
    speakers: int = 5000
    clips: int = 10_000
    clip_bytes: int = 100_044
    repeats: int = 3
    nothing: int = 7


QUICK = Sizes(60, 16_000, 2, 20, 3, 400, 40, 60, 16_044, 1, 1)


@dataclass(frozen=True)
class Row:
    """A line of the table: ours against the floor, in `unit`; the target as text, and whether it is met (None: none)."""

    what: str
    ours: float
    floor: float | None
    unit: str
    target: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over the floor."""
        return self.ours / self.floor if self.floor else None


def at_most(what: str, ours: float, unit: str, limit: float) -> Row:
    """Return a row with an absolute target."""
    return Row(what, ours, None, unit, f"<= {limit:g} {unit}", ours <= limit)


def within(what: str, ours: float, floor: float, unit: str, limit: float | None = None) -> Row:
    """Return a row whose target, if it has one, is a multiple of the floor."""
    return Row(what, ours, floor, unit, f"<= {limit:g}x" if limit else "", ours <= limit * floor if limit else None)


@dataclass(frozen=True)
class Bench:
    """A temporary folder to measure in, and the sizes."""

    folder: Path
    sizes: Sizes

    @cached_property
    def built(self) -> tuple[Clone, Usage]:
        """The clone with the text-only cases, and what its first `dvc repro` took."""
        clone = new_clone(self.folder / "text")
        switch = clone.path / "params.yaml"
        switch.write_text(switch.read_text().replace("require_audio: true", "require_audio: false"))
        waiting = events(1, self.sizes.cases, self.sizes.speakers)
        with Recorder(clone.path / "data/inbox", durability="os") as recorder:
            while some := list(islice(waiting, 1000)):
                recorder.extend(some)
        ingest(clone)
        return clone, clone.run("dvc", "repro")


def new_clone(folder: Path) -> Clone:
    folder.mkdir()
    return Clone(folder)


def ingest(clone: Clone) -> None:
    """Run `mondegreen ingest`, whether or not the console script is installed."""
    clone.run(sys.executable, "-c", "import sys; from mondegreen.cli import main; sys.exit(main(['ingest']))")


# -- a durable record


def record(bench: Bench) -> Iterator[Row]:
    """One event without audio against write and fdatasync of the same bytes."""
    ours, floor = [], []
    with Recorder(bench.folder / "record") as recorder, Appender(bench.folder / "record.floor") as appender:
        for event in failures(bench.sizes.records, warm=recorder):
            seconds, line = timed_record(recorder, None, event)
            ours.append(seconds)
            floor.append(timed(lambda line=line: appender.append(line)))
    yield from percentiles("record", "write + fdatasync", ours, floor, (1.5, 2.0))


def record_audio(bench: Bench) -> Iterator[Row]:
    """One event with audio against write, fsync and rename of the audio, then write and fdatasync of the line.

    Two floors: as the target has it, and with the fsync of the folder without which the renamed audio may be lost.
    The spool is in use: its 256 folders of audio are there.
    """
    ours, bare, whole = [], [], []
    random, size = Random(1), bench.sizes.record_audio
    with Recorder(bench.folder / "audio") as recorder, Appender(bench.folder / "audio.floor") as appender:
        for number in range(256):
            (bench.folder / f"audio/audio/{number:02x}").mkdir(parents=True, exist_ok=True)
        for event in failures(bench.sizes.records, warm=recorder):
            sounds = [clip(random, size) for _ in range(3)]
            seconds, line = timed_record(recorder, sounds[0], event)
            ours.append(seconds)
            bare.append(timed(lambda line=line, sound=sounds[1]: appender.store(sound, line, sync=False)))
            whole.append(timed(lambda line=line, sound=sounds[2]: appender.store(sound, line, sync=True)))
    name = f"record with {size // 1000} KB of audio"
    yield from percentiles(name, "+ fsync + rename", ours, bare, (1.5, 2.0))
    yield from percentiles(name, "+ fsync + rename + fsync of folder", ours, whole, (None, None))


class Appender:
    """The floor: a file that lines are appended to, and a folder that audio is renamed into."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._count = folder, 0
        self._fd = os.open(folder / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __enter__(self) -> "Appender":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def append(self, line: bytes) -> None:
        os.write(self._fd, line)
        os.fdatasync(self._fd)

    def store(self, audio: bytes, line: bytes, *, sync: bool) -> None:
        self._count += 1
        target = self._folder / f"{self._count}.wav"
        hidden = self._folder / f"{self._count}.new"
        fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, audio)
        os.fsync(fd)
        os.close(fd)
        hidden.rename(target)
        if sync:
            sync_folder(self._folder)
        self.append(line)


def failures(count: int, warm: Recorder) -> Iterator[Event]:
    """Yield the fields of `count` failures, after `warm` has begun its segment."""
    found = (event for event in events(2, 2 * count + 100, 50) if event["event"] == "failure")
    warm.inference(inference_time=0.1, failed=False)
    for event in islice(found, count):
        yield {name: value for name, value in event.items() if name not in ("schema", "event", "audio", *_IDS)}


_IDS = ("event_id", "recorded_at", "case_id")


def timed_record(recorder: Recorder, audio: bytes | None, fields: Event) -> tuple[float, bytes]:
    """Record a failure; return the seconds, and the line that was written."""
    [segment] = (recorder.path / "events").iterdir()
    before = segment.stat().st_size
    seconds = timed(lambda: recorder.failure(audio, **fields))
    with segment.open("rb") as file:
        file.seek(before)
        return seconds, file.read()


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def percentiles(
    name: str, against: str, ours: list[float], floor: list[float], limits: tuple[float | None, float | None]
) -> Iterator[Row]:
    for percent, limit in zip((50, 99), limits, strict=True):
        mine, least = (1000 * statistics.quantiles(each, n=100)[percent - 1] for each in (ours, floor))
        yield within(f"{name}, p{percent} / {against}", mine, least, "ms", limit)


# -- many processes


def processes(bench: Bench) -> Iterator[Row]:
    """Durable events per second of several processes, each with a Recorder on one spool, against as many appenders."""
    sizes, rates = bench.sizes, {Recorder: [], Appender: []}
    line = next(encode(event) for event in events(3, 1, 1))
    for turn in range(sizes.repeats):
        for kind, found in rates.items():
            folder = bench.folder / f"processes-{kind.__name__}-{turn}"
            found.append(rate(kind, folder, line, sizes))
    ours, floor = (statistics.median(found) for found in rates.values())
    yield within(f"events per second of {sizes.processes} processes / write + fdatasync", ours, floor, "1/s")


def rate(kind: type, folder: Path, line: bytes, sizes: Sizes) -> float:
    """Return events per second from the first start to the last end, processes being there already."""
    context = get_context("spawn")
    barrier, spans = context.Barrier(sizes.processes), context.Queue()
    folder.mkdir()
    arguments = (kind, folder, line, sizes.per_process, barrier, spans)
    workers = [context.Process(target=append_many, args=arguments, daemon=True) for _ in range(sizes.processes)]
    for worker in workers:
        worker.start()
    found = [spans.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    return sizes.processes * sizes.per_process / (max(end for _, end in found) - min(start for start, _ in found))


def append_many(kind: type, folder: Path, line: bytes, count: int, barrier: Any, spans: Any) -> None:
    """Append `count` events when all others are ready to, too; put the times of start and end into `spans`."""
    fields = {
        name: value for name, value in json.loads(line).items() if name not in ("schema", "event", "audio", *_IDS)
    }
    with kind(folder if kind is Recorder else folder / str(os.getpid())) as target:
        work = (lambda: target.failure(None, **fields)) if kind is Recorder else (lambda: target.append(line))
        work()
        barrier.wait(timeout=120)
        start = time.monotonic()
        for _ in range(count):
            work()
        spans.put((start, time.monotonic()))


# -- imports


def imports(bench: Bench) -> Iterator[Row]:
    """Start Python with and without an import; the target is on the difference."""
    statements = {"pass": [], "import mondegreen": [], "from mondegreen import Recorder": []}
    env = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}
    for _ in range(bench.sizes.imports):
        for statement, found in statements.items():
            command = [sys.executable, "-c", statement]
            found.append(timed(lambda command=command: subprocess.run(command, env=env, check=True)))
    bare, *others = (1000 * statistics.median(found) for found in statements.values())
    for statement, ours in zip(list(statements)[1:], others, strict=True):
        yield Row(f"{statement} / bare Python", ours, bare, "ms", "<= +50 ms", ours - bare <= 50)


# -- the pipeline


def cases(bench: Bench) -> Iterator[Row]:
    """The first `dvc repro` over text-only cases."""
    _, usage = bench.built
    name = f"dvc repro, {bench.sizes.cases:,} text-only cases"
    yield at_most(name, usage.seconds, "s", 45)
    yield at_most(f"{name}: largest process", usage.peak / 1e9, "GB", 2)
    yield at_most(f"{name}: all processes", usage.peak_sum / 1e9, "GB", 2)
    for stage, seconds in usage.stage_seconds.items():
        yield Row(f"  {stage}", seconds, None, "s")
    yield Row("  dvc itself", usage.seconds - sum(usage.stage_seconds.values()), None, "s")


def nothing(bench: Bench) -> Iterator[Row]:
    """`dvc repro` when nothing changed, against `dvc status`."""
    clone, _ = bench.built
    ours, floor = [], []
    clone.run("dvc", "status")
    for _ in range(bench.sizes.nothing):
        ours.append(clone.run("dvc", "repro").seconds)
        floor.append(clone.run("dvc", "status").seconds)
    yield within("dvc repro, nothing changed / dvc status", *map(statistics.median, (ours, floor)), "s", 1.3)


def audio(bench: Bench) -> Iterator[Row]:
    """Export and audit of many clips against copying the batch's packs and taking their MD5."""
    sizes = bench.sizes
    clone = new_clone(bench.folder / "clips")
    record_clips(clone.path / "data/inbox", sizes)
    ingest(clone)
    shutil.rmtree(clone.path / ".dvc/cache")  # the disk is needed
    stages = (
        "import runpy; [runpy.run_path(f'stages/{s}.py') ['main']() for s in 'collect validate gate split'.split()]"
    )
    clone.run(sys.executable, "-c", stages)
    packs = sorted(clone.path.glob("data/raw/*/audio-*.parquet"))
    ours: dict[str, list[Usage]] = {"export": [], "audit": []}
    floor = []
    for _ in range(sizes.repeats):
        os.sync()
        floor.append(timed(lambda: copy_and_hash(packs, bench.folder / "copy")))
        shutil.rmtree(bench.folder / "copy")
        os.sync()
        for stage, found in ours.items():
            found.append(clone.run("python", f"stages/{stage}.py"))
    seconds = {stage: statistics.median(usage.seconds for usage in found) for stage, found in ours.items()}
    size = sum(pack.stat().st_size for pack in packs)
    name = f"export + audit, {sizes.clips:,} clips, {size / 1e9:.2f} GB"
    yield within(f"{name} / copy + MD5", sum(seconds.values()), statistics.median(floor), "s", 3)
    usages = [usage for found in ours.values() for usage in found]
    yield at_most(f"{name}: largest process", max(usage.peak for usage in usages) / 1e9, "GB", 1)
    for stage, each in seconds.items():
        yield Row(f"  {stage}", each, None, "s")


def record_clips(spool: Path, sizes: Sizes) -> None:
    """Record corrected cases, each with a clip of its own."""
    random = Random(4)
    found = (event for event in events(4, 2 * sizes.clips, sizes.speakers) if event.get("corrected_transcript"))
    with Recorder(spool, durability="os") as recorder:
        for number, correction in enumerate(islice(found, sizes.clips)):
            case_id = recorder.failure(
                clip(random, sizes.clip_bytes), original_transcript=f"heard {number}", speaker_id=f"s{number % 997}"
            )
            recorder.correction(case_id, correction["corrected_transcript"], author="ann")


def copy_and_hash(files: list[Path], target: Path) -> None:
    target.mkdir()
    for file in files:
        shutil.copyfile(file, target / file.name)
        with (target / file.name).open("rb") as copied:
            hashlib.file_digest(copied, "md5")


BENCHES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    found.__name__.replace("_", "-"): found
    for found in (record, record_audio, processes, imports, cases, nothing, audio)
}


# -- the table


def machine(folder: Path) -> str:
    """Return what the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    mount = max(mounts, key=lambda part: len(part.mountpoint))
    return (
        f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB memory, {mount.fstype} ({mount.device}), "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}; "
        f"load average before: {os.getloadavg()[0]:.1f}"
    )


def line(row: Row) -> str:
    """Return a row as a line of the table."""
    floor = "" if row.floor is None else f"{row.floor:,.2f}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    met = {True: "yes", False: "NO", None: ""}[row.met]
    return f"{row.what:<78}{row.ours:>10,.2f}{floor:>10} {row.unit:<4}{ratio:>7}  {row.target:<10}{met}".rstrip()


def main() -> int:
    """Measure, print, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=BENCHES, default=list(BENCHES), metavar="NAME", help=str([*BENCHES])
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: do they run? The figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print a JSON list of the rows")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    build = ROOT / "build"  # on the repository's file system, ignored by Git
    build.mkdir(exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder:
        if not arguments.quick and shutil.disk_usage(folder).free < NEEDED:
            parser.error(f"{build} needs {NEEDED / 1e9:g} GB free while this runs")
        say = sys.stderr if arguments.json else sys.stdout
        print(machine(Path(folder)), f"at most {NEEDED / 1e9:g} GB of disk in {folder}", sep="\n", file=say)
        print(f"\n{'what':<78}{'ours':>10}{'floor':>10} {'unit':<4}{'ratio':>7}  {'target':<10}met", file=say)
        bench = Bench(Path(folder), QUICK if arguments.quick else Sizes())
        for name in arguments.only:
            for row in BENCHES[name](bench):
                rows.append(row)
                print(line(row), file=say, flush=True)
    if arguments.json:
        print(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=2))
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
