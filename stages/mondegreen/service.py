"""The service behind buckets: requests to Google Cloud Storage, each repeated as long as that may help.

Over gcsfs's session and credentials, which DVC uses too; its own retries neither wait as the service asks, nor end
within seconds where nobody has ever answered.
"""

import asyncio
import io
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

from mondegreen import credentials
from mondegreen.errors import CloudError, UnreachableError

# gcsfs otherwise asks a gRPC service what kind of bucket this is, which an emulator lacks: it then hangs for minutes
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

CONTACT, PATIENCE = 6.0, 30.0
"""Seconds in which a request is begun again: where nothing has ever answered, and where something has."""

_CONNECT, _SILENCE = (
    4.0,
    60.0,
)  # seconds to a connection, and without a byte of an answer; the first, twice that is enough
_SLOWEST = 20_000  # bytes per second
_PAUSE = 0.5  # seconds before a request is repeated; then twice as many, jittered
_BUSY = (408, 429)

Advance = Callable[[int], object]
T = TypeVar("T")


def longest(size: int) -> float:
    """Return the seconds that the transfer of `size` bytes may take: one that is slower begins anew."""
    return 120 + size / _SLOWEST


def nothing(_: int) -> None:
    """Count nothing."""


class Service:
    """What answers for `bucket`; `project` and `key_file` as in `cloud.Bucket`. Any number of threads may use it."""

    def __init__(self, bucket: str, project: str | None, key_file: str | None, *, anonymous: bool) -> None:
        """Find the credentials; raises `CloudError` where there are none. The network is not used."""
        emulated = os.environ.get("STORAGE_EMULATOR_HOST") and not (key_file or credentials.named_file())
        token = "anon" if anonymous or emulated else credentials.find(project, key_file)
        import gcsfs

        self.bucket, self._answered = bucket, False
        self._fs = gcsfs.GCSFileSystem(project=project or "", token=token, skip_instance_cache=True)
        self.base, self.account = self._fs._location, self._fs.credentials.credentials
        self._fs.session_kwargs = _proxy(self.base)

    def run(self, work: Callable[..., Awaitable[T]], *arguments: Any, limit: float | None = 300.0, **options: Any) -> T:
        """Run a coroutine function in gcsfs's loop, for `limit` seconds at most; raises `UnreachableError` then."""
        from fsspec.asyn import sync

        try:
            done: T = sync(self._fs.loop, work, *arguments, timeout=limit, **options)
        except TimeoutError as error:
            raise self._unreachable("no answer") from error
        return done

    def call(self, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        """Return what the JSON API answers to a request without a body; errors as `ask`."""
        limit = 300.0 if self._answered else 1.5 * CONTACT  # looking up a name, or getting a token, may hang
        _, content = self.run(self.ask, method, f"/storage/v1/{path}", limit=limit, **parameters)
        answer: dict[str, Any] = json.loads(content)
        return answer

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Any = None, **parameters: Any
    ) -> tuple[Mapping[str, str], bytes]:
        """Return headers and content of an answer.

        Raises `FileNotFoundError`, `FileExistsError` (a condition was not met), `UnreachableError` when nothing useful
        was answered in time, `CloudError` for any other refusal. A body with `seek` begins anew each time.
        """

        async def receive(answer: Any) -> bytes:
            content: bytes = await answer.read()
            return content

        return await self._patiently(receive, method, path, headers, body, parameters)

    async def fetch(self, path: str, target: Path, advance: Advance) -> None:
        """Write an object's content to `target`; `advance` is told its bytes, and takes them back; errors as `ask`."""
        told = 0

        async def receive(answer: Any) -> bytes:
            nonlocal told
            advance(-told)
            told = 0
            with target.open("wb") as file:
                async with asyncio.timeout(longest(answer.content_length or 0)):
                    async for part in answer.content.iter_chunked(1 << 17):
                        file.write(part)
                        told += len(part)
                        advance(len(part))
            return b""

        await self._patiently(receive, "GET", path, None, None, {"alt": "media"})

    async def _patiently(
        self, receive: Callable[[Any], Awaitable[bytes]], *request: Any
    ) -> tuple[Mapping[str, str], bytes]:
        """Make a request until it is answered; wait between two as long as the service asks, if it does.

        What patience is counted from: the first failure, since a part of a large object may take long; the beginning,
        where nothing has ever answered.
        """
        start, failed, pause = time.monotonic(), False, _PAUSE
        while True:
            try:
                answer = await self._once(receive, *request)
            except UnreachableError as error:
                if self._answered and not failed:
                    start, failed = time.monotonic(), True
                left = (PATIENCE if self._answered else CONTACT) - (time.monotonic() - start)
                wait = max(error.wait, pause * random.uniform(0.5, 1))  # noqa: S311, no secret
                if wait > left:
                    raise
                await asyncio.sleep(wait)
                pause *= 2
            else:
                self._answered = True
                return answer

    async def _once(
        self,
        receive: Callable[[Any], Awaitable[bytes]],
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        body: Any,
        parameters: dict[str, Any],
    ) -> tuple[Mapping[str, str], bytes]:
        from aiohttp import ClientError, ClientTimeout

        if hasattr(body, "seek"):
            body.seek(0)
        known = self._answered or body is not None
        timeout = ClientTimeout(
            total=None,
            connect=None if known else _CONNECT,
            sock_connect=2 * _CONNECT,
            sock_read=_SILENCE if known else 2 * _CONNECT,
        )
        try:
            session = await self._fs._set_session()
            async with session.request(
                method,
                path if path.startswith("http") else self.base + path,
                params={name: value for name, value in parameters.items() if value is not None},
                headers=self._headers(headers),
                data=body,
                timeout=timeout,
            ) as answer:
                if answer.status >= 400:
                    self._refuse(answer.status, answer.headers, (await answer.read()).decode(errors="replace"))
                return answer.headers, await receive(answer)
        except (ClientError, TimeoutError, ConnectionError) as error:
            raise self._unreachable(str(error)[:300] or type(error).__name__) from error

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        try:
            found: dict[str, str] = self._fs._get_headers(headers)
        except Exception as error:
            if credentials.is_outage(error):
                raise self._unreachable(f"no token: {str(error)[:200]}") from error
            if not credentials.is_refusal(error):
                raise
            raise credentials.refused(self.bucket, error) from error
        return found

    def _refuse(self, status: int, headers: Mapping[str, str], text: str) -> None:
        said = credentials.message(text)[:300]
        if status == 404:
            raise FileNotFoundError(said)
        if status == 412:
            raise FileExistsError(said)
        if status in _BUSY or status >= 500:
            self._answered = self._answered or status in _BUSY
            asked = headers.get("Retry-After", "")
            raise self._unreachable(f"{status} {said}", float(asked) if asked.isdecimal() else 0.0)
        if status == 401:
            raise credentials.refused(self.bucket, said)
        if status == 403:
            raise credentials.forbidden(self.bucket, self.account, said)
        raise CloudError(f"gs://{self.bucket}: {said or 'refused'} ({status})")

    def _unreachable(self, why: str, wait: float = 0.0) -> UnreachableError:
        asks = f"; it asks to wait for {wait:g} seconds" if wait else ""
        if self._answered:
            return UnreachableError(f"gs://{self.bucket} does not answer ({why}){asks}", wait)
        return UnreachableError(
            f"gs://{self.bucket} cannot be reached ({why}){asks}: check the network, then run this again", wait
        )


def _proxy(url: str) -> dict[str, Any]:
    """Return what a session is told of the proxy that the environment names for `url`.

    With `trust_env`, a session looks for it anew with each request, in another thread: half of what a small one costs.
    """
    from aiohttp import BasicAuth
    from yarl import URL

    address = URL(url)
    named = getproxies().get(address.scheme)
    if not named or proxy_bypass(address.host or ""):
        return {}
    proxy = URL(named)
    return {"proxy": proxy.with_user(None), "proxy_auth": BasicAuth.from_url(proxy)}


class Counted(io.BytesIO):
    """A request's body that tells `advance` how much of its content was read, and takes it back when it starts anew."""

    def __init__(self, body: bytes, advance: Advance, content: int) -> None:
        """Take the `body`, of which `content` bytes count."""
        super().__init__(body)
        self._advance, self._content, self._told = advance, content, 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        part = super().read(size)
        self._tell(min(self._told + len(part), self._content))
        return part

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        """Start anew."""
        self._tell(0)
        return super().seek(place, whence)

    def _tell(self, count: int) -> None:
        if count != self._told:
            self._advance(count - self._told)
            self._told = count
