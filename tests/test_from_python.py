"""The pipeline from Python: `IntegratedDataManagementSystem` and `FinetuningDatasetPipeline` on real builds."""

import json
import sys
from pathlib import Path

import pytest

from clone import Clone
from conftest import ROOT, sound

pytestmark = pytest.mark.dvc


@pytest.fixture
def clone(built: Clone, tmp_path: Path) -> Clone:
    return built.copy(tmp_path / "clone")


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
    clone.run(sys.executable, "-c", MIXED, str(ROOT / "tests"), str(tmp_path / "cache"))
    said = clone.mondegreen("evaluate", "retention.jsonl", "--split", "retention", "--no-record", "--json")
    found = json.loads(said)
    assert (found["split"], found["cases"], found["normalised"]["wer"]["value"]) == ("retention", 10, 0.0)
    assert not any("recorded mistakes" in note for note in found["notes"])
