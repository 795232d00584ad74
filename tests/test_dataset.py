"""The exported dataset: what `datasets` reads back, its shards, and what happens when audio is missing."""

import hashlib
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from datasets import Audio, load_dataset

from conftest import case_row, sound
from mondegreen import audio, batches, dataset, shards, tables, totals
from mondegreen.card import card
from mondegreen.errors import DataError
from mondegreen.portions import Portion
from mondegreen.schemas import SPLITS
from mondegreen.shelf import Shelf

QUALITY = {"quality_metrics": {"completeness": 1.0, "overall_score": 0.99}, "counts": {"cases": 12}}
TEXTS = ["kiss the sky", "आकाश को चूमने दो", "我要亲吻天空", "空にキス", "Ça, c'est “l’été” | <b>"]
SPLIT_OF = ["train"] * 8 + ["validation"] * 2 + ["test"] * 2


def clip(number: int) -> bytes:
    return sound(
        0.2 + number / 100,
        seed=number,
        rate=[16000, 8000][number % 2],
        fmt=["WAV", "FLAC"][number % 2],
        channels=1 + number % 3 // 2,
    )


def case(number: int, split: str, data: bytes | None, **changes: Any) -> dict[str, Any]:
    """Return a row of splits.parquet with the given audio."""
    known: dict[str, Any] = {"speaker_id": f"s{number}", "error_types": ["noise"]}
    known |= {"original_transcript": f"kiss this guy {number}", "corrected_transcript": TEXTS[number % len(TEXTS)]}
    if data is None:
        absent = ("audio_sha256", "audio_bytes", "audio_ext", "sample_rate", "frames", "channels", "pcm_sha256")
        known |= dict.fromkeys(absent) | {"duration": None}
    else:
        heard = audio.probe(data)
        known |= {"audio_sha256": hashlib.sha256(data).hexdigest(), "audio_bytes": len(data), "frames": heard.frames}
        known |= {"audio_ext": ".flac" if data[:4] == b"fLaC" else ".wav", "sample_rate": heard.sample_rate}
        known |= {"channels": heard.channels, "pcm_sha256": heard.pcm_sha256}
        known |= {"duration": (heard.frames or 0) / (heard.sample_rate or 1)}
    row = case_row(number, **known | changes)
    return row | {
        "split": split,
        "component": row["case_id"],
        "primary_error_type": "substitution",
        "origin": "failure",
    }


def splits_table(rows: list[dict[str, Any]], folder: Path) -> pd.DataFrame:
    """Return the rows as the stage reads them."""
    tables.write(pd.DataFrame(rows, columns=SPLITS.arrow.names), folder / "splits.parquet", SPLITS)
    return tables.read(folder / "splits.parquet", SPLITS)


def write_packs(folder: Path, clips: list[bytes], *, group: int = 2) -> list[Path]:
    """Write the clips to the packs of two batches, sorted by sha256, with `group` clips to a row group."""
    for name, some in {"b1": clips[::2], "b2": clips[1::2]}.items():
        batch = folder / "raw" / name
        batch.mkdir(parents=True)
        found = sorted((hashlib.sha256(data).hexdigest(), data) for data in some)
        table = pa.Table.from_pylist(
            [{"sha256": sha, "bytes": data, "ext": ".bin"} for sha, data in found], batches.PACK
        )
        pq.write_table(table, batch / "audio-00000.parquet", row_group_size=group, use_dictionary=False)
    return batches.packs(folder / "raw")


def export(rows: pd.DataFrame, packs: list[Path], out: Path, **changes: Any) -> dataset.Contents:
    options: dict[str, Any] = {"require_audio": True, "max_shard_mb": 256} | changes

    def describe(contents: dataset.Contents, figures: totals.Figures) -> str:
        text = {"name": "Sample", "licence": "CC-BY-4.0", "normaliser": "basic-1"}
        return card(figures, contents, QUALITY, require_audio=options["require_audio"], **text)

    nowhere = Shelf(Path("/dev/null"))
    return dataset.export([portion(rows)], packs, out, **{"describe": describe, "shelf": nowhere} | options)


def portion(rows: pd.DataFrame) -> Portion:
    return Portion(None, pa.Table.from_pandas(rows, SPLITS.arrow, preserve_index=False))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


CLIPS = [clip(number) for number in range(12)]


@pytest.fixture
def rows(tmp_path):
    return splits_table([case(n, SPLIT_OF[n], CLIPS[n]) for n in range(12)], tmp_path)


@pytest.fixture
def packs(tmp_path):
    return write_packs(tmp_path, CLIPS)


