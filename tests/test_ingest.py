"""Ingest: exactly once, whatever crashes in between, with writers that go on writing."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from conftest import ROOT, sound
from mondegreen import Recorder, batches, events, sealing, spool
from mondegreen.errors import DataError
from mondegreen.ingest import ingest


def track(batch: Path) -> None:
    """Stand in for `dvc add`, which has its own test with a real DVC."""
    batch.with_name(f"{batch.name}.dvc").write_text("outs: []\n")


def sealed(raw: Path) -> list[events.Event]:
    return [events.decode(line) for file in batches.event_files(raw) for line in file.read_bytes().splitlines()]


def packed(raw: Path) -> list[dict]:
    return [row for pack in batches.packs(raw) for row in pq.read_table(pack).to_pylist()]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def test_events_and_audio_become_one_batch_and_leave_the_spool(recorder: Recorder, raw: Path):
    ids = {recorder.failure(sound(seed=n), original_transcript=f"{n}") for n in range(3)}
    recorder.correction(min(ids), "really")
    recorder.close()
    done = ingest(recorder.path, raw, track=track)
    assert (done.events, done.cases, done.clips, done.known) == (4, 3, 3, 0)
    assert {event["case_id"] for event in sealed(raw)} == ids
    order = [event["event_id"] for event in sealed(raw)]
    assert order == sorted(order)
    assert sorted(row["bytes"] for row in packed(raw)) == sorted(sound(seed=n) for n in range(3))
    assert all((row["sample_rate"], row["frames"], row["channels"]) == (16000, 16000, 1) for row in packed(raw))
    assert not spool.segments(recorder.path)
    assert not [path for path in (recorder.path / "audio").rglob("*") if path.is_file()]


def test_ingesting_again_changes_nothing(recorder: Recorder, raw: Path):
    recorder.failure(sound(), original_transcript="x")
    recorder.close()
    ingest(recorder.path, raw, track=track)
    before = sorted(path.name for path in raw.rglob("*"))
    assert ingest(recorder.path, raw, track=track).batch is None
    assert sorted(path.name for path in raw.rglob("*")) == before


def test_a_live_writer_is_not_disturbed(recorder: Recorder, raw: Path):
    recorder.failure(sound(seed=1), original_transcript="first")
    assert ingest(recorder.path, raw, track=track).events == 1
    assert len(spool.segments(recorder.path)) == 1, "the segment is still being written"
    recorder.failure(sound(seed=1), original_transcript="second, same audio")
    recorder.failure(sound(seed=2), original_transcript="third")
    done = ingest(recorder.path, raw, track=track)
    assert (done.events, done.known, done.clips) == (2, 1, 1), "audio that a batch holds is not packed again"
    recorder.close()
    assert ingest(recorder.path, raw, track=track).known == 3
    assert not spool.segments(recorder.path)
    assert len(sealed(raw)) == 3
    assert len(packed(raw)) == 2


def test_audio_removed_under_a_recorder_is_found_in_the_batch(recorder: Recorder, raw: Path, tmp_path: Path):
    """A recorder stored a clip, ingest of an older event with the same clip removed it, then the line was written."""
    recorder.failure(sound(), original_transcript="older")
    recorder.close()
    real = spool.Segment.append

    def ingest_first(segment: spool.Segment, line: bytes, *, sync: bool) -> None:
        spool.Segment.append = real
        ingest(recorder.path, raw, track=track)
        real(segment, line, sync=sync)

    spool.Segment.append = ingest_first
    try:
        recorder.failure(sound(), original_transcript="newer")
    finally:
        spool.Segment.append = real
    recorder.close()
    done = ingest(recorder.path, raw, track=track)
    assert done.missing_audio == []
    assert [event["audio"]["sha256"] for event in sealed(raw)] == [packed(raw)[0]["sha256"]] * 2


def test_a_torn_tail_stays_unread_and_is_counted(recorder: Recorder, raw: Path):
    recorder.failure(None, original_transcript="whole")
    recorder.close()
    [segment] = spool.segments(recorder.path)
    with segment.open("ab") as file:
        file.write(b'{"schema":1,')
    done = ingest(recorder.path, raw, track=track)
    assert (done.events, done.torn) == (1, 1)
    assert not spool.segments(recorder.path), "its writer is gone, its whole lines are in the batch"


def test_a_damaged_line_keeps_its_segment(recorder: Recorder, raw: Path):
    recorder.failure(None, original_transcript="good")
    recorder.close()
    [segment] = spool.segments(recorder.path)
    with segment.open("ab") as file:
        file.write(b"garbage\n")
    done = ingest(recorder.path, raw, track=track)
    assert done.events == 1
    assert [damage.line for damage in done.damaged] == [2]
    assert spool.segments(recorder.path) == [segment]


def test_audio_that_is_gone_or_changed_is_named(recorder: Recorder, raw: Path):
    gone = recorder.failure(sound(seed=1), original_transcript="gone")
    recorder.failure(sound(seed=2), original_transcript="changed")
    recorder.close()
    first, second = (event["audio"] for part in spool.read(recorder.path) for event in part.events)
    spool.audio_path(recorder.path, first).unlink()
    spool.audio_path(recorder.path, second).write_bytes(sound(seed=3))
    assert ingest(recorder.path, raw, track=track).missing_audio == [gone]
    assert "checksum differs" in packed(raw)[0]["error"]


def test_broken_audio_is_named_not_fatal(recorder: Recorder, raw: Path):
    for data in (b"", b"RIFF nonsense", sound()[:44], sound(fmt="FLAC")):
        recorder.failure(data, original_transcript="x")
    recorder.close()
    assert ingest(recorder.path, raw, track=track).clips == 4
    errors = [row["error"] for row in packed(raw)]
    assert sum(error is None for error in errors) == 1
    assert all("cannot be decoded" in error or "no samples" in error for error in errors if error)


def test_one_sound_in_two_formats_has_one_name(recorder: Recorder, raw: Path):
    for fmt in ("WAV", "FLAC", "AIFF"):
        recorder.failure(sound(fmt=fmt), original_transcript="x")
    recorder.close()
    ingest(recorder.path, raw, track=track)
    assert len({row["sha256"] for row in packed(raw)}) == 3
    assert len({row["pcm_sha256"] for row in packed(raw)}) == 1


def test_packs_are_bounded(recorder: Recorder, raw: Path, monkeypatch):
    monkeypatch.setattr(sealing, "PACK_BYTES", 100_000)
    monkeypatch.setattr(sealing, "GROUP_BYTES", 40_000)
    for number in range(8):
        recorder.failure(sound(seed=number), original_transcript="x")
    recorder.close()
    ingest(recorder.path, raw, track=track)
    assert len(batches.packs(raw)) == 3
    assert [pq.ParquetFile(pack).num_row_groups for pack in batches.packs(raw)] == [3, 3, 2]


def test_many_segments_are_parsed_by_all_cores_to_the_same_batch(recorder: Recorder, raw: Path, monkeypatch):
    said = recorder.failure(sound(0.1), original_transcript="x")
    recorder.close()
    for number in range(5):
        with Recorder(recorder.path) as other:
            other.correction(said, f"said {number}", author="ann")
    segments = spool.segments(recorder.path)
    with segments[1].open("ab") as file:
        file.write(b"no event\n")
    with segments[2].open("ab") as file:
        file.write(segments[0].read_bytes() + b"torn")
    shutil.copytree(recorder.path, raw.with_name("copy"))
    alone = ingest(recorder.path, raw, track=track)
    monkeypatch.setattr("mondegreen.ingest._PIECE", 1)
    together = ingest(raw.with_name("copy"), raw.with_name("raw2"), track=track)
    assert (alone.events, alone.clips, alone.repeated, alone.torn, len(alone.damaged)) == (6, 1, 1, 1, 1)
    left = [replace(damage, segment=raw / damage.segment.name) for damage in (*alone.damaged, *together.damaged)]
    assert left[0] == left[1]
    assert replace(together, damaged=alone.damaged) == alone
    assert sealed(raw.with_name("raw2")) == sealed(raw)
    assert len(spool.segments(raw.with_name("copy"))) == len(spool.segments(recorder.path))


def test_two_at_once_do_not_meet(recorder: Recorder, raw: Path):
    recorder.failure(None, original_transcript="x")
    recorder.close()

    def second(batch: Path) -> None:
        with pytest.raises(DataError, match="another ingest"):
            ingest(recorder.path, raw, track=track)
        track(batch)

    assert ingest(recorder.path, raw, track=second).events == 1


def test_the_same_events_make_the_same_batch(tmp_path: Path):
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.failure(sound(), original_transcript="x")
        recorder.failure(sound(seed=1), original_transcript="y")
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        subprocess.run(["cp", "-r", tmp_path / "inbox", tmp_path / name / "inbox"], check=True)
        batch = ingest(tmp_path / name / "inbox", tmp_path / name / "raw", track=track).batch
        made.append({path.name: path.read_bytes() for path in (tmp_path / name / "raw" / str(batch)).iterdir()})
    assert made[0] == made[1]


KILLED = """
import os, sys
from pathlib import Path
from mondegreen.ingest import ingest

