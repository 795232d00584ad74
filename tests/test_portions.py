"""Parts of splits.parquet through export and audit: what did not change is taken over, and the bytes are the same."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mondegreen import dataset, reading, tables
from mondegreen.auditing import audit
from mondegreen.dataset import SplitContents
from mondegreen.portions import Portion, with_copies
from mondegreen.schemas import SPLITS
from mondegreen.shelf import NOWHERE, Shelf
from test_auditing import OPTIONS
from test_dataset import CLIPS, SPLIT_OF, case, digests, splits_table, write_packs

SIZE = 4


def as_table(rows: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(rows, SPLITS.arrow, preserve_index=False)


class Build:
    """A dataset that is exported and audited in parts of `SIZE` rows, from a shelf of its own or from nothing."""

    def __init__(self, folder: Path, packs: list[Path]) -> None:
        self.folder, self.packs = folder, packs
        self.passed: list[str] = []
        folder.mkdir()

    def parts(self, rows: pd.DataFrame) -> list[Portion]:
        files = []
        for start in range(0, len(rows), SIZE):
            files.append(self.folder / f"{start:05d}.parquet")
            tables.write(rows.iloc[start : start + SIZE], files[-1], SPLITS)
        return with_copies(files, as_table(rows[:0]))

    def __call__(self, parts: list[Portion], *, kept: bool = True) -> tuple[dict[str, str], dict]:
        out = self.folder / "out"
        audio = {"require_audio": bool(self.packs)}

        def describe(contents: dict[str, SplitContents], figures: object) -> str:
            splits = [{"name": split, "num_examples": found.rows} for split, found in contents.items()]
            features = dataset.features(**audio)._to_yaml_list()
            files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in contents]
            info = {"features": features, "splits": splits}
            front = {"dataset_info": info, "configs": [{"config_name": "default", "data_files": files}]}
            return f"---\n{json.dumps(front)}\n---\n{contents} {figures}"

        shelves = [Shelf(self.folder / name) if kept else NOWHERE for name in ("export", "audit")]
        options = audio | {"max_shard_mb": 0.05, "describe": describe, "passed": self.passed}
        dataset.export(parts, self.packs, out, **options, shelf=shelves[0])
        report = audit(out, parts, **OPTIONS | audio, shelf=shelves[1])
        for shelf in shelves:
            shelf.sweep()
        assert report.problems == []
        self.passed = report.sha256
        return digests(out), report.metrics

    def shards(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (self.folder / "out/data").iterdir()}


@pytest.fixture(params=["text", "audio"])
def rows(request, tmp_path):
    """Return twelve cases in three parts that have three, two and two splits."""
    order = [0, 1, 8, 10, 2, 3, 4, 9, 5, 6, 7, 11]
    clips = CLIPS if request.param == "audio" else [None] * 12
    return splits_table([case(n, SPLIT_OF[at], clips[n]) for n, at in enumerate(order)], tmp_path)


@pytest.fixture
def build(rows, tmp_path):
    packs = write_packs(tmp_path, CLIPS) if rows["audio_sha256"].notna().all() else []
    return Build(tmp_path / "build", packs)


@pytest.fixture
def anew(build, tmp_path):
    """Return what makes the same from nothing."""
    count = iter(range(100))

    def make(rows: pd.DataFrame) -> tuple[dict[str, str], dict]:
        fresh = Build(tmp_path / f"anew{next(count)}", build.packs)
        return fresh(fresh.parts(rows), kept=False)

    return make


@pytest.fixture
def read(monkeypatch):
    """Return the names of the shards that the last audit read."""
    found: list[str] = []

    def spy(shards, *args, **options):
        found.clear()
        return made(map(note, shards), *args, **options)

    def note(shard):
        found.append(shard.file.name)
        return shard

    made = reading.read
    monkeypatch.setattr(reading, "read", spy)
    return found


def test_a_shard_never_spans_two_parts_and_what_did_not_change_is_taken_over(rows, build, anew, read):
    first = build(build.parts(rows))
    assert first == anew(rows)
    before = build.shards()
    assert sorted(before) == sorted(
        dataset.shard_name(split, number, count)
        for split, count in {"train": 3, "validation": 2, "test": 2}.items()
        for number in range(count)
    )
    again = rows.assign(model_version=rows["model_version"].where(rows.index != 6, "asr-9"))
    second = build(build.parts(again))
    assert second == anew(again) != first
    assert read[:] and build.shards().keys() == before.keys()
    kept = {name for name, inode in build.shards().items() if before[name] == inode}
    assert before.keys() - kept == {"train-00001-of-00003.parquet"}
    assert build(build.parts(rows)) == first


def test_the_audit_reads_only_shards_that_it_does_not_know(rows, build, read):
    build(build.parts(rows))
    assert len(read) == 7
    build(build.parts(rows))
    assert read == []
    build(build.parts(rows.iloc[:11]))
    assert read == []
    build(build.parts(rows))
    assert read == ["test-00001-of-00002.parquet"]


def test_more_parts_give_the_shards_new_names_and_keep_their_bytes(rows, build, anew):
    build(build.parts(rows.iloc[:8]))
    before = {path.stat().st_ino for path in (build.folder / "out/data").iterdir()}
    assert build(build.parts(rows)) == anew(rows)
    assert before < {path.stat().st_ino for path in (build.folder / "out/data").iterdir()}


@pytest.mark.parametrize("damage", ["a byte", "gone", "the shelf"])
def test_what_is_no_longer_what_it_was_is_written_anew(rows, build, anew, damage):
    build(build.parts(rows))
    path = next((build.folder / "out/data").glob("train-00000*"))
    if damage == "a byte":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "gone":
        path.unlink()
    else:
        for kept in (*(build.folder / "export").iterdir(), *(build.folder / "audit").iterdir()):
            kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    assert build(build.parts(rows)) == anew(rows)


def test_a_fault_that_was_found_is_found_again_from_the_shelf(rows, build):
    parts = build.parts(rows)
    build(parts)
    other = build.parts(rows.assign(speaker_id=rows["speaker_id"].where(rows.index != 5, "other")))
    audio = {"require_audio": bool(build.packs)}
    reports = [
        audit(build.folder / "out", other, **OPTIONS | audio, shelf=shelf)
        for shelf in (NOWHERE, Shelf(build.folder / "audit"), Shelf(build.folder / "audit"))
    ]
    assert reports[0] == reports[1] == reports[2]
    assert reports[0].problems == [
        "changed_case: 1 cases with other values than were to be exported: case-00005 (speaker_id)"
    ]


def test_a_leak_between_parts_is_seen_when_neither_changed_with_the_other(rows, build):
    limits = OPTIONS | {"require_audio": bool(build.packs)}
    build(build.parts(rows))
    for changed in (3, 4):  # test of the first part, then train of the second
        rows.loc[changed, "speaker_id"] = "ann"
        parts = build.parts(rows)
        if changed == 3:
            build(parts)
    options = {"require_audio": bool(build.packs), "max_shard_mb": 1, "describe": lambda *_: ""}
    dataset.export(parts, build.packs, build.folder / "out", **options, shelf=Shelf(build.folder / "export"))
    report = audit(build.folder / "out", parts, **limits, shelf=Shelf(build.folder / "audit"))
    assert "shared_speaker: 1 speakers in more than one split: ann (test, train)" in report.problems


def test_copies_go_with_the_part_of_their_parents(tmp_path):
    rows = splits_table([case(n, "train", CLIPS[n]) for n in range(8)], tmp_path)
    copied = [
        case(n, "train", CLIPS[8 + at]) | {"case_id": f"case-{n:05d}-copy1", "parent_case_id": f"case-{n:05d}"}
        for at, n in enumerate((6, 1))
    ]
    copies = splits_table([row | {"origin": "augmented", "augmentation": "{}"} for row in copied], tmp_path)
    build = Build(tmp_path / "build", [])
    files = [portion.file for portion in build.parts(rows)]
    parts = with_copies(files, as_table(copies))
    assert [part.load(["case_id"])["case_id"].to_pylist()[-1] for part in parts] == ["case-00003", "case-00007"]
    assert [len(part) for part in parts] == [5, 5]
    assert parts[0].load(["case_id"])["case_id"].to_pylist()[2] == "case-00001-copy1"
    assert parts[0].key() != Portion(files[0]).key()


def test_the_last_dataset_is_whole_until_the_new_one_takes_its_place(rows, build):
    parts = build.parts(rows)
    before, _ = build(parts)
    options = {"require_audio": bool(build.packs), "max_shard_mb": 0.05}

    def crash(*_: object) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset.export(
            parts, build.packs, build.folder / "out", describe=crash, shelf=Shelf(build.folder / "export"), **options
        )
    assert digests(build.folder / "out") == before
    assert build(parts)[0] == before


def test_a_shard_that_no_audit_has_passed_is_not_taken_over(tmp_path):
    rows = splits_table([case(n, SPLIT_OF[n], CLIPS[n]) for n in range(12)], tmp_path)
    build = Build(tmp_path / "build", write_packs(tmp_path, CLIPS))
    parts, good = build.parts(rows), build.packs[0].read_bytes()
    spoilt = pq.read_table(build.packs[0])
    clips = [spoilt["bytes"][0].as_py()[:-200] + bytes(200), *spoilt["bytes"].to_pylist()[1:]]
    place = spoilt.column_names.index("bytes")
    field = spoilt.schema.field("bytes")
    pq.write_table(spoilt.set_column(place, field, pa.array(clips, field.type)), build.packs[0], use_dictionary=False)
    with pytest.raises(AssertionError, match="changed_audio"):
        build(parts)
    build.packs[0].write_bytes(good)
    fresh = Build(tmp_path / "fresh", build.packs)
    assert build(parts) == fresh(fresh.parts(rows), kept=False)
