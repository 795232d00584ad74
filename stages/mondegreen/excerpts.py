"""Excerpts: the log cut by cases, so that a part of the tables is made from the events that concern it, and no others.

The parts are cut along the batches: one of more than `parts.SIZE` failures has parts of its own, small ones that follow
each other share one, up to where a name's hash says that the next begins. So a batch that comes, wherever among the
others, changes the part that it is in and hardly another one, unless it says something of its cases. Behind the last
part comes what is said of cases that no batch holds (yet).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mondegreen import log, parts
from mondegreen.shelf import Shelf, key_of
from mondegreen.tables import digest, in_order

LARGE = {"failure": ("case_id", "speaker_id", "audio_sha256", "batch"), "correction": ("case_id", "batch")}
"""Of these kinds of event only so many columns are needed to cut the log; of reviews and withdrawals all."""

KINDS = (*LARGE, "review", "withdrawal")

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Excerpt:
    """The events that concern one part: their ids and what `LARGE` names, by kind, and its rows of the packs' index."""

    events: Mapping[str, pa.Table]
    audio: pa.Table

    @property
    def name(self) -> str:
        """What stays as long as its first case does: that case's id."""
        first = self.events["failure"]["case_id"].slice(0, 1).to_pylist()
        return str(first[0]) if first else ""

    @property
    def batches(self) -> set[str]:
        """The names of the batches that hold them."""
        return {name for table in self.events.values() for name in pc.unique(table["batch"]).to_pylist()}

    def key(self, batches: Mapping[str, bytes]) -> str:
        """Return what names all that they say; `batches` are the digests of the batches' events, by name."""
        said = [digest(self.events[kind]) for kind in KINDS]
        return key_of(*said, digest(self.audio), *(batches[name] for name in sorted(self.batches)))


def cut(events: Mapping[str, pa.Table], audio: pa.Table) -> list[Excerpt]:
    """Return the excerpt of each part, and that of cases nobody knows; `audio` is `batches.audio_index`."""
    failures, corrections, reviews = (events[kind] for kind in ("failure", "correction", "review"))
    stands, part = _standing(failures), _parts(failures["batch"])
    known, part, count = failures.take(pa.array(stands)), part[stands], int(part[-1]) + 1
    of_correction = _looked_up(corrections["case_id"], known["case_id"], part, count)
    of_review = _looked_up(reviews["case_id"], known["case_id"], part, count)
    undone = _looked_up(reviews["undoes"], corrections["event_id"], of_correction, -1)
    undone = np.where(undone < 0, _looked_up(reviews["undoes"], reviews["event_id"], of_review, -1), undone)
    heard = _looked_up(known["audio_sha256"], audio["sha256"], np.arange(len(audio)), -1)
    own = {
        "failure": _by_part(known, part, count + 1),
        "correction": _by_part(corrections, of_correction, count + 1),
        "review": _by_part(reviews, np.where(undone < 0, of_review, undone), count + 1),
    }
    found = []
    for number in range(count + 1):
        mine = {kind: tables[number] for kind, tables in own.items()}
        mine["withdrawal"] = _concerning(events["withdrawal"], mine["failure"])
        clips = np.unique(heard[part == number])
        found.append(Excerpt(mine, audio.take(pa.array(clips[clips >= 0]))))
    return found


def read(files: Iterable[Path], excerpts: Sequence[Excerpt], shelf: Shelf) -> list[dict[str, pa.Table]]:
    """Return the whole events of `excerpts`, whose batches are among `files`."""
    if not excerpts:
        return []
    wanted = {name for excerpt in excerpts for name in excerpt.batches}
    whole = log.tables([file for file in files if file.parent.name in wanted], shelf=shelf, kinds=KINDS)
    found: list[dict[str, pa.Table]] = [{} for _ in excerpts]
    for kind, table in whole.items():
        asked = pa.concat_tables([excerpt.events[kind].select(["event_id"]) for excerpt in excerpts])["event_id"]
        at = pc.index_in(asked, value_set=table["event_id"].combine_chunks()).combine_chunks()
        ends = np.cumsum([0, *(len(excerpt.events[kind]) for excerpt in excerpts)])
        for mine, (start, end) in zip(found, pairwise(ends), strict=True):
            mine[kind] = table.take(at[start:end])
    return found


def _parts(batch: pa.ChunkedArray) -> _Ints:
    """Return the part of each failure, given its batch: ascending from 0."""
    runs = pc.run_end_encode(batch.combine_chunks())
    found, last, filled = [], -1, parts.SIZE
    for name, size in zip(runs.values.to_pylist(), np.diff(runs.run_ends.to_numpy(), prepend=0).tolist(), strict=True):
        share = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) / 2**64
        if filled + size > parts.SIZE or share < 2 * size / parts.SIZE:
            last, filled = last + 1, 0
        found.append(last + np.arange(size) // parts.SIZE)
        last, filled = int(found[-1][-1]), filled + size if size <= parts.SIZE else (size - 1) % parts.SIZE + 1
    return np.concatenate(found)


def _standing(failures: pa.Table) -> _Ints:
    """Return the row of each case's failure that stands, in their order: of several the latest."""
    if log.distinct(failures["case_id"]):
        return np.arange(len(failures))
    names = ["case_id", "recorded_at", "event_id"]
    ordered = in_order(failures.select(names).to_pandas(), names)
    return np.sort(ordered.drop_duplicates("case_id", keep="last").index.to_numpy(np.int64))


def _looked_up(asked: pa.ChunkedArray, known: pa.ChunkedArray, values: _Ints, otherwise: int) -> _Ints:
    """Return the value of each string that is asked for, by its place among the `known` ones."""
    if not len(known):
        return np.full(len(asked), otherwise, np.int64)
    at = pc.index_in(asked, value_set=known.combine_chunks(), skip_nulls=True)
    found: _Ints = np.where(at.is_valid(), values[at.fill_null(0).to_numpy()], otherwise)
    return found


def _by_part(table: pa.Table, part: _Ints, count: int) -> list[pa.Table]:
    """Return the rows of each part, in their order."""
    order = np.argsort(part, kind="stable")
    ends = np.searchsorted(part[order], np.arange(count + 1))
    return [table.take(pa.array(order[start:end])) for start, end in pairwise(ends)]


def _concerning(withdrawals: pa.Table, failures: pa.Table) -> pa.Table:
    """Return the withdrawals of these cases and speakers."""
    if not len(withdrawals):
        return withdrawals
    met = [
        pc.is_in(withdrawals[name], value_set=failures[name].combine_chunks(), skip_nulls=True)
        for name in ("case_id", "speaker_id")
    ]
    return withdrawals.filter(pc.or_(*met))
