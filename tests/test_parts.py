"""Parts from end to end: what a build keeps for the next one is never seen in what the next one makes."""

import shutil

import pandas as pd
import pytest

from clone import Clone
from conftest import sound
from mondegreen import Recorder
from mondegreen.shelf import FOLDER

pytestmark = pytest.mark.dvc


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The sample, built in parts of at most 20 cases."""
    made = Clone(tmp_path_factory.mktemp("parts") / "clone")
    room = made.path / "stages/mondegreen/parts.py"
    room.write_text(room.read_text().replace("SIZE = 50_000", "SIZE = 20"))
    made.run("dvc", "repro", "--quiet")
    assert len(parts(made, "splits")) == 8
    return made


def parts(clone: Clone, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (clone.path / f"data/{name}.parquet").iterdir()}


def built(clone: Clone) -> str:
    """Build, build again from nothing, and return what both made: dvc.lock, which names every output by its content."""
    clone.run("dvc", "repro", "--quiet")
    lock = (clone.path / "dvc.lock").read_text()
    shutil.rmtree(clone.path / FOLDER)
    clone.run("dvc", "repro", "--quiet", "--force", "--no-run-cache")
    assert (clone.path / "dvc.lock").read_text() == lock
    assert clone.run("dvc", "status").strip().endswith("up to date.")
    return lock


def test_new_cases_and_late_corrections_make_the_same_bytes_as_a_build_from_nothing(clone: Clone):
    before = {name: parts(clone, name) for name in ("cases", "valid")}
    late = pd.read_parquet(clone.path / "data/splits.parquet", columns=["case_id"])["case_id"][0]
    with Recorder(clone.path / "data/inbox") as recorder:
        for number in range(3):
            new = recorder.failure(sound(2, seed=number), original_transcript="heard", speaker_id=f"new{number}")
            recorder.correction(new, f"what speaker number {number} said", author="ann")
        recorder.correction(late, "quite another text", author="ann")
    clone.mondegreen("ingest")
    built(clone)
    for name, files in before.items():
        same = set(files.values()) & set(parts(clone, name).values())
        assert len(same) >= len(files) - 3, f"most parts of {name} are what they were"
