"""`make bench`: what Mondegreen takes, side by side with the least that the same work can take.

    python tests/bench/bench.py [--only NAME ...] [--quick] [--json]

Every figure of ours is measured in turn with its floor, in one run, on one file system. Takes about three minutes.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import uploads
from material import clip, events
from ruamel.yaml import YAML
from running import ROOT, Clone, Usage
from table import Row, at_least, at_most, heading, line, machine, within

from cloud import Emulator
from mondegreen import Recorder
from mondegreen.events import Event, encode, make_event, new_id
from mondegreen.spool import sync_folder

INGEST = "import sys; from mondegreen.cli import main; sys.exit(main(['ingest']))"
SEAL = """
from pathlib import Path
from mondegreen.ingest import ingest
ingest(Path("data/inbox"), Path("data/raw"), track=lambda batch: None)
"""
SEAL_MANY = """
import sys
from pathlib import Path
from mondegreen import Recorder
from mondegreen.ingest import ingest
for number in range(int(sys.argv[1])):
    with Recorder("data/inbox", durability="os") as recorder:
        said = {"speaker_id": f"speaker {number}", "language": "en"}
        case = recorder.failure(None, original_transcript=f"kiss this guy for me {number}", **said)
        recorder.correction(case, f"kiss the sky for me {number}", author="ann")
    ingest(Path("data/inbox"), Path("data/raw"), track=lambda batch: None)
"""
COMPACT = "import sys; from mondegreen.cli import main; sys.exit(main(['ingest', '--compact']))"
PREPARE = """
import runpy
for stage in ("collect", "validate", "gate", "split", "augment"):
    runpy.run_path(f"stages/{stage}.py")["main"]()
