"""Label Studio: cases as tasks with pre-annotations, and annotations as corrections.

Formats as documented at labelstud.io: predictions in /guide/predictions, annotations in /guide/task_format (JSON) and
/guide/export (JSON-MIN). `CONFIG` is the template "Automatic Speech Recognition" with a choice for clips in which there
is nothing to transcribe. The suite tests against the documented formats; `make label-studio` holds tasks and exports
against Label Studio's own SDK, in an environment of its own, since the SDK's pins do not go together with this
project's.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mondegreen import events
from mondegreen.correctors import Suggestion
from mondegreen.errors import DataError, RecordError
from mondegreen.events import Event

NO_SPEECH, UNSURE, BAD_AUDIO = "No speech", "Unsure", "Bad audio"

CONFIG = f"""<View>
  <Audio name="audio" value="$audio" zoom="true" hotkey="ctrl+enter" />
  <Header value="What is said?" />
  <TextArea name="transcription" toName="audio" rows="4" editable="true" maxSubmissions="1" />
  <Choices name="speech" toName="audio" choice="single" showInline="true">
    <Choice value="{NO_SPEECH}" hotkey="n" />
    <Choice value="{UNSURE}" hotkey="u" />
    <Choice value="{BAD_AUDIO}" hotkey="b" />
  </Choices>
</View>
"""
"""The labeling configuration that tasks and annotations belong to."""

_SHOWN = ("case_id", "original_transcript", "language", "speaker_id", "recording_id", "model_version")
_DECISIONS = {UNSURE: "unsure", BAD_AUDIO: "bad_audio"}


def task(case: Mapping[str, Any], audio: str, suggestions: Iterable[Suggestion] = ()) -> dict[str, Any]:
    """Return a case as a task; `audio` is a URL, the transcript and the suggestions are its predictions.

    An empty transcript is no prediction: there is nothing to edit.
    """
    found = [(case.get("model_version") or "original", case["original_transcript"], case.get("model_confidence"))]
    found += [(each.method, each.text, each.confidence) for each in suggestions]
    return {
        "data": {"audio": audio} | {name: case[name] for name in _SHOWN if case.get(name) is not None},
        "predictions": [
            {"model_version": name, "result": [_region(text)]} | ({} if score is None else {"score": score})
            for name, text, score in found
            if text.strip()
        ],
    }


def _region(text: str) -> dict[str, Any]:
    """Return a transcription as a result of `CONFIG`; its id follows from the text."""
    id_ = hashlib.sha256(text.encode()).hexdigest()[:10]
    return {
        "id": id_,
        "from_name": "transcription",
        "to_name": "audio",
        "type": "textarea",
        "value": {"text": [text]},
    }


@dataclass(frozen=True)
class Annotation:
    """What one annotator said of one task; `choice` is one of `CONFIG`'s, or ''."""

    case_id: str
    text: str
    choice: str
    annotation_id: str
    task_id: str
    author: str | None
    updated_at: str | None
    lead_time: float | None

    def event(self) -> Event:
        """Return it as a correction, or as a review where nothing was transcribed; its id follows from what it says.

        So the same annotation makes the same event from JSON and from JSON-MIN, and one that was edited since makes
        another. Raises `RecordError` where it says nothing, or cannot be right.
        """
        says = [self.case_id, self.annotation_id, self.updated_at, self.text, self.choice]
        facts = {"task": self.task_id, "annotation": self.annotation_id, "lead_time": self.lead_time}
        common: dict[str, Any] = {
            "event_id": f"label-studio-{hashlib.sha256(json.dumps(says).encode()).hexdigest()[:32]}",
            "case_id": self.case_id,
            "author": self.author,
            "metadata": {"label_studio": {name: value for name, value in facts.items() if value is not None}},
        }
        if self.updated_at is not None:
            common["recorded_at"] = self.updated_at
        if self.choice in _DECISIONS:
            return events.make_event("review", decision=_DECISIONS[self.choice], **common)
        silent = self.choice == NO_SPEECH
        if not silent and not self.text.strip():
            raise RecordError("transcription", self.text, f"a text, or the choice {NO_SPEECH!r}")
        text, is_speech = ("", False) if silent else (self.text, None)
        return events.make_event(
            "correction", corrected_transcript=text, is_speech=is_speech, method="manual", **common
        )


def read(path: Path) -> list[dict[str, Any]]:
    """Return the items of an export, JSON or JSON-MIN; raises `DataError` where the file holds no list of objects."""
    try:
        items = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there: give the path of an export") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({str(error)[:200]}): export it as JSON or JSON-MIN") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise DataError(f"{path} is no list of tasks: export it as JSON or JSON-MIN")
    return items


def annotations(item: Mapping[str, Any]) -> Iterator[Annotation]:
    """Yield the annotations of one item of an export; a task that nobody has annotated, or only skipped, has none.

    Raises `RecordError` where the item names no case.
    """
    whole = "annotations" in item or "data" in item
    data: Any = item.get("data") if whole else item
    case_id = data.get("case_id") if isinstance(data, dict) else None
    if not isinstance(case_id, str):
        raise RecordError("case_id", case_id, "the case of the task, as `mondegreen label-studio export` wrote it")
    if not whole:
        if item.get("annotation_id") is not None:
            yield _annotation(case_id, item, item.get, "annotation_id", "annotator", item.get("id"))
        return
    for made in _listed(item.get("annotations")):
        if isinstance(made, dict) and not made.get("was_cancelled"):
            values = _by_control(_listed(made.get("result")))
            yield _annotation(case_id, made, values.get, "id", "completed_by", item.get("id"))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _by_control(result: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the values of an annotation's regions by the control that made them, in the order of their time."""
    found: dict[str, list[Any]] = {}
    for region in result:
        if isinstance(region, dict) and isinstance(region.get("value"), dict):
            found.setdefault(str(region.get("from_name")), []).append(region["value"])
    return {name: sorted(values, key=_start) for name, values in found.items()}


def _start(value: Mapping[str, Any]) -> int | float:
    start = value.get("start")
    return start if isinstance(start, int | float) and start == start else 0  # NaN has no order


def _annotation(
    case_id: str, made: Mapping[str, Any], value: Callable[[str], Any], id_: str, by: str, task_id: Any
) -> Annotation:
    choices = _texts(value("speech"))
    stamp = made.get("updated_at") or made.get("created_at")
    lead_time = made.get("lead_time")
    return Annotation(
        case_id=case_id,
        text=" ".join(_texts(value("transcription"))),
        choice=choices[0] if choices else "",
        annotation_id=str(made.get(id_)),
        task_id=str(task_id),
        author=_author(made.get(by)),
        updated_at=stamp if isinstance(stamp, str) else None,
        lead_time=lead_time if isinstance(lead_time, int | float) else None,
    )


def _texts(value: Any) -> list[str]:
    """Return the texts of a control's value: one, a list, or objects that hold them, as both formats write them."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return _texts(value.get("text") or value.get("choices") or [])
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else []


def _author(who: Any) -> str | None:
    """Return who annotated: the e-mail address where the export has it, else Label Studio's number of the person."""
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    if isinstance(who, int) and not isinstance(who, bool):
        return f"label-studio-user-{who}"
    return who if isinstance(who, str) and who.strip() else None
