"""Label Studio: tasks as it documents them, and its exports as corrections, once each.

Against the documented formats; `make label-studio` holds the same against Label Studio's own SDK.
"""

import base64
import copy
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conftest import sound
from mondegreen import Recorder, correcting, ingest, label_studio, spool
from mondegreen.cli import main
from mondegreen.correctors import Suggestion
from mondegreen.errors import RecordError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").touch()
    with Recorder(tmp_path / "data/inbox") as recorder:
        for number in range(2):
            recorder.failure(
                sound(seed=number), original_transcript=f"KISS THIS GUY {number}", case_id=f"case-{number}"
            )
    ingest.ingest(tmp_path / "data/inbox", tmp_path / "data/raw", track=lambda batch: None)
    with Recorder(tmp_path / "data/inbox") as recorder:
        recorder.failure(sound(seed=3), original_transcript="", case_id="case-2", model_confidence=0.25)
        recorder.failure(None, original_transcript="no audio", case_id="case-3")
        recorder.failure(sound(seed=4), original_transcript="done", case_id="case-4")
        recorder.correction("case-4", "It is done.")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(*texts: str, choice: str | None = None) -> list[dict[str, Any]]:
    found = [{"from_name": "transcription", "to_name": "audio", "type": "textarea", "value": {"text": list(texts)}}]
    if choice:
        value = {"choices": [choice]}
        found.append({"from_name": "speech", "to_name": "audio", "type": "choices", "value": value})
    return found if texts else found[1:]


