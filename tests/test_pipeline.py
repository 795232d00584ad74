"""The pipeline as users run it: a real DVC and Git in a temporary clone."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from clone import Clone
from closure import imported_modules
from cloud import Emulator, run
from conftest import ROOT, sound

pytestmark = pytest.mark.dvc

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("clones") / "clone")
    made.run("dvc", "repro", "--quiet")
    return made


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
    assert clone.git("status", "--porcelain") == "", "dvc.lock or a metrics file changed: another result than committed"
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
    clone.run("dvc", "repro", "--quiet")
    assert set(freeze) <= set(_case_ids(clone, "test"))
    clone.git("reset", "-q", "--hard")

    shutil.rmtree(clone.path / ".dvc/cache")
    clone.git("checkout", "-q", version)
    clone.run("dvc", "checkout", "--quiet", "--force", status=255)
    clone.git("checkout", "-q", "main")
    clone.run("dvc", "pull", "--quiet", "--force")
    assert "up to date" in clone.run("dvc", "status")
    assert sum(clone.metrics("split")["sizes"].values()) == rows + 4


API = """
import json, os, sys
os.environ["NO_GCE_CHECK"] = "true"
sys.path.insert(0, "stages")
import pandas
from datasets import Audio, load_dataset
from mondegreen import MondegreenError
from mondegreen.integration import IntegratedDataManagementSystem

system = IntegratedDataManagementSystem("data/inbox")
for number in range(3):
    system.record_failed_transcription(sys.argv[1 + number], f"kiss this guy {number}", f"kiss the sky {number}",
                                       ["substitution"], 0.9, 0.4, speaker_id="new")
waiting = system.record_failed_transcription(sys.argv[4], "nobody corrected this", speaker_id="newer")
facts = system.prepare_finetuning_dataset(min_error_score=0.3, max_samples=60, include_uncorrected=True)
dataset = load_dataset(facts["local_path"], cache_dir=sys.argv[5]).cast_column("audio", Audio(decode=False))
assert {split: len(rows) for split, rows in dataset.items()} == facts["sizes"], facts
copies = facts["origins"]["augmented"]
assert facts["train_size"] + facts["val_size"] + facts["test_size"] - copies == 60
assert facts["passed"] and facts["quality"]["uniqueness"] == 1.0
assert facts["left_out"]["below_min_error_score"] > 0 and facts["left_out"]["duplicate_audio"] == 1
unlabelled = dataset["unlabelled"].to_pandas()
assert waiting in set(unlabelled["case_id"]) and unlabelled["text"].isna().all()
met = set(dataset["test"]["speaker_id"]) | set(dataset["validation"]["speaker_id"])
assert not set(unlabelled["speaker_id"]) & met
for split in ("train", "validation", "test"):
    assert waiting not in set(dataset[split]["case_id"]) and None not in dataset[split]["text"]
pipeline = system.finetuning_pipeline
files = pipeline.prepare_huggingface_dataset(facts["dataset_id"], "json")
rows = [json.loads(line) for line in open(files["train"], encoding="utf-8")]
assert [row["case_id"] for row in rows] == dataset["train"]["case_id"][:]
table = pandas.read_csv(pipeline.prepare_huggingface_dataset(format="csv")["test"])
assert list(table["text"].fillna("")) == dataset["test"]["text"][:]
assert pipeline.validate_dataset()["passed"] and len(pipeline.list_datasets()) == 1
assert system.get_system_statistics()["available_datasets"] == 1
params = open("params.yaml").read()
for wrong in ({"min_error_score": 5}, {"max_samples": 2}):
    try:
        system.prepare_finetuning_dataset(**wrong)
        raise SystemExit(f"{wrong} was accepted")
    except MondegreenError:
        pass
    assert open("params.yaml").read() == params
    assert system.get_system_statistics()["available_datasets"] == 1
try:
    IntegratedDataManagementSystem("data/inbox", use_gcs=True, gcs_bucket_name="nowhere").sync_all_to_gcs()
    raise SystemExit("nothing was synced, and nobody said so")
except MondegreenError as error:
    assert "gs://nowhere" in str(error) and sys.argv[6] in str(error), error
