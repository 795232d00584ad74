"""Weather: file systems over a network, hosts that are called alike, lines that never end, everything at once.

No NFS can be mounted here: what it does to a caller is done at the lowest level, in `os` and `fcntl`.
"""

import errno
import fcntl
import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT, sound
from mondegreen import Recorder, batches, compaction, confirmed, events, ingest, known, log, spool
from mondegreen.arrivals import ingest_from
from mondegreen.data_manager import DataManager
from mondegreen.errors import RecordError, SpoolError
from mondegreen.place import Place
from mondegreen.review.board import Board
from mondegreen.review.leases import Leases
from mondegreen.upload import Uploader

TORTURE = "TORTURE" in os.environ
ENV = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}


def track(batch: Path) -> None:
    batch.with_name(f"{batch.name}.dvc").write_text("outs: []\n")


# -- two hosts of one name


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that makes this process one on another machine of the same name, address of boot aside."""
    read = Path.read_text
    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(os, "uname", lambda: type("uname", (), {"nodename": "agent"}))

    def be(number: int) -> None:
        def read_text(path: Path, *arguments: object, **named: object) -> str:
            return f"boot-{number}\n" if path.name == "boot_id" else read(path, *arguments, **named)

        monkeypatch.setattr(Path, "read_text", read_text)

    return be


def test_two_hosts_of_one_name_share_a_spool(tmp_path: Path, twin: Callable[[int], None]):
    made = []
    for number in range(2):
        twin(number)
        made.append(Recorder(tmp_path))
    ids = [each.failure(None, original_transcript="x") for _ in range(50) for each in made]
    for each in made:
        each.close()
    assert len(spool.segments(tmp_path)) == 2
    found = [event["case_id"] for contents in spool.read(tmp_path) for event in contents.events]
    assert sorted(found) == sorted(set(ids))
    assert len(set(ids)) == 100


def test_two_copies_of_one_machine_upload_to_one_folder(tmp_path: Path, twin: Callable[[int], None]):
    """The same name, the same files, even the same inode; only what the kernel was given at its start differs."""
    place = Place((tmp_path / "cloud").as_uri())
    (tmp_path / "cloud").mkdir()
    with Recorder(tmp_path / "inbox") as recorder:
        ids = [recorder.failure(sound(0.1), original_transcript="before the copy")]
    senders = set()
    for number in range(3):
        twin(number % 2)
        with Recorder(tmp_path / "inbox") as recorder:
            ids.append(recorder.failure(sound(0.1, seed=number), original_transcript=f"of {number}"))
        with confirmed.alone(tmp_path / "inbox", place.url):
            uploader = Uploader(tmp_path / "inbox", place, lambda line: None)
            uploader.send()
            uploader.confirmed.close()
        senders.add(uploader.confirmed.sender)
        ingest_from(place, tmp_path / "repo/raw", tmp_path / "staging", track=track)
    assert len(senders) == 3, "who cannot be sure to be the same takes a new name"
    files = batches.event_files(tmp_path / "repo/raw")
    assert sorted(log.read(files)["failure"]["case_id"]) == sorted(ids)


def test_two_reviewers_on_hosts_of_one_name_get_two_cases(tmp_path: Path, twin: Callable[[int], None]):
    taken = []
    for number in range(2):
        twin(number)
        taken.append(Leases(tmp_path).take(["a", "b"]))
    assert taken == ["a", "b"], "a process that is not here may live on the other one"


# -- a file system over a network


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.EIO])
def test_a_rename_whose_answer_was_lost_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    rename = os.rename

    def lost(source: Path, target: Path) -> None:
        rename(source, target)
        raise OSError(number, os.strerror(number), str(source), None, str(target))

    monkeypatch.setattr(os, "rename", lost)
    with Recorder(tmp_path / "inbox") as recorder:
        ids = [recorder.failure(sound(0.1, seed=seed), original_transcript="x") for seed in range(3)]
    done = ingest.ingest(tmp_path / "inbox", tmp_path / "raw", track=track)
    assert (done.cases, done.clips, done.missing_audio) == (3, 3, [])
    assert sorted(log.read(batches.event_files(tmp_path / "raw"))["failure"]["case_id"]) == sorted(ids)
    assert spool.segments(tmp_path / "inbox") == []


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.EACCES])
def test_a_rename_that_was_not_done_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    def refused(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(source))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refused)
        with Recorder(tmp_path) as recorder, pytest.raises(SpoolError, match="nothing was recorded"):
            recorder.failure(None, original_transcript="x")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".gitignore"] == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_to_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    """Without a lock nobody could tell a finished segment from a live one: nothing is recorded, nothing removed."""
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.failure(None, original_transcript="x")

    def no_locks(fd: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with Recorder(tmp_path / "other") as recorder, pytest.raises(SpoolError, match=r"has no locks .*a local folder"):
        recorder.failure(None, original_transcript="x")
    assert not list((tmp_path / "other/events").iterdir())
    with pytest.raises(OSError, match="has no locks"):
        ingest.ingest(tmp_path / "inbox", tmp_path / "raw", track=track)
    assert len(spool.segments(tmp_path / "inbox")) == 1


def test_locks_are_taken_where_nfs_gives_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """NFS locks a whole file as by fcntl: exclusively one that is open for writing alone, and never a folder."""
    flock = fcntl.flock

    def as_nfs(fd: int, how: int) -> None:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", as_nfs)
    place = Place((tmp_path / "cloud").as_uri())
    (tmp_path / "cloud").mkdir()
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.failure(sound(0.1), original_transcript="x")
        with confirmed.alone(tmp_path / "inbox", place.url) as first:
            assert first
            Uploader(tmp_path / "inbox", place, lambda line: None).send()
        assert Leases(tmp_path / "inbox").take(["a"]) == "a"
    ingest_from(place, tmp_path / "repo/raw", tmp_path / "staging", track=track)
    ingest.ingest(tmp_path / "inbox", tmp_path / "repo/raw", track=track)
    assert spool.segments(tmp_path / "inbox") == spool.segments(tmp_path / "staging") == []


# -- lines that never end


def test_a_line_without_end_is_named_and_takes_no_memory(tmp_path: Path):
    """64 MB in the suite, a gigabyte by `make torture`; each reader in a process that may have little memory."""
    size = 1024 if TORTURE else 64
    with Recorder(tmp_path / "inbox") as recorder:
        before = recorder.failure(None, original_transcript="before")
    [segment] = spool.segments(tmp_path / "inbox")
    with segment.open("ab") as file:
        file.write(b'{"schema":1,"event":"failure","original_transcript":"')
        for _ in range(size):
            file.write(b"x" * 1024 * 1024)
        file.write(b'"}\n')
        after = events.make_event("failure", case_id="after", original_transcript="behind it")
        file.write(events.encode(after))
    code = f"""
