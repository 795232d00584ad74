"""Copies of many cases: streamed from the batches' packs to packs of their own, in bounded memory, on all cores.

<folder>/rows.parquet          one row per copy (`schemas.SPLITS`), sorted by case_id
<folder>/audio-NNNNN.parquet   their audio (`batches.PACK`), in the order of the batches' packs
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mondegreen import audio, augmentation, batches, params
from mondegreen.audio import Decoded
from mondegreen.augmentation import Copy
from mondegreen.errors import DataError
from mondegreen.executor import spread
from mondegreen.packs import Clips
from mondegreen.schemas import AUGMENTED
from mondegreen.terminal import progress

PACK_BYTES = 256 * 1024 * 1024
GROUP_BYTES = 8 * 1024 * 1024
"""Audio per row group: what a reader holds in memory at once."""

_NOISE = (".wav", ".flac")  # decoded the same everywhere; an MP3 decoder chooses its arithmetic by processor

_CLIPS = 16
"""Clips of a row group that are worked on at once."""

_Made = list[tuple[str, Copy]]
"""Copies, each with the case_id of its parent."""


def noises(folder: Path) -> dict[str, Decoded]:
    """Return the sounds in `folder` by file name; raises `DataError`: none there, or one that cannot be decoded."""
    found = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in _NOISE]
    if not found:
        raise DataError(f"{folder} holds no {' or '.join(_NOISE)}: put some there, or set noise: {{files: false}}")
    sounds = {}
    for path in found:
        try:
            sounds[path.name] = audio.decode(path.read_bytes())
        except DataError as error:
            raise DataError(f"{path} {error}: take it away, or put a sound one in its place") from error
        if not len(sounds[path.name].samples):
            raise DataError(f"{path} holds no samples: take it away")
    return sounds


def augment(
    rows: pd.DataFrame,
    counts: pd.Series,
    packs: Sequence[Path],
    folder: Path,
    settings: params.Augment,
    *,
    noises: Mapping[str, Decoded],
    limits: params.Validate,
    engine: str = "local",
    urls: Mapping[Path, str] | None = None,
) -> pd.DataFrame:
    """Write `counts` copies of each of `rows` to packs in `folder`, as far as they differ, and return a row for each.

    On a cluster, a worker without the repository reads a pack at the URL that `urls` names for it; clips of packs that
    have none are sent along.
    Raises `DataError` where the audio of a row is in no pack, or cannot be decoded.
    """
    parents = rows[counts > 0].assign(copies=counts[counts > 0])
    by_sound = {str(sha256): list(found["case_id"]) for sha256, found in parents.groupby("audio_sha256")}
    count = dict(zip(parents["case_id"], parents["copies"], strict=True))
    make = partial(
        augmentation.copies,
        settings=settings,
        noises=noises,
        min_duration=limits.min_duration,
        max_duration=limits.max_duration,
    )
    missing = set(by_sound)
    made = []
    wanted = {sha: [(case, count[case]) for case in cases] for sha, cases in by_sound.items()}
    pieces = _pieces(packs, missing, wanted, None if engine == "local" else urls or {})
    with _Packs(folder) as target, progress(int(counts.sum()), " copies", "augmenting") as advance:
        for copies in spread(partial(_copies, make), pieces, engine=engine, threads=True):
            made += [_identity(case_id, copy, target.add(copy)) for case_id, copy in copies]
            advance(len(copies))
    if missing:
        first = min(case_id for sha256 in missing for case_id in by_sound[sha256])
        raise DataError(f"case {first} has no audio in data/raw, nor have {len(missing) - 1} others: 'dvc pull'")
    return _rows(parents, made)


_Piece = tuple[Clips | list[bytes], list[list[tuple[str, int]]]]
"""Some clips of a pack, by reference or themselves, and of each the cases that have it, with their counts of copies."""


def _pieces(
    packs: Iterable[Path],
    missing: set[str],
    wanted: dict[str, list[tuple[str, int]]],
    urls: Mapping[Path, str] | None,
) -> Iterator[_Piece]:
    """Yield where each clip lies that is still `missing`, some clips at a time, and take them from there."""
    for pack in packs:
        with batches.open_pack(pack) as file:
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, ["sha256"]).column(0).to_pylist()
                clips = []
                for index, name in enumerate(names):
                    if name in missing:
                        missing.remove(name)
                        clips.append((index, wanted[name]))
                for start in range(0, len(clips), _CLIPS):
                    indices, cases = zip(*clips[start : start + _CLIPS], strict=True)
                    found = Clips(str(pack.resolve()), (urls or {}).get(pack, ""), group, indices)
                    yield found if urls is None or found.url else found.read(), list(cases)


def _copies(make: Callable[[str, Decoded, int], Iterable[Copy]], piece: _Piece) -> _Made:
    clips, wanted = piece
    sounds = map(audio.decode, clips.read() if isinstance(clips, Clips) else clips)
    return [
        (case_id, copy)
        for sound, cases in zip(sounds, wanted, strict=True)
        for case_id, count in cases
        for copy in make(case_id, sound, count)
    ]


class _Packs:
    """Packs of copies, written one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number, self._size = folder, 0, 0
        self._file: pq.ParquetWriter | None = None
        self._waiting: list[dict[str, Any]] = []
        self._waiting_bytes = 0

    def __enter__(self) -> "_Packs":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._close()

    def add(self, copy: Copy) -> str:
        """Write the audio of `copy` and return its SHA-256."""
        sha256 = hashlib.sha256(copy.data).hexdigest()
        self._waiting.append({"sha256": sha256, "bytes": copy.data, "ext": ".wav", **asdict(copy.sound)})
        self._waiting_bytes += len(copy.data)
        if self._waiting_bytes >= GROUP_BYTES:
            self._flush()
        return sha256

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._size + self._waiting_bytes > PACK_BYTES:
            self._close()
        if self._file is None:
            self._file = pq.ParquetWriter(
                self._folder / f"audio-{self._number:05d}.parquet",
                batches.PACK,
                compression="none",
                use_dictionary=False,
                write_statistics=["sha256"],
                store_schema=False,
            )
        self._file.write_table(pa.Table.from_pylist(self._waiting, batches.PACK), row_group_size=len(self._waiting))
        self._size += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file, self._number, self._size = None, self._number + 1, 0


