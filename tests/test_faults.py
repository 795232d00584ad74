"""Faults that are really made: kill -9 at any moment, a disk that is full, folders that vanish, odd names.

`make torture` makes two hundred of each kill (`TORTURE=1`), the suite a few.
"""

import io
import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from conftest import ROOT, sound
from kills import Nursery
from mondegreen import Recorder, audio, batches, events, ingest, repository, spool, verifying
from mondegreen.errors import MondegreenError, RepositoryError, SpoolError
from mondegreen.objects import Store

TORTURE = "TORTURE" in os.environ
ROUNDS = 200 if TORTURE else 3
ENV = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}


def run(code: str, *arguments: object, seconds: float = 0, count: int = 1) -> list[str]:
    """Run `code`, which never ends, in `count` processes; return their lines.

    They are killed `seconds` after each has said its first.
    """
    command = [sys.executable, "-c", code, *map(str, arguments)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV) for _ in range(count)]
    said = [process.stdout.readline().strip() for process in running]
    time.sleep(seconds)
    for process in running:
        process.send_signal(signal.SIGKILL)
    for process in running:
        out, _ = process.communicate()
        assert process.returncode == -9
        said += out.split("\n")[:-1]
    return said


def sealed(raw: Path) -> list[events.Event]:
    """The events of all batches, each as often as it stands there."""
    files = [line for file in sorted(raw.glob("2*/events.jsonl")) for line in file.read_bytes().splitlines()]
    return [events.decode(line) for line in files]


def known(inbox: Path, raw: Path) -> list[str]:
    """The ids of all cases, of inbox and batches, each as often as it stands there."""
    ids = [event["case_id"] for event in sealed(raw)]
    sealed_ids = {event["event_id"] for event in sealed(raw)}
    waiting = [event for contents in spool.read(inbox) for event in contents.events]
    return ids + [event["case_id"] for event in waiting if event["event_id"] not in sealed_ids]


RECORD = """
import sys
from mondegreen import Recorder
recorder = Recorder(sys.argv[1])
number = 0
print("ready", flush=True)
while True:
    number += 1
    print(recorder.failure(b"RIFF" + number.to_bytes(3) * 1000, original_transcript="x"), flush=True)
"""
IMPORT = "raise SystemExit(cli.main(['import', 'table.csv', '--spool', 'inbox']))"
SEAL = "ingest.ingest(Path('inbox'), Path('raw'), track=lambda batch: Path(f'{batch}.dvc').write_text('outs: []'))"
INGEST = """
import sys
from pathlib import Path
from mondegreen import ingest
def track(batch):
    batch.with_name(batch.name + ".dvc").write_text("outs: []")
ingest.ingest(Path(sys.argv[1]), Path(sys.argv[2]), track=track)
"""


def test_kill_9_of_eight_recorders_and_an_ingest_loses_no_case_and_doubles_none(tmp_path: Path):
    dice, told, recorders, ingests = random.Random(1), 0, 0, 0
    while min(recorders / 8, ingests) < ROUNDS:
        folder = tmp_path / f"{recorders}"
        inbox, raw = folder / "inbox", folder / "raw"
        raw.mkdir(parents=True)
        acknowledged: set[str] = set()
        with Nursery(folder, "mondegreen.ingest") as nursery:
            pace = 0.001
            for _ in range(min(ROUNDS, 20)):
                lines = run(RECORD, inbox, seconds=dice.uniform(0, 0.4), count=8)
                acknowledged |= {line for line in lines if len(line) == 36}
                recorders += 8
                found = known(inbox, raw)
                waiting = len(found) - len(sealed(raw))
                if took := nursery.run(SEAL, dice.uniform(0, pace * waiting)):
                    pace = took / max(waiting, 1)
                found = known(inbox, raw)
                assert acknowledged <= set(found)
                assert len(found) == len(set(found))
            ingests += nursery.killed
            nursery.run(SEAL)
        found = known(inbox, raw)
        assert acknowledged <= set(found) == {event["case_id"] for event in sealed(raw)}
        assert len(found) == len(set(found))
        batches.check_unchanged(raw)
        clips = set(batches.audio_index(raw).column("sha256").to_pylist())
        assert {event["audio"]["sha256"] for event in sealed(raw)} == clips
        told += len(acknowledged)
        shutil.rmtree(folder)
    print(f"recorders: killed {recorders} times; {told} cases acknowledged; ingest: killed {ingests} times")


