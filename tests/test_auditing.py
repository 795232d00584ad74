"""The audit: a good dataset passes, and every fault planted in it is seen, counted and named."""

import io
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from conftest import sound
from mondegreen import auditing
from mondegreen.auditing import LISTED, PROBLEMS, audit
from mondegreen.dataset import features
from mondegreen.shelf import Shelf
from test_dataset import CLIPS, SPLIT_OF, case, digests, export, splits_table, write_packs

OPTIONS = {
    "require_audio": True,
    "normaliser": "basic-1",
    "min_shared_words": 8,
    "min_duration": 0.1,
    "max_duration": 30.0,
}
LONG = "one two three four five six seven eight"


def kinds(report):
    found = {kind: count for kind, count in report.metrics["problems"].items() if count and kind != "total"}
    assert report.metrics["problems"]["total"] == sum(found.values())
    assert [line.split(":")[0] for line in report.problems] == [kind for kind in PROBLEMS if kind in found]
    assert report.passed == report.metrics["passed"] == (not found)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a good dataset and the rows that it was made of."""
    folder = tmp_path_factory.mktemp("whole")
    rows = splits_table([case(n, SPLIT_OF[n], CLIPS[n]) for n in range(12)], folder)
    export(rows, write_packs(folder, CLIPS), folder / "out", max_shard_mb=0.03)
    return folder / "out", rows


@pytest.fixture(scope="module")
def kept(whole, tmp_path_factory):
    """Return a folder in which all is kept that an audit of the good dataset found."""
    folder = tmp_path_factory.mktemp("kept")
    assert auditing.audit(*whole, **OPTIONS, shelf=Shelf(folder)).passed
    return folder


@pytest.fixture(autouse=True, params=["anew", "from the shelf"])
def way(request, kept, monkeypatch):
    """Let each test audit in both ways: from nothing, and with what is kept of the good dataset, and of this one."""

    def again(*args, **options):
        first, second = (auditing.audit(*args, **options, shelf=Shelf(kept)) for _ in range(2))
        assert first == second
        return second

    if request.param != "anew":
        monkeypatch.setitem(globals(), "audit", again)


@pytest.fixture
def copy(whole, tmp_path):
    """Return a copy of the good dataset to spoil, and its rows."""
    shutil.copytree(whole[0], tmp_path / "copy")
    return tmp_path / "copy", whole[1]


def rewrite(folder: Path, split: str, change, shard: int = 0) -> None:
    """Put what `change` makes of the rows of a shard in their place."""
    path = sorted((folder / "data").glob(f"{split}-*"))[shard]
    table = pa.Table.from_pylist(change(pq.read_table(path).to_pylist()), features(require_audio=True).arrow_schema)
    pq.write_table(table, path)


def spoil(folder: Path, split: str = "train", **changes) -> None:
    """Change the first row of a split."""
    rewrite(folder, split, lambda rows: [{**rows[0], **changes}, *rows[1:]])


def test_a_good_dataset_passes_and_is_measured(whole):
    report = audit(*whole, **OPTIONS)
    assert kinds(report) == {}
    metrics = report.metrics
    assert list(metrics) == sorted(metrics)
    assert metrics["rows"] == {"train": 8, "validation": 2, "test": 2}
    assert metrics["uniqueness"] == 1.0
    assert metrics["speakers"] == {"train": 8, "validation": 2, "test": 2}
    assert metrics["sample_rates"] == {"16000": 6, "8000": 6}
    assert metrics["languages"] == {"en": 12}
    assert metrics["error_types"]["noise"] == 12
    assert metrics["bytes"] == sum(path.stat().st_size for path in (whole[0] / "data").iterdir())
    wanted = whole[1].groupby("split")["duration"].sum() / 3600
    assert metrics["hours"] == wanted.round(6).to_dict()
    sums = whole[1].groupby("split")[["substitutions", "deletions", "insertions", "reference_words"]].sum()
    assert metrics["wer"] == (sums.iloc[:, :3].sum(axis=1) / sums["reference_words"]).round(6).to_dict()
    assert set(metrics["problems"]) == {"total", *PROBLEMS}


PLAN = '{"gain":-3.0}'


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Return the folder of a good dataset with a copy of a case of train, replayed speech, and a retention split."""
    folder = tmp_path_factory.mktemp("mixed")
    rows = [case(n, SPLIT_OF[n], CLIPS[n]) for n in range(12)]
    clips = [sound(0.5, seed=300 + n, rate=16000) for n in range(3)]
    spoken = {"original_transcript": None, "origin": "replay", "wer": None, "error_types": []}
    copied = {"case_id": "copy", "origin": "augmented", "augmentation": PLAN, "parent_case_id": "case-00000"}
    rows.append(case(0, "train", clips[0]) | copied)
    rows.append(case(12, "train", clips[1]) | spoken)
    rows.append(case(13, "retention", clips[2]) | spoken)
    table = splits_table(rows, folder)
    export(table, write_packs(folder, [*CLIPS, *clips]), folder / "out")
    return folder / "out", table


