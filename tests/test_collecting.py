"""Collecting by parts: what a batch does not touch is not made again, and every table is as from nothing."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mondegreen import Recorder, batches, cases, collecting, excerpts, log, parts
from mondegreen.events import make_event
from mondegreen.ingest import ingest
from mondegreen.measured import FIGURES
from mondegreen.schemas import CASES, CORRECTIONS
from mondegreen.shelf import Shelf

Made = list[dict[str, bytes]]


class Place:
    """A folder of batches with a shelf, and which parts the last build made."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.raw, self.shelf = root / "data/raw", root / "shelf"
        self.inbox = root / "data/inbox"
        self.made: list[int] = []

        def counted(work: Callable, pieces, *, engine: str):
            self.made = []
            for piece in pieces:
                self.made.append(len(piece[0]["failure"]))
                yield work(piece)

        monkeypatch.setattr(collecting, "spread", counted)
        monkeypatch.setattr(parts, "SIZE", 10)

    def add(self, day: int, *events: tuple[str, dict]) -> None:
        """Seal events of a day as a batch; a day before those that are there comes before them."""
        with Recorder(self.inbox, durability="os") as recorder:
            recorder.extend(
                make_event(
                    kind,
                    event_id=fields.pop("event_id", f"{day:02d}-{number:04d}"),
                    recorded_at=f"2026-01-{day:02d}T00:{number // 60:02d}:{number % 60:02d}.000000Z",
                    **fields,
                )
                for number, (kind, fields) in enumerate(events)
            )
        ingest(self.inbox, self.raw, track=lambda batch: None)

    def read(self) -> dict:
        return log.tables(batches.event_files(self.raw))

    def build(self, shelf: Path | None = None) -> Made:
        kept, files = Shelf(shelf or self.shelf), batches.event_files(self.raw)
        cut = excerpts.cut(self.read(), batches.audio_index(self.raw))
        made = collecting.collected(cut, files, "basic-1", shelf=kept, engine="local")
        kept.sweep()
        return made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def failure(name: str, **fields) -> tuple[str, dict]:
    said = {"case_id": name, "original_transcript": f"kiss this guy {name}", "speaker_id": name[0], "error_types": []}
    return "failure", said | fields


def correction(name: str, text: str = "kiss the sky", **fields) -> tuple[str, dict]:
    return "correction", {"case_id": name, "corrected_transcript": text, "method": "manual", "author": "ann"} | fields


def said(prefix: str, count: int) -> list[tuple[str, dict]]:
    names = [f"{prefix}{number:03d}" for number in range(count)]
    return [failure(name) for name in names] + [correction(name, f"kiss the sky {name}") for name in names]


LATER: dict[str, list[tuple[str, dict]]] = {
    "a late correction": [correction("b005", "kiss the sky at last")],
    "a correction that is taken back": [
        ("review", {"case_id": "b007", "decision": "undo", "undoes": "10-0042", "author": "ann"})
    ],
    "audio that is refused": [("review", {"case_id": "a003", "decision": "bad_audio", "author": "bob"})],
    "a case that is recorded again": [failure("b011", original_transcript="kiss that guy")],
    "a case whose consent is withdrawn": [("withdrawal", {"case_id": "b020", "reason": "asked"})],
    "a correction of nobody's case": [correction("nobody", "x")],
}
"""What a later batch says of earlier cases; each touches one part of the three or four."""


def frame(contents: list[bytes]) -> pd.DataFrame:
    return pd.concat([pq.read_table(io.BytesIO(content)).to_pandas() for content in contents], ignore_index=True)


def check_whole(place: Place, made: Made) -> None:
    """Compare with the whole log, folded at once, and with a build from nothing."""
    assert made == place.build(place.shelf.with_name("empty"))
    events = {kind: log.pandas(table) for kind, table in place.read().items()}
    ranked = cases.rank(events)
    folded = cases.fold(events, ranked, batches.audio_index(place.raw))
    found = frame([part["cases"] for part in made]).sort_values("case_id", ignore_index=True)
    known = [name for name in CASES.arrow.names if name not in FIGURES]
    assert alike(found[known], folded[known])
    rows = frame([part["corrections"] for part in made]).sort_values("event_id", ignore_index=True)
    whole = ranked.sort_values("event_id", ignore_index=True)[CORRECTIONS.arrow.names]
    assert alike(rows, whole)


def alike(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Tell whether two tables say the same, whatever types their columns have."""
    said = [
        [[None if value is pd.NA or value != value else value for value in row] for row in table.map(plain).values]
        for table in (one, other)
    ]
    return said[0] == said[1]


def plain(value: object) -> object:
    return tuple(value) if isinstance(value, np.ndarray | list) else value


@pytest.mark.parametrize("change", LATER)
def test_a_later_batch_changes_the_part_that_it_speaks_of(place: Place, change: str):
    place.add(10, *said("b", 35))
    place.add(5, *said("a", 4))
    first = place.build()
    place.add(20, *LATER[change])
    again = place.build()
    assert len(place.made) <= 2  # the part of the case, and perhaps the one that the batch itself has
    check_whole(place, again)
    assert sum(one == other for one, other in zip(first, again, strict=False)) >= len(first) - 2
    counts = collecting.total([json.loads(part["counts"]) for part in again])
    assert counts["cases"] == 39


@pytest.mark.parametrize("day", [1, 7, 20])
def test_a_new_batch_changes_hardly_another_part_wherever_it_comes(place: Place, day: int):
    place.add(10, *said("b", 35))
    place.add(5, *said("a", 4))
    first = place.build()
    place.add(day, *said("n", 3))
    again = place.build()
    assert len(place.made) <= 2
    assert sum(part in first for part in again) >= len(first) - 1
    check_whole(place, again)


def test_withdrawal_of_a_speaker_reaches_all_their_cases(place: Place):
    place.add(10, *said("b", 35))
    place.build()
    place.add(20, ("withdrawal", {"speaker_id": "b", "reason": "asked"}))
    again = place.build()
    assert frame([part["cases"] for part in again])["withdrawn"].all()
    check_whole(place, again)


def test_many_small_batches_share_parts(place: Place):
    for day in range(1, 25):
        place.add(day, *said(chr(96 + day), 1))
    made = place.build()
    assert 3 <= len(made) - 1 <= 15
    assert max(len(frame([part["cases"]])) for part in made) <= 10
    assert len(frame([part["cases"] for part in made])) == 24
    check_whole(place, made)


def test_only_cases_that_changed_are_measured_again(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.add(10, *said("b", 35))
    place.build()
    measured: list[int] = []
    measure = collecting.measured._measure
    monkeypatch.setattr(
        collecting.measured, "_measure", lambda rows, name: measured.append(len(rows)) or measure(rows, name)
    )
    place.add(20, correction("b005", "kiss the sky at last"))
    place.build()
    assert measured == [1]


def test_a_damaged_part_on_the_shelf_is_made_again(place: Place):
    place.add(10, *said("b", 35))
    first = place.build()
    for kept in place.shelf.iterdir():
        content = bytearray(kept.read_bytes())
        content[len(content) // 2] ^= 1
        kept.write_bytes(content)
    assert place.build() == first
    assert len(place.made) == len(first)
