"""Compaction: many batches become one, and nothing that is made from them changes; cost that grows with the change."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clone import Clone
from conftest import ROOT, sound
from history import git
from mondegreen import Recorder, batches, growth, repository, rollback, snapshot
from mondegreen.compaction import compact
from mondegreen.errors import DataError
from mondegreen.ingest import ingest
from mondegreen.shelf import FOLDER as SHELF
from mondegreen.snapshot import parse_yaml

dvc = pytest.mark.dvc


def track(batch: Path) -> None:
    """Stand in for `dvc add`, which the test with a clone runs."""
    batch.with_name(f"{batch.name}.dvc").write_text("outs: []\n")


def make_batches(folder: Path, count: int) -> Path:
    for number in range(count):
        with Recorder(folder / "inbox") as recorder:
            for clip in range(3):
                recorder.failure(sound(0.05, seed=10 * number + clip), original_transcript=f"{number} {clip}")
        ingest(folder / "inbox", folder / "raw", track=track)
    return folder / "raw"


def held(raw: Path) -> tuple[list[bytes], list[str]]:
    """All events once, sorted, and all clips once in the order in which they lie."""
    lines = {line for file in batches.event_files(raw) for line in file.read_bytes().splitlines()}
    clips = (
        sha for pack in batches.packs(raw) for sha in pq.read_table(pack, columns=["sha256"]).column(0).to_pylist()
    )
    return sorted(lines), list(dict.fromkeys(clips))


def test_all_becomes_one_once(tmp_path: Path):
    raw = make_batches(tmp_path, 4)
    before, old = held(raw), [folder.name for folder in batches.folders(raw)]
    done = compact(raw, track=track)
    [folder] = batches.folders(raw)
    assert (done.batch, sorted(done.replaced)) == (folder.name, old)
    assert held(raw) == before
    assert parse_yaml((raw / f"{folder.name}.dvc").read_bytes(), "")["meta"] == {"compacted": old}
    batches.check_unchanged(raw)
    assert compact(raw, track=track).replaced == ()
    make_batches(tmp_path, 1)
    again = compact(raw, track=track)
    noted = parse_yaml((raw / f"{again.batch}.dvc").read_bytes(), "")["meta"]["compacted"]
    assert set(noted) == {*old, *again.replaced}


KILLED = """
import os, sys
from pathlib import Path
from mondegreen.compaction import compact

steps = int(sys.argv[2])

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
compact(Path(sys.argv[1]), track=track)
"""


def test_killed_at_every_step_nothing_is_lost_and_the_next_call_goes_on(tmp_path: Path):
    made = make_batches(tmp_path, 2)
    before = held(made)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}
    for step in range(1, 40):
        raw = tmp_path / "try"
        shutil.rmtree(raw, ignore_errors=True)
        shutil.copytree(made, raw)
        command = [sys.executable, "-c", KILLED, str(raw), str(step)]
        killed = subprocess.run(command, env=environment, check=False).returncode
        assert killed in (0, 9)
        assert held(raw)[0] == before[0]
        assert sorted(held(raw)[1]) == sorted(before[1])
        compact(raw, track=track)
        assert held(raw) == before
        assert len(list(raw.iterdir())) == 2, "one batch and its .dvc file"
        if killed == 0:
            break
    assert 8 < step < 39


def test_one_that_is_not_here_or_was_changed_stops_it(tmp_path: Path):
    raw = make_batches(tmp_path, 2)
    first = batches.folders(raw)[0]
    (first / "events.jsonl").write_bytes((first / "events.jsonl").read_bytes().replace(b'0"', b'9"', 1))
    with pytest.raises(DataError, match="a batch never changes"):
        compact(raw, track=track)
    shutil.rmtree(first)
    with pytest.raises(DataError, match="dvc pull"):
        compact(raw, track=track)


def record(clone: Clone, seed: int, count: int) -> None:
    with Recorder(clone.path / "data/inbox", durability="os") as recorder:
        for number in range(seed, seed + count):
            case_id = recorder.failure(
                sound(1.0, seed=number), original_transcript=f"kiss this guy {number}", speaker_id=f"voice {number % 7}"
            )
            recorder.correction(case_id, f"Kiss the sky {number}.", author="ann")
    clone.mondegreen("ingest")


@dvc
def test_nothing_made_from_batches_changes(tmp_path: Path):
    clone = Clone(tmp_path / "clone")
    clone.run("dvc", "config", "--local", "remote.local.url", str(tmp_path / "remote"))
    record(clone, 100, 20)
    clone.run("dvc", "repro", "--quiet", "collect")
    record(clone, 200, 20)
    clone.run("dvc", "repro", "--quiet")
    clone.commit("built on what was kept of the first batch")
    assert any((clone.path / SHELF).iterdir())

    shutil.rmtree(clone.path / SHELF)
    clone.run("dvc", "repro", "--quiet", "--force", "collect")
    assert clone.git("status", "--porcelain") == "", "collected from nothing, the same bytes"

    dataset, before = clone.dataset_hash(), snapshot.at(clone.path, "HEAD")
    old = [folder.name for folder in batches.folders(clone.path / "data/raw") if folder.name != "sample"]
    said = clone.mondegreen("ingest", "--compact")
    assert "holds what 2 batches held" in said
    clone.git("add", "--all", "data/raw")
    clone.run("dvc", "repro", "--quiet")
    clone.commit("compact")
    assert clone.dataset_hash() == dataset
    assert "nothing to compact" in clone.mondegreen("ingest", "--compact")
    found = growth.batches(before, snapshot.at(clone.path, "HEAD"))
    assert (found.replaced, found.lost, found.grew) == (tuple(old), (), True)
    back = growth.batches(snapshot.at(clone.path, "HEAD"), before)
    assert (len(back.replaced), back.lost) == (1, ()), "nothing is lost the other way round either"
    shown = clone.mondegreen("compare", "HEAD~1")
    assert "2 batches left, whose events are in others" in shown
    assert "raw data only grows" not in shown


@dvc
def test_batches_that_a_rollback_takes_out_are_said_to_be(two_versions: Path, tmp_path: Path):
    shutil.copytree(two_versions, tmp_path / "made")
    root = tmp_path / "made/repo"
    before = snapshot.at(root, "HEAD")
    done = rollback.rollback(root, "v1.0.0")
    found = growth.batches(before, snapshot.at(root, "HEAD"))
    assert (found.lost, found.rolled_back, found.grew) == ((), ("second",), True)
    assert found.rollback == f"to dataset@v1.0.0 by {git(root, 'rev-parse', '--short', done.after)}"
    repository.git(["rm", "-q", "--cached", "data/raw/first.dvc"], root)
    git(root, "commit", "-q", "-m", "and lose the other")
    found = growth.batches(before, snapshot.at(root, "HEAD"))
    assert (found.lost, found.rolled_back) == (("first",), ("second",))