def test_copies_and_replayed_speech_pass_and_are_not_measured_as_failures(mixed):
    report = audit(*mixed, **OPTIONS)
    assert kinds(report) == {}
    assert report.metrics["origins"] == {"augmented": 1, "failure": 12, "replay": 2}
    assert report.metrics["rows"]["retention"] == 1
    assert set(report.metrics["wer"]) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("copy", {"split": "test"}, "stray_row"),
        ("copy", {"parent_case_id": "case-00010"}, "stray_row"),
        ("copy", {"parent_case_id": None}, "stray_row"),
        ("case-00012", {"split": "validation"}, "stray_row"),
        ("case-00000", {"split": "retention"}, "stray_row"),
        ("case-00013", {"origin": "failure"}, "stray_row"),
    ],
)
def test_rows_where_they_do_not_belong_are_found(mixed, tmp_path, name, changes, kind):
    rows = mixed[1].copy()
    for column, value in changes.items():
        rows.loc[rows["case_id"] == name, column] = value
    packs = sorted(mixed[0].parent.glob("raw/*/*.parquet"))
    export(rows, packs, tmp_path / "out")
    assert kinds(audit(tmp_path / "out", rows, **OPTIONS))[kind] >= 1


def test_a_copy_at_full_scale_or_like_its_parent_is_found(mixed, tmp_path):
    loud = io.BytesIO()
    soundfile.write(loud, np.full(8000, 32767, np.int16), 16000, format="WAV", subtype="PCM_16")
    for data, kind in ((loud.getvalue(), "clipped_copy"), (CLIPS[0], "duplicate_audio")):
        shutil.copytree(mixed[0], tmp_path / kind)
        rows = pq.read_table(tmp_path / kind / "data/train-00000-of-00001.parquet").to_pylist()
        place = [row["case_id"] for row in rows].index("copy")
        clip = {**rows[place], "audio": {"bytes": data, "path": "x"}}
        rows[place] = clip
        rewrite(tmp_path / kind, "train", lambda _, rows=rows: rows)
        assert kinds(audit(tmp_path / kind, mixed[1], **OPTIONS))[kind] == 1


