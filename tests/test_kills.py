"""kill -9 at any instant of a rollback, a push, a pull, the review page: the next run finishes what was begun.

Recorders and imports: test_faults; releases: test_release; erasing: test_erasing; builds: test_build_faults.
"""

import hashlib
import http.client
import os
import shutil
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from cloud import Emulator
from conftest import sound
from history import git
from kills import Nursery, rounds
from mondegreen import Recorder, log, repository, spool

pytestmark = pytest.mark.dvc


@pytest.fixture
def root(two_versions: Path, tmp_path: Path) -> Path:
    shutil.copytree(two_versions, tmp_path / "made", symlinks=True)
    return tmp_path / "made/repo"


def content(root: Path) -> dict[str, str]:
    """Return the hash of every file of data that a user sees."""
    files = (path for path in (root / "data").rglob("*") if path.is_file() and path.suffix not in (".dvc", ".lock"))
    return {path.relative_to(root).as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


EACH = 4
"""So often in a row it is killed before it may finish."""

VERIFIED = "assert verifying.verify(Path.cwd(), objects.Store(Path.cwd())).problems == ()"


def test_a_rollback_that_was_killed_is_finished_by_the_next_one(root: Path):
    dice, whole, seen = Random(3), {}, 2.0
    with Nursery(root, "mondegreen.rollback", "mondegreen.verifying", "mondegreen.objects") as nursery:
        for version in ("v1.0.0", "v1.1.0"):
            seen = nursery.run(f"rollback.rollback(Path.cwd(), '{version}')")
            whole[version] = content(root)
        nursery.ended = 0
        for turn in range(rounds(2) // EACH or 1):
            version = ("v1.0.0", "v1.1.0")[turn % 2]
            call = f"rollback.rollback(Path.cwd(), '{version}')"
            for _ in range(min(EACH, rounds(2))):
                nursery.torment(call, seen, dice)
                (root / ".git/index.lock").unlink(missing_ok=True)  # as Git tells whose Git was killed
            nursery.run(f"{call}; {VERIFIED}")
            assert content(root) == whole[version]
            assert git(root, "status", "--porcelain") == ""
    print(f"rollback: killed {nursery.killed} times")


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Emulator]:
    with Emulator("bucket") as made:
        yield made


INGEST = (
    "sealing.PACK_BYTES = 9; ingest.ingest(Path('data/inbox'), Path('data/raw'), track=repository.track, root=Path())"
)
"""A pack per clip, so that of several the cache takes some before the batch is there."""
INGESTS = tuple(f"mondegreen.{name}" for name in ("ingest", "sealing", "repository", "verifying", "objects"))


def test_an_ingest_that_was_killed_is_finished_by_the_next_one(root: Path):
    """With DVC, that is; what it does without is in test_faults."""
    dice, recorded, raw = Random(2), [], root / "data/raw"
    shutil.rmtree(raw)  # there are no events in it
    git(root, "commit", "-qam", "no batches")
    raw.mkdir()
    with Nursery(root, *INGESTS) as nursery, Recorder(root / "data/inbox") as recorder:
        seconds = 1.0
        for number in range(rounds(2)):
            recorded.append(recorder.failure(sound(0.1, seed=number), original_transcript="x"))
            nursery.torment(INGEST, seconds, dice)
            if number % EACH != min(EACH, rounds(2)) - 1:
                continue
            seconds = nursery.run(INGEST)
            sealed = [event for file in raw.glob("2*/events.jsonl") for event in log.batch_events(file)]
            assert sorted(event["case_id"] for event in sealed) == sorted(recorded)
            assert len(list(raw.glob("2*.dvc"))) == len(list(raw.glob("2*/")))
            nursery.run(VERIFIED)
        file = max(raw.glob("2*.dvc"))
        whole = file.read_bytes()
        for size in (0, 40):  # what a kill leaves where DVC was writing it
            file.write_bytes(whole[:size])
            nursery.run(INGEST)
            assert file.read_bytes() == whole
    print(f"ingest: killed {nursery.killed} times")


def cloudy(root: Path) -> None:
    """Make the bucket the remote of `root`."""
    repository.dvc(["remote", "add", "-q", "-d", "cloud", "gs://bucket/data_versions"], root)
    git(root, "commit", "-qam", "a bucket")


PUSH = "transfer.push(Path.cwd(), objects.Store(Path.cwd()), all_versions=True)"
TRANSFER = ("mondegreen.transfer", "mondegreen.objects", "mondegreen.verifying")


def test_after_a_push_that_was_killed_the_next_one_brings_all(root: Path, bucket: Emulator, tmp_path: Path):
    cloudy(root)
    dice = Random(4)
    with Nursery(root, *TRANSFER, env=bucket.env(tmp_path)) as nursery:
        seconds = nursery.run(PUSH)
        nursery.ended, all_of_it = 0, bucket.objects("bucket")
        for number in range(rounds(3)):
            if number % EACH == 0:
                for name in all_of_it:
                    bucket.delete("bucket", name)
            nursery.torment(PUSH, seconds, dice)
            for name in bucket.objects("bucket"):
                assert whole(name, bucket.read("bucket", name)), "what is there is whole"
            if number % EACH != min(EACH, rounds(3)) - 1:
                continue
            nursery.run(f"assert not {PUSH}.problems")
            found = bucket.objects("bucket")
            assert {name: each["md5Hash"] for name, each in found.items()} == {
                name: each["md5Hash"] for name, each in all_of_it.items()
            }
    print(f"push: killed {nursery.killed} times")


def whole(name: str, data: bytes) -> bool:
    folder, _, rest = name.rpartition("/")
    return hashlib.md5(data).hexdigest() == folder[-2:] + rest.removesuffix(".dir")


PULL = "transfer.pull(Path.cwd(), objects.Store(Path.cwd()))"


def test_a_pull_that_was_killed_left_whole_files_and_the_next_one_brings_the_rest(
    root: Path, bucket: Emulator, tmp_path: Path
):
    cloudy(root)
    expected, dice = content(root), Random(5)
    with Nursery(root, *TRANSFER, env=bucket.env(tmp_path)) as nursery:
        nursery.run(PUSH)
        empty(root)
        seconds = nursery.run(PULL)
        nursery.ended = 0
        for number in range(rounds(1)):
            if number % EACH == 0:
                empty(root)
            nursery.torment(PULL, seconds, dice)
            assert content(root).items() <= expected.items(), "what is here is whole"
            if number % EACH != min(EACH, rounds(1)) - 1:
                continue
            nursery.run(f"assert not {PULL}.problems; {VERIFIED}")
            assert content(root) == expected
    print(f"pull: killed {nursery.killed} times")


def empty(root: Path) -> None:
    """Take away cache and data: a fresh clone."""
    shutil.rmtree(root / ".dvc/cache", ignore_errors=True)
    for name in ("dataset", "raw/first", "raw/second"):
        shutil.rmtree(root / "data" / name, ignore_errors=True)
    (root / "data/splits.parquet").unlink(missing_ok=True)


SERVE = """
found = desk.Desk(Path("inbox"), "ann")
with server.Server(found, sounds.Sounds(Path("inbox"))) as running:
    Path("url").write_text(running.url)  # a pipe: someone reads
    select.select([], [], [], {seconds})
    os.kill(0, 9)
"""


def test_what_the_review_page_has_acknowledged_is_on_the_disk_once(tmp_path: Path):
    with Recorder(tmp_path / "inbox") as recorder:
        for number in range(40):
            recorder.failure(sound(0.1, seed=number), original_transcript="x", case_id=f"c{number}")
    os.mkfifo(tmp_path / "url")
    modules = ("mondegreen.review.desk", "mondegreen.review.server", "mondegreen.review.sounds", "select", "os")
    dice, told, made = Random(6), 0, 0
    with Nursery(tmp_path, *modules) as nursery:
        for number in range(rounds(3)):
            acknowledged: list[str] = []
            person = threading.Thread(target=decide, args=(tmp_path / "url", f"{number}", acknowledged))
            person.start()
            nursery.run(SERVE.format(seconds=dice.uniform(0.05, 0.3)), 60)
            person.join()
            found = [event for part in spool.read(tmp_path / "inbox") for event in part.events]
            texts = [event["corrected_transcript"] for event in found if event["event"] == "correction"]
            assert len(texts) == len(set(texts))
            assert set(acknowledged) <= set(texts)
            told, made = told + len(acknowledged), len(texts)
    print(f"review: killed {nursery.killed} times; {told} decisions acknowledged of {made} on the disk")
    assert nursery.killed == rounds(3)
    assert told


def decide(place: Path, mark: str, acknowledged: list[str]) -> None:
    """Decide about one case after the other, as fast as the page at the address in `place` answers."""
    url = urllib.parse.urlsplit(place.read_text())
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{url.netloc}"}
    with suppress(OSError, http.client.HTTPException):
        for number in range(100_000):
            text = f"{mark} {number}"
            fields = urllib.parse.urlencode({"case": f"c{number % 40}", "decision": "correct", "text": text})
            connection.request("POST", f"{url.path}decide", fields, kind)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 303:  # to the next case
                acknowledged.append(text)
    connection.close()
