"""The pipeline as users run it: a real DVC and Git in a temporary clone."""

import sys

import pytest
from ruamel.yaml import YAML

from clone import Clone
from closure import imported_modules
from conftest import ROOT

pytestmark = pytest.mark.dvc

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture(scope="module")
def clone(built: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return built.copy(tmp_path_factory.mktemp("clones") / "clone")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_that_it_imports(stage: str):
    listed = {dep for dep in STAGES[stage]["deps"] if dep.startswith("stages/")}
    real = {f"stages/{stage}.py"} | {
        str(path.relative_to(ROOT))
        for path in imported_modules(ROOT / f"stages/{stage}.py", ROOT / "stages/mondegreen")
    }
    assert listed == real


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_named_like_its_script_and_described(stage: str):
    assert STAGES[stage]["cmd"] == f"python stages/{stage}.py"
    assert STAGES[stage]["desc"]


def test_a_fresh_clone_builds_the_same_bytes(clone: Clone):
    assert clone.git("diff", "--stat", "HEAD~1", "HEAD") == "", "another result than committed"
    assert clone.metrics("gate")["passed"]
    assert clone.metrics("dataset")["passed"]
    assert "up to date" in clone.run("dvc", "status")


def test_building_everything_again_gives_the_same_bytes(clone: Clone):
    clone.run("dvc", "repro", "--quiet", "--force", "--no-run-cache")
    assert clone.git("status", "--porcelain") == ""


def test_the_dataset_loads_offline_without_torch(clone: Clone):
    code = """
import io, sys, tempfile, soundfile
from datasets import Audio, load_dataset
dataset = load_dataset("data/dataset", cache_dir=tempfile.mkdtemp()).cast_column("audio", Audio(decode=False))
assert sorted(dataset) == ["test", "train", "validation"], dataset
assert "torch" not in sys.modules
for split in dataset.values():
    samples, rate = soundfile.read(io.BytesIO(split[0]["audio"]["bytes"]))
    assert rate == 16000 and len(samples) > 1600
print(sum(len(split) for split in dataset.values()))
"""
    printed = clone.run(sys.executable, "-c", code)
    copies = clone.metrics("augment")["copies"]["made"]
    assert copies > 0
    assert int(printed.split()[0]) == sum(clone.metrics("split")["sizes"].values()) + copies


def test_the_sample_is_honest(clone: Clone):
    quality = clone.metrics("quality")
    assert quality["counts"]["rejected"] > 0
    assert quality["counts"]["uncorrected"] > 0
    assert quality["counts"]["withdrawn"] > 0
    assert all(sum(shared.values()) == 0 for shared in clone.metrics("split")["shared"].values())


def test_a_shut_gate_keeps_the_last_good_dataset_and_says_why(clone: Clone):
    before, files = clone.dataset_hash(), sorted(path.name for path in (clone.path / "data/dataset/data").iterdir())
    clone.set_param("gate", "validity", 1.0)
    said = clone.run("dvc", "repro", status=255)
    assert "validity" in said
    assert "misses by" in said
    assert "Traceback" not in said
    assert clone.metrics("quality")["passed"] is False
    assert clone.metrics("gate")["passed"] is False
    assert (clone.path / "data/rejected.parquet").exists()
    assert clone.dataset_hash() == before
    assert sorted(path.name for path in (clone.path / "data/dataset/data").iterdir()) == files
    assert "the gate is shut" in clone.mondegreen("status")
    refused = clone.run("dvc", "repro", "--single-item", "--force", "export", status=255)
    assert "the gate has not passed" in refused
    clone.git("reset", "-q", "--hard")
    clone.run("dvc", "repro", "--quiet")
    assert clone.git("status", "--porcelain") == ""
    assert clone.dataset_hash() == before


def test_a_batch_that_is_not_here_stops_the_build(clone: Clone):
    (clone.path / "data/raw/20990101T000000Z-000000000000.dvc").write_text(
        "outs:\n- md5: 00000000000000000000000000000000.dir\n  hash: md5\n  path: 20990101T000000Z-000000000000\n"
    )
    try:
        clone.run("dvc", "repro", status=255)
        assert "dvc pull" in clone.mondegreen("status")
        assert "dvc pull" in clone.mondegreen("ingest", status=1)
    finally:
        (clone.path / "data/raw/20990101T000000Z-000000000000.dvc").unlink()