def test_it_needs_no_network_and_leaves_nothing_behind(whole, tmp_path, monkeypatch):
    def refuse(*args):
        raise AssertionError("the audit went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = digests(whole[0])
    home = Path.home() / ".cache/huggingface/datasets"
    cached = sorted(os.listdir(home)) if home.exists() else []
    assert audit(*whole, **OPTIONS).passed
    assert digests(whole[0]) == before
    assert list(tmp_path.iterdir()) == []
    assert (sorted(os.listdir(home)) if home.exists() else []) == cached


def test_text_pairs_pass_too(tmp_path):
    rows = splits_table([case(n, SPLIT_OF[n], None) for n in range(12)], tmp_path)
    export(rows, [], tmp_path / "out", require_audio=False)
    report = audit(tmp_path / "out", rows, **OPTIONS | {"require_audio": False})
    assert kinds(report) == {}
    assert report.metrics["hours"] == {"train": 0.0, "validation": 0.0, "test": 0.0}
    assert kinds(audit(tmp_path / "out", rows, **OPTIONS))["wrong_columns"]


def test_silence_may_have_no_text(tmp_path):
    silent = {"corrected_transcript": "", "is_speech": False}
    rows = splits_table([case(n, SPLIT_OF[n * 4], CLIPS[n], **silent) for n in range(3)], tmp_path)
    export(rows, write_packs(tmp_path, CLIPS[:3]), tmp_path / "out")
    report = audit(tmp_path / "out", rows, **OPTIONS)
    assert kinds(report) == {}
    assert report.metrics["wer"] == {}


LEAKS = {
    "shared_speaker": {"speaker_id": "ann"},
    "shared_recording": {"recording_id": "call-7"},
    "shared_text": {"corrected_transcript": LONG},
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_leak_is_seen(tmp_path, kind):
    rows = [case(n, SPLIT_OF[n], CLIPS[n], **(LEAKS[kind] if n in (0, 11) else {})) for n in range(12)]
    rows = splits_table(rows, tmp_path)
    export(rows, write_packs(tmp_path, CLIPS), tmp_path / "out")
    report = audit(tmp_path / "out", rows, **OPTIONS)
    assert kinds(report) == {kind: 1}
    assert "(test, train)" in report.problems[0]


def test_a_sound_in_two_encodings_is_one_sound(tmp_path):
    samples, rate = soundfile.read(io.BytesIO(CLIPS[0]), dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    clips = [*CLIPS[:11], file.getvalue()]
    for split_of_last, expected in {
        "train": {"duplicate_audio": 1},
        "test": {"duplicate_audio": 1, "shared_audio": 1},
    }.items():
        folder = tmp_path / split_of_last
        folder.mkdir()
        rows = splits_table([case(n, [*SPLIT_OF[:11], split_of_last][n], clips[n]) for n in range(12)], folder)
        export(rows, write_packs(folder, clips), folder / "out")
        report = audit(folder / "out", rows, **OPTIONS)
        assert kinds(report) == expected
        assert report.metrics["uniqueness"] == pytest.approx(10 / 12, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"text": "kiss the moon tonight"}, {"changed_case", "wrong_wer"}),
        ({"text": None}, {"changed_case", "empty_text", "wrong_wer"}),
        ({"original_transcript": "kiss"}, {"changed_case", "wrong_wer"}),
        ({"wer": 0.1}, {"changed_case", "wrong_wer"}),
        ({"speaker_id": "other"}, {"changed_case"}),
        ({"error_types": ["other"]}, {"changed_case"}),
        ({"duration": 9.0}, {"changed_case", "wrong_duration"}),
        ({"case_id": "other"}, {"missing_case", "unexpected_case"}),
        ({"audio": {"bytes": sound(0.5, seed=99), "path": "a.wav"}}, {"changed_audio", "wrong_duration"}),
        ({"audio": {"bytes": b"no sound at all", "path": "a.wav"}}, {"changed_audio", "undecodable_audio"}),
        ({"audio": {"bytes": b"", "path": "a.wav"}}, {"changed_audio", "undecodable_audio"}),
        ({"audio": {"bytes": None, "path": "a.wav"}}, {"changed_audio", "undecodable_audio"}),
        ({"audio": None}, {"changed_audio", "undecodable_audio"}),
    ],
)
def test_a_changed_row_is_seen(copy, changes, expected):
    spoil(copy[0], "test", **changes)
    report = audit(*copy, **OPTIONS)
    assert kinds(report).keys() == expected
    assert not report.passed


def test_truncated_audio_is_seen(copy):
    def cut(rows):
        return [{**row, "audio": {**row["audio"], "bytes": row["audio"]["bytes"][:-900]}} for row in rows]

    rewrite(copy[0], "validation", cut)
    found = kinds(audit(*copy, **OPTIONS))
    assert found["changed_audio"] == 2
    assert found.get("wrong_duration", 0) + found.get("undecodable_audio", 0) == 2


def test_a_clip_beyond_the_limits_is_seen(copy):
    assert kinds(audit(*copy, **OPTIONS | {"max_duration": 0.295})) == {"implausible_duration": 2}
    assert kinds(audit(*copy, **OPTIONS | {"min_duration": 0.205})) == {"implausible_duration": 1}


def test_a_row_twice_is_seen(copy):
    rewrite(copy[0], "test", lambda rows: [*rows, rows[0]])
    report = audit(*copy, **OPTIONS)
    assert kinds(report) == {"wrong_count": 1, "duplicate_case": 1, "duplicate_audio": 1}
    assert report.metrics["uniqueness"] == pytest.approx(11 / 13, abs=1e-6)


def test_a_row_in_a_second_split_is_seen(copy):
    moved = pq.read_table(next((copy[0] / "data").glob("train-00000*"))).to_pylist()[0]
    rewrite(copy[0], "test", lambda rows: [*rows, moved])
    report = audit(*copy, **OPTIONS)
    leaks = dict.fromkeys(["shared_speaker", "shared_recording", "shared_audio"], 1)
    once = dict.fromkeys(["wrong_count", "wrong_split", "duplicate_case", "duplicate_audio"], 1)
    assert kinds(report) == once | leaks


