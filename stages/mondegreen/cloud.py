"""Google Cloud Storage: one bucket whose objects go up and come down whole, and errors that say what to do.

Over gcsfs, which DVC uses too; loaded when a bucket is opened. An object is accepted by the service only with the MD5
that it was announced with.
"""

import asyncio
import base64
import io
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mondegreen import credentials
from mondegreen.errors import CloudError, UnreachableError

# gcsfs otherwise asks a gRPC service what kind of bucket this is, which an emulator lacks: it then hangs for minutes
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

SCHEME = "gs://"

_CHUNK = 32 << 20  # bytes of one request; what is longer goes up in several, and a broken one repeats only itself
_SMALL = 100_000  # bytes of a body that is counted when it has arrived, not while it goes
_MARK = uuid.uuid4().hex  # parts the pieces of a request: random, so that no content holds it
_SLOWEST = 20_000  # bytes per second of one transfer; one that is slower is broken off and tried again
_PATIENCE = 60.0  # seconds without a byte of an answer
_PAGE = 1000
_log = logging.getLogger("gcsfs")  # it logs whole tracebacks of what it raises anyway


@dataclass(frozen=True)
class Stored:
    """What the service says of an object: bytes, MD5 as hex ('' if it does not know), seconds since 1970."""

    size: int
    md5: str
    created: float


Advance = Callable[[int], object]


