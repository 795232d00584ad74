"""Live upload: what it costs a recorder, how far it lags behind, and what one more record costs."""

import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from unittest.mock import patch

from material import clip, events
from table import Row, at_most, within

from mondegreen import Recorder, confirmed
from mondegreen.place import Place
from mondegreen.upload import Uploader

sys.path.append(str(Path(__file__).parents[1]))
from cloud import Emulator, Proxy

URL = "gs://bucket/learning_data"
RATE = 50
"""Events per second."""
BLOCK = 100


@contextmanager
def cloud(folder: Path) -> Iterator[Proxy]:
    """The emulator, as the cloud of this process and those that it starts."""
    with Emulator("bucket") as emulator, Proxy(emulator) as proxy, patch.dict(os.environ, emulator.env(folder)):
        yield proxy


def paced(count: int, rate: float) -> Iterator[int]:
    """Yield numbers, evenly in time."""
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        yield number


def speed(folder: Path, count: int) -> Iterator[Row]:
    """A recorder with upload against one without, by turns, at a steady rate; each rests while the other works."""
    seconds: dict[str | None, list[float]] = {None: [], URL: []}
    with cloud(folder):
        recorders = {url: Recorder(folder / f"speed-{bool(url)}", upload=url) for url in seconds}
        for recorder in recorders.values():
            recorder.failure(None, original_transcript="begins the segment")
        for _ in range(max(1, count // BLOCK)):
            for url, recorder in recorders.items():
                for number in paced(BLOCK, 2 * RATE):
                    start = time.perf_counter()
                    recorder.failure(None, original_transcript=f"case {number}", speaker_id="s1")
                    seconds[url].append(time.perf_counter() - start)
                recorders[URL].uploaded(timeout=30)
        for recorder in recorders.values():
            recorder.close()
    for percent, limit in ((50, None), (99, 1.2)):
        without, ours = (1000 * statistics.quantiles(each, n=100)[percent - 1] for each in seconds.values())
        yield within(f"record with upload, p{percent} / without", ours, without, "ms", limit)


def lag(folder: Path, seconds: float, audio: int) -> Iterator[Row]:
    """Seconds from the return of a record to its confirmation, at a steady rate, each with a clip of its own."""
    inbox, random, made, lags = folder / "lag", Random(5), [], []
    done = threading.Event()

    def look() -> None:
        confirmed_events = 0
        while not (done.is_set() and confirmed_events == len(made)):
            state = confirmed.Confirmed(inbox, URL)
            now = time.monotonic()
            while confirmed_events < len(made) and made[confirmed_events][0] <= sum(state.ends.values()):
                lags.append(now - made[confirmed_events][1])
                confirmed_events += 1
            time.sleep(0.05)

    with cloud(folder), Recorder(inbox, upload=URL) as recorder:
        recorder.failure(None, original_transcript="begins the segment")
        recorder.uploaded(timeout=60)
        [segment] = (inbox / "events").glob("*.jsonl")
        watcher = threading.Thread(target=look)
        watcher.start()
        for number in paced(int(seconds * RATE), RATE):
            recorder.failure(clip(random, audio), original_transcript=f"case {number}")
            made.append((segment.stat().st_size, time.monotonic()))
        done.set()
        watcher.join()
    name = f"upload lag at {RATE} events/s with {audio // 1000} KB of audio each"
    yield Row(f"{name}, median", statistics.median(lags), None, "s")
    yield at_most(f"{name}, longest", max(lags), "s", 5)


def cost(folder: Path, cases: int) -> Iterator[Row]:
    """One more record in a spool with many cases, all uploaded, against one in a spool without, by turns."""
    with cloud(folder) as proxy, patch.dict(os.environ, proxy.env(folder)):
        uploaders = [filled(folder / f"cost-{count}", count) for count in (0, cases)]
        os.sync()  # what the others left to be written is not what one more costs
        seconds: list[list[float]] = [[], []]
        requests: list[int] = [0, 0]
        for number in range(25):
            for each, uploader in enumerate(uploaders):
                with Recorder(uploader.path) as recorder:
                    recorder.failure(None, original_transcript=f"one more, {number}")
                before, start = len(proxy.requests), time.perf_counter()
                uploader.send()
                seconds[each].append(time.perf_counter() - start)
                requests[each] += len(proxy.requests) - before
        for uploader in uploaders:
            uploader.confirmed.close()
    least, ours = (1000 * statistics.median(each) for each in seconds)
    name = f"upload of one more record, {cases:,} cases there / none there"
    yield within(name, ours, least, "ms", 1.5)
    yield within(f"{name}: requests", requests[1] / 25, requests[0] / 25, "", 1)


def filled(inbox: Path, count: int) -> Uploader:
    """Return the uploader of a spool with `count` cases, all of which are up."""
    waiting = events(6, count, 100)
    with Recorder(inbox, durability="os") as recorder:
        while some := list(islice(waiting, 1000)):
            recorder.extend(some)
        recorder.failure(None, original_transcript="the one before")
    uploader = Uploader(inbox, Place(URL), print)
    uploader.send()
    return uploader


def rows(folder: Path, *, records: int, seconds: float, audio: int, cases: int) -> Iterator[Row]:
    """Return all rows."""
    for measure in (
        partial(speed, folder, records),
        partial(lag, folder, seconds, audio),
        partial(cost, folder, cases),
    ):
        yield from measure()