def annotation(id_: int, result: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    times = {"created_at": "2099-05-04T10:00:00.000000Z", "updated_at": f"2099-05-04T11:00:0{id_ % 10}.5Z"}
    who = {"completed_by": {"id": 7, "email": "ann@example.org"}, "was_cancelled": False, "lead_time": 4.5}
    return {"id": id_, "result": result, **times, **who, **changes}


def imported(root: Path) -> list[dict[str, Any]]:
    events = [event for part in spool.read(root / "data/inbox") for event in part.events]
    return [event for event in events if event["event_id"].startswith("label-studio-")]


def write(root: Path, items: Any) -> str:
    path = root / "export.json"
    path.write_text(json.dumps(items))
    return str(path)


def test_tasks_hold_what_the_configuration_asks_for(repository: Path, capsys):
    assert main(["label-studio", "export", "out", "--suggest", "case-restoration"]) == 0
    assert "wrote 3 tasks" in capsys.readouterr().out
    tasks = json.loads((repository / "out/tasks.json").read_text())
    assert [task["data"]["case_id"] for task in tasks] == ["case-0", "case-1", "case-2"]
    config = ElementTree.parse(repository / "out/config.xml").getroot()
    control = {tag.attrib["name"]: tag for tag in config if "toName" in tag.attrib}
    assert config.find("Audio").attrib["value"] == "$audio"
    for task in tasks:
        url = task["data"]["audio"]
        assert url.startswith("/data/local-files/?d=out/audio/")
        assert (repository / url.removeprefix("/data/local-files/?d=")).read_bytes()[:4] == b"RIFF"
        for prediction in task["predictions"]:
            for region in prediction["result"]:
                assert control[region["from_name"]].attrib["toName"] == region["to_name"]
                assert control[region["from_name"]].tag.lower() == region["type"]
    texts = [[each["result"][0]["value"]["text"] for each in task["predictions"]] for task in tasks]
    assert texts == [[["KISS THIS GUY 0"], ["Kiss this guy 0"]], [["KISS THIS GUY 1"], ["Kiss this guy 1"]], []]
    before = (repository / "out/tasks.json").read_bytes()
    assert main(["label-studio", "export", "out", "--suggest", "case-restoration"]) == 0
    assert (repository / "out/tasks.json").read_bytes() == before


def test_audio_by_url_or_embedded(repository: Path):
    assert main(["label-studio", "export", "out", "--audio-url", "https://example.org/", "--limit", "1"]) == 0
    [task] = json.loads((repository / "out/tasks.json").read_text())
    [clip] = (repository / "out/audio").iterdir()
    assert task["data"]["audio"] == f"https://example.org/{clip.name}"
    assert main(["label-studio", "export", "inside", "--embed"]) == 0
    task = json.loads((repository / "inside/tasks.json").read_text())[0]
    head, _, data = task["data"]["audio"].partition(",")
    assert head == "data:audio/wav;base64"
    assert base64.b64decode(data) == sound(seed=0)
    assert not (repository / "inside/audio").exists()


def test_annotations_become_corrections_once(repository: Path, capsys):
    assert main(["label-studio", "export", "out"]) == 0
    items = json.loads((repository / "out/tasks.json").read_text())
    for number, item in enumerate(items):
        item |= {"id": number, "annotations": []}
    items[0]["annotations"] = [
        annotation(1, answer("Kiss the sky.")),
        annotation(2, answer("kiss the skies"), completed_by=8),
        annotation(3, answer("skipped"), was_cancelled=True),
    ]
    items[1]["annotations"] = [annotation(4, answer(choice="Bad audio"))]
    items[2]["annotations"] = [annotation(5, answer(choice="No speech"))]
    file = write(repository, items)
    assert main(["label-studio", "import", file]) == 0
    assert "read 3 corrections and 1 other decision" in capsys.readouterr().out
    found, ranked = correcting.read(repository, repository / "data/inbox")
    rows = found.set_index("case_id")
    assert rows.loc["case-0", "corrected_transcript"] == "kiss the skies"
    assert rows.loc["case-0", "conflicting_corrections"] == 1
    assert set(ranked.loc[ranked["case_id"] == "case-0", "author"]) == {"ann@example.org", "label-studio-user-8"}
    assert not rows.loc["case-2", "is_speech"]
    assert "bad" in rows.loc["case-1", "audio_error"]
    first = imported(repository)
    assert first[0]["metadata"] == {"label_studio": {"task": "0", "annotation": "1", "lead_time": 4.5}}
    assert first[0]["recorded_at"] == "2099-05-04T11:00:01.500000Z"

    for _ in range(2):
        assert main(["label-studio", "import", file, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["known"] == 4
        assert imported(repository) in (first, [])
        ingest.ingest(repository / "data/inbox", repository / "data/raw", track=lambda batch: None)

    edited = copy.deepcopy(items)
    edited[0]["annotations"][0] |= {"result": answer("Kiss the pie."), "updated_at": "2099-06-01T00:00:00Z"}
    assert main(["label-studio", "import", write(repository, edited)]) == 0
    [event] = imported(repository)
    assert event["corrected_transcript"] == "Kiss the pie."


def test_json_min_imports_as_the_same_events():
    times = {"created_at": "2099-05-04T10:00:00.000000Z", "updated_at": "2099-05-04T11:00:01.5Z"}
    data = {"audio": "x.wav", "case_id": "case-0"}
    common = {**data, "id": 3, "annotator": "ann@example.org", "annotation_id": 1, "lead_time": 4.5, **times}
    pairs: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
        (answer("Kiss the sky."), {"transcription": "Kiss the sky."}),
        (answer("Kiss", "the sky."), {"transcription": {"text": ["Kiss", "the sky."]}}),
        (answer("Kiss") + answer("the sky."), {"transcription": ["Kiss", "the sky."]}),
        (answer(choice="No speech"), {"speech": "No speech"}),
        (answer("what?", choice="Unsure"), {"transcription": "what?", "speech": "Unsure"}),
    ]
    for result, small in pairs:
        [whole] = label_studio.annotations({"id": 3, "data": data, "annotations": [annotation(1, result)]})
        [least] = label_studio.annotations(common | small)
        assert whole.event() == least.event()
    assert list(label_studio.annotations({**data, "id": 3, "annotation_id": None})) == []


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"id": 1, "data": {"audio": "x"}, "annotations": []}, "case_id=None"),
        ({"id": 1, "data": {"case_id": "c"}, "annotations": [annotation(1, [])]}, "transcription=''"),
        (
            {"id": 1, "data": {"case_id": "c"}, "annotations": [annotation(1, answer("x"), updated_at="today")]},
            "recorded_at='today'",
        ),
    ],
)
def test_what_cannot_be_right_is_said_and_the_rest_imported(item: dict, says: str, repository: Path, capsys):
    good = {"id": 2, "data": {"case_id": "later"}, "annotations": [annotation(9, answer("Kiss the sky."))]}
    assert main(["label-studio", "import", write(repository, [item, good])]) == 1
    said = capsys.readouterr()
    assert f"item 1: {says}" in said.err
    assert "no case later is recorded here: kept" in said.err
    assert len(imported(repository)) == 1


@pytest.mark.parametrize("content", ["{}", "[1]", "no JSON", "[" * 100_000])
def test_a_file_that_is_no_export_is_named(content: str, repository: Path, capsys):
    (repository / "export.json").write_text(content)
    assert main(["label-studio", "import", "export.json"]) == 1
    assert "export it as JSON or JSON-MIN" in capsys.readouterr().err


def test_what_is_asked_for_and_cannot_be_is_said(repository: Path, capsys):
    assert main(["label-studio", "import", "nowhere.json"]) == 1
    assert capsys.readouterr().err == "mondegreen: nowhere.json is not there: give the path of an export\n"
    assert main(["label-studio", "export", "out", "--limit", "0"]) == 1
    assert capsys.readouterr().err == "mondegreen: --limit=0: expected a number from 1 on\n"
    assert not (repository / "out").exists()


def test_a_suggestion_without_text_is_no_prediction():
    case = {"case_id": "c", "original_transcript": " ", "model_confidence": None}
    task = label_studio.task(case, "x.wav", [Suggestion("kiss the sky", 0.5, "model:ears")])
    [only] = task["predictions"]
    assert (only["model_version"], only["score"]) == ("model:ears", 0.5)
    with pytest.raises(RecordError):
        list(label_studio.annotations({"annotations": []}))
