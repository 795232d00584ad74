"""Requests that fail are repeated as long as that may help: when the service asks, and not for ever."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud import Cloud, Emulator, Faults, Proxy
from mondegreen import Recorder, service
from mondegreen.carrying import carry
from mondegreen.cli import main
from mondegreen.cloud import Bucket
from mondegreen.errors import CloudError, UnreachableError


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator("bucket") as made:
        yield made


@pytest.fixture
def cloud(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(emulator) as proxy:
        take_for_google(proxy, tmp_path, monkeypatch)
        yield proxy


def take_for_google(cloud: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    for name in ("STORAGE_EMULATOR_HOST", "NO_GCE_CHECK", "NO_PROXY"):
        monkeypatch.setenv(name, cloud.env(home)[name])


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_the_service_asks(status: int, cloud: Proxy):
    times: list[float] = []
    refusal = Faults(match="^POST", status=status, retry_after=1, times=1, do=lambda: times.append(time.monotonic()))
    cloud.faults = refusal
    assert Bucket("gs://bucket").upload(b"x", "a").size == 1
    assert time.monotonic() - times[0] >= 1
    assert cloud.count("^POST") == 2


def test_it_does_not_wait_longer_than_it_has_patience(cloud: Proxy):
    cloud.faults = Faults(match="^POST", status=429, retry_after=3600)
    with pytest.raises(UnreachableError, match=r"429 .*; it asks to wait for 3600 seconds") as caught:
        Bucket("gs://bucket").upload(b"x", "a")
    assert (caught.value.wait, cloud.count("^POST")) == (3600, 1)


def test_what_carries_many_things_waits_within_its_own_patience():
    tried: list[float] = []

    def busy(item: int) -> None:
        tried.append(time.monotonic())
        if len(tried) == 1:
            raise UnreachableError("busy", wait=1)

    assert carry([1], busy, patience=2) == {}
    assert tried[1] - tried[0] >= 1

    def busier(item: int) -> None:
        raise UnreachableError("busy", wait=60)

    assert carry([1, 2], busier, patience=50) == {1: "busy", 2: "busy"}


def test_what_is_refused_is_not_asked_again(cloud: Proxy):
    cloud.faults = Faults(match="^POST", status=400, body="Invalid bucket name")
    with pytest.raises(CloudError, match=r"gs://bucket: Invalid bucket name \(400\)"):
        Bucket("gs://bucket").upload(b"x", "a")
    assert cloud.count("^POST") == 1


def test_an_outage_after_an_answer_is_waited_out_for_longer(cloud: Proxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "CONTACT", 0.1)
    cloud.faults = Faults(cut=0)
    bucket = Bucket("gs://bucket")
    with pytest.raises(UnreachableError, match=r"cannot be reached .*check the network, then run this again"):
        bucket.check()
    cloud.faults = Faults(match="^GET", cut=0, times=2)
    cloud.requests.clear()
    bucket.upload(b"x", "a")
    assert bucket.stat("a") is not None
    assert cloud.count("^GET") >= 3


@pytest.mark.parametrize("dead", ["refuses", "says nothing"])
def test_a_dead_address_is_told_within_seconds(
    dead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(service, "CONTACT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server, Recorder(tmp_path / "inbox") as recorder:
        nobody = Cloud()
        nobody.port = server.getsockname()[1] if dead == "says nothing" else 1
        take_for_google(nobody, tmp_path, monkeypatch)
        recorder.failure(None, original_transcript="kept")
        assert main(["upload", str(tmp_path / "inbox"), "--to", "gs://bucket/learning_data"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mondegreen: gs://bucket cannot be reached (")
    assert said.endswith("): check the network, then run this again\n")