def test_missing_rows_are_seen(copy):
    rewrite(copy[0], "test", lambda rows: rows[1:])
    report = audit(*copy, **OPTIONS)
    assert kinds(report) == {"wrong_count": 1, "missing_case": 1}
    assert "test: 2 expected, 1 read, 2 in the card" in report.problems[0]


def test_no_rows_at_all_are_seen(copy):
    for split in ("train", "validation", "test"):
        for shard in range(len(list((copy[0] / "data").glob(f"{split}-*")))):
            rewrite(copy[0], split, lambda rows: [], shard)
    report = audit(*copy, **OPTIONS)
    found = kinds(report)
    assert (found["wrong_count"], found["missing_case"]) == (3, 12)
    assert report.metrics["uniqueness"] == 0.0
    assert report.metrics["rows"] == {"train": 0, "validation": 0, "test": 0}


def test_stale_counts_in_the_card_are_seen(copy):
    card = copy[0] / "README.md"
    card.write_text(card.read_text().replace("num_examples: 8", "num_examples: 7"))
    assert kinds(audit(*copy, **OPTIONS)) == {"wrong_count": 1}


def test_other_features_in_the_card_are_seen(copy):
    card = copy[0] / "README.md"
    card.write_text(card.read_text().replace("dtype: audio", "dtype: binary"))
    assert "wrong_columns" in kinds(audit(*copy, **OPTIONS))


def test_other_columns_in_a_shard_are_seen(copy):
    path = next((copy[0] / "data").glob("test-*"))
    pq.write_table(pq.read_table(path).drop_columns(["wer"]), path)
    assert "wrong_columns" in kinds(audit(*copy, **OPTIONS))


def test_a_missing_card_is_seen(copy):
    (copy[0] / "README.md").unlink()
    assert kinds(audit(*copy, **OPTIONS)) == {"wrong_files": 1, "wrong_count": 3}


def test_a_broken_card_is_seen(copy):
    card = copy[0] / "README.md"
    card.write_text(card.read_text().replace("configs:", "configs: ["))
    assert "unreadable" in kinds(audit(*copy, **OPTIONS))


def test_an_extra_shard_is_seen(copy):
    path = next((copy[0] / "data").glob("test-*"))
    shutil.copy(path, path.with_name("test-00001-of-00001.parquet"))
    report = audit(*copy, **OPTIONS)
    assert kinds(report) == {"wrong_files": 1, "wrong_count": 1, "duplicate_case": 2, "duplicate_audio": 2}


def test_a_foreign_file_is_seen(copy):
    (copy[0] / "data/notes.txt").write_text("x")
    assert kinds(audit(*copy, **OPTIONS)) == {"wrong_files": 1}


def test_a_missing_shard_is_seen(copy):
    next((copy[0] / "data").glob("train-00001*")).unlink()
    found = kinds(audit(*copy, **OPTIONS))
    assert found.keys() == {"wrong_files", "wrong_count", "missing_case"}


def test_a_truncated_shard_is_seen(copy):
    path = next((copy[0] / "data").glob("train-00001*"))
    path.write_bytes(path.read_bytes()[:-100])
    found = kinds(audit(*copy, **OPTIONS))
    assert {"unreadable", "missing_case"} <= found.keys()
    assert found["missing_case"] == 8


def test_no_dataset_is_seen(copy):
    report = audit(copy[0] / "absent", copy[1], **OPTIONS)
    assert {"unreadable", "missing_case", "wrong_count"} <= kinds(report).keys()


def test_examples_are_capped_and_totals_are_not(tmp_path):
    clips = [sound(0.2, seed=n) for n in range(LISTED + 10)]
    rows = splits_table([case(n, "train" if n else "test", clips[n]) for n in range(len(clips))], tmp_path)
    export(rows, write_packs(tmp_path, clips), tmp_path / "out")
    report = audit(tmp_path / "out", rows.assign(speaker_id="other"), **OPTIONS)
    assert kinds(report) == {"changed_case": LISTED + 10}
    assert report.problems[0].count("(speaker_id)") == LISTED
    assert report.problems[0].endswith("; …")
