"""The recorder's promises: what is acknowledged stays, what can never be right is refused, nothing else is lost."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT, sound
from mondegreen import MondegreenError, Recorder, events, spool
from mondegreen.errors import RecordError, SpoolError


def recorded(inbox: Path) -> list[events.Event]:
    return [event for contents in spool.read(inbox) for event in contents.events]


def test_a_failure_is_on_disk_when_the_call_returns(recorder: Recorder):
    case_id = recorder.failure(
        sound(), original_transcript="kiss this guy", error_types=["substitution"], error_score=0.8, speaker_id="s1"
    )
    [event] = recorded(recorder.path)
    assert event["case_id"] == case_id == event["event_id"]
    assert event["original_transcript"] == "kiss this guy"
    assert event["audio"]["bytes"] == len(sound())
    assert spool.audio_path(recorder.path, event["audio"]).read_bytes() == sound()


def test_every_kind_of_event(recorder: Recorder):
    case_id = recorder.failure(None, original_transcript="")
    recorder.correction(case_id, "kiss the sky", author="ann")
    recorder.review(case_id, "unsure", author="ann")
    recorder.hearing(case_id, "kiss a sky", model_version="ears", model_confidence=0.5)
    recorder.inference(inference_time=0.5, failed=True, audio_seconds=2.0)
    recorder.record("utterance", audio=recorder.store(sound()), transcript="the sky", source="readings")
    recorder.performance(wer=0.12, cer=0.06, model_version="m1", loss=0.3)
    recorder.model_version("m2", parent="m1", training_data_size=100)
    recorder.learning_progress("epoch 1", {"loss": 0.2})
    recorder.withdrawal(reason="asked to", speaker_id="s1")
    recorder.record("erasure", asked="0" * 64, line="1" * 64)
    assert [event["event"] for event in recorded(recorder.path)] == list(events.FIELDS)
    assert recorded(recorder.path)[6]["metrics"] == {"loss": 0.3}


@pytest.mark.parametrize("ext", [".WAV", "", ".tar.gz/x", ".ünïcode", ".averyveryverylongextension"])
def test_audio_of_any_name_is_stored(recorder: Recorder, tmp_path: Path, ext: str):
    path = tmp_path / f"a clip\n{ext.replace('/', '_')}"
    path.write_bytes(sound())
    recorder.failure(path, original_transcript="x")
    [event] = recorded(recorder.path)
    assert spool.audio_path(recorder.path, event["audio"]).read_bytes() == sound()
    assert event["source_path"] == str(path)


def test_a_file_name_that_is_no_utf8_is_kept_readable(recorder: Recorder, tmp_path: Path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    Path(os.fsdecode(path)).write_bytes(sound())
    recorder.failure(os.fsdecode(path), original_transcript="x")
    assert recorded(recorder.path)[0]["source_path"].endswith("caf\\xe9.wav")


@pytest.mark.parametrize("audio", ["missing.wav", ".", "a\0b.wav"])
def test_audio_that_cannot_be_read_does_not_cost_the_case(recorder: Recorder, caplog, audio: str):
    with caplog.at_level(logging.WARNING):
        recorder.failure(audio, original_transcript="x")
    [event] = recorded(recorder.path)
    assert event["audio"] is None
    assert event["source_path"] == audio
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("original_transcript", None),
        ("original_transcript", 7),
        ("error_score", 7.5),
        ("error_score", float("nan")),
        ("error_score", True),
        ("model_confidence", -0.1),
        ("inference_time", float("inf")),
        ("start", "1.0"),
        ("error_types", "all_caps"),
        ("error_types", [1]),
        ("speaker_id", ""),
        ("case_id", 12),
        ("case_id", "a\nb"),
        ("is_speech", "yes"),
        ("metadata", [1]),
    ],
)
def test_what_can_never_be_right_is_refused_and_nothing_is_written(recorder: Recorder, field: str, value: object):
    with pytest.raises(ValueError, match=field) as error:
        recorder.failure(sound(), **{"original_transcript": "x", field: value})
    assert isinstance(error.value, MondegreenError)
    assert not recorder.path.exists()


def test_refusals_of_other_events(recorder: Recorder):
    with pytest.raises(RecordError, match="method"):
        recorder.correction("c", "x", method="guess")
    with pytest.raises(RecordError, match=r"wer=-3"):
        recorder.performance(wer=-3, cer=0.1)
    with pytest.raises(RecordError, match=r"metrics\.loss"):
        recorder.performance(wer=0.1, cer=0.1, loss=float("nan"))
    with pytest.raises(RecordError, match="either case_id or speaker_id"):
        recorder.withdrawal(reason="both", case_id="c", speaker_id="s")
    with pytest.raises(RecordError, match="durability"):
        Recorder("x", durability="none")


def test_metadata_never_costs_the_event(recorder: Recorder):
    loop: dict[str, object] = {}
    loop["self"] = loop
    recorder.failure(None, original_transcript="x", metadata={"a": "\ud800"})
    for metadata in ({"path": Path("x"), "nan": float("nan")}, loop, {("a", 1): 2}):
        recorder.failure(None, original_transcript="x", metadata=metadata)
    assert recorded(recorder.path)[0]["metadata"] == {"a": "\ufffd"}
    assert recorded(recorder.path)[1]["metadata"] == {"path": "x", "nan": "NaN"}
    assert all(event["metadata"] for event in recorded(recorder.path))


@given(text=st.text(st.characters(), max_size=50))
def test_any_transcript_survives(tmp_path_factory, text: str):
    inbox = tmp_path_factory.mktemp("inbox")
    with Recorder(inbox, durability="os") as recorder:
        recorder.failure(None, original_transcript=text)
    [event] = recorded(inbox)
    assert event["original_transcript"] == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_ids_grow_although_the_clock_jumps_back(monkeypatch):
    first = events.new_id()
    monkeypatch.setattr(events.time, "time_ns", lambda: 0)
    later = [events.new_id() for _ in range(1000)]
    assert sorted([first, *later]) == [first, *later]
    assert len(set(later)) == 1000


def test_any_year_can_be_read_back():
    event = events.make_event("learning_progress", stage="s", metrics={}, recorded_at="0001-01-01")
    assert events.decode(events.encode(event)) == event
    assert event["recorded_at"] == "0001-01-01T00:00:00.000000Z"


def test_threads_share_one_segment(recorder: Recorder):
    def work():
        for _ in range(50):
            recorder.failure(None, original_transcript="x")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({event["case_id"] for event in recorded(recorder.path)}) == 400
    assert len(spool.segments(recorder.path)) == 1


def _record_many(inbox: Path, count: int) -> None:
    with Recorder(inbox) as recorder:
        for number in range(count):
            recorder.failure(None, original_transcript=f"{os.getpid()} {number}")


def test_eight_processes_record_a_thousand_events_each(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_record_many, args=(tmp_path, 1000)) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert len({event["original_transcript"] for event in recorded(tmp_path)}) == 8000


def test_a_forked_child_writes_a_segment_of_its_own(recorder: Recorder):
    recorder.failure(None, original_transcript="parent")
    child = os.fork()
    if child == 0:
        recorder.failure(None, original_transcript="child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    recorder.failure(None, original_transcript="parent again")
    assert sorted(event["original_transcript"] for event in recorded(recorder.path)) == [
        "child",
        "parent",
        "parent again",
    ]
    assert len(spool.segments(recorder.path)) == 2


def test_a_torn_tail_is_skipped_and_never_appended_to(recorder: Recorder):
    recorder.failure(None, original_transcript="whole")
    [segment] = spool.segments(recorder.path)
    recorder.close()
    with segment.open("ab") as file:
        file.write(b'{"schema":1,"event":"fail')
    recorder.failure(None, original_transcript="after the crash")
    found = {
        contents.torn: [event["original_transcript"] for event in contents.events]
        for contents in spool.read(recorder.path)
    }
    assert found == {True: ["whole"], False: ["after the crash"]}


def test_a_full_disk_is_an_error_and_the_torn_segment_is_left(recorder: Recorder, monkeypatch):
    recorder.failure(None, original_transcript="before")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(SpoolError, match="disk full"):
        recorder.failure(None, original_transcript="lost, and the caller knows")
    monkeypatch.undo()
    recorder.failure(None, original_transcript="after")
    assert [event["original_transcript"] for event in recorded(recorder.path)] == ["before", "after"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "inbox").write_text("a file where the folder should be")
    with pytest.raises(SpoolError, match="inbox"):
        Recorder(tmp_path / "inbox").failure(None, original_transcript="x")


def test_a_large_segment_is_finished_and_a_new_one_begun(recorder: Recorder, monkeypatch):
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    for _ in range(20):
        recorder.failure(None, original_transcript="x" * 100)
    assert len(spool.segments(recorder.path)) > 2
    assert len(recorded(recorder.path)) == 20


KILLED = """
import sys
from mondegreen import Recorder
recorder = Recorder(sys.argv[1])
print("ready", flush=True)
while True:
    print(recorder.failure(b"RIFF" + bytes(5000), original_transcript="x"), flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path):
    acknowledged: set[str] = set()
    for round_ in range(15):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "stages")},
        ) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline().strip() for _ in range(2 + 3 * round_)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.read().split()
        acknowledged |= {line for line in lines if len(line) == 36}
    found = recorded(tmp_path)
    ids = [event["case_id"] for event in found]
    assert acknowledged <= set(ids)
    assert len(ids) == len(set(ids))
    for event in found:
        assert spool.audio_path(tmp_path, event["audio"]).stat().st_size == 5004


