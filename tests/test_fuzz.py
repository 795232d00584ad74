"""Whatever comes from outside: every reader takes it, or says in one line what is wrong with it; no event is lost.

`make fuzz` gives ten minutes to it (`FUZZ=600`, seconds), the suite a few dozen inputs each, the same in every run.
"""

import json
import os
import time
from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import sound
from mondegreen import audio, batches, erasures, events, ingest, label_studio, ledger, log, params, spool
from mondegreen.errors import MondegreenError
from mondegreen.finetuning_pipeline import _no_formula
from mondegreen.importer import import_rows
from mondegreen.recorder import Recorder
from mondegreen.sources import open_source

SECONDS = float(os.environ.get("FUZZ", 0))
SHARE = SECONDS / 11
counted: dict[str, int] = {}


def fuzz(*strategies: st.SearchStrategy) -> Callable:
    """Give a test so many inputs, or as many as its share of the time allows."""

    def decorate(test: Callable) -> Callable:
        @wraps(test)
        def counting(*arguments: object, **named: object) -> None:
            counted[test.__name__] = counted.get(test.__name__, 0) + 1
            test(*arguments, **named)

        drawn = settings(
            max_examples=200 if SECONDS else 60,
            derandomize=not SECONDS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(given(*strategies)(counting))
        if not SECONDS:
            return drawn

        def again(tmp_path_factory: pytest.TempPathFactory) -> None:
            end, fixtures = time.monotonic() + SHARE, signature(drawn).parameters
            while time.monotonic() < end:
                drawn(**({"tmp_path_factory": tmp_path_factory} if fixtures else {}))

        return again

    return decorate


@pytest.fixture(scope="module", autouse=True)
def told():
    yield
    if SECONDS:
        print(f"\n{sum(counted.values()):,} inputs: {counted}")


EVIL = st.sampled_from(
    [
        "",
        "\x00",
        "\ud800",
        "\u202e",
        "\u2028",
        "=1+1",
        "NaN",
        "1e999",
        "9" * 5000,
        "../../etc/passwd",
        "!!python/name:os",
    ]
)
TEXT = st.one_of(st.text(max_size=40), EVIL)
NUMBER = st.one_of(
    st.integers(-(10**400), 10**400), st.floats(), st.sampled_from([0, -1, 7.5, 1e308, 2**63, -(2**63) - 1])
)
LEAF = st.one_of(st.none(), st.booleans(), NUMBER, TEXT)
JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
KEYS = st.sampled_from(sorted({name for fields in events.FIELDS.values() for name in fields}))
EVENT = st.builds(
    lambda base, kind, more: {**base, "event": kind, **more},
    st.fixed_dictionaries(
        {"schema": st.just(1), "event_id": TEXT, "recorded_at": TEXT | st.just("2026-01-01T00:00:00.000000Z")}
    ),
    st.sampled_from(sorted(events.FIELDS)) | TEXT,
    st.dictionaries(KEYS, JSON, max_size=6),
)


def dumped(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


LINE = st.one_of(
    st.binary(max_size=80),
    EVENT.map(dumped),
    JSON.map(dumped),
    st.sampled_from([b"[" * 2000, b'{"a":' * 500, b'"event_id":"', b'"event_id":"\xff"']),
).map(lambda line: line.replace(b"\n", b" "))


@fuzz(st.lists(LINE, max_size=5))
def test_every_line_of_a_segment_is_an_event_or_named(tmp_path_factory, lines: list[bytes]):
    inbox = tmp_path_factory.mktemp("fuzz")
    with Recorder(inbox) as recorder:
        good = recorder.failure(None, original_transcript="good")
    [segment] = spool.segments(inbox)
    with segment.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)
    assert good in set(log.read([], [segment])["failure"]["case_id"])
    [contents] = spool.read(inbox)
    assert len(contents.events) + len(contents.damaged) == 1 + len(lines)
    assert contents.events[0]["case_id"] == good
    raw = inbox / "raw"
    done = ingest.ingest(inbox, raw, track=lambda batch: None)
    assert done.events + done.repeated == len(contents.events)
    assert segment.exists() == bool(contents.damaged), "what cannot be read is kept"
    found = log.read(batches.event_files(raw))
    assert good in set(found["failure"]["case_id"])


@fuzz(st.lists(LINE, max_size=4))
def test_a_batch_of_others_is_read_or_refused(tmp_path_factory, lines: list[bytes]):
    folder = tmp_path_factory.mktemp("fuzz") / "raw/2026"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    for read in (lambda: log.read([folder / "events.jsonl"]), lambda: batches.event_ids(folder.parent)):
        try:
            read()
        except MondegreenError as error:
            assert "events.jsonl" in str(error)


@fuzz(
    st.binary(max_size=300),
    st.sampled_from([".csv", ".jsonl", ".jsonl.gz", ".parquet"]),
    st.lists(EVENT | JSON, max_size=4),
)
def test_a_file_is_imported_row_by_row_or_refused(tmp_path_factory, content: bytes, ending: str, rows: list):
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / f"table{ending}"
    lines = b"\n".join(map(dumped, rows)) if ending == ".jsonl" else content
    head = b"original_transcript,corrected_transcript,speaker_id\n" if ending == ".csv" else b""
    path.write_bytes(head + lines)
    try:
        done = import_rows(open_source(path), folder / "inbox")
    except MondegreenError:
        return
    found = [event for contents in spool.read(folder / "inbox") for event in contents.events]
    assert not [damage for contents in spool.read(folder / "inbox") for damage in contents.damaged]
    assert len({event["case_id"] for event in found}) <= done.cases <= done.rows
    if done.rejected:
        assert done.rejected_file is not None
        assert len(done.rejected_file.read_bytes().splitlines()) == done.rejected


@fuzz(
    st.dictionaries(
        st.sampled_from(["original_transcript", "score", "audio", "x"]), st.lists(LEAF, min_size=2, max_size=2)
    )
)
def test_a_parquet_table_of_anything_is_imported_or_refused(tmp_path_factory, table: dict):
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        made = pa.table({name: pa.array(values) for name, values in table.items()})
    except (pa.ArrowException, OverflowError, TypeError, UnicodeError):
        return
    pq.write_table(made.replace_schema_metadata({b"pandas": b"{", b"huggingface": b"\xff"}), folder / "table.parquet")
    try:
        import_rows(open_source(folder / "table.parquet"), folder / "inbox")
    except MondegreenError:
        return


SOUNDS = [sound(0.05), sound(0.05, fmt="FLAC"), sound(0.05, fmt="AIFF")]


@fuzz(
    st.sampled_from(SOUNDS),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=8),
    st.integers(0, 2000),
)
def test_no_header_makes_the_probe_believe_it(data: bytes, flips: list, cut: int):
    changed = bytearray(data[: max(0, len(data) - cut)])
    for place, value in flips:
        if place < len(changed):
            changed[place] = value
    found = audio.probe(bytes(changed))
    assert found.error or (found.frames is not None and found.frames * (found.channels or 1) <= 8 * len(data))