steps = int(sys.argv[3])

def audit(event, args):  # every system call that changes a file is a step at which the machine may die
    global steps
    names = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
    if event in names or (event == "open" and isinstance(args[1], str) and args[1][0] in "wa"):
        if "__pycache__" not in str(args[0]):
            steps -= 1
            if steps == 0:
                os._exit(9)

def track(batch):
    batch.with_name(batch.name + ".dvc").write_text("outs: []")

sys.addaudithook(audit)
ingest(Path(sys.argv[1]), Path(sys.argv[2]), track=track)
"""


def test_killed_at_every_step_nothing_is_lost_or_doubled(tmp_path: Path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "inbox"), str(tmp_path / "raw")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}
    expected: set[str] = set()
    step, finished = 0, False
    while not finished:
        step += 1
        with Recorder(tmp_path / "inbox") as recorder:
            expected.add(recorder.failure(sound(0.05, seed=step), original_transcript="x"))
        killed = subprocess.run([*command, str(step)], env=environment, check=False)
        assert killed.returncode in (0, 9)
        finished = killed.returncode == 0
        assert step < 60, "it never finished"
    assert step > 8, "it was killed at hardly any step"
    ingest(tmp_path / "inbox", tmp_path / "raw", track=track)
    assert sorted(event["case_id"] for event in sealed(tmp_path / "raw")) == sorted(expected)
    assert len({row["sha256"] for row in packed(tmp_path / "raw")}) == len(expected)
    assert not spool.segments(tmp_path / "inbox")
    assert all(folder.with_name(f"{folder.name}.dvc").exists() for folder in batches.folders(tmp_path / "raw"))


def test_what_was_killed_unfinished_goes_and_its_name_is_not_used_again(recorder: Recorder, raw: Path):
    """A process that a killed ingest left behind writes into its own folder, or nowhere."""
    begun = sealing.begin(raw, "20260101T000000Z")
    sealing.pack_path(begun, 0).write_bytes(b"half a pack")
    recorder.failure(sound(), original_transcript="x")
    recorder.close()
    ingest(recorder.path, raw, track=track)
    assert not begun.exists()
    assert sealing.begin(raw, "20260101T000000Z") != begun


def test_a_batch_that_is_not_here_stops_ingest(recorder: Recorder, raw: Path):
    raw.mkdir()
    (raw / "20260101T000000Z-abc.dvc").write_text("outs: []\n")
    recorder.failure(None, original_transcript="x")
    with pytest.raises(DataError, match="dvc pull"):
        ingest(recorder.path, raw, track=track)
    assert len(spool.segments(recorder.path)) == 1


def test_a_batch_that_was_changed_is_found(recorder: Recorder, raw: Path):
    recorder.failure(None, original_transcript="x")
    recorder.close()
    batch = raw / str(ingest(recorder.path, raw, track=track).batch)
    batches.check_unchanged(raw)
    (batch / "events.jsonl").write_text((batch / "events.jsonl").read_text().replace('"x"', '"y"'))
    with pytest.raises(DataError, match="a batch never changes"):
        batches.check_unchanged(raw)