def test_a_call_writes_syncs_and_renames_in_the_order_that_survives_power_loss(tmp_path: Path):
    calls: list[str] = []
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from mondegreen import Recorder
        calls = []
        def spy(name, where, describe):
            real = getattr(where, name)
            def call(*args, **kwargs):
                calls.append(describe(*args))
                return real(*args, **kwargs)
            setattr(where, name, call)
        name = lambda fd: os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        recorder = Recorder(sys.argv[1])
        recorder.failure(None, original_transcript="opens the segment")
        spy("fsync", os, lambda fd: "fsync folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "fsync audio")
        spy("fdatasync", os, lambda fd: "fdatasync " + name(fd).rsplit(".", 1)[-1])
        spy("write", os, lambda fd, data: "write " + name(fd).rsplit(".", 1)[-1])
        spy("rename", Path, lambda a, b: "rename audio")
        recorder.failure(b"x" * 10, original_transcript="with audio")
        print(calls)
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, env=environment
    )
    calls = eval(done.stdout)
    assert [call for call in calls if call != "fsync folder"] == [
        "write new",
        "fsync audio",
        "rename audio",
        "write jsonl",
        "fdatasync jsonl",
    ]
    assert calls.index("rename audio") < len(calls) - 1 - calls[::-1].index("fsync folder") < calls.index("write jsonl")


def test_durability_os_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", lambda fd: pytest.fail("it waited"))
    with Recorder(tmp_path, durability="os") as recorder:
        recorder.failure(sound(), original_transcript="x")
    assert len(recorded(tmp_path)) == 1


def test_damaged_lines_are_named_and_the_rest_is_read(recorder: Recorder):
    recorder.failure(None, original_transcript="good")
    recorder.close()
    [segment] = spool.segments(recorder.path)
    good = json.loads(segment.read_text())
    bad = [b"{", b"[]", b"nonsense", b"\xff\xfe", json.dumps({**good, "schema": 2}).encode(), b"[" * 100_000]
    bad += [json.dumps({**good, "error_score": "NaN"}).encode(), b'{"schema":1,"event":"failure","error_score":NaN}']
    with segment.open("ab") as file:
        file.write(b"\n".join(bad) + b"\n")
    [contents] = spool.read(recorder.path)
    assert len(contents.events) == 1
    assert [damage.line for damage in contents.damaged] == list(range(2, 2 + len(bad)))
