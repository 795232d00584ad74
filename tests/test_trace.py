"""`mondegreen trace`: the way of a case, from the inbox through a real build to the releases that contain it."""

import json
from pathlib import Path

import pandas as pd
import pytest

from clone import Clone
from conftest import sound
from mondegreen import Recorder, cli, snapshot, tracing
from mondegreen.errors import DataError
from mondegreen.tracing import Trace

pytestmark = pytest.mark.dvc


@pytest.fixture(scope="module")
def clone(built: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Released as v1.0.0; then a batch with three cases, built, released as v1.1.0; then one in the inbox."""
    made = built.copy(tmp_path_factory.mktemp("trace") / "clone")
    made.git("tag", "-a", "-m", "first", "dataset@v1.0.0")
    with Recorder(made.path / "data/inbox") as recorder:
        for name, seed in (("new-1", 301), ("new-2", 302), ("new-3", 303)):
            recorder.failure(sound(seed=seed), original_transcript=f"{name} guy", case_id=name, speaker_id="newcomer")
        recorder.correction("new-1", "new-1 <tag>", method="model:big", author="asr-9")
        recorder.correction("new-1", "new-1 sky", method="manual", author="ann")
        recorder.correction("new-1", "new-1 sly", method="rule:spelling")
        recorder.correction("new-2", "new-2 <inaudible> sky", method="manual", author="ann")
        recorder.withdrawal(case_id="new-3", reason="asked to")
    made.mondegreen("ingest")
    made.run("dvc", "repro", "--quiet")
    made.commit("three from Tuesday")
    made.git("tag", "-a", "-m", "second", "dataset@v1.1.0")
    with Recorder(made.path / "data/inbox") as recorder:
        recorder.failure(None, original_transcript="not yet", case_id="new-4")
        recorder.correction("new-2", "new-2 sky", method="manual", author="bob")
    return made


def trace(clone: Clone, case_id: str) -> Trace:
    return tracing.trace(clone.path, case_id)


def test_a_case_of_the_dataset(clone: Clone):
    found = trace(clone, "new-1")
    assert found.place == f"in {found.split} of the dataset"
    assert found.batch.startswith("20")
    assert found.commit is not None
    assert found.commit["subject"] == "three from Tuesday"
    assert found.commit["commit"] == clone.git("rev-parse", "HEAD").strip()
    made = [(each["method"], each.get("author"), each["won"]) for each in found.corrections]
    assert made == [("model:big", "asr-9", False), ("manual", "ann", True), ("rule:spelling", None, False)]
    assert found.releases == [{"version": "v1.1.0", "split": found.split}]
    assert found.reasons == []
    assert found.component == {"name": "new-1", "size": 1, "links": []}


def test_why_a_case_is_connected(clone: Clone):
    splits = pd.read_parquet(clone.path / "data/splits.parquet")
    component = splits["component"].value_counts().index[0]
    members = splits[splits["component"] == component]
    case = members.iloc[0]
    found = trace(clone, case["case_id"])
    assert found.component is not None
    assert found.component["size"] == len(members)
    links = {link["kind"]: link["cases"] for link in found.component["links"]}
    same = members["case_id"][(members["speaker_id"] == case["speaker_id"]) & (members["case_id"] != case["case_id"])]
    assert set(links["speaker_id"]) >= set(same)
    assert [each["version"] for each in found.releases] == ["v1.0.0", "v1.1.0"]
    assert found.releases[-1]["split"] == found.split
    for release in found.releases:  # the first has no ledger: a case of it may have moved since
        held = snapshot.at(clone.path, release["version"]).table("data/splits.parquet", ["case_id", "split"])
        assert list(held["split"][held["case_id"] == case["case_id"]]) == [release["split"]]


def test_a_rejected_a_withdrawn_and_a_waiting_case(clone: Clone, monkeypatch, capsys):
    rejected = trace(clone, "new-2")
    assert rejected.place == "rejected"
    assert [reason["reason"] for reason in rejected.reasons] == ["markup_in_text"]
    assert rejected.reasons[0]["remedy"]
    assert [(each["author"], each["batch"] != "", each["won"]) for each in rejected.corrections] == [
        ("ann", True, False),
        ("bob", False, True),
    ]
    assert rejected.releases == []
    waiting = trace(clone, "new-4")
    assert waiting.place.startswith("waits in the inbox")
    assert (clone.path / "data/inbox/events" / waiting.segment).is_file()
    assert (waiting.batch, waiting.commit, waiting.measured) == ("", None, None)
    monkeypatch.chdir(clone.path)
    assert cli.main(["trace", "new-3"]) == 0
    said = capsys.readouterr().out
    assert "new-3: withdrawn" in said
    assert "asked to" in said
    assert "guy" not in said, "what was withdrawn is not shown"


def test_what_the_command_prints(clone: Clone, monkeypatch, capsys):
    monkeypatch.chdir(clone.path)
    assert cli.main(["trace", "new-1"]) == 0
    said = capsys.readouterr().out
    for words in ("new-1 guy", "speaker newcomer", "three from Tuesday", "manual by ann, won: new-1 sky", "v1.1.0 ("):
        assert words in said
    assert cli.main(["trace", "new-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["case_id"] == "new-1"


def test_an_unknown_case_names_those_like_it(clone: Clone):
    with pytest.raises(DataError, match="no case 'new1' in any batch or the inbox; like it: new-1"):
        trace(clone, "new1")
    with pytest.raises(DataError, match="like it: new-"):
        trace(clone, "new-")
    with Recorder(clone.path / "data/inbox") as recorder:
        recorder.correction("orphan", "said early", method="manual", author="ann")
    with pytest.raises(DataError, match="no case 'orphan' yet: 1 corrections"):
        trace(clone, "orphan")


def test_what_is_an_event_but_no_case_is_told(clone: Clone):
    with Recorder(clone.path / "data/inbox") as recorder:
        recorder.inference(inference_time=0.4, failed=False)
    [event] = [each for each in tracing._inbox(clone.path) if each["event"] == "inference"]
    with pytest.raises(DataError, match="is no case: an event inference of the inbox"):
        trace(clone, event["event_id"])


def test_a_case_named_like_a_part_of_a_line_is_not_another_one(clone: Clone, tmp_path: Path):
    with pytest.raises(DataError, match="no case 'newcomer'"):
        trace(clone, "newcomer")
