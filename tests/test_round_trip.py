"""There and back: from a recording to a dataset, and from a remote to the very bytes of a version."""

import shutil
import sys
from pathlib import Path

import pytest

from clone import Clone
from cloud import Emulator, run
from conftest import sound

pytestmark = pytest.mark.dvc


@pytest.fixture
def clone(built: Clone, tmp_path: Path) -> Clone:
    return built.copy(tmp_path / "clone")


def test_from_recording_to_dataset_and_back(clone: Clone, tmp_path: Path):
    """Record, correct, ingest, repro, look, commit, push; freeze; then the old version in another folder."""
    clone.run("dvc", "config", "--local", "remote.local.url", str(tmp_path / "remote"))
    version, rows = clone.git("rev-parse", "HEAD").strip(), sum(clone.metrics("split")["sizes"].values())
    for number in range(4):
        clip = tmp_path / f"clip {number}.wav"
        clip.write_bytes(sound(1.0, seed=100 + number))
        case = clone.mondegreen("record", str(clip), "--original", f"kiss this guy {number}", "--speaker", "new")
        clone.mondegreen("correct", case.strip(), f"kiss the sky {number}", "--author", "ann")
    assert "8 events, 4 cases, 4 clips" in clone.mondegreen("ingest")
    assert "mondegreen ingest" not in clone.mondegreen("status")
    assert "dvc repro" in clone.mondegreen("status")
    [tracked] = [line for line in clone.git("status", "--porcelain").splitlines() if line.endswith(".dvc")]
    assert tracked.startswith("A  data/raw/")
    clone.run("dvc", "repro", "--quiet")
    assert "data/metrics/split.json" in clone.run("dvc", "metrics", "diff")
    assert sum(clone.metrics("split")["sizes"].values()) == rows + 4
    clone.commit("four more cases")
    clone.run("dvc", "push", "--quiet")
    assert "in sync" in clone.run("dvc", "status", "--cloud")

    freeze = _case_ids(clone, "test")
    with (clone.path / "data/ledger.csv").open("a") as ledger:
        ledger.writelines(f"{case_id},test,v1.0.0\n" for case_id in freeze)
    clone.set_param("split", "seed", 12345)
    clone.run("dvc", "repro", "--quiet", "split")
    assert set(freeze) <= set(_case_ids(clone, "test"))
    clone.git("reset", "-q", "--hard")

    shutil.rmtree(clone.path / ".dvc/cache")
    clone.git("checkout", "-q", version)
    clone.run("dvc", "checkout", "--quiet", "--force", status=255)
    clone.git("checkout", "-q", "main")
    clone.run("dvc", "pull", "--quiet", "--force")
    assert "up to date" in clone.run("dvc", "status")
    assert sum(clone.metrics("split")["sizes"].values()) == rows + 4


def _case_ids(clone: Clone, split: str) -> list[str]:
    code = f"import pandas; t = pandas.read_parquet('data/splits.parquet'); print(*t.case_id[t.split == '{split}'])"
    return clone.run(sys.executable, "-c", code).split()


def test_a_version_comes_back_from_the_cloud(clone: Clone, tmp_path: Path):
    """A fresh clone with an empty cache: Git and `dvc pull` alone give the release's very bytes."""
    files = {path.name: path.read_bytes() for path in (clone.path / "data/dataset").rglob("*") if path.is_file()}
    with Emulator("bucket") as emulator:
        clone.env = emulator.env(tmp_path)
        clone.mondegreen("environment", "dev", "--bucket", "bucket")
        clone.commit("dev is a bucket")
        clone.git("tag", "-a", "-m", "v9.9.9", "dataset@v9.9.9")
        clone.mondegreen("push", "--environment", "dev", "--all-versions")
        shutil.rmtree(clone.path / "data/dataset")
        clone.git("rm", "-q", "dvc.lock")
        clone.commit("later")
        fresh = tmp_path / "fresh"
        clone.git("clone", "-q", str(clone.path), str(fresh))
        for command in ("git checkout -q dataset@v9.9.9", "mondegreen environment dev", "dvc pull --quiet"):
            run("bash", "-c", command, cwd=fresh, env=clone.env | {"PYTHONPATH": "stages"})
    back = {path.name: path.read_bytes() for path in (fresh / "data/dataset").rglob("*") if path.is_file()}
    assert back == files