def test_what_load_dataset_reads_is_what_was_exported(tmp_path, rows, packs):
    contents = export(rows, packs, tmp_path / "out")
    loaded = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == list(contents) == ["train", "validation", "test"]
    assert loaded["train"].features == dataset.features(require_audio=True)
    by_case = rows.set_index("case_id")
    seen = []
    for split in loaded:
        for row in loaded[split].cast_column("audio", Audio(decode=False)):
            wanted = by_case.loc[row["case_id"]]
            number = int(row["case_id"][-5:])
            assert row["audio"]["bytes"] == CLIPS[number]
            assert row["audio"]["path"] == f"{wanted['audio_sha256']}{wanted['audio_ext']}"
            assert row["text"] == TEXTS[number % len(TEXTS)]
            assert row["error_types"] == sorted({"noise", *wanted["detected_error_types"]})
            for name in ("original_transcript", "speaker_id", "language", "duration", "error_score"):
                assert row[name] == wanted[name]
            assert split == wanted["split"]
            assert len(soundfile.read(io.BytesIO(row["audio"]["bytes"]))[0]) == wanted["frames"]
            seen.append(row["case_id"])
    assert sorted(seen) == sorted(by_case.index)


def test_a_null_stays_null(tmp_path):
    nothing = dict.fromkeys(["speaker_id", "recording_id", "language", "model_version", "error_score"])
    silence = {"corrected_transcript": "", "is_speech": False}
    rows = splits_table([case(n, SPLIT_OF[n * 4], CLIPS[n], **nothing, **silence) for n in range(3)], tmp_path)
    export(rows, write_packs(tmp_path, CLIPS), tmp_path / "out")
    loaded = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train")
    row = loaded.cast_column("audio", Audio(decode=False))[0]
    assert {name: row[name] for name in [*nothing, "wer"]} == {**nothing, "wer": None}
    assert row["text"] == ""


def test_the_same_inputs_make_the_same_bytes(tmp_path, rows, packs):
    export(rows, packs, tmp_path / "a", max_shard_mb=0.05)
    export(rows.sample(frac=1, random_state=1), packs, tmp_path / "b", max_shard_mb=0.05)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_no_pandas_metadata_no_statistics_and_no_compression_of_audio(tmp_path, rows, packs):
    export(rows, packs, tmp_path / "out")
    metadata = pq.read_metadata(tmp_path / "out/data/train-00000-of-00001.parquet")
    assert set(metadata.metadata) == {b"huggingface", b"ARROW:schema"}
    column = metadata.row_group(0).column(0)
    assert (column.path_in_schema, column.compression, column.statistics) == ("audio.bytes", "UNCOMPRESSED", None)
    assert "RLE_DICTIONARY" not in column.encodings


def test_shards_are_bounded_and_their_names_carry_the_right_count(tmp_path, rows, packs):
    contents = export(rows, packs, tmp_path / "out", max_shard_mb=0.02)
    files = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    assert files == sorted(name for part in contents.values() for name in part.shards)
    assert len(contents["train"].shards) > 2
    for split, part in contents.items():
        tables_ = [pq.read_table(tmp_path / "out/data" / name) for name in part.shards]
        assert list(part.shards) == [dataset.shard_name(split, n, len(tables_)) for n in range(len(tables_))]
        assert sum(map(len, tables_)) == part.rows
        assert all(table.nbytes <= 20_000 or len(table) == 1 for table in tables_)
        assert part.file_bytes == sum((tmp_path / "out/data" / name).stat().st_size for name in part.shards)


def test_row_groups_are_bounded(tmp_path, rows, packs, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 1)
    export(rows, packs, tmp_path / "out")
    assert pq.read_metadata(tmp_path / "out/data/train-00000-of-00001.parquet").num_row_groups > 3


def test_a_clip_in_two_packs_is_exported_once_and_a_clip_of_two_cases_twice(tmp_path, rows):
    one, two = write_packs(tmp_path, CLIPS)
    rows.loc[1, ["audio_sha256", "audio_bytes", "audio_ext"]] = rows.loc[
        0, ["audio_sha256", "audio_bytes", "audio_ext"]
    ]
    contents = export(rows, [one, one, two], tmp_path / "out")
    assert sum(part.rows for part in contents.values()) == 12
    table = pq.read_table(tmp_path / "out/data/train-00000-of-00001.parquet").to_pandas()
    assert (table["audio"].map(lambda found: found["bytes"]) == CLIPS[0]).sum() == 2


