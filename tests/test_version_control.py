"""`DataVersionControl` and `create_version=True`: the whole life of versions from Python, on a real build."""

import sys
from pathlib import Path

import pytest

from clone import Clone
from conftest import sound

pytestmark = pytest.mark.dvc

LIFE = """
import json, subprocess, sys
from pathlib import Path
sys.path.insert(0, "stages")
from mondegreen import MondegreenError
from mondegreen.integration import IntegratedDataManagementSystem

def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()

def refused(call, *arguments, **settings):
    try:
        call(*arguments, **settings)
    except MondegreenError as error:
        return str(error)
    raise SystemExit(f"{call} {arguments} {settings} was accepted")

system = IntegratedDataManagementSystem("data/inbox")
control, pipeline = system.version_control, system.finetuning_pipeline

# the first version: what the build changed is committed, and said
first = system.prepare_finetuning_dataset(min_error_score=0.3, create_version=True)
assert first["version_id"].startswith("v"), first
assert git("status", "--porcelain") == ""
assert "Prepare the dataset: min_error_score=0.3" in git("log", "--format=%s")
assert f"dataset@{first['version_id']}" in git("tag", "--points-at", "HEAD").split()
commits = git("rev-list", "--count", "HEAD")
assert system.prepare_finetuning_dataset(min_error_score=0.3, create_version=True) == first, "nothing twice"
assert git("rev-list", "--count", "HEAD") == commits

# what is not committed stops it before anything changes
Path("params.yaml").write_text(Path("params.yaml").read_text() + "# mine\\n")
before = git("diff")
said = refused(system.prepare_finetuning_dataset, min_error_score=0.9, create_version=True)
assert "params.yaml" in said and "git commit" in said, said
assert git("diff") == before
git("checkout", "params.yaml")

# the second has one case more
case = system.record_failed_transcription(sys.argv[1], "kiss this guy", "kiss the sky", ["substitution"], 0.9, 0.4,
                                          speaker_id="newcomer")
second = system.prepare_finetuning_dataset(min_error_score=0.3, create_version=True)
assert second["total_samples"] > first["total_samples"]
old, new = first["version_id"], second["version_id"]
assert [each["version"] for each in control.list_versions()] == [new, old]
assert control.list_versions(min_quality_score=1.0) == []
assert sum(split["added"] for split in control.compare_versions(old, new)["splits"].values()) >= 1
assert [each["version"] for each in control.get_version_lineage(new)] == [new, old]
assert [each["version"] for each in control.get_version_lineage(old)] == [old]
assert "v9.9.9" in refused(control.get_version_lineage, "v9.9.9")
assert "one dataset" in refused(control.create_version, "data/other")
assert "nothing to release" in refused(control.create_version)
report = control.generate_version_report("reports/versions.json")
assert report == json.load(open("reports/versions.json"))
assert report["total_versions"] == 2 and sum(map(len, report["quality_buckets"].values())) == 2
assert report["fixed"][1]["cases"] == [case] and report["fixed"][1]["error_types"] == {"substitution": 1}, report
assert [each["cases"] for each in report["growth"]] == [first["total_samples"], second["total_samples"]]

# and back
done = control.rollback_to_version(old, "the second was wrong")
assert done["batches"] and git("status", "--porcelain") == ""
assert pipeline.get_dataset_info() == first
stats = system.get_system_statistics()["version_control"]
assert (stats["total_versions"], stats["latest_version"], stats["current_version"]) == (2, new, old)
"""


def test_the_life_of_versions_from_python(built: Clone, tmp_path: Path):
    clone = built.copy(tmp_path / "clone")
    clip = tmp_path / "clip.wav"
    clip.write_bytes(sound(seed=400))
    clone.run(sys.executable, "-c", LIFE, str(clip))
    said = clone.mondegreen("trace", "v1.1.0")
    assert "from v1.0.0: 1 case added, 0 removed" in said
