"""Import: files of rows become the same events, whatever their format; a bad row costs nobody else anything."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import sound
from mondegreen import cli, columns, events, importer, sources, spool
from mondegreen.errors import DataError
from mondegreen.ingest import ingest

MAPPED = {"original_transcript": "hyp", "corrected_transcript": "ref"}


def recorded(inbox: Path, kind: str | None = None) -> list[events.Event]:
    found = [event for contents in spool.read(inbox) for event in contents.events]
    return [event for event in found if kind in (None, event["event"])]


def write(path: Path, content: str | bytes | list[Any]) -> Path:
    """Write `content` as it is, or a list as JSON Lines."""
    if isinstance(content, list):
        content = "".join(f"{json.dumps(row)}\n" for row in content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def run(path: Path, inbox: Path, **options: Any) -> importer.Imported:
    return importer.import_rows(sources.open_source(path), inbox, **options)


def only(path: Path, inbox: Path, **options: Any) -> events.Event:
    """Import a file of one case and return its failure."""
    done = run(path, inbox, **options)
    assert (done.cases, done.rejections) == (1, [])
    return recorded(inbox, "failure")[-1]


def rejected(path: Path, inbox: Path, **options: Any) -> list[tuple[int, str]]:
    """Return the rows that were set aside, as the file beside the import tells."""
    done = run(path, inbox, **options)
    lines = [json.loads(line) for line in Path(f"{path}.rejected.jsonl").read_text("utf-8").splitlines()]
    assert done.rejected == len(lines) == done.rows - done.cases
    assert [(line["line"], line["reason"]) for line in lines[:10]] == [(r.line, r.reason) for r in done.rejections]
    assert all(set(line) == {"line", "reason", "row"} for line in lines)
    return [(line["line"], line["reason"]) for line in lines]


# formats

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
NAME = st.from_regex(r"[a-zé日-]{1,8}", fullmatch=True)
SHARE = st.floats(0, 1).map(lambda number: round(number, 6))


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "original_transcript": TEXT,
            "corrected_transcript": optional(TEXT.filter(bool)),
            "correction_method": optional(st.sampled_from(["manual", "user_feedback", "rule:digits", "model:x/y-1"])),
            "author": optional(NAME),
            "error_types": optional(st.lists(NAME, min_size=1, max_size=3)),
            "error_score": optional(SHARE),
            "model_confidence": optional(SHARE),
            "inference_time": optional(st.floats(0, 1e6)),
            "start": optional(st.integers(0, 5).map(float)),
            "speaker_id": optional(NAME),
            "is_speech": optional(st.booleans()),
            "metadata": optional(st.fixed_dictionaries({"note": TEXT, "n": st.integers(-5, 5)})),
            "recorded_at": optional(
                st.datetimes(datetime(1970, 1, 1)).map(lambda moment: f"{moment.isoformat()}+00:00")
            ),
        }
    ),
    min_size=1,
    max_size=6,
)


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in rows:
        cells = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in row.items()}
        writer.writerow({name: ";".join(value) if isinstance(value, list) else value for name, value in cells.items()})
    return file.getvalue()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=2)
    return file.getvalue()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_every_format_gives_the_same_events(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    files = {
        "a.csv": as_csv(rows),
        "b.tsv": "\ufeff" + as_csv(rows, "\t"),
        "c.csv": as_csv(rows, ";"),
        "d.jsonl": lines,
        "e.jsonl.gz": gzip.compress(lines.encode()),
        "f.parquet": as_parquet(rows),
    }
    results = []
    for name, content in files.items():
        done = run(write(folder / name, content), folder / name.replace(".", "-"))
        assert (done.rows, done.cases, done.rejected) == (len(rows), len(rows), 0)
        assert done.corrections == sum(row["corrected_transcript"] is not None for row in rows)
        found = recorded(folder / name.replace(".", "-"))
        results.append([{k: v for k, v in event.items() if k != "recorded_at"} for event in found])
    assert all(result == results[0] for result in results)
    failures = [event for event in results[0] if event["event"] == "failure"]
    for row, event in zip(rows, failures, strict=True):
        given = {name: value for name, value in row.items() if value is not None and name in events.FIELDS["failure"]}
        assert given.items() <= event.items()


def test_a_file_that_does_not_say_what_it_is(tmp_path):
    with pytest.raises(DataError, match=re.escape(".jsonl")):
        sources.open_source(write(tmp_path / "rows.xlsx", "hyp\n"))


def test_a_file_that_is_not_there_or_breaks_off(tmp_path):
    with pytest.raises(DataError, match="is not there"):
        sources.open_source(tmp_path / "no.csv")
    packed = gzip.compress(b'{"original_transcript": "a"}\n' * 9)
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz cannot be read to its end"):
        run(write(tmp_path / "cut.jsonl.gz", packed[:-9]), tmp_path / "inbox")
    with pytest.raises(DataError, match=r"no sound Parquet file"):
        sources.open_source(write(tmp_path / "bad.parquet", b"PAR1 and no more"))
    with pytest.raises(DataError, match="UTF-16"):
        sources.open_source(write(tmp_path / "wide.csv", "hyp\n".encode("utf-16")))


# fields and their types


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        ("error_score", "0.5", 0.5),
        ("model_confidence", " 1 ", 1.0),
        ("inference_time", "1e-3", 0.001),
        ("is_speech", "Yes", True),
        ("is_speech", "0", False),
        ("is_speech", "FALSE", False),
        ("is_speech", "1", True),
        ("is_speech", "no", False),
        ("error_types", "a; b;", ["a", "b"]),
        ("error_types", '["a;b", "c"]', ["a;b", "c"]),
        ("error_types", "[]", []),
        ("metadata", '{"a": [1]}', {"a": [1]}),
        ("metadata", '{"a": "\\ud800"}', {"a": "\ufffd"}),
        ("speaker_id", " s1 ", "s1"),
        ("recorded_at", "2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00.000000Z"),
        ("recorded_at", "2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("case_id", "c-1", "c-1"),
        ("source_path", "x.wav", "x.wav"),
        ("language", "hi", "hi"),
        ("original_transcript", " two  spaces ", " two  spaces "),
    ],
)
def test_text_becomes_the_type_of_its_field(tmp_path, field, cell, value):
    rows = [{"original_transcript": "a"} | {field: cell}]
    assert only(write(tmp_path / "a.csv", as_csv(rows)), tmp_path / "csv")[field] == value
    assert only(write(tmp_path / "a.jsonl", rows), tmp_path / "jsonl")[field] == value


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("speaker_id", 42, "42"), ("is_speech", 1, True), ("is_speech", 0.0, False), ("start", 3, 3.0)],
)
def test_json_numbers(tmp_path, field, value, expected):
    event = only(write(tmp_path / "a.jsonl", [{"original_transcript": "a", field: value}]), tmp_path / "inbox")
    assert event[field] == expected
    assert type(event[field]) is type(expected)


def test_parquet_types(tmp_path):
    table = pa.table(
        {
            "original_transcript": pa.array(["a"], pa.large_string()),
            "recorded_at": pa.array([1_767_225_600_000], pa.timestamp("ms", "UTC")),
            "error_score": pa.array(["0.25"]).cast(pa.decimal128(5, 2)),
            "error_types": pa.array([["x"]]),
            "metadata": pa.array([{"deep": {"n": 1}}]),
            "speaker_id": pa.array([7], pa.int16()),
            "bytes": pa.array([b"\xff"]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    event = only(tmp_path / "a.parquet", tmp_path / "inbox")
    assert event["recorded_at"] == "2026-01-01T00:00:00.000000Z"
    assert (event["error_score"], event["error_types"], event["speaker_id"]) == (0.25, ["x"], "7")
    assert event["metadata"] == {"deep": {"n": 1}}


def test_embedded_audio_is_refused_by_name(tmp_path):
    table = pa.table({"original_transcript": ["a"], "audio": pa.array([{"bytes": b"RIFF", "path": "a.wav"}])})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="'audio' holds bytes"):
        run(tmp_path / "a.parquet", tmp_path / "inbox")
    done = run(tmp_path / "a.parquet", tmp_path / "inbox", mapped={"audio": ""})
    assert (done.cases, done.columns_left) == (1, ("audio",))


def test_the_fields_are_those_of_a_failure_and_its_correction():
    further = {"recorded_at", "corrected_transcript", "correction_method", "author"}
    assert set(columns.FIELDS) == set(events.FIELDS["failure"]) | further


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("hyp", None, "original_transcript=None"),
        ("hyp", 25, "original_transcript=25: expected a string"),
        ("error_score", "7.5", "error_score=7.5: expected a number from 0 to 1"),
        ("error_score", "nan", "error_score=nan"),
        ("error_score", "0,5", "error_score='0,5': expected a number such as 0.85"),
        ("start", "1_0", "start='1_0'"),
        ("start", True, "start=True"),
        ("end", "-1", "end=-1.0"),
        ("is_speech", "perhaps", "is_speech='perhaps': expected true, false"),
        ("is_speech", [1], "is_speech=[1]"),
        ("error_types", [""], "error_types=''"),
        ("error_types", 3, "error_types=3"),
        ("error_types", "[1", "error_types='[1'"),
        ("metadata", "[]", "metadata='[]': expected a JSON object"),
        ("metadata", [1], "metadata=[1]"),
        ("metadata", '{"a": NaN}', "metadata="),
        ("recorded_at", "yesterday", "recorded_at='yesterday'"),
        ("recorded_at", 1700000000, "recorded_at=1700000000"),
        ("correction_method", "magic", "correction_method='magic'"),
        ("author", "a\nb", "author='a\\nb'"),
        ("speaker_id", True, "speaker_id=True"),
        ("ref", 3, "corrected_transcript=3"),
        ("audio", 3, "audio=3"),
    ],
)
def test_each_reason_with_its_line(tmp_path, field, value, reason):
    rows = [{"hyp": "fine", "ref": "good"}] * 2
    path = write(tmp_path / "a.jsonl", [rows[0], rows[0] | {field: value}, rows[1] | {"speaker_id": "s"}])
    ((line, why),) = rejected(path, tmp_path / "inbox", mapped=MAPPED)
    assert line == 2
    assert why.startswith(reason)
    assert len(recorded(tmp_path / "inbox")) == 4


def test_lines_that_are_no_json_object(tmp_path):
    lines = ['{"hyp": "a"}', "", "[1]", "{", '{"hyp": NaN}', "\xff", f'"{"x" * sources.LINE_BYTES}"', '{"hyp": "b"}']
    path = write(tmp_path / "a.jsonl", "\n".join(lines).encode("latin-1"))
    bad = rejected(path, tmp_path / "inbox", mapped={"original_transcript": "hyp"})
    assert [line for line, _ in bad] == [3, 4, 5, 6, 7]
    assert "NaN is not JSON" in bad[2][1]
    assert "longer than" in bad[4][1]
    assert [event["original_transcript"] for event in recorded(tmp_path / "inbox")] == ["a", "b"]


def test_csv_lines_count_those_inside_cells(tmp_path):
    cells = ['"two\nlines",a', "short", "\n", "x\0y,b", 'a,"b"c', "good,b", "much,too,long"]
    path = write(tmp_path / "a.csv", "hyp,ref\n" + "\n".join(cells) + "\n")
    bad = rejected(path, tmp_path / "inbox", mapped=MAPPED)
    assert bad[0] == (4, "1 cells, but the header has 2")
    assert bad[1] == (7, "a NUL byte")
    assert bad[2][0] == 8
    assert "no row of CSV" in bad[2][1]
    assert bad[3] == (10, "3 cells, but the header has 2")
    assert [event["original_transcript"] for event in recorded(tmp_path / "inbox", "failure")] == ["two\nlines", "good"]


def test_csv_that_is_not_utf8_and_a_quote_that_stays_open(tmp_path):
    path = write(tmp_path / "a.csv", b'hyp,ref\ngood,b\n\xe9t\xe9,b\n"open,b\nlost,b\n')
    bad = rejected(path, tmp_path / "inbox", mapped=MAPPED)
    assert bad[0] == (3, "not UTF-8")
    assert bad[1][0] == 4
    assert bad[1][1].startswith("lines 4 to 5: no row of CSV")
    assert "lost,b" in Path(f"{path}.rejected.jsonl").read_text("utf-8")


def test_what_is_rejected_stays_readable(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"hyp": None, "ref": "नमस्ते"}])
    rejected(path, tmp_path / "inbox", mapped=MAPPED)
    assert "नमस्ते" in Path(f"{path}.rejected.jsonl").read_text("utf-8")
    write(path, [{"hyp": "a", "ref": "नमस्ते"}])
    assert run(path, tmp_path / "inbox", mapped=MAPPED).rejected == 0
    assert not Path(f"{path}.rejected.jsonl").exists()


# nothing given, and really empty


def test_empty_cells_of_csv(tmp_path):
    path = write(tmp_path / "a.csv", 'hyp,ref,speaker_id,audio\n"","",,\n')
    event = only(path, tmp_path / "inbox", mapped=MAPPED)
    assert event["original_transcript"] == ""
    assert event["audio"] is None
    assert not {"speaker_id", "source_path"} & event.keys()
    assert recorded(tmp_path / "inbox", "correction") == []


def test_null_and_empty_in_json(tmp_path):
    rows = [{"hyp": "a", "ref": None}, {"hyp": "b", "ref": "", "is_speech": False}]
    rows += [{"hyp": "", "ref": "c", "speaker_id": ""}, {"hyp": "d"}, {"hyp": "said nothing?", "ref": ""}]
    done = run(write(tmp_path / "a.jsonl", rows), tmp_path / "inbox", mapped=MAPPED)
    assert (done.cases, done.corrections, done.rejected) == (4, 2, 1)
    assert "is_speech=False" in done.rejections[0].reason
    assert [event["corrected_transcript"] for event in recorded(tmp_path / "inbox", "correction")] == ["", "c"]


def test_a_correction_has_its_method_author_and_time(tmp_path):
    row = {"original_transcript": "a", "corrected_transcript": "b", "author": "ann", "is_speech": True}
    run(write(tmp_path / "a.jsonl", [row]), tmp_path / "inbox")
    failure, correction = recorded(tmp_path / "inbox")
    assert correction["case_id"] == failure["case_id"]
    assert correction["recorded_at"] == failure["recorded_at"]
    assert (correction["method"], correction["author"], correction["is_speech"]) == ("manual", "ann", True)


def test_a_correction_is_never_older_than_its_failure(tmp_path):
    rows = [{"hyp": "a", "ref": "b", "recorded_at": when} for when in ("2001-01-01", "2999-01-01")]
    run(write(tmp_path / "a.jsonl", rows), tmp_path / "inbox", mapped=MAPPED)
    old, correction, future, corrected = recorded(tmp_path / "inbox")
    assert old["recorded_at"] < correction["recorded_at"] < future["recorded_at"] == corrected["recorded_at"]


def test_the_later_row_is_the_later_event(tmp_path):
    rows = [{"case_id": "c", "hyp": "a", "ref": text} for text in "pqr"]
    run(write(tmp_path / "a.jsonl", rows), tmp_path / "inbox", mapped=MAPPED)
    times = [event["recorded_at"] for event in recorded(tmp_path / "inbox", "correction")]
    assert times == sorted(set(times))


# columns


def test_own_names_nested_names_and_metadata(tmp_path):
    row = {"hyp": "a", "language": "en", "extra": {"t": {"s": 2}}, "extra.t": "whole", "licence": "MIT", "end": "late"}
    mapped = {"original_transcript": "hyp", "inference_time": "extra.t.s", "source_path": "extra.t", "end": ""}
    mapped |= {"metadata.licence": "licence"}
    event = only(write(tmp_path / "a.jsonl", [row]), tmp_path / "inbox", mapped=mapped)
    assert (event["language"], event["inference_time"], event["source_path"]) == ("en", 2.0, "whole")
    assert event["metadata"] == {"licence": "MIT"}
    assert "end" not in event


def test_defaults_stand_where_a_row_gives_nothing(tmp_path):
    rows = [{"hyp": "a", "language": "hi"}, {"hyp": "b", "language": None}, {"hyp": "c"}]
    defaults = {"language": "en", "error_types": "x;y", "is_speech": "yes"}
    run(write(tmp_path / "a.jsonl", rows), tmp_path / "in", mapped={"original_transcript": "hyp"}, defaults=defaults)
    found = recorded(tmp_path / "in")
    assert [event["language"] for event in found] == ["hi", "en", "en"]
    assert all(event["error_types"] == ["x", "y"] and event["is_speech"] for event in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapped": {"speaker": "hyp"}}, "speaker is no field; the fields are case_id, audio"),
        ({"mapped": {"original_transcript": "hyp", "language": "lang"}}, "has no column lang; .* columns: hyp, ref, n"),
        ({}, "has no column original_transcript"),
        ({"mapped": MAPPED, "defaults": {"error_score": "7"}}, "--default error_score=7"),
        ({"mapped": MAPPED, "defaults": {"is_speech": "x"}}, "--default is_speech='x'"),
        ({"mapped": MAPPED, "defaults": {"metadata.x": "x"}}, "metadata.x is no field"),
        ({"mapped": MAPPED, "audio_root": Path("nowhere")}, "nowhere is not a folder"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_what_is_asked_for_and_cannot_be(tmp_path, name, options, message):
    rows = [{"hyp": "a", "ref": "b", "n": "1"}]
    path = write(tmp_path / name, as_csv(rows) if name == "a.csv" else rows)
    with pytest.raises(DataError, match=message):
        run(path, tmp_path / "inbox", **options)
    assert not (tmp_path / "inbox").exists()


@pytest.mark.parametrize("content", ["", "\n\n", "original_transcript\n", "\ufeff"])
def test_no_rows(tmp_path, content):
    for name in ("a.csv", "a.jsonl"):
        with pytest.raises(DataError, match="has no rows"):
            run(write(tmp_path / name, content), tmp_path / "inbox")


def test_a_column_may_come_late(tmp_path):
    rows = [{"hyp": "a"}] * 300 + [{"hyp": "b", "who": "s"}]
    done = run(
        write(tmp_path / "a.jsonl", rows),
        tmp_path / "in",
        mapped=MAPPED | {"speaker_id": "who", "corrected_transcript": ""},
    )
    assert done.cases == 301
    assert recorded(tmp_path / "in")[-1]["speaker_id"] == "s"


def test_two_columns_of_one_name(tmp_path):
    with pytest.raises(DataError, match="two columns named 'hyp'"):
        run(write(tmp_path / "a.csv", "hyp,hyp\na,b\n"), tmp_path / "inbox", mapped=MAPPED)


# audio


def test_audio_is_stored_by_content(tmp_path):
    (tmp_path / "clips").mkdir()
    write(tmp_path / "clips" / "a.wav", sound(0.1))
    rows = [{"hyp": "a", "audio": "a.wav"}, {"hyp": "b", "audio": "./a.wav"}, {"hyp": "c", "audio": "../clips/a.wav"}]
    path = write(tmp_path / "a.jsonl", rows)
    mapped = {"original_transcript": "hyp"}
    done = run(path, tmp_path / "inbox", mapped=mapped, audio_root=tmp_path / "clips")
    assert (done.cases, done.without_audio) == (3, 0)
    for event in recorded(tmp_path / "inbox"):
        assert spool.audio_path(tmp_path / "inbox", event["audio"]).read_bytes() == sound(0.1)
    assert recorded(tmp_path / "inbox")[0]["source_path"] == "a.wav"


def test_audio_that_cannot_be_read_costs_no_case(tmp_path):
    rows = [{"hyp": "a", "audio": name} for name in ("missing.wav", ".", "nul\0.wav", "x" * 300)] + [{"hyp": "a"}]
    path = write(tmp_path / "a.jsonl", rows)
    done = run(path, tmp_path / "in", mapped={"original_transcript": "hyp"}, audio_root=tmp_path)
    assert (done.cases, done.without_audio, done.unreadable_audio, done.rejected) == (5, 5, 4, 0)
    assert "missing.wav: No such file" in done.unreadable[0]
    found = recorded(tmp_path / "in")
    assert [event.get("source_path") for event in found] == ["missing.wav", ".", "nul\0.wav", "x" * 300, None]
    assert len({event["case_id"] for event in found}) == 5


@pytest.mark.parametrize("outside", ["../secret.wav", "/etc/passwd", "a/../../secret.wav", "../clips2/secret.wav"])
def test_audio_never_leaves_its_root(tmp_path, outside):
    (tmp_path / "clips").mkdir()
    write(tmp_path / "secret.wav", sound(0.1))
    path = write(tmp_path / "a.jsonl", [{"hyp": "a"}, {"hyp": "b", "audio": outside}])
    bad = rejected(path, tmp_path / "in", mapped={"original_transcript": "hyp"}, audio_root=tmp_path / "clips")
    assert [line for line, _ in bad] == [2]
    assert "stays inside" in bad[0][1]
    assert not (tmp_path / "in" / "audio").exists()


# once and for all


def test_importing_again_changes_nothing(tmp_path):
    write(tmp_path / "a.wav", sound(0.1))
    rows = [{"hyp": f"text {n}", "ref": "x", "audio": "a.wav"} for n in range(5)]
    options = {"mapped": MAPPED, "audio_root": tmp_path}
    run(write(tmp_path / "a.jsonl", rows), tmp_path / "inbox", **options)
    first = ingest(tmp_path / "inbox", tmp_path / "raw", track=lambda folder: None)
    assert (first.events, first.cases, first.clips) == (10, 5, 1)
    run(write(tmp_path / "renamed.csv", as_csv(rows + rows[:2])), tmp_path / "inbox", **options)
    again = ingest(tmp_path / "inbox", tmp_path / "raw", track=lambda folder: None)
    assert (again.batch, again.events, again.known) == (None, 0, 14)


def test_a_case_is_the_same_once_it_is_corrected(tmp_path):
    row = {"hyp": "a", "recording_id": "r", "start": 1}
    run(write(tmp_path / "a.jsonl", [row, row | {"ref": "b"}]), tmp_path / "inbox", mapped=MAPPED)
    first, second, correction = recorded(tmp_path / "inbox")
    assert first["event_id"] == second["event_id"]
    assert first["case_id"] == correction["case_id"]


def test_two_utterances_that_only_their_corrections_tell_apart_are_two_cases(tmp_path):
    rows = [{"hyp": "sun", "ref": "son"}, {"hyp": "sun", "ref": "sun"}]
    run(write(tmp_path / "a.jsonl", rows), tmp_path / "inbox", mapped=MAPPED)
    assert len({event["case_id"] for event in recorded(tmp_path / "inbox")}) == 2
    assert len({event["event_id"] for event in recorded(tmp_path / "inbox")}) == 4


def test_ids_derive_from_what_is_said_alone(tmp_path):
    event = only(write(tmp_path / "a.csv", "original_transcript,language\nkiss this guy,en\n"), tmp_path / "inbox")
    assert re.fullmatch("import-[0-9a-f]{32}", event["case_id"])
    assert event["event_id"] == "import-0920e457f5c3af586ab7ea0915f23a8c"


def test_an_import_that_is_stopped_is_completed_by_another(tmp_path):
    rows = [{"hyp": f"text {n}"} for n in range(5000)]
    path = write(tmp_path / "a.jsonl", rows)
    mapped = {"original_transcript": "hyp"}

    def stop(by: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path / "inbox", mapped=mapped, advance=stop)
    assert 0 < len(recorded(tmp_path / "inbox")) < 5000
    told: list[int] = []
    run(path, tmp_path / "inbox", mapped=mapped, advance=told.append)
    assert len({event["event_id"] for event in recorded(tmp_path / "inbox")}) == 5000
    assert sum(told) == path.stat().st_size


# the command


def test_the_command(tmp_path, capsys):
    path = write(tmp_path / "a.csv", "hyp,ref,note\na,b,x\nc,d\n")
    arguments = ["import", str(path), "--map", "original_transcript=hyp", "--map", "corrected_transcript=ref"]
    arguments += ["--spool", str(tmp_path / "inbox"), "--default", "metadata={}"]
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert "read 2 rows: 1 case (1 without audio) and 1 correction" in out
    assert "columns that no field takes: note" in out
    assert f"{path}, line 3: 2 cells, but the header has 3" in err
    assert cli.main([*arguments, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["rejected_file"] == f"{path}.rejected.jsonl"
    assert (told["rows"], told["cases"], told["corrections"], told["rejected"]) == (2, 1, 1, 1)
    write(path, "hyp,ref,note\na,b,x\n")
    assert cli.main(arguments) == 0


def test_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["import", "a.csv", "--map", "hyp"])
    assert stopped.value.code == 2
    assert cli.main(["import", str(tmp_path / "no.csv")]) == 1
    assert "is not there" in capsys.readouterr().err


def test_text_needs_the_standard_library_alone(tmp_path):
    path = write(tmp_path / "a.csv", "original_transcript\na\n")
    bare = [sys.executable, "-S", "-m", "mondegreen.cli", "import", str(path), "--spool", str(tmp_path / "inbox")]
    done = subprocess.run(bare, cwd=Path(importer.__file__).parent.parent, capture_output=True, text=True, check=True)
    assert "read 1 row: 1 case" in done.stdout