def test_kill_9_of_an_import_repeats_nothing(tmp_path: Path):
    table, dice = tmp_path / "table.csv", random.Random(2)
    table.write_text("original_transcript\n" + "".join(f"number {number}\n" for number in range(3000)))
    with Nursery(tmp_path, "mondegreen.cli", "mondegreen.commands.import_", "mondegreen.sources") as nursery:
        seconds = nursery.run(IMPORT)
        for number in range(ROUNDS):
            nursery.torment(IMPORT, seconds, dice)
            for contents in spool.read(tmp_path / "inbox"):
                assert not contents.damaged
            if number % 10 == 9 or number == ROUNDS - 1:
                nursery.run(IMPORT)
                nursery.run(IMPORT)
                found = {event["event_id"] for contents in spool.read(tmp_path / "inbox") for event in contents.events}
                assert len(found) == 3000
                shutil.rmtree(tmp_path / "inbox")
    print(f"import: killed {nursery.killed} times")


def test_workers_end_with_the_process_that_started_them():
    """A killed stage leaves none behind: they would wait for work for ever."""
    code = """
import os
from mondegreen.executor import executor
with executor("local") as (pool, workers):
    pool.submit(os.getpid).result()
    print(*pool._processes, flush=True)
    os.kill(os.getpid(), 9)
"""
    [pids] = run(code)
    for pid in map(int, pids.split()):
        with suppress(ProcessLookupError):
            assert select.select([os.pidfd_open(pid)], [], [], 60)[0], f"worker {pid} still runs"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that began it")
def test_a_stage_ends_with_the_dvc_that_began_it():
    stage = "import os, time; from mondegreen.stage import run; run(lambda: (print(os.getpid()), time.sleep(600)))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-u', '-c', {stage!r}])"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV | {"DVC_STAGE": "split"}) as dvc:
        begun = os.pidfd_open(int(dvc.stdout.readline()))
        dvc.kill()
        ended = select.select([begun], [], [], 60)[0]
        signal.pidfd_send_signal(begun, signal.SIGKILL) if not ended else None
        assert ended


def traced(tmp_path: Path, code: str, *arguments: object) -> list[tuple[str, str]]:
    """Run `code` under strace and return what it did to which file, in order."""
    log = tmp_path / "strace"
    command = ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", "trace=write,pwrite64,fsync,fdatasync,rename,unlink"]
    done = subprocess.run([*command, sys.executable, "-c", code, *map(str, arguments)], env=ENV, capture_output=True)
    if b"ptrace" in done.stderr.lower():
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    calls = []
    for line in log.read_text(errors="replace").splitlines():
        if found := re.match(r'\d+ +(\w+)\((?:\d+<([^>]*)>|"([^"]*)"(?:, "([^"]*)")?)', line):
            calls.append((found[1], found[4] or found[2] or found[3]))
    return [(call, path) for call, path in calls if path.startswith(str(tmp_path))]


def at(calls: list[tuple[str, str]], call: str, pattern: str, last: bool = False) -> int:
    """Where in `calls` a call to a matching path stands first, or last."""
    places = [
        number for number, (name, path) in enumerate(calls) if name in call.split("|") and re.search(pattern, path)
    ]
    assert places, f"no {call} of {pattern}"
    return places[-1 if last else 0]


strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@strace
def test_the_kernel_sees_a_record_in_an_order_that_survives_power_loss(tmp_path: Path):
    code = """
import sys
from mondegreen import Recorder
with Recorder(sys.argv[1]) as recorder:
    recorder.failure(b"RIFF" + bytes(100), original_transcript="x")
"""
    calls = traced(tmp_path, code, tmp_path / "inbox")
    order = [
        at(calls, "write", r"/audio/\..*new$"),
        at(calls, "fsync", r"/audio/\..*new$"),
        at(calls, "rename", r"/audio/../\w+"),
        at(calls, "fsync", r"/audio/..$", last=True),
        at(calls, "write", r"/events/.*jsonl$"),
        at(calls, "fdatasync", r"/events/.*jsonl$"),
    ]
    assert order == sorted(order)
    assert at(calls, "fsync", r"/events$") < at(calls, "write", r"/events/.*jsonl$"), "the segment's name is durable"
    assert at(calls, "fsync", r"/inbox$") < order[0], "so are the folders' names"


@strace
def test_the_kernel_sees_an_ingest_in_an_order_that_survives_power_loss(tmp_path: Path):
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.failure(sound(0.1), original_transcript="x")
    (tmp_path / "raw").mkdir()
    calls = traced(tmp_path, INGEST, tmp_path / "inbox", tmp_path / "raw")
    order = [
        at(calls, "write", r"partial/events\.jsonl"),
        at(calls, "fsync", r"partial/events\.jsonl"),
        at(calls, "fsync", r"partial$"),
        at(calls, "rename", r"/raw/2"),
        at(calls, "fsync", r"/raw$"),
        at(calls, "unlink", r"/inbox/events/"),
    ]
    assert order == sorted(order)
    assert at(calls, "fsync", r"partial/audio-00000\.parquet") < order[2]
    assert at(calls, "unlink", r"/inbox/events/") > at(calls, "write", r"\.dvc$"), "tracked before it leaves the spool"