def nothing(_: int) -> None:
    """Count nothing."""


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
        emulated = os.environ.get("STORAGE_EMULATOR_HOST") and not (key_file or credentials.named_file())
        token = "anon" if anonymous or emulated else credentials.find(project, key_file)
        import aiohttp
        import gcsfs

        _log.addHandler(logging.NullHandler())
        _log.propagate = False
        self._fs = gcsfs.GCSFileSystem(
            project=project or "",
            token=token,
            session_kwargs={"trust_env": True},
            requests_timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_PATIENCE),
            skip_instance_cache=True,
        )

    def __str__(self) -> str:
        """Return its address."""
        return self.url

    def check(self, *, write: bool = True) -> None:
        """Make sure within seconds that this can be read, and written; raises `CloudError` as `credentials.check`."""
        permissions = credentials.WRITE if write else credentials.READ
        credentials.check(self.bucket, self._fs.base, self._fs.credentials, permissions)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the names right behind `prefix` that end with a slash, in order, without either."""
        token, found = None, []
        while True:
            answer = self._call(
                "GET",
                f"b/{quote(self.bucket)}/o",
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
            answer = self._call(
                "GET",
                f"b/{quote(self.bucket)}/o",
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
            return _stored(self._call("GET", f"b/{quote(self.bucket)}/o/{self._quoted(name)}"))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """Return a small object's bytes; raises `FileNotFoundError`."""
        headers_and_content = self._sync(
            self._fs._call, "GET", f"b/{quote(self.bucket)}/o/{self._quoted(name)}", alt="media"
        )
        content: bytes = headers_and_content[1]
        return content

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
            limit = 120 + size / _SLOWEST
            send = self._send_whole if size <= _CHUNK else self._send_chunks
            condition = {"ifGenerationMatch": "0"} if new else {}
            return _stored(self._sync(send, file, size, self._meta(name, md5), condition, advance, limit=limit))

    def upload_many(self, files: Sequence[tuple[Path, str, str]], *, jobs: int, advance: Advance = nothing) -> set[str]:
        """Put small files, each with its name and MD5 (hex), side by side without a thread for each.

        Return the names that the service has then. What fails is left to `upload`, which says why; after `jobs`
        failures nothing more is tried.
        """
        done: set[str] = self._sync(self._send_many, files, jobs, advance, limit=None)
        return done

    async def _send_many(self, files: Sequence[tuple[Path, str, str]], jobs: int, advance: Advance) -> set[str]:
        waiting, done, failures = iter(files), set(), 0

        async def work() -> None:
            nonlocal failures
            for source, name, md5 in waiting:
                if failures >= jobs:
                    return
                try:
                    content = source.read_bytes()
                    async with asyncio.timeout(120 + len(content) / _SLOWEST):
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
        answer = await self._fs._call(
            "POST",
            f"{self._fs._location}/upload/storage/v1/b/{quote(self.bucket)}/o",
            uploadType="multipart",
            **condition,
            headers={"Content-Type": f"multipart/related; boundary={mark}"},
            data=content if small else _Counted(content, advance, size),
            json_out=True,
        )
        if small:
            advance(size)
        return answer

    async def _send_chunks(
        self, file: Any, size: int, meta: dict[str, str], condition: dict[str, str], advance: Advance
    ) -> Any:
        headers, _ = await self._fs._call(
            "POST",
            f"{self._fs._location}/upload/storage/v1/b/{quote(self.bucket)}/o",
            uploadType="resumable",
            **condition,
            name=meta["name"],
            json=meta,
        )
        place, start, answer = headers["Location"], 0, b""
        while start < size:
            file.seek(start)
            part = file.read(_CHUNK)
            headers, answer = await self._fs._call(
                "PUT",
                place,
                headers={"Content-Range": f"bytes {start}-{start + len(part) - 1}/{size}"},
                data=_Counted(part, advance, len(part)),
            )
            start = int(headers["Range"].rpartition("-")[2]) + 1 if "Range" in headers else size
        return json.loads(answer)

    def download(self, name: str, target: Path, advance: Advance = nothing) -> None:
        """Write an object to `target`, anew with each attempt; raises `FileNotFoundError` where there is none.

        What arrives can be damaged: whoever knows the hash compares it.
        """
        known = self.stat(name)
        if known is None:
            raise FileNotFoundError(name)
        self._sync(
            self._fs._get_file_request,
            f"{self.bucket}/{self._prefix}{name}",
            str(target),
            callback=_counting(advance),
            limit=120 + known.size / _SLOWEST,
        )

    def delete(self, name: str) -> None:
        """Remove an object; none is fine."""
        try:
            self._sync(self._fs._call, "DELETE", f"b/{quote(self.bucket)}/o/{self._quoted(name)}")
        except FileNotFoundError:
            return

    def _quoted(self, name: str) -> str:
        return quote(self._prefix + name, safe="")

    def _call(self, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._sync(self._fs._call, method, path, json_out=True, **parameters)
        return answer

    def _sync(self, work: Callable[..., Any], *arguments: Any, limit: float | None = 300.0, **options: Any) -> Any:
        """Run a coroutine function of gcsfs, its own retries included; raise what this module's errors call it."""
        import aiohttp
        import requests
        from fsspec.asyn import sync
        from gcsfs.retry import HttpError, is_retriable

        try:
            return sync(self._fs.loop, work, *arguments, timeout=limit, **options)
        except FileNotFoundError:
            raise
        except HttpError as error:
            kind = UnreachableError if is_retriable(error) and error.code != 401 else CloudError
            if error.code == 401:
                raise credentials.refused(self.bucket, error) from error
            raise kind(f"{SCHEME}{self.bucket}: {str(error)[:300]}") from error
        except (aiohttp.ClientError, requests.RequestException, TimeoutError, ConnectionError) as error:
            said = str(error)[:300] or type(error).__name__
            raise UnreachableError(f"{SCHEME}{self.bucket} does not answer ({said})") from error
        except OSError as error:
            if str(error).startswith("Forbidden"):
                raise credentials.forbidden(self.bucket, self._fs.credentials, str(error).partition("\n")[2]) from error
            raise
        except Exception as error:
            if not credentials.is_refusal(error):
                raise
            raise credentials.refused(self.bucket, error) from error


class _Counted(io.BytesIO):
    """A request's body that tells `advance` how much of its content was read, and takes it back when it starts anew."""

    def __init__(self, body: bytes, advance: Advance, content: int) -> None:
        super().__init__(body)
        self._advance, self._content, self._told = advance, content, 0

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self._tell(min(self._told + len(part), self._content))
        return part

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        self._tell(0)
        return super().seek(place, whence)

    def _tell(self, count: int) -> None:
        if count != self._told:
            self._advance(count - self._told)
            self._told = count


def _counting(advance: Advance) -> Any:
    from fsspec.callbacks import Callback

    class Counting(Callback):  # type: ignore[misc]
        told = 0

        def set_size(self, size: int | None) -> None:
            advance(-self.told)
            self.told = 0

        def relative_update(self, inc: int = 1) -> None:
            self.told += inc
            advance(inc)

    return Counting()


def _stored(item: dict[str, Any]) -> Stored:
    md5 = base64.b64decode(item.get("md5Hash") or "").hex()
    return Stored(int(item["size"]), md5, datetime.fromisoformat(item["timeCreated"]).timestamp())