import json, resource, sys
from pathlib import Path
from mondegreen import ingest, known, log, spool, upload
inbox = Path(sys.argv[1])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
[contents] = spool.read(inbox)
assert [event["case_id"] for event in contents.events] == ["{before}", "after"]
[damage] = contents.damaged
assert damage.line == 2 and "at most" in damage.reason, damage
assert contents.size == contents.segment.stat().st_size
assert [event["case_id"] for event in log.segment_events(contents.segment)] == ["{before}", "after"]
assert [end for lines, end in upload._unsent(contents.segment, 0)][-1] == contents.size
assert known.unknown(["after"], inbox) == []
done = ingest.ingest(inbox, inbox / "raw", track=lambda batch: None)
assert done.cases == 2 and len(done.damaged) == 1 and contents.segment.exists()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "inbox"], env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(f"a line of {size} MB took {done.stdout.strip()} MB of memory")
    assert int(done.stdout) < 300


def test_no_event_is_recorded_that_no_reader_takes(tmp_path: Path):
    widest = "\x01" * events.TEXT_CHARACTERS
    with Recorder(tmp_path) as recorder:
        recorder.failure(
            None,
            original_transcript=widest,
            error_types=["\u00e4" * 512] * events.ITEMS,
            metadata={"deep": widest},
        )
        for field, value in (
            ("original_transcript", widest + "x"),
            ("error_types", ["x"] * (events.ITEMS + 1)),
        ):
            with pytest.raises(RecordError, match=f"{field}.* at most"):
                recorder.failure(None, **{"original_transcript": "x", field: value})
        with pytest.raises(RecordError, match="at most 1,000 numbers"):
            recorder.learning_progress("train", {str(number): 1.0 for number in range(events.ITEMS + 1)})
    [contents] = spool.read(tmp_path)
    [event] = contents.events
    assert event["original_transcript"] == widest
    assert set(event["metadata"]) == {"too_long"}
    assert contents.size < events.LINE_BYTES


@pytest.mark.parametrize("ends", [b"\n", b""])
def test_lines_are_those_of_the_file_whatever_their_length(ends: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "LINE_BYTES", 10)
    written = [b"a\n", b"b" * 10 + b"\n", b"c" * 11 + b"\n", b"d" * 99 + b"\n", b"\n", b"e" * 35 + ends]
    found = list(events.lines(io.BytesIO(b"".join(written))))
    assert [line.endswith(b"\n") for line in found] == [line.endswith(b"\n") for line in written]
    assert [line[:10] for line in found] == [line[:10] for line in written]
    assert max(map(len, found)) <= 12


# -- everything at once

READERS: dict[str, Callable[[Path, set[str]], bool]] = {
    "statistics": lambda inbox, ids: DataManager(inbox).get_statistics()["total_failed_cases"] == len(ids),
    "cases": lambda inbox, ids: set(DataManager(inbox).export_to_dataframe()["case_id"]) == ids,
    "review": lambda inbox, ids: Board(inbox).cases.keys() == ids,
    "known": lambda inbox, ids: known.unknown(ids, inbox) == [],
}


