"""Hold our tasks and imports against Label Studio's own SDK; `make label-studio` runs it in an environment of its own.

The labeling configuration and the predictions must pass the SDK's validation; annotations that the SDK makes up for
the configuration, and its conversion of an export to JSON-MIN, must import as the same events as the JSON itself.
"""

import json
import sys
import tempfile
from pathlib import Path

from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stages"))

from mondegreen import label_studio
from mondegreen.correctors import Suggestion
from mondegreen.events import encode

CASE = {"case_id": "case-1", "original_transcript": "kiss this guy", "language": "en", "model_confidence": 0.4}
ANNOTATORS = ({"id": 7, "email": "ann@example.org", "first_name": "Ann"}, 8)


def made() -> list[dict]:
    """Return two tasks with annotations as Label Studio exports them, one per answer that `CONFIG` allows."""
    answers = [[_textarea("Kiss the sky.")], [_choice("No speech")], [_choice("Unsure")]]
    answers += [[_textarea("kiss this"), _choice("Bad audio")], [_textarea("Kiss the", "sky.")]]
    tasks = []
    for number in (1, 2):
        task = label_studio.task(CASE | {"case_id": f"case-{number}"}, f"https://example.org/{number}.wav")
        annotations = [
            {
                "id": 10 * number + index,
                "completed_by": ANNOTATORS[index % 2],
                "result": [region | {"id": f"r{at}"} for at, region in enumerate(result)],
                "was_cancelled": False,
                "created_at": f"2026-05-04T10:0{index}:00.000000Z",
                "updated_at": f"2026-05-04T11:0{index}:00.123456Z",
                "lead_time": 4.5,
            }
            for index, result in enumerate(answers)
        ]
        annotations.append({**annotations[0], "id": 10 * number + 9, "was_cancelled": True})
        tasks.append({"id": number, **task, "annotations": annotations, "project": 1})
    return tasks


def _textarea(*texts: str) -> dict:
    return {"from_name": "transcription", "to_name": "audio", "type": "textarea", "value": {"text": list(texts)}}


def _choice(name: str) -> dict:
    return {"from_name": "speech", "to_name": "audio", "type": "choices", "value": {"choices": [name]}}


def lines(items: list[dict]) -> list[bytes]:
    """Return the events of an export's items, sorted."""
    return sorted(encode(each.event()) for item in items for each in label_studio.annotations(item))


def main() -> None:
    """Check, and say what was checked."""
    interface = LabelInterface(label_studio.CONFIG)
    interface.validate()
    task = label_studio.task(CASE, "https://example.org/1.wav", [Suggestion("kiss the sky", 0.9, "model:ears")])
    assert len(task["predictions"]) == 2
    for prediction in task["predictions"]:
        problems = interface.validate_prediction(prediction, return_errors=True)
        assert not problems, problems
    assert interface.validate_task({"data": task["data"]})  # with predictions, 2.1.2 calls itself wrongly
    exported = made()
    for annotation in (each for item in exported for each in item["annotations"]):
        assert interface.validate_annotation(annotation), annotation
    made_up = interface.generate_sample_annotation()
    assert made_up
    assert interface.validate_annotation(made_up)
    drawn = {"id": 3, "data": task["data"], "annotations": [{"id": 1, "completed_by": 1, **made_up}]}
    assert len(lines([drawn])) == 1
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "export.json")
        source.write_text(json.dumps(exported), encoding="utf-8")
        converter = Converter(config=label_studio.CONFIG, project_dir=folder, download_resources=False)
        converter.convert(str(source), folder, "JSON_MIN", is_dir=False)
        small = json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))
    assert len(small) == 10
    assert len(lines(exported)) == 10
    assert lines(small) == lines(exported), "JSON and JSON-MIN import as different events"
    print("Label Studio's SDK takes our tasks, and JSON and JSON-MIN import as the same 10 events")


if __name__ == "__main__":
    main()
