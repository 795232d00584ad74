"""What is kept from build to build: never another result than without it, and only the change is measured again."""

import hashlib
import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import ROOT
from mondegreen import Recorder, batches, log
from mondegreen import measured as room
from mondegreen.errors import DataError, ParamsError
from mondegreen.executor import engine, spread
from mondegreen.ingest import ingest
from mondegreen.measured import FIGURES, measured
from mondegreen.measuring import measure
from mondegreen.shelf import Shelf, key_of


def rows(*texts: tuple[str, str | None]) -> pd.DataFrame:
    frame = pd.DataFrame(texts, columns=["original_transcript", "corrected_transcript"], dtype="str")
    return frame.assign(
        case_id=[f"case-{number}" for number in range(len(texts))],
        language=pd.Series([None] * len(texts), dtype="str"),
        is_speech=pd.Series([None] * len(texts), dtype="boolean"),
    )


def run(frame: pd.DataFrame, shelf: Shelf, name: str = "b") -> pd.DataFrame:
    key = room.key("basic-1", name)
    figures, kept = measured(frame, "basic-1", shelf.get(key))
    shelf.put(key, kept)
    return figures


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many cases each call of `measure` was given."""
    calls: list[int] = []

    def counting(originals, *others):
        calls.append(len(originals))
        return measure(originals, *others)

    monkeypatch.setattr(room, "measure", counting)
    return calls


def test_figures_are_those_of_measure(tmp_path: Path):
    frame = rows(("kiss this guy", "kiss the sky"), ("not corrected", None), ("a", ""))
    found = run(frame, Shelf(tmp_path))
    assert list(found.index) == [0, 2]
    direct = measure(["kiss this guy", "a"], ["kiss the sky", ""], [None] * 2, [None] * 2, "basic-1")
    for name in FIGURES:
        kept = [list(value) if name == "detected_error_types" else value for value in found[name]]
        assert [None if name != "detected_error_types" and pd.isna(value) else value for value in kept] == direct[name]


def test_only_what_changed_is_measured_again(tmp_path: Path, counted: list[int]):
    frame = rows(*((f"kiss this guy {number}", f"kiss the sky {number}") for number in range(10)))
    first = run(frame, Shelf(tmp_path))
    again = run(frame, Shelf(tmp_path))
    frame.loc[3, "corrected_transcript"] = "something else"
    changed = run(frame, Shelf(tmp_path))
    assert [count for count in counted if count] == [10, 1]
    assert again.equals(first)
    assert changed.drop(3).equals(first.drop(3))
    assert changed.loc[3, "wer"] != first.loc[3, "wer"]
    alone = run(frame, Shelf(tmp_path / "empty"))
    assert changed.equals(alone)


@pytest.mark.parametrize("column", ["original_transcript", "corrected_transcript", "language", "is_speech", "case_id"])
def test_no_kept_figure_serves_another_input(tmp_path: Path, counted: list[int], column: str):
    frame = rows(("I said so", "i said it"))
    run(frame, Shelf(tmp_path))
    frame[column] = pd.Series([False], dtype="boolean") if column == "is_speech" else pd.Series(["tr"], dtype="str")
    assert run(frame, Shelf(tmp_path)).equals(run(frame, Shelf(tmp_path / "empty")))
    assert [count for count in counted if count] == [1, 1, 1]


def test_a_damaged_table_on_the_shelf_is_made_again(tmp_path: Path):
    frame = rows(*((f"kiss this guy {number}", f"kiss the sky {number}") for number in range(50)))
    first = run(frame, Shelf(tmp_path))
    [kept] = tmp_path.iterdir()
    content = bytearray(kept.read_bytes())
    for place in range(4, len(content), 37):
        content[place] ^= 1
        kept.write_bytes(content)
        assert run(frame, Shelf(tmp_path)).equals(first)
        content[place] ^= 1
        kept.write_bytes(content)


def test_the_shelf_keeps_what_is_used_and_no_more(tmp_path: Path):
    frame = rows(("a", "b"))
    for batch in ("one", "two"):
        shelf = Shelf(tmp_path)
        run(frame, shelf, batch)
        shelf.sweep()
        assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / "arrivals").mkdir()  # where `ingest gs://…` keeps what came and is in no batch yet
    shelf.sweep()
    assert (tmp_path / "arrivals").is_dir()
    assert key_of("ab", "c") != key_of("a", "bc")


def test_a_file_is_known_by_its_dates_to_who_only_looks_and_to_nobody_once_it_changed(tmp_path: Path, monkeypatch):
    file, kept_in = tmp_path / "events.jsonl", tmp_path / "kept"
    look = Shelf(kept_in, dated=True)
    file.write_bytes(b"one")
    assert Shelf(kept_in).digest(file) == look.digest(file) == hashlib.sha256(b"one").digest()
    assert not (tmp_path / "kept").exists()  # changed a moment ago: it may change again within one tick of the clock
    monkeypatch.setattr("mondegreen.shelf._SETTLED", -60)
    assert Shelf(kept_in).digest(file) == hashlib.sha256(b"one").digest()
    read = []
    monkeypatch.setattr(hashlib, "file_digest", lambda *args, plain=hashlib.file_digest: read.append(1) or plain(*args))
    look = Shelf(kept_in, dated=True)
    assert look.digest(file) == hashlib.sha256(b"one").digest()
    assert not read
    assert Shelf(kept_in).digest(file) == hashlib.sha256(b"one").digest()
    assert read.pop()
    stood = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    assert look.digest(file) == hashlib.sha256(b"two").digest()
    assert read.pop()
    for kept in (tmp_path / "kept").iterdir():
        kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    look = Shelf(kept_in, dated=True)
    assert look.digest(file) == hashlib.sha256(b"two").digest()


def test_pieces_come_back_in_their_order_from_other_processes():
    assert list(spread(abs, [-1, 2, -3], engine="local")) == [1, 2, 3]


def test_a_script_that_spreads_work_is_not_run_again(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("from mondegreen.executor import spread\nprint(*spread(abs, [-1, -2], engine='local'))\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "1 2\n"


def test_an_unknown_engine_is_an_error(tmp_path: Path):
    params = tmp_path / "params.yaml"
    params.write_text("engine: spark\n")
    with pytest.raises(ParamsError, match="engine='spark': expected one of local, dask"):
        engine(params)
    params.write_text("collect: {}\n")
    assert engine(params) == "local"


def test_a_batch_that_is_parsed_in_parts_makes_the_same_tables_and_names_the_same_line(tmp_path: Path, monkeypatch):
    with Recorder(tmp_path / "inbox") as recorder:
        for number in range(40):
            case_id = recorder.failure(None, original_transcript=f"kiss this guy {number}")
            recorder.correction(case_id, "kiss the sky")
    ingest(tmp_path / "inbox", tmp_path / "raw", track=lambda batch: None)
    [file] = batches.event_files(tmp_path / "raw")
    whole = log.read([file])
    monkeypatch.setattr(log, "_PART", file.stat().st_size // 3)
    for kind, table in log.read([file]).items():
        pd.testing.assert_frame_equal(table, whole[kind])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:70], b"no event\n", *lines[70:]]))
    with pytest.raises(DataError, match="line 71 is no event"):
        log.read([file])


def _spread_in_a_daemon(results: Any) -> None:
    results.put(list(spread(str, [1, 2, 3], engine="local")))


def test_a_daemonic_process_which_may_start_no_other_does_all_pieces_itself():
    context = get_context("spawn")
    results = context.Queue()
    worker = context.Process(target=_spread_in_a_daemon, args=(results,), daemon=True)
    worker.start()
    assert results.get(timeout=60) == ["1", "2", "3"]
    worker.join()
    assert worker.exitcode == 0
