"""gcp-storage-emulator as a process: `python tests/emulator.py FOLDER PORT BUCKET...`; prints its port.

An empty FOLDER keeps everything in memory; PORT 0 takes a free one. Where it falls short of the real service it is
helped: a request whose body was cut is dropped instead of stored, on disk a write is whole or not at all, and who asks
for a new object (ifGenerationMatch=0) gets 412 where there is one. And it is quicker: in memory it does not write its
index, which nobody reads, after each request; more connections may wait. Its clock is wrong by EMULATOR_CLOCK
seconds.
"""

import os
import sys
from datetime import datetime, timedelta
from http import HTTPStatus, server
from pathlib import Path

from gcp_storage_emulator import server as emulation
from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.storage import Storage, _FileStore

insert = emulation.objects.insert
write, read = _FileStore.write_bytes, emulation._read_raw_data


class WrongClock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(seconds=float(os.environ.get("EMULATOR_CLOCK", 0)))


def write_whole(store: _FileStore, path: str, content: bytes) -> None:
    write(store, f"{path}.new", content)
    (store._root / f"{path}.new").replace(store._root / path)


def read_whole(handler: server.BaseHTTPRequestHandler) -> bytes | None:
    body = read(handler)
    if len(body or b"") < int(handler.headers.get("Content-Length") or 0):
        raise ConnectionError("the body was cut")
    return body


def insert_new(request: emulation.Request, response: emulation.Response, storage: Storage, *_: object) -> None:
    if request.query.get("ifGenerationMatch") == ["0"]:
        name = request.query.get("name") or [request.data["meta"]["name"]]
        if name[0] in storage.objects.get(request.params["bucket_name"], {}):
            response.status = HTTPStatus.PRECONDITION_FAILED
            return
    insert(request, response, storage)


def main(folder: str, port: str, *buckets: str) -> None:
    server.HTTPServer.request_queue_size = 128
    emulation._read_raw_data = read_whole
    emulation.objects.insert = insert_new
    for _, handlers in emulation.HANDLERS:
        handlers.update({method: insert_new for method, handler in handlers.items() if handler is insert})
    emulation.objects.datetime = WrongClock
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        _FileStore.write_bytes = write_whole
    else:
        Storage._write_config_to_file = lambda storage: None
    emulator = emulation.create_server("127.0.0.1", int(port), in_memory=not folder, data_dir=folder or os.devnull)
    for bucket in buckets:
        create_bucket(bucket, emulator._storage)
    emulator.start()
    print(emulator._api._httpd.server_port, flush=True)
    sys.stdin.read()  # until its starter closes the pipe, or ends
    emulator.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