def _identity(case_id: str, copy: Copy, sha256: str) -> dict[str, Any]:
    """Return what a copy's row does not share with its parent's."""
    return {
        "case_id": f"{case_id}-copy{copy.number}",
        "parent_case_id": case_id,
        "origin": AUGMENTED,
        "augmentation": json.dumps(copy.plan, separators=(",", ":")),
        "audio_sha256": sha256,
        "audio_bytes": len(copy.data),
        "audio_ext": ".wav",
        "source_path": None,
        **{name: getattr(copy.sound, name) for name in ("sample_rate", "frames", "channels", "pcm_sha256")},
        "duration": copy.seconds,
    }


def _rows(parents: pd.DataFrame, made: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of the copies, sorted by case_id, with all columns of their parents."""
    names = [*_identity("", Copy(0, {}, b"", audio.Probe()), "")]
    own = pd.DataFrame(made, columns=names)
    rest = parents.drop(columns=[*names, "copies"]).set_index(parents["case_id"])
    rows = own.join(rest, on="parent_case_id").sort_values("case_id", ignore_index=True)
    return rows[[name for name in parents.columns if name != "copies"]]


def metrics(rows: pd.DataFrame, counts: pd.Series, copies: pd.DataFrame) -> dict[str, Any]:
    """Return metrics/augment.json: how many copies were asked for and made, of what, and how."""
    types = copies["primary_error_type"].value_counts()
    done = [json.loads(plan).keys() for plan in copies["augmentation"]]
    return {
        "train_cases": len(rows),
        "cases_with_copies": int(copies["parent_case_id"].nunique()),
        "copies": {"wanted": int(counts.sum()), "made": len(copies), "short_of": int(counts.sum()) - len(copies)},
        "hours": float(copies["duration"].sum()) / 3600,
        "error_types": {str(name): int(number) for name, number in types.items()},
        "methods": {item.name: sum(item.name in plan for plan in done) for item in fields(params.Methods)},
    }
