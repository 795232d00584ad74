"""The test's own cloud: the emulator keeps what it confirmed, the proxy makes the fault that it was told to."""

import json
import threading
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from cloud import HEALTHY, Emulator, Faults, Proxy


def upload(cloud, name: str, content: bytes) -> dict:
    query = f"uploadType=media&name={name}"
    request = Request(f"{cloud.url}/upload/storage/v1/b/bucket/o?{query}", content, method="POST")
    with urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


@pytest.fixture
def proxy():
    with Emulator("bucket") as emulator, Proxy(emulator) as made:
        yield made


def test_what_was_confirmed_survives_kill(tmp_path: Path):
    with Emulator("bucket", folder=tmp_path / "cloud") as emulator:
        emulator.write("bucket", "a/b", b"kept")
        emulator.kill()
        with pytest.raises(URLError):
            emulator.read("bucket", "a/b")
        emulator.start()
        assert emulator.read("bucket", "a/b") == b"kept"
        assert {name: item["size"] for name, item in emulator.objects("bucket", "a/").items()} == {"a/b": "4"}


def test_every_third_request_fails(proxy: Proxy):
    proxy.faults = Faults(every=3, status=503)
    statuses = []
    for number in range(6):
        try:
            statuses.append(upload(proxy, str(number), b"x" * 100_000)["size"])
        except HTTPError as error:
            statuses.append(error.code)
            error.close()
    assert statuses == ["100000", "100000", 503] * 2
    proxy.faults = HEALTHY
    assert upload(proxy, "again", b"x")["size"] == "1"
    assert proxy.count("^POST /upload") == 7


def test_too_many_requests_names_the_wait_and_ends(proxy: Proxy):
    proxy.faults = Faults(match="^POST", status=429, retry_after=1, times=1)
    with pytest.raises(HTTPError) as caught:
        upload(proxy, "a", b"x")
    assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "1")
    caught.value.close()
    upload(proxy, "a", b"x")


def test_a_cut_connection_leaves_nothing_behind(proxy: Proxy):
    proxy.faults = Faults(match="^POST", cut=5000)
    with pytest.raises(OSError):
        upload(proxy, "a", b"x" * 1_000_000)
    assert proxy.target.objects("bucket") == {}
    proxy.faults = Faults(cut=0)
    with pytest.raises(OSError):
        upload(proxy, "a", b"x")


def test_a_slow_link_takes_its_time(proxy: Proxy):
    proxy.faults = Faults(rate=100_000)
    start = time.monotonic()
    upload(proxy, "a", b"x" * 30_000)
    assert time.monotonic() - start >= 0.3


def test_something_is_done_before_a_request(proxy: Proxy):
    done = threading.Event()
    proxy.faults = Faults(match="name=b$", do=done.set)
    upload(proxy, "a", b"x")
    assert not done.is_set()
    upload(proxy, "b", b"x")
    assert done.is_set()