late = system.record_failed_transcription(None, "this one waits in the inbox")
system.sync_all_to_gcs()
system.sync_all_from_gcs()
system.prepare_finetuning_dataset(min_error_score=0.3, max_samples=60, include_uncorrected=True)
report = system.generate_comprehensive_report(output_path="reports/weekly_report.json")
assert report == json.load(open("reports/weekly_report.json")) == json.load(open("data/report/report.json"))
assert {"system_statistics", "performance_trends", "data_quality_assessment", "recommendations"} <= report.keys()
"""


def test_the_pipeline_from_python(clone: Clone, tmp_path: Path):
    clips = []
    for number in range(4):
        clips.append(tmp_path / f"{number}.wav")
        clips[-1].write_bytes(sound(seed=200 + number))
    remote = tmp_path / "remote"
    clone.run("dvc", "config", "--local", "remote.local.url", str(remote))
    clone.run(sys.executable, "-c", API, *map(str, clips), str(tmp_path / "cache"), str(remote))
    pushed = [path.read_bytes() for path in remote.rglob("*") if path.is_file()]
    assert any(b"this one waits in the inbox" in content for content in pushed), "what waited was not synced"
    changed = [line for line in clone.git("diff", "-U0", "HEAD", "params.yaml").splitlines() if line.startswith("+ ")]
    assert all("#" in line for line in changed), "comments stay"
    clone.git("reset", "-q", "--hard")
    clone.run("dvc", "checkout", "--quiet", "--force")


MIXED = """
import json, sys
sys.path[:0] = ["stages", sys.argv[1]]
from conftest import sound
from datasets import Audio, load_dataset
from mondegreen import DataManager, FinetuningDatasetPipeline, MondegreenError, Recorder
from mondegreen.finetuning_pipeline import set_params
from mondegreen import ingest, repository
from pathlib import Path
with Recorder("data/inbox") as recorder:
    for number in range(30):
        said = f"the agent was right {number}"
        clip, voice = sound(seed=700 + number), f"q{number}"
        recorder.inference(failed=False, audio=clip, confirmed_transcript=said, speaker_id=voice)
ingest.ingest(Path("data/inbox"), Path("data/raw"), track=repository.track)
set_params(Path("params.yaml"), {"replay.ratio": 0.1, "replay.retention": 10})
pipeline = FinetuningDatasetPipeline(DataManager("data/inbox"))
facts = pipeline.augment_dataset(pipeline.get_dataset_info()["dataset_id"], 1, ["noise", "gain"])
assert facts["passed"], facts
dataset = load_dataset(facts["local_path"], cache_dir=sys.argv[2]).cast_column("audio", Audio(decode=False))
assert {split: len(rows) for split, rows in dataset.items()} == facts["sizes"], facts
train = dataset["train"].to_pandas()
origins = train["origin"].value_counts()
assert 100 < origins["failure"] <= origins["augmented"] < origins["failure"] + 10, facts  # rare types get more copies
assert origins["replay"] == round(0.1 * origins["failure"]), facts
copies = train[train["origin"] == "augmented"]
assert {name for plan in copies["augmentation"] for name in json.loads(plan)} == {"noise", "noise_snr", "gain"}
assert set(dataset["retention"]["origin"]) == {"replay"} and len(dataset["retention"]) == 10
assert not set(dataset["retention"]["speaker_id"]) & set(train["speaker_id"])
for wrong in ({"methods": ["echo"]}, {"factor": -1}, {"dataset_id": "another"}):
    before = open("params.yaml").read()
    try:
        pipeline.augment_dataset(**wrong)
        raise SystemExit(f"{wrong} was accepted")
    except MondegreenError:
        assert open("params.yaml").read() == before
with open("retention.jsonl", "w") as file:
    for row in dataset["retention"]:
        print(json.dumps({"case_id": row["case_id"], "hypothesis": row["text"]}), file=file)
"""


def test_copies_and_replay_from_python(clone: Clone, tmp_path: Path):
    try:
        clone.run(sys.executable, "-c", MIXED, str(ROOT / "tests"), str(tmp_path / "cache"))
        said = clone.mondegreen("evaluate", "retention.jsonl", "--split", "retention", "--no-record", "--json")
        found = json.loads(said)
        assert (found["split"], found["cases"], found["normalised"]["wer"]["value"]) == ("retention", 10, 0.0)
        assert not any("recorded mistakes" in note for note in found["notes"])
    finally:
        clone.git("reset", "-q", "--hard")
        clone.git("clean", "-q", "-fd", "--", ".", ":!data")
        for batch in (clone.path / "data/raw").glob("2*"):
            shutil.rmtree(batch) if batch.is_dir() else batch.unlink()
        clone.run("dvc", "checkout", "--quiet", "--force")


PREDICTIONS = """
import json, pandas
rows = pandas.read_parquet("data/splits.parquet").query("split == 'test'")
for name, column in (("before", "original_transcript"), ("predictions", "corrected_transcript")):
    with open(f"{name}.jsonl", "w") as file:
        for case_id, text in zip(rows["case_id"], rows[column]):
            print(json.dumps({"case_id": case_id, "hypothesis": text}), file=file)