"""

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
    packs: int = 4
    pack_bytes: int = 250_000_000
    objects: int = 10_000
    object_bytes: int = 2000
    batches: int = 1000


QUICK = Sizes(60, 16_000, 2, 20, 3, 400, 40, 60, 80_044, 1, 1, 2, 20_000_000, 20, batches=40)


@dataclass(frozen=True)
class Bench:
    """A temporary folder to measure in, and the sizes."""

    folder: Path
    sizes: Sizes

    @cached_property
    def built(self) -> tuple[Clone, Usage]:
        """The clone with the text-only cases, and what its first `dvc repro` took."""
        clone = text_clone(self.folder / "text")
        record_texts(clone, 1, self.sizes.cases, self.sizes.speakers)
        clone.run("python", "-c", INGEST)
        return clone, clone.run("dvc", "repro")

    @cached_property
    def clips(self) -> Clone:
        """The clone with many clips, ready for stage export."""
        clone = new_clone(self.folder / "clips")
        record_clips(clone.path / "data/inbox", self.sizes)
        clone.run("python", "-c", SEAL)
        clone.run("python", "-c", PREPARE)
        return clone


def new_clone(folder: Path) -> Clone:
    folder.mkdir()
    return Clone(folder)


def text_clone(folder: Path) -> Clone:
    """Return a clone that makes pairs of texts."""
    clone = new_clone(folder)
    switch = clone.path / "params.yaml"
    switch.write_text(switch.read_text().replace("require_audio: true", "require_audio: false"))
    return clone


def record_texts(clone: Clone, seed: int, cases: int, speakers: int) -> None:
    waiting = events(seed, cases, speakers)
    with Recorder(clone.path / "data/inbox", durability="os") as recorder:
        while some := list(islice(waiting, 1000)):
            recorder.extend(some)


# -- a durable record


def record(bench: Bench) -> Iterator[Row]:
    """One event without audio against write and fdatasync of as many bytes."""
    with Recorder(bench.folder / "record") as recorder, Appender(bench.folder / "record.floor") as appender:
        rounds = (
            (partial(recorder.failure, None, **case.fields), partial(appender.append, case.line))
            for case in recorded(bench.sizes.records, recorder)
        )
        ours, floor = in_turn(rounds)
        check_same_bytes(recorder, [appender])
    yield from percentiles("record", "write + fdatasync", ours, floor, (1.5, 2.0))


def record_audio(bench: Bench) -> Iterator[Row]:
    """One event with audio against write, fsync and rename of the audio, then write and fdatasync of the line.

    Two floors: as the target has it, and with the fsync of the folder without which the renamed audio may be lost.
    The spool is in use: its 256 folders of audio are there.
    """
    random, size, folder = Random(1), bench.sizes.record_audio, bench.folder
    for number in range(256):
        (folder / f"audio/audio/{number:02x}").mkdir(parents=True)
    with Recorder(folder / "audio") as recorder, Appender(folder / "bare") as bare, Appender(folder / "full") as full:
        rounds = (
            (
                partial(recorder.failure, clip(random, size), **case.fields),
                partial(bare.store, clip(random, size), case.line, sync=False),
                partial(full.store, clip(random, size), case.line, sync=True),
            )
            for case in recorded(bench.sizes.records, recorder, size)
        )
        ours, without, whole = in_turn(rounds)
        check_same_bytes(recorder, [bare, full])
    name = f"record with {size // 1000} KB of audio"
    yield from percentiles(name, "+ fsync + rename", ours, without, (1.5, 2.0))
    yield from percentiles(name, "+ fsync + rename + fsync of folder", ours, whole, (None, None))


@dataclass(frozen=True)
class Case:
    """What a recorder is given, and a line as long as the one it writes."""

    fields: Event
    line: bytes


_ADDED = ("schema", "event", "event_id", "recorded_at", "case_id", "audio")


def recorded(count: int, recorder: Recorder, size: int | None = None) -> Iterator[Case]:
    """Yield `count` failures, with audio of `size` bytes or without, after `recorder` has begun its segment."""
    recorder.inference(inference_time=0.1, failed=False)
    audio = None if size is None else {"sha256": "0" * 64, "bytes": size, "ext": ".wav"}
    for event in islice((event for event in events(2, 2 * count + 100, 50) if event["event"] == "failure"), count):
        fields = {name: value for name, value in event.items() if name not in _ADDED}
        case_id = new_id()
        made = make_event("failure", event_id=case_id, case_id=case_id, **fields)
        yield Case(fields, encode(made | {"audio": audio}))


def in_turn(rounds: Iterable[tuple[Callable[[], object], ...]]) -> list[list[float]]:
    """Return the seconds of each kind of work; every round has all kinds, each time another one first."""
    seconds: list[list[float]] = []
    for number, works in enumerate(rounds):
        seconds = seconds or [[] for _ in works]
        for step in range(len(works)):
            kind = (number + step) % len(works)
            seconds[kind].append(timed(works[kind]))
    return seconds


def check_same_bytes(recorder: Recorder, floors: list["Appender"]) -> None:
    """Raise `RuntimeError` unless the floors wrote as many bytes of events as the recorder, its first event aside."""
    [segment] = (recorder.path / "events").iterdir()
    ours = sum(map(len, segment.read_bytes().splitlines(keepends=True)[1:]))
    if any(floor.written != ours for floor in floors):
        raise RuntimeError(f"the recorder wrote {ours} bytes, the floors {[floor.written for floor in floors]}")


class Appender:
    """The floor: a file that lines are appended to, and a folder that audio is renamed into."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._count, self.written = folder, 0, 0
        self._fd = os.open(folder / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __enter__(self) -> "Appender":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def append(self, line: bytes) -> None:
        self.written += os.write(self._fd, line)
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
    fields = {name: value for name, value in json.loads(line).items() if name not in _ADDED}
    with kind(folder if kind is Recorder else folder / str(os.getpid())) as target:
        work = partial(target.failure, None, **fields) if kind is Recorder else partial(target.append, line)
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
            found.append(timed(partial(subprocess.run, command, env=env, check=True)))
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
    yield Row("  processor time of all", usage.processor_seconds, None, "s")
    yield Row("  dvc itself", usage.seconds - sum(usage.stage_seconds.values()), None, "s")


JUDGED = ("collect", "validate", "gate", "split", "augment", "export", "audit")


def million(bench: Bench) -> Iterator[Row]:
    """A million text-only cases, then a thousand more: the second build has to cost by what is new."""
    sizes = bench.sizes
    clone = text_clone(bench.folder / "million")
    record_texts(clone, 1, 10 * sizes.cases, 10 * sizes.speakers)
    yield at_most(f"ingest, {10 * sizes.cases:,} text-only cases", clone.run("python", "-c", INGEST).seconds, "s", 60)
    first = clone.run("dvc", "repro")
    seconds, few = (sum(usage.stage_seconds.get(stage, 0) for stage in JUDGED) for usage in (first, bench.built[1]))
    yield at_most("  collect to audit", seconds, "s", 180)
    yield within(f"  the same per {sizes.cases:,} / of {sizes.cases:,}", seconds / 10, few, "s", 1.2)
    yield at_most("  largest process", first.peak / 1e9, "GB", 4)
    for stage, each in first.stage_seconds.items():
        yield Row(f"  {stage}", each, None, "s")
    case = pq.read_table(clone.path / "data/splits.parquet", columns=["case_id"])["case_id"][0].as_py()
    asked = (("get_statistics", STATISTICS), ("status", STATUS), ("trace", TRACE, case), ("versions", VERSIONS))
    for name, *command in asked:
        clone.run("python", "-c", *command)
        yield at_most(f"  {name}", clone.run("python", "-c", *command).seconds, "s", 2)
    record_texts(clone, 6, sizes.cases // 100, sizes.speakers)
    clone.run("python", "-c", INGEST)
    again = clone.run("dvc", "repro")
    if {*JUDGED} - {*again.stage_seconds}:
        raise RuntimeError(f"nothing new was there to build: only {', '.join(again.stage_seconds)} ran")
    yield within(f"dvc repro with {sizes.cases // 100:,} more / the first", again.seconds, first.seconds, "s", 0.33)
    for stage, each in again.stage_seconds.items():
        yield Row(f"  {stage}", each, None, "s")


def nothing(bench: Bench) -> Iterator[Row]:
    """`dvc repro` when nothing changed, against `dvc status`."""
    clone, _ = bench.built
    ours, floor = [], []
    for _ in range(bench.sizes.nothing):
        ours.append(clone.run("dvc", "repro").seconds)
        floor.append(clone.run("dvc", "status").seconds)
    yield within("dvc repro, nothing changed / dvc status", *map(statistics.median, (ours, floor)), "s", 1.3)


def batches(bench: Bench) -> Iterator[Row]:
    """`dvc status` and `mondegreen status` after very many ingests, before and after they are made one batch."""
    clone, count = text_clone(bench.folder / "batches"), bench.sizes.batches
    clone.run("python", "-c", SEAL_MANY, str(count))
    raw = clone.path / "data/raw"
    clone.run("dvc", "add", "-q", *sorted(f"data/raw/{folder.name}" for folder in raw.iterdir()))
    for state, limit in ((f"{count:,} ingests", None), (f"{count:,} ingests, compacted", 2)):
        if limit:
            yield Row("  ingest --compact", clone.run("python", "-c", COMPACT).seconds, None, "s")
        clone.run("dvc", "repro")
        for name, *command in (("dvc status", "dvc", "status"), ("mondegreen status", "python", "-c", STATUS)):
            seconds = statistics.median(clone.run(*command).seconds for _ in range(bench.sizes.repeats))
            what = f"{name} after {state}"
            yield at_most(what, seconds, "s", limit) if limit else Row(what, seconds, None, "s")


VERSIONS, TRACE, STATUS = (
    f"import sys; from mondegreen.cli import main; sys.exit(main(['{command}', *sys.argv[1:]]))"
    for command in ("versions", "trace", "status")
)
STATISTICS = "from mondegreen import DataManager; DataManager('data/inbox').get_statistics()"


def versions(bench: Bench) -> Iterator[Row]:
    """List 100 releases, and trace a case through all of them; from the start of Python to its end."""
    clone, _ = bench.built
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    clone.run("git", "add", "-A")
    clone.run("git", *who, "commit", "-q", "-m", "built")
    for number in range(100):
        clone.run("git", *who, "tag", "-a", "-m", f"Dataset v1.{number}.0", f"dataset@v1.{number}.0")
    case = pq.read_table(clone.path / "data/splits.parquet", columns=["case_id"])["case_id"][0].as_py()
    for name, *command in (
        ("versions, 100 releases", VERSIONS),
        (f"trace, {bench.sizes.cases:,} cases, 100 releases", TRACE, case),
    ):
        usages = [clone.run("python", "-c", *command) for _ in range(bench.sizes.repeats)]
        yield at_most(name, statistics.median(usage.seconds for usage in usages), "s", 2)


def audio(bench: Bench) -> Iterator[Row]:
    """Export and audit of many clips against copying the batch's packs and taking their MD5."""
    sizes, clone = bench.sizes, bench.clips
    packs = sorted(clone.path.glob("data/raw/*/audio-*.parquet"))
    ours: dict[str, list[Usage]] = {"export": [], "audit": []}
    floor = []
    for _ in range(sizes.repeats):
        os.sync()
        floor.append(timed(partial(copy_and_hash, packs, bench.folder / "copy")))
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


def hours(bench: Bench) -> Iterator[Row]:
    """Ten gigabytes of audio through ingest and `dvc repro`, each step against a copy and MD5 of the same bytes."""
    sizes = replace(bench.sizes, clips=6 * bench.sizes.clips, clip_bytes=bench.sizes.clip_bytes * 5 // 3)
    clone = new_clone(bench.folder / "hours")
    record_clips(clone.path / "data/inbox", sizes)
    os.sync()
    ingested = clone.run("python", "-c", INGEST)
    packs = sorted(clone.path.glob("data/raw/*/audio-*.parquet"))
    os.sync()
    floor = timed(partial(copy_and_hash, packs, bench.folder / "copy"))
    shutil.rmtree(bench.folder / "copy")
    os.sync()
    built = clone.run("dvc", "repro")
    name = f"{sum(pack.stat().st_size for pack in packs) / 1e9:.1f} GB in {sizes.clips:,} cases"
    for step, seconds in {"ingest": ingested.seconds, **built.stage_seconds}.items():
        yield within(f"{name}, {step} / copy + MD5", seconds, floor, "s", 3)
    yield within(f"{name}, dvc repro / copy + MD5", built.seconds, floor, "s")
    yield at_most(f"{name}: largest process", max(ingested.peak, built.peak) / 1e9, "GB", 1.5)


def augment(bench: Bench) -> Iterator[Row]:
    """Stage augment, a copy of every clip of train: seconds of audio per second of clock, start and end included."""
    clone = bench.clips
    params = clone.path / "params.yaml"
    before = params.read_text()
    for names, least in ((("noise", "gain"), 100), (("speed",), 40), (("speed", "noise", "gain", "telephone"), None)):
        content = YAML(typ="safe", pure=True).load(before)
        content["augment"] |= {"factor": 1, "methods": {name: {"share": 1.0} for name in names}}
        params.write_text(json.dumps(content))  # JSON is YAML
        usage = clone.run("python", "stages/augment.py")
        made = json.loads((clone.path / "data/metrics/augment.json").read_text())
        rate = 3600 * made["hours"] / usage.seconds
        yield at_least(f"augment with {', '.join(names)}: {made['copies']['made']:,} copies", rate, "x", least)
        yield at_most("  largest process", usage.peak / 1e9, "GB", 1)
    params.write_text(before)
    clone.run("python", "stages/augment.py")


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


def upload(bench: Bench) -> Iterator[Row]:
    """Live upload to an emulator: what it costs the recorder, its lag, and what one more record costs."""
    sizes = bench.sizes
    yield from uploads.rows(
        bench.folder,
        records=sizes.records,
        seconds=20 * sizes.records / 1000,
        audio=min(sizes.clip_bytes, 100_044),
        cases=sizes.cases,
    )


PUSH = "import sys; from mondegreen.cli import main; sys.exit(main(['push', '--environment', 'dev']))"
PLAIN = """
from pathlib import Path
import gcsfs
files = sorted(str(path) for path in Path("data/raw/batch").iterdir())
fs = gcsfs.GCSFileSystem(token="anon")
fs.put(files, [f"floor/{Path(file).name}" for file in files], batch_size=16)
assert len(fs.find("floor")) == len(files)
"""


def push(bench: Bench) -> Iterator[Row]:
    """`mondegreen push` of a few packs and of many small objects against gcsfs uploading the same files.

    To one emulator, each to a bucket of its own, in turn; both from the start of Python to its end.
    """
    sizes = bench.sizes
    kinds = (("packs", sizes.packs, sizes.pack_bytes, 1.3), ("objects", sizes.objects, sizes.object_bytes, 1.5))
    for name, count, size, limit in kinds:
        clone = new_clone(bench.folder / f"push-{name}")
        batch, random = clone.path / "data/raw/batch", Random(5)
        batch.mkdir()
        for number in range(count):
            (batch / f"{number:05}.parquet").write_bytes(random.randbytes(size))
        clone.run("dvc", "add", "-q", str(batch))
        clone.run("dvc", "remote", "modify", "-q", "--local", "dev", "url", "gs://ours/data_versions")
        (clone.path / "dvc.lock").unlink(missing_ok=True)
        ours, floor = [], []
        for turn in range(min(2, sizes.repeats)):
            with Emulator("ours", "floor") as emulator:
                clone.env |= {"STORAGE_EMULATOR_HOST": emulator.url, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
                for code, found in ((PUSH, ours), (PLAIN, floor))[:: 1 - 2 * (turn % 2)]:
                    found.append(clone.run("python", "-c", code).seconds)
        what = f"push of {count:,} {name}, {count * size / 1e6:,.0f} MB / gcsfs"
        yield within(what, min(ours), min(floor), "s", limit)


BENCHES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    found.__name__.replace("_", "-"): found
    for found in (
        record,
        record_audio,
        processes,
        imports,
        cases,
        million,
        hours,
        nothing,
        versions,
        batches,
        audio,
        augment,
        upload,
        push,
    )
}
LARGE = {"million": 6_000_000_000, "hours": 60_000_000_000}
"""What takes so long that it has to be asked for, with the bytes of disk at most."""


def main() -> int:
    """Measure, print, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=BENCHES,
        default=[name for name in BENCHES if name not in LARGE],
        metavar="NAME",
        help=str([*BENCHES]),
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: do they run? The figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print a JSON list of the rows")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    build = ROOT / "build"  # on the repository's file system, ignored by Git
    build.mkdir(exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder:
        needed = max(LARGE.get(name, NEEDED) for name in arguments.only)
        if not arguments.quick and shutil.disk_usage(folder).free < needed:
            parser.error(f"{build} needs {needed / 1e9:g} GB free while this runs")
        say = sys.stderr if arguments.json else sys.stdout
        print(machine(Path(folder)), f"at most {needed / 1e9:g} GB of disk in {folder}", sep="\n", file=say)
        print("", heading(), sep="\n", file=say)
        bench = Bench(Path(folder), QUICK if arguments.quick else Sizes())
        for name in arguments.only:
            for row in BENCHES[name](bench):
                rows.append(row)
                print(line(row), file=say, flush=True)
    if not any(build.iterdir()):
        build.rmdir()
    if arguments.json:
        print(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=2))
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
