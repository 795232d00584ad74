"""Cases judged part by part: never another result than all at once, and only the change is judged again."""

import hashlib
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from conftest import case_row, case_table
from mondegreen import judging, params, parts, quality, suspects, tables
from mondegreen.errors import DataError
from mondegreen.schemas import CASES, REJECTED, SUSPECTS
from mondegreen.shelf import Shelf
from test_quality import BROKEN, NO_AUDIO, SETTINGS, TEXT_ONLY
from test_suspects import NO_CORRECTIONS

SAME = {"pcm_sha256": "a", "corrected_transcript": "kiss the sky"}
TAKE = TEXT_ONLY | {"start": None, "end": None}
KINDS: dict[str, dict[str, Any]] = BROKEN | {
    "good": {},
    "uncorrected": {"corrected_transcript": None, "correction_method": None},
    "withdrawn": SAME | {"withdrawn": True},
    "same sound": SAME,
    "same sound, other text": SAME | {"corrected_transcript": "miss the sky"},
    "same span": TEXT_ONLY,
    "same span, other text": TEXT_ONLY | {"corrected_transcript": "miss the sky"},
    "same span, signed zero": TEXT_ONLY | {"start": -0.0, "corrected_transcript": "who is there"},
    "same span, zero": TEXT_ONLY | {"start": 0.0, "corrected_transcript": "who is here"},
    "same take": TAKE | {"corrected_transcript": "how many tornadoes"},
    "same take, other text": TAKE | {"corrected_transcript": "oh how many tornadoes"},
    "no recording": NO_AUDIO | {"duration": None, "recording_id": None},
}


def kind(number: int, name: str) -> dict[str, Any]:
    return case_row(number, **KINDS[name])


def write(rows: Sequence[Sequence[dict[str, Any]]], folder: Path) -> Path:
    """Write a table of cases of these parts."""
    path = folder / "cases.parquet"
    numbers = [number for number, part in enumerate(rows) for _ in part]
    columns = tables.arrow(case_table([row for part in rows for row in part]), CASES)
    masks = [pa.array([one == number for one in numbers], pa.bool_()) for number in range(len(rows))]
    parts.put(path, [tables.encode(columns.filter(mask), CASES) for mask in masks])
    return path


def digests(cases: Path) -> dict[Path, bytes]:
    return {file: hashlib.sha256(file.read_bytes()).digest() for file in tables.files(cases)}


def build(
    cases: Path, made: Path, shelf: Shelf, settings: Any = SETTINGS, *, require_audio: bool = True
) -> list[bytes]:
    """Return the bytes of all that is made of the cases."""
    files = digests(cases)
    judged = judging.judge(files, settings, require_audio=require_audio, shelf=shelf)
    judging.write(judged, files, made / "valid.parquet", made / "rejected.parquet", shelf=shelf)
    found = judged.sorted()
    ranked = suspects.rank(found.valid, NO_CORRECTIONS, {}, texts=judged.texts, shelf=shelf)
    tables.save(ranked, made / "suspects.parquet", SUSPECTS)
    tables.write_json(quality.measure(found), made / "measures.json")
    shelf.sweep()
    return [path.read_bytes() for path in sorted(made.rglob("*.*")) if path.is_file()]


def here(work: Callable[[Any], Any], pieces: Iterable[Any], **_: Any) -> Iterator[Any]:
    """Do what `executor.spread` does without starting processes."""
    return map(work, pieces)


@pytest.mark.parametrize("seed", range(8))
def test_parts_are_judged_like_the_whole(tmp_path: Path, seed: int):
    """Every kind of case, in any order, cut into three parts anywhere."""
    rng, folder, require_audio = random.Random(seed), tmp_path, seed % 2 == 0
    names = rng.sample([*KINDS, *KINDS], rng.randrange(len(KINDS), 2 * len(KINDS)))
    rows = [kind(number, name) for number, name in enumerate(["good", *names])]
    first, second = sorted(rng.sample(range(len(rows)), 2))
    path = write([rows[:first], rows[first:second], rows[second:]], folder)
    cases = tables.read(path, CASES)
    whole = quality.sort_out(cases[quality.candidates(cases)], SETTINGS, require_audio=require_audio)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "spread", here)
        build(path, folder, Shelf(folder / "shelf"), require_audio=require_audio)
    tables.write(whole.rejected, folder / "whole.parquet", REJECTED)
    assert list(pd.read_parquet(folder / "valid.parquet")["case_id"]) == list(whole.valid["case_id"])
    assert tables.load(folder / "rejected.parquet") == tables.load(folder / "whole.parquet")
    assert tables.read_json(folder / "measures.json") == tables.rounded(quality.measure(whole))
    assert tables.load(folder / "suspects.parquet") == suspects.rank(whole.valid, NO_CORRECTIONS, {}).cast(
        SUSPECTS.arrow
    )


@pytest.fixture
def judged_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many cases each part had that was judged anew."""
    calls: list[int] = []
    alone = judging._alone

    def counting(part: judging.Part):
        found = alone(part)
        calls.append(len(found))
        return found

    monkeypatch.setattr(judging, "_alone", counting)
    monkeypatch.setattr(parts, "spread", here)
    return calls


def test_a_later_build_makes_the_bytes_of_one_from_nothing(tmp_path: Path, judged_parts: list[int]):
    first = [kind(0, "same sound"), kind(1, "markup_in_text"), *(case_row(n) for n in range(2, 9))]
    second = [kind(9, "same span"), *(case_row(n) for n in range(10, 14))]
    new = [kind(14, "same sound"), kind(15, "same span, other text"), case_row(16)]
    corrected = [kind(0, "same sound, other text"), *first[1:]]
    strict = replace(SETTINGS, max_duration=0.5)

    def check(*rows: list[dict[str, Any]], anew: list[int], limits: params.Validate = SETTINGS) -> None:
        cases = write(rows, tmp_path)
        judged_parts.clear()
        found = build(cases, tmp_path / "made", Shelf(tmp_path / "shelf"), limits)
        assert judged_parts == anew
        shutil.rmtree(tmp_path / "nothing", ignore_errors=True)
        assert found == build(cases, tmp_path / "nothing", Shelf(tmp_path / "nothing/shelf"), limits)

    check(first, second, anew=[9, 5])
    check(first, second, anew=[])
    check(first, second, new, anew=[3])
    check(corrected, second, new, anew=[9])
    check(corrected, second, new, anew=[9, 5, 3], limits=strict)
    check(corrected, second, new, anew=[9, 5, 3])
    for kept in (tmp_path / "shelf").iterdir():
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    check(corrected, second, new, anew=[9, 5, 3])


def test_what_cannot_be_judged_is_said(tmp_path: Path):
    def judge(cases: Path) -> None:
        judging.judge(digests(cases), SETTINGS, require_audio=True, shelf=Shelf(tmp_path / "shelf"))

    with pytest.raises(DataError, match=r"none of the 2 cases can be trained on.*mondegreen correct"):
        judge(write([[kind(1, "uncorrected"), kind(2, "withdrawn")]], tmp_path))
    path = write([[case_row(1)], [case_row(2)]], tmp_path)
    one, other = tables.files(path)
    other.write_bytes(one.read_bytes())
    with pytest.raises(DataError, match="stands in two parts"):
        judge(path)
    other.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        judge(path)