@fuzz(
    st.one_of(st.binary(max_size=200), TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")), JSON.map(dumped))
)
def test_params_are_right_or_refused(tmp_path_factory, content: bytes):
    path = tmp_path_factory.mktemp("fuzz") / "params.yaml"
    path.write_bytes(b"gate:\n  min_completeness: " + content)
    with pytest.raises(MondegreenError, match="params"):
        params.load(params.Gate, path)


@fuzz(st.binary(max_size=120) | TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_ledger_is_right_or_refused(tmp_path_factory, content: bytes):
    path = tmp_path_factory.mktemp("fuzz") / "ledger.csv"
    path.write_bytes(b"case_id,split,release\na,test,v1.0.0\n" + content)
    try:
        assert "a" in set(ledger.read(path)["case_id"])
    except MondegreenError as error:
        assert "ledger.csv" in str(error)


@fuzz(TEXT, LINE)
def test_the_record_of_erasures_is_right_or_refused(tmp_path_factory, reason: str, line: bytes):
    root = tmp_path_factory.mktemp("fuzz")
    (root / "data").mkdir()
    entry = erasures.Erasure("2026", "ann", reason, "x", (), ())
    erasures.append(root, entry)
    erasures.append(root, entry)
    assert erasures.read(root) == [entry, entry]
    with (root / erasures.PATH).open("ab") as file:
        file.write(line)
    try:
        erasures.read(root)
    except MondegreenError as error:
        assert "erasures.jsonl" in str(error)


@fuzz(st.binary(max_size=100) | JSON.map(dumped), st.lists(JSON, max_size=3), LEAF, JSON)
def test_an_export_of_label_studio_is_read_or_refused(
    tmp_path_factory, content: bytes, result: list, who: object, value: object
):
    path = tmp_path_factory.mktemp("fuzz") / "export.json"
    regions = [{"from_name": "transcription", "value": {"text": each, "start": who}} for each in result]
    made = {"id": who, "completed_by": value, "result": [*regions, *result], "updated_at": who, "lead_time": who}
    whole = dumped(
        [
            {"id": who, "data": {"case_id": "c"}, "annotations": [made, value, {"result": value}]},
            {"id": who, "data": {"case_id": "c"}, "annotations": value},
        ]
    )
    for data in (content, whole):
        path.write_bytes(data)
        try:
            for item in label_studio.read(path):
                for annotation in label_studio.annotations(item):
                    events.encode(annotation.event())
        except MondegreenError:
            continue


@fuzz(st.sampled_from(["audio-00000.parquet"]), st.binary(max_size=200), st.integers(0, 3000))
def test_a_pack_that_is_none_is_refused(tmp_path_factory, name: str, content: bytes, cut: int):
    folder = tmp_path_factory.mktemp("fuzz") / "raw/2026"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(b"")
    with batches_writer(folder) as whole:
        (folder / name).write_bytes(whole[: len(whole) - cut] + content)
    try:
        batches.audio_index(folder.parent)
    except MondegreenError as error:
        assert name in str(error)


class batches_writer:  # noqa: N801
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> bytes:
        row = dict.fromkeys(batches.PACK.names) | {"sha256": "a" * 64, "bytes": b"x", "ext": ".wav"}
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([row], batches.PACK), buffer)
        return buffer.getvalue().to_pybytes()

    def __exit__(self, *_: object) -> None:
        pass


@fuzz(
    st.lists(
        st.one_of(st.none(), TEXT.filter(str.isprintable), st.text("=+-@\t\rab ", max_size=5)), min_size=1, max_size=5
    )
)
def test_no_text_of_a_csv_export_is_a_formula(texts: list):
    series = pd.Series(texts, dtype=object)
    for before, after in zip(texts, _no_formula(series), strict=True):
        if before is None:
            assert after is None or pd.isna(after)
        else:
            assert not after.startswith(("=", "+", "-", "@", "\t", "\r"))
            assert after in (before, f"'{before}")
