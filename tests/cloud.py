"""Google Cloud Storage for tests: a real emulator process that can be killed, and a proxy that makes faults.

with Emulator("bucket") as emulator, Proxy(emulator) as proxy:
    env = proxy.env(home)  # for child processes
    proxy.faults = Faults(every=3, status=503)  # from now on every third request
    proxy.faults = Faults(match="^POST /upload", cut=1000, times=1)
    proxy.faults = Faults(match="^POST /upload", every=5, times=1, do=emulator.kill)
"""

import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

EMULATOR = Path(__file__).with_name("emulator.py")


class Cloud:
    """What answers as Google Cloud Storage on a port of this machine."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def env(self, home: Path) -> dict[str, str]:
        """Return the environment of a process that takes this for the cloud; `home` holds no credentials."""
        hidden = ("GOOGLE_", "CLOUDSDK_", "GCLOUD_", "PYTHONPATH", "COVERAGE_FILE")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
        return kept | {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "STORAGE_EMULATOR_HOST": self.url,
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "NO_GCE_CHECK": "true",
            "NO_PROXY": "127.0.0.1,localhost",
        }


class Emulator(Cloud):
    """A real emulator process with `buckets`; in memory, or in `folder`, where it finds all again after `kill`."""

    def __init__(self, *buckets: str, folder: Path | None = None) -> None:
        self.buckets, self.folder, self.port = buckets, folder, 0
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, on the port that it had."""
        command = [sys.executable, str(EMULATOR), str(self.folder or ""), str(self.port), *self.buckets]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        """End it as power loss does."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    # what is in it, past every proxy; real HTTP

    def objects(self, bucket: str, prefix: str = "") -> dict[str, dict]:
        """Return name -> resource (`size` and `md5Hash` are texts, as the API has them)."""
        items = json.loads(self._call("GET", f"/storage/v1/b/{bucket}/o?prefix={quote(prefix, safe='')}")).get("items")
        return {item["name"]: item for item in items or []}

    def read(self, bucket: str, name: str) -> bytes:
        return self._call("GET", f"/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media")

    def write(self, bucket: str, name: str, content: bytes) -> None:
        query = f"uploadType=media&name={quote(name, safe='')}"
        self._call("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", content)

    def delete(self, bucket: str, name: str) -> None:
        self._call("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")

    def create(self, bucket: str) -> None:
        self._call("POST", "/storage/v1/b", json.dumps({"name": bucket}).encode(), "application/json")

    def _call(self, method: str, path: str, body: bytes | None = None, kind: str = "application/octet-stream") -> bytes:
        request = Request(self.url + path, body, {"Content-Type": kind}, method=method)
        with urlopen(request, timeout=60) as answer:
            return answer.read()


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong with every `every`th request that `match`es "METHOD path", the first `times` times.

    The default of `every` is each one, of `times` no end. One of: `status` is answered, with `retry_after` seconds and
    `body` (JSON, or an error's message); the connection is `cut` after so many bytes of either direction, 0 for at
    once; `rate` is how many bytes pass in a second; `pace` is called with the size of each piece, of a megabyte at
    most, before it passes; `do` is called before the request goes on.
    """

    match: str = ""
    every: int = 1
    times: int | None = None
    status: int | None = None
    retry_after: int | None = None
    body: str = ""
    cut: int | None = None
    rate: int | None = None
    pace: Callable[[int], object] | None = None
    do: Callable[[], object] | None = None


HEALTHY = Faults(times=0)


class Proxy(Cloud):
    """Passes requests on to `target`, with the `faults` that are set at the moment; `requests` are "METHOD path"."""

    def __init__(self, target: Cloud) -> None:
        self.target, self.requests, self._lock = target, [], threading.Lock()
        self.faults = HEALTHY
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    @property
    def faults(self) -> Faults:
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        with self._lock:
            self._faults, self._matched, self._made = faults, 0, 0

    def count(self, match: str) -> int:
        """Return how many requests match so far."""
        return sum(bool(re.search(match, request)) for request in self.requests)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Handle a connection; the emulator ends it after one request (HTTP/1.0), and so it has one here."""
        with client, suppress(OSError):  # when one side is gone, the other one sees it closed
            self._request(client)

    def _request(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (part := client.recv(65536)):
                return
            head += part
        faults = self._chosen(" ".join(head.decode("latin-1").split(" ", 2)[:2]))
        if faults.do:
            faults.do()
        if faults.cut == 0:
            return
        if faults.status:
            _drain(client, head)
            client.sendall(_answer(faults))
            return
        with socket.create_connection(("127.0.0.1", self.target.port)) as server:
            _pump(client, server, faults, head)

    def _chosen(self, request: str) -> Faults:
        with self._lock:
            self.requests.append(request)
            if not re.search(self._faults.match, request):
                return HEALTHY
            self._matched += 1
            if self._matched % self._faults.every or self._made == self._faults.times:
                return HEALTHY
            self._made += 1
            return self._faults


def _answer(faults: Faults) -> bytes:
    error = {"error": {"code": faults.status, "message": faults.body or "made by a test"}}
    body = (faults.body if faults.body.startswith("{") else json.dumps(error)).encode()
    lines = [f"HTTP/1.0 {faults.status} Fault", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"Retry-After: {faults.retry_after}"] if faults.retry_after is not None else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def _drain(client: socket.socket, head: bytes) -> None:
    """Read the body: a client that is still writing would see a broken connection rather than the answer."""
    fields, _, body = head.partition(b"\r\n\r\n")
    found = re.search(rb"(?im)^content-length: *(\d+)", fields)
    left = int(found[1]) - len(body) if found else 0
    while left > 0 and (part := client.recv(min(left, 1 << 20))):
        left -= len(part)


def _pump(client: socket.socket, server: socket.socket, faults: Faults, head: bytes) -> None:
    """Send `head` and copy in both directions until the server has closed, or the cut."""
    passed, others = {server: 0, client: 0}, {client: server, server: client}
    step = 1 << 20 if faults.rate is None else max(1, faults.rate // 50)

    def send(target: socket.socket, part: bytes) -> bool:
        if faults.cut is not None and passed[target] + len(part) > faults.cut:
            target.sendall(part[: faults.cut - passed[target]])
            return False
        if faults.pace:
            faults.pace(len(part))
        target.sendall(part)
        passed[target] += len(part)
        if faults.rate is not None:
            time.sleep(len(part) / faults.rate)
        return True

    if not all(send(server, head[at : at + step]) for at in range(0, len(head), step)):
        return
    sources = [client, server]
    while server in sources:
        for source in select.select(sources, [], [])[0]:
            if part := source.recv(step):
                if not send(others[source], part):
                    return
                continue
            sources.remove(source)
            if source is client:
                server.shutdown(socket.SHUT_WR)


def is_missing(emulator: Emulator, bucket: str, name: str) -> bool:
    """Return whether an object is not there."""
    try:
        emulator.read(bucket, name)
    except HTTPError as error:
        error.close()
        return error.code == 404
    return False


def run(*command: str, cwd: Path, env: Mapping[str, str], status: int = 0) -> str:
    """Return what a child process printed; it must exit with `status`."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == status, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
