"""Live upload, and ingest from the cloud, against a real emulator: nothing lost, nothing twice, nothing damaged."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud import HEALTHY, Emulator, Faults, Proxy
from conftest import ROOT, sound
from mondegreen import Recorder, batches, confirmed, events, keeping, spool
from mondegreen.arrivals import ingest_from
from mondegreen.cli import main
from mondegreen.errors import DataError
from mondegreen.ingest import ingest
from mondegreen.integration import IntegratedDataManagementSystem
from mondegreen.place import WORKERS, Place
from mondegreen.resending import resend
from mondegreen.upload import Uploader

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
    with confirmed.alone(path, url):
        uploader = Uploader(path, Place(url), said.append)
        uploader.send()
        uploader.confirmed.close()
    assert said == []
    return uploader


def track(batch: Path) -> None:
    """Stand in for `dvc add`, which has its own test with a real DVC."""
    batch.with_name(f"{batch.name}.dvc").write_text("outs: []\n")


def take(repository: Path, url: str = URL, **options):
    """Ingest into the batches below `repository`."""
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


def restart(cloud: Proxy) -> None:
    cloud.target.kill()
    cloud.target.start()


FAULTS = {
    "503 on every third request": Faults(every=3, status=503, times=8),
    "429": Faults(match="^POST", status=429, retry_after=1, times=3),
    "connections cut": Faults(match="^POST", cut=1000, times=3),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_way_lose_nothing(cloud: Proxy, inbox: Path, tmp_path: Path, fault: str):
    ids = record(inbox, *range(4))
    cloud.faults = FAULTS[fault]
    upload(inbox)
    cloud.faults = FAULTS[fault]
    take(tmp_path)
    assert sorted(sealed(tmp_path)) == sorted(ids)


def test_the_emulator_is_killed_and_restarted_in_the_middle(cloud: Proxy, inbox: Path, tmp_path: Path):
    ids = record(inbox, *range(12))
    cloud.faults = Faults(match="^POST", every=7, times=1, do=lambda: restart(cloud))
    upload(inbox)
    cloud.faults = Faults(match="alt=media", every=7, times=1, do=lambda: restart(cloud))
    take(tmp_path)
    assert sorted(sealed(tmp_path)) == sorted(ids)


def test_a_large_clip_survives_a_cut_half_way(cloud: Proxy, inbox: Path, tmp_path: Path):
    with Recorder(inbox) as recorder:
        recorder.failure(b"RIFF" + bytes(50_000_000), original_transcript="long")
    cloud.faults = Faults(match="upload_id=", cut=25_000_000, times=1)
    upload(inbox)
    [(_, clip)] = objects(cloud, "audio/").items()
    assert int(clip["size"]) == 50_000_004


def test_recording_goes_on_through_an_outage_and_upload_catches_up(cloud: Proxy, inbox: Path, tmp_path: Path):
    cloud.target.kill()
    with Recorder(inbox, upload=URL) as recorder:
        ids = [recorder.failure(sound(0.1, seed=n), original_transcript=str(n)) for n in range(5)]
        assert not recorder.uploaded()
        cloud.target.start()
        assert recorder.uploaded(timeout=100)
    take(tmp_path)
    assert sorted(sealed(tmp_path)) == sorted(ids)


def test_kill_9_of_the_uploader_loses_nothing_and_repeats_only_what_was_unconfirmed(
    cloud: Proxy, inbox: Path, tmp_path: Path
):
    ids = record(inbox, *range(60))
    command = [sys.executable, "-m", "mondegreen.cli", "upload", str(inbox), "--to", URL]
    env = os.environ | {"PYTHONPATH": str(ROOT / "stages")}
    for at in (20, 25):
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            cloud.faults = Faults(match="^POST", every=at, times=1, do=process.kill)
        assert process.returncode == -9
    cloud.faults = HEALTHY
    upload(inbox)
    assert cloud.count("^POST") <= len(objects(cloud)) + 2 * (WORKERS + 1)
    take(tmp_path)
    assert sorted(sealed(tmp_path)) == sorted(ids)


def test_one_uploader_at_a_time(cloud: Proxy, inbox: Path, capsys):
    record(inbox, 1)
    with confirmed.alone(inbox, URL) as first:
        assert first
        assert main(["upload", str(inbox), "--to", URL]) == 1
        assert "another process uploads" in capsys.readouterr().err
    assert main(["upload", str(inbox), "--to", URL]) == 0
    assert "1 event and 1 clip went up" in capsys.readouterr().out


def test_two_agents_and_a_copy_of_a_spool_never_overwrite_each_other(cloud: Proxy, inbox: Path, tmp_path: Path):
    ids = record(inbox, 1)
    upload(inbox)
    take(tmp_path)
    shutil.copytree(inbox, tmp_path / "copy")
    for path, number in ((inbox, 2), (tmp_path / "copy", 3), (tmp_path / "other", 4)):
        ids += record(path, number)
        upload(path)
    assert all(int(item["generation"]) for item in objects(cloud).values())
    take(tmp_path)
    assert sorted(sealed(tmp_path)) == sorted(ids)


class Wrong(datetime):
    """A clock that is many years slow."""

    @classmethod
    def now(cls, tz=None):
        return datetime(1970, 1, 1, tzinfo=UTC)


def test_an_agent_with_a_wrong_clock_is_not_passed_over(cloud: Proxy, inbox: Path, tmp_path: Path, monkeypatch):
    ids = record(inbox, 1)
    upload(inbox)
    take(tmp_path)
    for module in ("confirmed", "spool", "events"):
        monkeypatch.setattr(f"mondegreen.{module}.datetime", Wrong)
    for number in (2, 3):
        ids += record(tmp_path / "late", number)
        upload(tmp_path / "late")
        take(tmp_path)
        assert sorted(sealed(tmp_path)) == sorted(ids)


def test_a_state_that_is_lost_or_old_loses_nothing(cloud: Proxy, inbox: Path, tmp_path: Path):
    ids = record(inbox, 1, 2)
    upload(inbox)
    shutil.copytree(inbox / "upload", tmp_path / "old")
    for number in (3, 4, 5):
        ids += record(inbox, number)
        upload(inbox)
    shutil.rmtree(inbox / "upload")
    shutil.copytree(tmp_path / "old", inbox / "upload")
    upload(inbox)
    shutil.rmtree(inbox / "upload")
    upload(inbox)
    assert len(objects(cloud, "audio/")) == 5
    take(tmp_path)
    assert sorted(sealed(tmp_path)) == sorted(ids)


def test_a_local_ingest_leaves_what_is_not_uploaded_yet(cloud: Proxy, inbox: Path, tmp_path: Path):
    record(inbox, 1)
    upload(inbox)
    record(inbox, 2)
    done = ingest(inbox, tmp_path / "raw", track=track)
    assert (done.events, done.unsent, len(spool.segments(inbox))) == (2, 1, 1)
    upload(inbox)
    assert ingest(inbox, tmp_path / "raw", track=track).unsent == 0
    assert spool.segments(inbox) == []


def test_keep_removes_the_oldest_and_only_what_is_confirmed(cloud: Proxy, inbox: Path, tmp_path: Path):
    shared = sound(0.1, seed=1)
    ids = record(inbox, 1, 2)
    upload(inbox)
    with Recorder(inbox) as recorder:
        ids += [recorder.failure(shared, original_transcript="again")]
    assert keeping.tidy(inbox, keeping.parse("1TB"), 0).segments == 0
    assert keeping.tidy(inbox, keeping.parse("1d"), 0).segments == 0
    done = keeping.tidy(inbox, keeping.parse("1KB"), 0)
    assert (done.segments, done.clips, done.over) == (1, 1, True), "a clip that a kept case names stays"
    upload(inbox)
    done = keeping.tidy(inbox, keeping.parse("1KB"), 0)
    assert (done.segments, done.clips, done.over) == (1, 1, False)
    assert not spool.segments(inbox) and not list((inbox / "audio").glob("??/*"))
    take(tmp_path)
    assert sorted(sealed(tmp_path)) == sorted(ids)


def test_what_keep_means():
    assert keeping.parse("10GB") == keeping.Keep(size=10e9)
    assert keeping.parse("7d") == keeping.Keep(seconds=7 * 86400)
    with pytest.raises(DataError, match="10GB"):
        keeping.parse("much")


def test_what_was_lost_or_damaged_there_is_sent_again(cloud: Proxy, inbox: Path, tmp_path: Path):
    ids = []
    for number in range(6):
        ids += record(inbox, number)
        upload(inbox)
    deleted, cut, replaced = sorted(objects(cloud, "events/"))[1:4]
    clip, gone = sorted(objects(cloud, "audio/"))[:2]
    cloud.target.delete("bucket", deleted)
    cloud.target.write("bucket", cut, cloud.target.read("bucket", cut)[:-20])
    cloud.target.write("bucket", replaced, b"x" * 100)
    cloud.target.write("bucket", clip, b"RIFF")
    cloud.target.delete("bucket", gone)
    arrived, _ = take(tmp_path)
    assert arrived.damaged
    with confirmed.alone(inbox, URL):
        uploader = Uploader(inbox, Place(URL), print)
        done = resend(uploader)
        assert (done.events, done.clips, len(done.removed), done.left) == (3, 2, 2, [])
        assert resend(uploader).events == 0
        uploader.confirmed.close()
    arrived, _ = take(tmp_path)
    assert (arrived.damaged, arrived.missing, arrived.held) == ([], [], 0)
    assert sorted(sealed(tmp_path)) == sorted(ids)


def test_the_system_uploads_what_it_records(cloud: Proxy, inbox: Path, tmp_path: Path, caplog):
    system = IntegratedDataManagementSystem(inbox, use_gcs=True, gcs_bucket_name="bucket")
    ids = [system.record_failed_transcription(sound(0.1), "kiss this guy", "kiss the sky", inference_time=0.5)]
    assert system.data_manager.recorder.uploaded(timeout=60)
    system.data_manager.recorder.close()
    take(tmp_path)
    assert sealed(tmp_path) == ids
    alone = IntegratedDataManagementSystem(tmp_path / "elsewhere", use_gcs=True)
    assert alone.record_failed_transcription(None, "no repository, no bucket")
    assert "nothing is uploaded" in caplog.text