def test_missing_audio_is_named_and_the_last_dataset_stays(tmp_path, rows, packs):
    export(rows, packs, tmp_path / "out")
    before = digests(tmp_path / "out")
    with pytest.raises(DataError) as raised:
        export(rows, packs[:1], tmp_path / "out")
    lost = rows.loc[1]
    for part in (lost["case_id"], lost["audio_sha256"], "5 more", "dvc pull", "require_audio"):
        assert part in str(raised.value)
    with pytest.raises(DataError, match=r"case-00003 .*has no audio"):
        export(rows.assign(audio_sha256=rows["audio_sha256"].where(rows.index != 3)), packs, tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_a_broken_pack_is_named(tmp_path, rows, packs):
    packs[0].write_bytes(packs[0].read_bytes()[:1000])
    with pytest.raises(DataError, match=str(packs[0])):
        export(rows, packs, tmp_path / "out")


def test_no_rows_is_an_error(tmp_path, rows, packs):
    with pytest.raises(DataError, match="nothing to export"):
        export(rows[:0], packs, tmp_path / "out")


def test_a_crash_leaves_the_last_dataset_and_the_next_export_cleans_up(tmp_path, rows, packs):
    export(rows, packs, tmp_path / "out")
    before = digests(tmp_path / "out")

    def crash(*_: object) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(rows[:6], packs, tmp_path / "out", max_shard_mb=1, describe=crash)
    assert digests(tmp_path / "out") == before
    assert (tmp_path / ".out.partial").exists()
    export(rows[:6], packs, tmp_path / "out")
    assert digests(tmp_path / "out") != before
    assert not list(tmp_path.glob(".out.*"))


def test_text_pairs_have_no_audio_and_are_sorted(tmp_path):
    texts = {"start": 0.0, "end": 1.0}
    rows = splits_table([case(n, SPLIT_OF[n], None, **texts) for n in range(11, -1, -1)], tmp_path)
    contents = export(rows, [], tmp_path / "out", require_audio=False, max_shard_mb=0.001)
    assert len(contents["train"].shards) > 1
    loaded = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].column_names == [name for name in dataset.features(require_audio=True) if name != "audio"]
    assert loaded["train"]["case_id"] == [f"case-{n:05d}" for n in range(8)]
    assert loaded["train"]["text"][:5] == TEXTS


def test_split_names_come_from_the_data(tmp_path, rows, packs):
    rows.loc[rows["split"] == "test", "split"] = "unlabelled"
    assert list(export(rows, packs, tmp_path / "out")) == ["train", "validation", "unlabelled"]


def test_memory_does_not_grow_with_the_audio(tmp_path):
    """40 MB in 4 MB row groups: Arrow never holds more than some of them."""
    clips = [np.random.default_rng(n).bytes(1_000_000) for n in range(40)]
    shas = sorted(hashlib.sha256(data).hexdigest() for data in clips)
    found = {hashlib.sha256(data).hexdigest(): data for data in clips}
    pack = tmp_path / "audio-00000.parquet"
    with pq.ParquetWriter(pack, batches.PACK, compression="none", use_dictionary=False) as writer:
        for start in range(0, 40, 4):
            group = [{"sha256": sha, "bytes": found[sha], "ext": ".wav"} for sha in shas[start : start + 4]]
            writer.write_table(pa.Table.from_pylist(group, batches.PACK))
    known = {"audio_bytes": 1_000_000}
    rows = [case(n, "train", None, audio_sha256=sha, **known) for n, sha in enumerate(shas)]
    del clips, found
    pool = pa.system_memory_pool()
    default, before = pa.default_memory_pool(), pool.bytes_allocated()
    pa.set_memory_pool(pool)
    try:
        export(splits_table(rows, tmp_path), [pack], tmp_path / "out")
    finally:
        pa.set_memory_pool(default)
    assert pool.bytes_allocated() - before < 1_000_000
    assert pool.max_memory() - before < 33_000_000


def test_what_does_not_fit_is_said_in_bytes_and_the_last_dataset_stays(small: Path, rows, packs, tmp_path: Path):
    export(rows.iloc[:6], packs, small / "dataset")
    before = digests(small / "dataset")
    needed, left = int(rows["audio_bytes"].sum()), shutil.disk_usage(small).free
    (small / "fill").write_bytes(bytes(left - needed // 2))
    said = rf"the new dataset in .* needs about {needed:,} bytes, but the file system {small} has [\d,]+ bytes left"
    with pytest.raises(DataError, match=said):
        export(rows, packs, small / "dataset")
    assert digests(small / "dataset") == before
    subprocess.run(["mount", "-o", "remount,size=2m", str(small)], check=True)
    export(rows, packs, small / "dataset")
    export(rows, packs, tmp_path / "elsewhere")
    assert digests(small / "dataset") == digests(tmp_path / "elsewhere")
    assert {path.name for path in small.iterdir()} == {"dataset", "fill"}
