"""Ingest: spooled events and their audio become a sealed batch, exactly once, whatever crashes in between.

1. read every segment, live ones too; drop events that a batch already holds
2. seal the rest as a batch (it appears whole, or not at all)
3. track the batch with DVC (`track`); a batch that a crash left untracked is tracked first
4. only then remove the segments that no writer holds any more, and the audio that is now in a batch; where the spool
   is uploaded, what the cloud has not confirmed stays
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from mondegreen import batches, confirmed, events, machine, sealing, spool
from mondegreen.errors import DataError
from mondegreen.executor import spread
from mondegreen.sealing import Clip
from mondegreen.spool import Contents, Damage

_REMOVERS = 8
"""Threads that remove what is sealed: each mostly waits for the disk."""

_PIECE = 16 * 1024 * 1024
"""Bytes of segments that a worker parses at once: about half a second's work."""


@dataclass
class Ingested:
    """What an ingest did."""

    batch: str | None = None
    """The new batch's name; None when there was nothing new."""
    events: int = 0
    cases: int = 0
    clips: int = 0
    audio_bytes: int = 0
    known: int = 0
    """Events that a batch held already."""
    repeated: int = 0
    """Events that stood in the spool more than once, such as equal rows of an import."""
    torn: int = 0
    """Segments whose last line was never finished (a crash, or a write going on just now)."""
    damaged: list[Damage] = field(default_factory=list)
    unsent: int = 0
    """Segments that stay in the spool until they are uploaded."""
    missing_audio: list[str] = field(default_factory=list)
    """Cases whose audio is neither in the spool nor in any batch."""


_Row = tuple[str, bytes, str, bool, dict[str, Any] | None, str]
"""Of an event: its id, its line, when it was recorded, whether it is a failure, its audio, the case that names that."""


@dataclass
class _Waiting:
    """What the spool holds and no batch does: lines by event id, and audio by SHA-256 with a case that names it."""

    lines: dict[str, bytes] = field(default_factory=dict)
    audio: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)
    newest: str = ""
    segments: list[tuple[Contents, list[dict[str, Any]]]] = field(default_factory=list)
    """Every segment read, without its events, and the audio that it names."""


def ingest(
    source: Path,
    raw: Path,
    *,
    track: Callable[[Path], None],
    packed: Callable[[int], Any] = lambda size: None,
    root: Path | None = None,
) -> Ingested:
    """Seal what waits in the spool `source` into a new batch below `raw`; running it again changes nothing.

    `track(folder)` puts a batch under DVC; it is also called for a batch that an interrupted ingest left behind.
    `packed(bytes)` is told, step by step, how much more audio is in the batch. With `root`, the repository in which
    `track` tracks it, much audio is tracked sooner. Raises `DataError` and `SpoolError`.
    """
    raw.mkdir(parents=True, exist_ok=True)
    with alone(raw):
        result = Ingested()
        waiting = _read(source, batches.event_ids(raw), result)
        track_rest(raw, track)
        if waiting.lines:
            clips = _clips(source, raw, waiting, result)
            lines = [waiting.lines[event_id] for event_id in sorted(waiting.lines)]
            batch = sealing.seal(raw, waiting.newest, lines, clips, packed, root)
            result.batch = batch.name
            track(batch)
        _clean(source, waiting, result)
    return result


@contextmanager
def alone(raw: Path) -> Iterator[None]:
    """Hold `raw` against another ingest or compaction; raises `DataError` where one is running."""
    with machine.alone(raw.with_name(f".{raw.name}.lock")) as free:
        if not free:
            raise DataError(f"another ingest into {raw} is running: wait for it, then run this one again")
        yield


def _read(source: Path, known: set[str], result: Ingested) -> _Waiting:
    waiting = _Waiting()
    parsed = spread(partial(_parsed, source), _pieces(spool.segments(source)), engine="local")
    for contents, rows in chain.from_iterable(parsed):
        named = []
        for event_id, line, recorded_at, is_failure, audio, case_id in rows:
            if audio:
                named.append(audio)
            if event_id in known or event_id in waiting.lines:
                result.known += event_id in known
                result.repeated += event_id not in known
                continue
            waiting.lines[event_id] = line
            if recorded_at > waiting.newest:
                waiting.newest = recorded_at
            result.cases += is_failure
            if audio:
                waiting.audio.setdefault(audio["sha256"], (audio, case_id))
        result.torn += contents.torn
        result.damaged += contents.damaged
        waiting.segments.append((contents, named))
    result.events = len(waiting.lines)
    return waiting


def _pieces(segments: list[Path]) -> Iterator[list[Path]]:
    """Yield runs of segments of about `_PIECE` bytes: few and small ones are not worth a process."""
    run, size = [], 0
    for segment in segments:
        run.append(segment)
        with suppress(FileNotFoundError):
            size += segment.stat().st_size
        if size > _PIECE:
            yield run
            run, size = [], 0
    if run:
        yield run


def _parsed(source: Path, segments: list[Path]) -> list[tuple[Contents, list[_Row]]]:
    """Return what each segment holds: its contents, without the events, and these as rows."""
    found = spool.read(source, segments)
    return [(replace(contents, events=[]), list(map(_row, contents.events))) for contents in found]


def _row(event: events.Event) -> _Row:
    audio = event.get("audio")
    case_id = str(event.get("case_id", event["event_id"])) if audio else ""
    return event["event_id"], events.encode(event), event["recorded_at"], event["event"] == "failure", audio, case_id


def _clips(source: Path, raw: Path, waiting: _Waiting, result: Ingested) -> list[Clip]:
    """Return the clips that the waiting events name and no batch holds yet."""
    sealed = set(batches.audio_index(raw).column("sha256").to_pylist())
    clips = []
    for sha256, (audio, case_id) in waiting.audio.items():
        if sha256 in sealed:
            continue
        path = spool.audio_path(source, audio)
        try:
            clips.append(Clip(sha256, audio["ext"], path, path.stat().st_size))
        except FileNotFoundError:
            result.missing_audio.append(case_id)
    result.clips, result.audio_bytes = len(clips), sum(clip.size for clip in clips)
    return clips


def track_rest(raw: Path, track: Callable[[Path], None]) -> None:
    """Track the batches that an interrupted ingest sealed but did not track, or not wholly."""
    for folder in batches.folders(raw):
        file = folder.with_name(f"{folder.name}.dvc")
        if folder.name != batches.SAMPLE and not _is_whole(file, folder.name):
            file.unlink(missing_ok=True)
            track(folder)


def _is_whole(file: Path, name: str) -> bool:
    """Say whether a .dvc file is there and tells of the batch `name`; a DVC that was killed can leave it cut short."""
    try:
        content = yaml.safe_load(file.read_bytes())
        return all(out["path"] == name and out["md5"] for out in content["outs"])
    except (OSError, yaml.YAMLError, TypeError, KeyError):
        return False


def _clean(source: Path, waiting: _Waiting, result: Ingested) -> None:
    """Remove finished segments and the audio of their events: all of it is in a batch by now, and uploaded if it is.

    A recorder that stores the same audio at this very moment loses nothing: readers find it by content in the batch.
    """
    removable = confirmed.removable(source)

    def remove(clips: list[dict[str, Any]]) -> None:
        for audio in clips:
            spool.audio_path(source, audio).unlink(missing_ok=True)

    with ThreadPoolExecutor(_REMOVERS) as pool:
        for contents, named in waiting.segments:
            if not removable(contents.segment):
                result.unsent += 1
            elif spool.remove_finished(contents):
                list(pool.map(remove, (named[number::_REMOVERS] for number in range(_REMOVERS))))