"""


def test_the_readme_runs(clone: Clone, tmp_path: Path):
    """Every command and every Python block of the README, in order, as it stands there."""
    clone.run("dvc", "config", "--local", "remote.local.url", str(tmp_path / "remote"))
    script = tmp_path / "bin/mondegreen"
    script.parent.mkdir()
    code = "import sys; sys.path.insert(0, 'stages'); from mondegreen.cli import main; sys.exit(main())"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    script.chmod(0o755)
    path = f"PATH={script.parent}:$PATH"
    for seed, name in enumerate(("audio/sample.wav", "clips/a.wav", "clips/b.wav", "call.wav"), 900):
        (clone.path / name).parent.mkdir(exist_ok=True)
        (clone.path / name).write_bytes(sound(seed=seed))
    (clone.path / "failures.csv").write_text(
        "audio,hypothesis,reference\na.wav,kiss this guy,kiss the sky\nb.wav,,there's a bathroom on the right\n"
    )
    hub = tmp_path / "hub.git"
    clone.git("clone", "-q", "--bare", ".", str(hub))
    clone.git("remote", "add", "origin", str(hub))
    clone.git("push", "-q", "-u", "origin", "main")
    (clone.path / "readings").mkdir()
    (clone.path / "readings/a.wav").write_bytes(sound(seed=77))
    (clone.path / "readings/metadata.csv").write_text("file_name,transcription\na.wav,kiss the sky\n")
    for block in clone.readme("python"):
        clone.run(sys.executable, "-c", f"import sys; sys.path.insert(0, 'stages')\n{block}")
    lines = [line for block in clone.readme("") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith(("mondegreen ", "dvc ", "git "))]
    assert len(commands) >= 9
    for command in commands:
        if command.startswith("mondegreen evaluate"):
            clone.run(sys.executable, "-c", PREDICTIONS)
        if command.startswith("mondegreen review"):
            _visit(clone, f"{path}; exec {command}")
        elif not command.startswith("git clone"):
            clone.run("bash", "-c", f"set -e; {path}; {command}")
    assert clone.metrics("collect")["batches"] >= 2
    assert {"Two hundred corrections from May", "Corrections of May"} <= set(
        clone.git("log", "--format=%s").splitlines()
    )
    assert "refs/tags/dataset@v1.0.0" in clone.git("ls-remote", "--tags", "origin")


def _visit(clone: Clone, command: str) -> None:
    """Start the review page, look at it, and end it (not by SIGINT: a suite in the background ignores that)."""
    running = subprocess.Popen(
        ["bash", "-c", command], cwd=clone.path, env=clone.env, stdout=subprocess.PIPE, text=True
    )
    with running:
        try:
            assert "cases wait" in running.stdout.readline()
            with urllib.request.urlopen(running.stdout.readline().strip()) as page:
                assert b"What was really said" in page.read()
        finally:
            running.send_signal(signal.SIGTERM)
            running.communicate(timeout=60)  # its last words: with the pipe closed before them, it would fail
    assert running.returncode == 0


def _case_ids(clone: Clone, split: str) -> list[str]:
    code = f"import pandas; t = pandas.read_parquet('data/splits.parquet'); print(*t.case_id[t.split == '{split}'])"
    return clone.run(sys.executable, "-c", code).split()


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


def test_a_version_comes_back_from_the_cloud(clone: Clone, tmp_path: Path):
    """A fresh clone with an empty cache: Git and `dvc pull` alone give the release's very bytes."""
    files = {path.name: path.read_bytes() for path in (clone.path / "data/dataset").rglob("*") if path.is_file()}
    before, env = clone.git("rev-parse", "HEAD").strip(), clone.env
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
    clone.env = env
    clone.git("tag", "-d", "dataset@v9.9.9")
    clone.git("reset", "-q", "--hard", before)
    clone.run("dvc", "checkout", "--quiet")
    assert back == files