@pytest.mark.parametrize("clip", [None, 20_000])
def test_a_full_disk_is_named_tears_nothing_and_recording_goes_on(small: Path, clip: int | None):
    acknowledged: list[str] = []
    inbox = small / "inbox"
    with Recorder(inbox) as recorder:

        def record(number: int) -> str:
            content = None if clip is None else b"RIFF" + number.to_bytes(4) * (clip // 4)
            return recorder.failure(content, original_transcript="x" * 1000)

        with pytest.raises(SpoolError, match=rf"the file system {small} has [\d,]+ bytes left.*nothing was recorded"):
            acknowledged += [record(number) for number in range(5000)]
        for number in range(3):
            with pytest.raises(SpoolError):
                for more in range(100):
                    acknowledged.append(record(10_000 + 100 * number + more))
        subprocess.run(["mount", "-o", "remount,size=2m", str(small)], check=True)
        acknowledged.append(record(9999))
    found = [event for contents in spool.read(inbox) for event in contents.events]
    ids = [event["case_id"] for event in found]
    assert set(acknowledged) <= set(ids)
    assert len(ids) == len(set(ids))
    assert not list(inbox.rglob(".*new")), "nothing half-written is left"
    for event in found:
        if event["audio"]:
            assert spool.audio_path(inbox, event["audio"]).stat().st_size == event["audio"]["bytes"]


def test_an_ingest_onto_a_full_disk_says_so_and_goes_on_when_there_is_room(small: Path, tmp_path: Path):
    with Recorder(tmp_path / "inbox") as recorder:
        ids = {recorder.failure(sound(2.0, seed=seed), original_transcript="x") for seed in range(30)}
    with pytest.raises(OSError, match=r"No space left|errno 28"):
        ingest.ingest(tmp_path / "inbox", small / "raw", track=lambda batch: None)
    assert not list((small / "raw").glob("2*")), "no batch, or a whole one"
    assert set(known(tmp_path / "inbox", small / "raw")) == ids
    subprocess.run(["mount", "-o", "remount,size=9m", str(small)], check=True)
    ingest.ingest(tmp_path / "inbox", small / "raw", track=lambda batch: None)
    assert sorted(known(tmp_path / "inbox", small / "raw")) == sorted(ids)


@pytest.mark.dvc
def test_a_batch_that_the_cache_has_no_room_for_is_not_tracked_and_its_spool_stays(small: Path, tmp_path: Path):
    root = tmp_path / "repo"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    repository.dvc(["init", "-q"], root)
    repository.dvc(["config", "cache.dir", str(small / "cache")], root)
    raw, inbox = root / "data/raw", root / "data/inbox"
    with Recorder(inbox) as recorder:
        ids = {recorder.failure(sound(2.0, seed=seed), original_transcript="x") for seed in range(30)}
    with pytest.raises(RepositoryError, match=rf"cache cannot take it: .*{small} has [\d,]+ bytes left"):
        ingest.ingest(inbox, raw, track=repository.track)
    assert not list(raw.glob("*.dvc"))
    assert {event["case_id"] for contents in spool.read(inbox) for event in contents.events} == ids
    subprocess.run(["mount", "-o", "remount,size=9m", str(small)], check=True)
    ingest.ingest(inbox, raw, track=repository.track)
    assert sorted(known(inbox, raw)) == sorted(ids)
    assert verifying.verify(root, Store(root)).problems == ()


def test_a_command_on_a_full_disk_says_one_line(small: Path, tmp_path: Path):
    (small / "fill").write_bytes(bytes(1 << 20))
    code = "import sys; from mondegreen.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "record", "--original", "x", "--spool", str(small / "inbox")]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"the file system {small} has 0 bytes left" in done.stderr


def test_a_folder_that_vanishes_comes_back_with_the_next_record(tmp_path: Path):
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.failure(sound(0.1), original_transcript="gone with its folder")
        recorder.close()
        shutil.rmtree(tmp_path / "inbox")
        case_id = recorder.failure(sound(0.1), original_transcript="here")
    assert known(tmp_path / "inbox", tmp_path / "raw") == [case_id]


@pytest.mark.parametrize(
    "name", ["two words.wav", "line\nbreak.wav", b"\xff\xfe.wav", "-rf.wav", "$(reboot).wav", "a" * 240 + ".wav"]
)
def test_odd_names_are_recorded_and_sealed(tmp_path: Path, name: str | bytes):
    clip = tmp_path / os.fsdecode(name)
    clip.write_bytes(sound(0.1))
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.failure(clip, original_transcript="x")
    (tmp_path / "raw").mkdir()
    done = ingest.ingest(tmp_path / "inbox", tmp_path / "raw", track=lambda batch: None)
    assert (done.events, done.clips, done.missing_audio) == (1, 1, [])


def test_a_path_of_a_thousand_characters(tmp_path: Path):
    deep = tmp_path.joinpath(*["d" * 100] * 10)
    with Recorder(deep / "inbox") as recorder:
        recorder.failure(sound(0.1), original_transcript="x")
    (deep / "raw").mkdir()
    assert ingest.ingest(deep / "inbox", deep / "raw", track=lambda batch: None).clips == 1


def test_a_clock_that_jumps_back_keeps_the_order_of_one_recorder(tmp_path: Path, monkeypatch):
    real = time.time_ns
    with Recorder(tmp_path) as recorder:
        for hour in (0, -1, -24, 5, 0):
            monkeypatch.setattr(time, "time_ns", lambda hour=hour: real() + hour * 3600 * 10**9)
            recorder.failure(None, original_transcript="x")
    ids = [event["event_id"] for contents in spool.read(tmp_path) for event in contents.events]
    assert len(ids) == len(set(ids)) == 5
    assert ids == sorted(ids)


def test_a_link_in_a_batch_is_not_taken_for_audio(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("not for the dataset")
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.failure(sound(0.1), original_transcript="x")
    [clip] = (tmp_path / "inbox/audio").glob("??/*")
    clip.unlink()
    clip.symlink_to(secret)
    (tmp_path / "raw").mkdir()
    ingest.ingest(tmp_path / "inbox", tmp_path / "raw", track=lambda batch: None)
    [pack] = batches.packs(tmp_path / "raw")
    [row] = pq.read_table(pack).to_pylist()
    assert "checksum differs" in row["error"]


LIES = {
    "a WAV that claims four gigabytes": lambda: (
        sound(0.1)[:4] + b"\xff\xff\xff\xff" + sound(0.1)[8:40] + b"\xff\xff\xff\xff" + sound(0.1)[44:]
    ),
    "a FLAC that claims 2**36 - 1 frames": lambda: _flac(2**36 - 1),
    "a FLAC that claims nothing": lambda: _flac(0),
    "an empty file": lambda: b"",
    "a header alone": lambda: sound(0.1)[:44],
    "text": lambda: b"RIFF" + b"x" * 1000,
    "an OGG that ends at once": lambda: b"OggS" + bytes(24),
    "an OGG that claims 2**63 - 1 frames": lambda: _ogg(2**63 - 1),
    "an OGG that claims fewer than none": lambda: _ogg(2**64 - 2),
    "an OGG that claims nothing": lambda: _ogg(0),
}


def _flac(frames: int) -> bytes:
    data = bytearray(sound(0.2, fmt="FLAC"))
    at = 8 + 10  # magic, block header, then block and frame sizes; 20 bits of rate, 3 + 5 of form, 36 of frames
    whole = int.from_bytes(data[at : at + 8])
    data[at : at + 8] = ((whole >> 36 << 36) | frames).to_bytes(8)
    return bytes(data)


def _ogg(frames: int) -> bytes:
    """Vorbis whose last page says that so many frames were before its end; the page's own checksum agrees."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(3200, dtype="int16"), 16000, format="OGG", subtype="VORBIS")
    data = bytearray(file.getvalue())
    at = data.rindex(b"OggS")
    data[at + 6 : at + 14] = frames.to_bytes(8, "little")
    data[at + 22 : at + 26] = bytes(4)
    data[at + 22 : at + 26] = _checksum(data[at:]).to_bytes(4, "little")
    return bytes(data)


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: polynomial 0x04c11db7, no reflection, begun at 0 (RFC 3533)."""
    found = 0
    for byte in page:
        found ^= byte << 24
        for _ in range(8):
            found = (found << 1 ^ (0x04C11DB7 if found & 1 << 31 else 0)) & 0xFFFFFFFF
    return found


@pytest.mark.parametrize("kind", LIES)
def test_what_a_header_claims_is_not_believed(kind: str):
    found = audio.probe(LIES[kind]())
    assert found.error or (found.frames or 0) <= 16000 * 60


@pytest.mark.parametrize(("fmt", "rate", "channels"), [("FLAC", 655_350, 8), ("OGG", 192_000, 8)])
def test_silence_that_unpacks_to_thousands_of_times_its_size_stops_early(fmt: str, rate: int, channels: int):
    """In the suite with a limit a hundred times lower."""
    most = audio.MAX_SAMPLES if TORTURE else audio.MAX_SAMPLES // 100
    bomb = io.BytesIO()
    with soundfile.SoundFile(bomb, "w", rate, channels, format=fmt) as file:
        for _ in range(2 * most // (channels * rate)):
            file.write(np.zeros((rate, channels), dtype="int16"))
    assert len(bomb.getvalue()) * 500 < 2 * 2 * most
    code = f"""
import resource, sys
from mondegreen import audio
audio.MAX_SAMPLES = {most}
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = audio.probe(sys.stdin.buffer.read())
assert found.error and "decodes to more than" in found.error, found
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""
    done = subprocess.run([sys.executable, "-c", code], input=bomb.getvalue(), capture_output=True, env=ENV)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 3 * 2 * most + 2 * len(bomb.getvalue())


def test_json_of_a_full_record_is_one_line(tmp_path: Path):
    with Recorder(tmp_path) as recorder:
        recorder.failure(None, original_transcript="a\nb\u2028c\u0085d", metadata={"deep": [[[["\n"]]]]})
    [segment] = spool.segments(tmp_path)
    assert segment.read_bytes().count(b"\n") == 1
    json.loads(segment.read_bytes())


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_named(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(MondegreenError, match=str(tmp_path)):
        Recorder(tmp_path / "inbox").failure(None, original_transcript="x")
    tmp_path.chmod(0o700)
