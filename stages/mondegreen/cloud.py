"""Google Cloud Storage: one bucket whose objects go up and come down whole, and errors that say what to do.

Over gcsfs, which DVC uses too; loaded when a bucket is opened. An object is accepted by the service only with the MD5
that it was announced with.
"""

import asyncio
import base64
import hashlib
import io
import json
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mondegreen import credentials
from mondegreen.service import Advance, Counted, Service, longest, nothing

SCHEME = "gs://"

_CHUNK = 32 << 20  # bytes of one request; what is longer goes up in several, and a broken one repeats only itself
_SMALL = 100_000  # bytes of a body that is counted when it has arrived, not while it goes
_MARK = uuid.uuid4().hex  # parts the pieces of a request: random, so that no content holds it
_PAGE = 1000


@dataclass(frozen=True)
class Stored:
    """What the service says of an object: bytes, MD5 as hex ('' if it does not know), seconds since 1970."""

    size: int
    md5: str
    created: float


class Bucket:
    """The bucket of `url`, whose names all begin with its path: `gs://bucket/data_versions`.

    `project` and `key_file` are checked when given; without a file, Application Default Credentials are used.
    Raises `CloudError` where there are none. Any number of threads may use it.
    """

    def __init__(
        self, url: str, *, project: str | None = None, key_file: str | None = None, anonymous: bool = False
    ) -> None:
        """Find the credentials; the network is not used before the first call, `check` being the natural one."""
        self.bucket, _, prefix = url.removeprefix(SCHEME).rstrip("/").partition("/")
        self.url, self._prefix = f"{SCHEME}{self.bucket}/{prefix}".rstrip("/"), f"{prefix}/" if prefix else ""
        self._service = Service(self.bucket, project, key_file, anonymous=anonymous)
        self._objects = f"b/{quote(self.bucket)}/o"

    def __str__(self) -> str:
        """Return its address."""
        return self.url

    def check(self, *, write: bool = True) -> None:
        """Make sure within seconds that this can be read, and written; raises `CloudError` that says what to do."""
        needed = credentials.WRITE if write else credentials.READ
        try:
            answer = self._service.call("GET", f"b/{quote(self.bucket)}/iam/testPermissions", permissions=needed)
        except FileNotFoundError as error:
            raise credentials.no_bucket(self.bucket) from error
        if lacking := [each for each in needed if each not in answer.get("permissions", ())]:
            raise credentials.forbidden(self.bucket, self._service.account, "", lacking)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the names right behind `prefix` that end with a slash, in order, without either."""
        token, found = None, []
        while True:
            answer = self._service.call(
                "GET",
                self._objects,
                prefix=self._prefix + prefix,
                delimiter="/",
                fields="nextPageToken,prefixes",
                maxResults=_PAGE,
                pageToken=token,
            )
            found += [each.removeprefix(self._prefix + prefix).rstrip("/") for each in answer.get("prefixes", ())]
            if not (token := answer.get("nextPageToken")):
                return sorted(found)

    def list(self, prefix: str = "", *, start: str = "") -> Iterator[tuple[str, Stored]]:
        """Yield the names that begin with `prefix`, from `start` on, in order, with what is known of each."""
        token = None
        while True:
            answer = self._service.call(
                "GET",
                self._objects,
                prefix=self._prefix + prefix,
                startOffset=self._prefix + start if start else None,
                fields="nextPageToken,items(name,size,md5Hash,timeCreated)",
                maxResults=_PAGE,
                pageToken=token,
            )
            for item in answer.get("items", ()):
                name = item["name"].removeprefix(self._prefix)
                if name >= start:  # an emulator knows no startOffset
                    yield name, _stored(item)
            if not (token := answer.get("nextPageToken")):
                return

    def stat(self, name: str) -> Stored | None:
        """Return what is known of an object; None where there is none."""
        try:
            return _stored(self._service.call("GET", f"{self._objects}/{self._quoted(name)}"))
        except FileNotFoundError:
            return None

    def md5(self, name: str) -> str:
        """Return the MD5 (hex) of an object, read where the service does not know it; raises `FileNotFoundError`."""
        known = self.stat(name)
        if known and known.md5:
            return known.md5
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "object")
            self.download(name, copy)
            with copy.open("rb") as file:
                return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

    def read(self, name: str) -> bytes:
        """Return a small object's bytes; raises `FileNotFoundError`."""
        path = f"/storage/v1/{self._objects}/{self._quoted(name)}"
        return self._service.run(self._service.ask, "GET", path, alt="media")[1]

    def upload(
        self, source: Path | bytes, name: str, *, md5: str = "", new: bool = False, advance: Advance = nothing
    ) -> Stored:
        """Put a file or bytes under `name`, replacing what is there; return what the service has then.

        With `new`, `FileExistsError` is raised where anything is there, and nothing is changed.
        With `md5` (hex) the service refuses any other content. `advance` is told the bytes as they leave, and takes
        them back (a negative number) when a request is repeated.
        """
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            send = self._send_whole if size <= _CHUNK else self._send_chunks
            condition = {"ifGenerationMatch": "0"} if new else {}
            return _stored(
                self._service.run(send, file, size, self._meta(name, md5), condition, advance, limit=longest(size))
            )

    def upload_many(self, files: Sequence[tuple[Path, str, str]], *, jobs: int, advance: Advance = nothing) -> set[str]:
        """Put small files, each with its name and MD5 (hex), side by side without a thread for each.

        Return the names that the service has then. What fails is left to `upload`, which says why; after `jobs`
        failures nothing more is tried.
        """
        return self._service.run(self._send_many, files, jobs, advance, limit=None)

    async def _send_many(self, files: Sequence[tuple[Path, str, str]], jobs: int, advance: Advance) -> set[str]:
        waiting, done, failures = iter(files), set(), 0

        async def work() -> None:
            nonlocal failures
            for source, name, md5 in waiting:
                if failures >= jobs:
                    return
                try:
                    content = source.read_bytes()
                    async with asyncio.timeout(longest(len(content))):
                        await self._send_whole(io.BytesIO(content), len(content), self._meta(name, md5), {}, advance)
                    done.add(name)
                except Exception:  # noqa: BLE001, `upload` tries it again and says what is wrong
                    failures += 1

        await asyncio.gather(*(work() for _ in range(jobs)))
        return done

    def _meta(self, name: str, md5: str) -> dict[str, str]:
        digest = {"md5Hash": base64.b64encode(bytes.fromhex(md5)).decode()} if md5 else {}
        return {"name": self._prefix + name} | digest

    async def _send_whole(
        self, file: Any, size: int, meta: dict[str, str], condition: dict[str, str], advance: Advance
    ) -> Any:
        file.seek(0)
        mark = _MARK
        head = f"--{mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(meta)}\r\n--{mark}\r\n"
        body = [
            f"{head}Content-Type: application/octet-stream\r\n\r\n".encode(),
            file.read(),
            f"\r\n--{mark}--".encode(),
        ]
        content = b"".join(body)
        small = size < _SMALL  # sent by one write
        _, answer = await self._service.ask(
            "POST",
            f"/upload/storage/v1/{self._objects}",
            uploadType="multipart",
            **condition,
            headers={"Content-Type": f"multipart/related; boundary={mark}"},
            body=content if small else Counted(content, advance, size),
        )
        if small:
            advance(size)
        return json.loads(answer)

    async def _send_chunks(
        self, file: Any, size: int, meta: dict[str, str], condition: dict[str, str], advance: Advance
    ) -> Any:
        headers, _ = await self._service.ask(
            "POST",
            f"/upload/storage/v1/{self._objects}",
            uploadType="resumable",
            **condition,
            name=meta["name"],
            headers={"Content-Type": "application/json; charset=UTF-8"},
            body=json.dumps(meta).encode(),
        )
        place, start, answer = headers["Location"], 0, b""
        while start < size:
            file.seek(start)
            part = file.read(_CHUNK)
            headers, answer = await self._service.ask(
                "PUT",
                place,
                headers={"Content-Range": f"bytes {start}-{start + len(part) - 1}/{size}"},
                body=Counted(part, advance, len(part)),
            )
            start = int(headers["Range"].rpartition("-")[2]) + 1 if "Range" in headers else size
        return json.loads(answer)

    def download(self, name: str, target: Path, advance: Advance = nothing) -> None:
        """Write an object to `target`, anew with each attempt; raises `FileNotFoundError` where there is none.

        What arrives can be damaged: whoever knows the hash compares it.
        """
        path = f"/download/storage/v1/{self._objects}/{self._quoted(name)}"
        self._service.run(self._service.fetch, path, target, advance, limit=None)

    def delete(self, name: str) -> None:
        """Remove an object; none is fine."""
        try:
            path = f"/storage/v1/{self._objects}/{self._quoted(name)}"
            self._service.run(self._service.ask, "DELETE", path)
        except FileNotFoundError:
            return

    def _quoted(self, name: str) -> str:
        return quote(self._prefix + name, safe="")


def _stored(item: dict[str, Any]) -> Stored:
    md5 = base64.b64decode(item.get("md5Hash") or "").hex()
    return Stored(int(item["size"]), md5, datetime.fromisoformat(item["timeCreated"]).timestamp())