MOVES: dict[str, Callable[[Path, Path], object]] = {
    "ingest": lambda inbox, raw: ingest.ingest(inbox, raw, track=track),
    "compaction": lambda inbox, raw: compaction.compact(raw, track=track),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_misses_a_case_that_moves_while_it_reads(reader: str, move: str, tmp_path: Path):
    """At each folder that it lists and each file that it opens, in turn."""
    left, source, ids = -1, tmp_path, set()

    def step(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(str(source)):
            left -= 1
            if left == 0:
                MOVES[move](source / "data/inbox", source / "data/raw")

    sys.addaudithook(step)
    for number in range(1, 100):
        source = tmp_path / f"at-{number}"
        (source / ".dvc").mkdir(parents=True)
        (source / "dvc.yaml").touch()
        (source / "data/raw").mkdir(parents=True)
        left, ids = -1, set()
        for _ in range(2):
            with Recorder(source / "data/inbox") as recorder:
                ids.add(recorder.failure(None, original_transcript="x"))
            if move == "compaction":
                ingest.ingest(source / "data/inbox", source / "data/raw", track=track)
        left = number
        assert READERS[reader](source / "data/inbox", ids), number
        if left > 0:
            break
        assert READERS[reader](source / "data/inbox", ids)
    assert number > 3
    source = Path("/nowhere")


ROLES = {
    "recorder": """
from mondegreen import Recorder
recorder = Recorder(inbox)
while on():
    clip = b"RIFF" + os.urandom(200)
    case_id = recorder.failure(clip, original_transcript="x", speaker_id="s", error_score=0.5)
    if said["cases"] % 2:
        recorder.correction(case_id, "y", author="agent")
        said["corrections"] += 1
    recorder.inference(failed=True)
    said["cases"] += 1
    said["inferences"] += 1
""",
    "importer": """
from mondegreen.importer import import_rows
from mondegreen.sources import open_source
table = root / "table.csv"
number = 0
while on():
    rows = [f"from a table {number + more},right {number + more}" for more in range(10)]
    table.write_text("original_transcript,corrected_transcript\\n" + "\\n".join(rows + rows[:2]) + "\\n")
    for _ in range(2):
        import_rows(open_source(table), inbox)
    number += 10
said["cases"] += number
said["corrections"] += number
""",
    "ingest": """
from mondegreen import batches, ingest
while on():
    done = ingest.ingest(inbox, root / "data/raw", track=lambda batch: Path(f"{batch}.dvc").write_text("outs: []"))
    assert not done.damaged and not done.missing_audio, done
    said["batches"] += done.batch is not None
""",
    "statistics": """
from mondegreen.data_manager import DataManager
manager, before = DataManager(inbox), 0
while on():
    found = manager.get_statistics()["total_failed_cases"]
    assert found >= before, (found, before)
    before = found
    said["looks"] += 1
""",
    "review": """
from mondegreen.review.desk import Desk
desk = Desk(inbox, sys.argv[4])
while on():
    sheet = desk.next()
    if sheet is not None:
        desk.decide(sheet.case.case_id, "correct", f"decided by {desk.author}")
        said["corrections"] += 1
        said["decisions"] += 1
    else:
        desk.again()
desk.close()
""",
}
ROLE = """
import os, sys, time
from collections import Counter
from pathlib import Path
root, said, ends = Path(sys.argv[1]), Counter(), []
inbox = root / "data/inbox"
def on():
    ends.append(time.monotonic() + float(sys.argv[2])) if not ends else None  # imports take their time
    return time.monotonic() < ends[0]
{}
print(*(f"{{name}}={{count}}" for name, count in said.items()))
"""


def test_all_at_once_the_counts_add_up(tmp_path: Path):
    """For three seconds in the suite, five minutes by `make torture`."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "data/raw").mkdir(parents=True)
    roles = ["recorder", "recorder", "importer", "ingest", "statistics", "review", "review"]
    seconds = 300 if TORTURE else 3
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ROLE.format(ROLES[role]), tmp_path, str(seconds), role, f"{role}-{number}"],
            env=ENV,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, role in enumerate(roles)
    ]
    said: Counter[str] = Counter()
    for process in running:
        out, _ = process.communicate()
        assert process.returncode == 0
        said.update({name: int(count) for name, count in (word.split("=") for word in out.split())})
    raw = tmp_path / "data/raw"
    ingest.ingest(tmp_path / "data/inbox", raw, track=track)
    found = log.read(batches.event_files(raw))
    assert {kind: len(found[kind]) for kind in ("failure", "correction", "inference")} == {
        "failure": said["cases"],
        "correction": said["corrections"],
        "inference": said["inferences"],
    }
    assert not any(found[kind]["event_id"].duplicated().any() for kind in found)
    clips = set(batches.audio_index(raw).column("sha256").to_pylist())
    assert set(found["failure"]["audio_sha256"].dropna()) == clips
    assert not list((tmp_path / "data/inbox/audio").glob("??/*"))
    assert spool.segments(tmp_path / "data/inbox") == []
    print(f"{seconds} seconds of {', '.join(roles)}: {dict(said)}")
