"""Live upload, and ingest from the cloud, against a real emulator: nothing lost, nothing twice, nothing damaged."""

import shutil
from pathlib import Path

import pytest

from cloud import Emulator, Proxy
from conftest import sound
from mondegreen import Recorder, batches, events
from mondegreen.arrivals import ingest_from
from mondegreen.place import Place
from mondegreen.upload import Uploader

pytestmark = pytest.mark.xdist_group("cloud")

URL = "gs://bucket/learning_data"


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch):
    with Emulator("bucket", folder=tmp_path / "cloud") as emulator, Proxy(emulator) as proxy:
        for name, value in proxy.env(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


def record(path: Path, *numbers: int) -> list[str]:
    """Record one case with audio for each number, and return their ids."""
    with Recorder(path) as recorder:
        return [recorder.failure(sound(0.1, seed=number), original_transcript=str(number)) for number in numbers]


def upload(path: Path, url: str = URL) -> Uploader:
    said: list[str] = []
    uploader = Uploader(path, Place(url), said.append)
    uploader.send()
    uploader.confirmed.close()
    assert said == []
    return uploader


def take(repository: Path, url: str = URL, **options):
    """Ingest into the batches below `repository`; stand in for `dvc add`, which has its own test with a real DVC."""

    def track(batch: Path) -> None:
        batch.with_name(f"{batch.name}.dvc").write_text("outs: []\n")

    return ingest_from(Place(url), repository / "raw", repository / "staging", track=track, **options)


def sealed(repository: Path) -> list[str]:
    """Return the cases of all batches, those whose audio is there, in order."""
    raw = repository / "raw"
    clips = set(batches.audio_index(raw).column("sha256").to_pylist())
    found = [events.decode(line) for file in batches.event_files(raw) for line in file.read_bytes().splitlines()]
    assert all(event["audio"]["sha256"] in clips for event in found if event.get("audio"))
    return [event["case_id"] for event in found if event["event"] == "failure"]


def objects(cloud: Proxy, prefix: str = "") -> dict[str, dict]:
    return cloud.target.objects("bucket", f"learning_data/{prefix}")


def test_a_recorder_uploads_while_it_records(cloud: Proxy, inbox: Path, tmp_path: Path):
    with Recorder(inbox, upload=URL) as recorder:
        ids = [recorder.failure(sound(0.1, seed=n), original_transcript=str(n)) for n in range(3)]
        assert recorder.uploaded(timeout=60)
        recorder.correction(ids[0], "really")
    assert recorder.uploaded(timeout=60)
    _, done = take(tmp_path / "one")
    assert (done.events, done.cases, done.clips) == (4, 3, 3)
    assert set(sealed(tmp_path / "one")) == set(ids)
    take(tmp_path / "two")
    assert sealed(tmp_path / "one") == sealed(tmp_path / "two"), "several repositories read from one place"
    assert len(objects(cloud, "audio/")) == 3, "and nothing is taken away"


def test_audio_is_there_before_the_line_that_names_it(cloud: Proxy, inbox: Path):
    record(inbox, *range(5))
    upload(inbox)
    made = {name: item["timeCreated"] for name, item in objects(cloud).items()}
    [part] = [name for name in made if "/events/" in name]
    assert len(made) == 6
    assert max(made.values()) == made[part]


def test_what_is_confirmed_is_not_sent_again_and_a_record_costs_the_same(cloud: Proxy, inbox: Path):
    record(inbox, *range(20))
    upload(inbox)
    costs = []
    for number in (20, 21, 22):
        record(inbox, number)
        before = len(cloud.requests)
        assert upload(inbox).sent_events == 1
        costs.append(len(cloud.requests) - before)
    assert len(set(costs)) == 1
    assert cloud.count("^POST") == len(objects(cloud)) == 23 + 4
    assert upload(inbox).sent_events == 0


def test_listing_is_incremental_and_the_cursor_may_be_lost(cloud: Proxy, inbox: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("mondegreen.upload.FOLDER", 3)
    for number in range(10):
        record(inbox, number)
        upload(inbox)
    assert take(tmp_path)[1].events == 10
    record(inbox, 10)
    upload(inbox)
    cloud.requests.clear()
    newest = take(tmp_path)[1].batch
    assert cloud.count("events%2F.*alt=media") == 1
    assert cloud.count("^GET /storage/v1/b/bucket/o\\?") == 3, "senders, folders, and the last folder"
    (tmp_path / "staging/cursor.json").unlink()
    arrived, done = take(tmp_path)
    assert (done.batch, arrived.known) == (None, 11)
    shutil.rmtree(tmp_path / "raw" / newest)
    (tmp_path / "raw" / f"{newest}.dvc").unlink()
    assert take(tmp_path)[1].events == 1, "a batch that is gone is fetched again"
    assert len(sealed(tmp_path)) == 11


def test_a_damaged_part_or_clip_is_not_taken(cloud: Proxy, inbox: Path, tmp_path: Path):
    ids = record(inbox, 1, 2, 3)
    upload(inbox)
    [clip, gone] = sorted(objects(cloud, "audio/"))[:2]
    cloud.target.write("bucket", clip, b"RIFF")
    cloud.target.delete("bucket", gone)
    arrived, done = take(tmp_path)
    assert (done.events, arrived.held, len(arrived.missing), len(arrived.damaged)) == (1, 2, 1, 1)
    arrived, done = take(tmp_path, without_audio=True)
    assert (done.events, arrived.known, len(done.missing_audio)) == (2, 1, 2)
    record(inbox, 4)
    upload(inbox)
    part = max(objects(cloud, "events/"))
    cloud.target.write("bucket", part, cloud.target.read("bucket", part)[:-20])
    arrived, done = take(tmp_path)
    assert (done.events, [f"learning_data/{name}" for name in arrived.damaged]) == (0, [part])
    assert len(ids) == 3
