"""The right to be forgotten: withdrawn from what comes, or erased from every byte within reach."""

import json
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clone import Clone
from conftest import sound
from mondegreen import Recorder, erasures
from mondegreen.batches import event_ids
from mondegreen.rewriting import rewrite

pytestmark = pytest.mark.dvc

SPEAKER = "speaker-who-left"
HEARD, SAID, ALOUD = "rabiznaz"[::-1], "rabisnas"[::-1], "rabizras"[::-1]
"""Words that no file of the clone holds but what the speaker's cases are kept in: this one neither."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with a second batch of two speakers, built, committed, tagged, pushed; then a third batch."""
    folder = tmp_path_factory.mktemp("forget")
    made = Clone(folder / "clone")
    made.run("dvc", "config", "--local", "remote.local.url", str(folder / "remote"))
    made.set_param("replay", "ratio", 0.5)
    with Recorder(made.path / "data/inbox") as recorder:  # what was heard rightly is a voice, too
        for speaker, said in ((SPEAKER, f"nobody else said {ALOUD}"), ("speaker-who-stays", "hold me closer")):
            clip = sound(1.0, seed=2000 + len(said))
            recorder.inference(failed=False, audio=clip, confirmed_transcript=said, speaker_id=speaker)
    for number in range(3):
        texts = (f"nobody else said {HEARD}", f"nobody else said {SAID}, and the rest was cut off")  # so it is copied
        record(made, folder / f"{number}.wav", SPEAKER, *texts, seed=number)
        texts = (f"kiss this guy {number}", f"kiss the sky {number}")
        record(made, folder / f"k{number}.wav", "speaker-who-stays", *texts, seed=50 + number)
    made.mondegreen("ingest")
    made.run("dvc", "repro", "--quiet")
    made.commit("with the speaker")
    made.git("tag", "-a", "-m", "v1", "dataset@v1.0.0")
    made.run("dvc", "push", "--quiet")
    record(made, folder / "late.wav", SPEAKER, f"and {HEARD} again", f"and {SAID} again", seed=99)
    made.mondegreen(
        "performance", "add", "--model-version", "asr-9", "--wer", "0.2", "--cer", "0.1", "--dataset-version", "v1.0.0"
    )
    made.mondegreen("ingest")
    made.run("dvc", "repro", "--quiet")
    made.commit("the speaker again")
    made.run("dvc", "push", "--quiet")
    return made


def record(clone: Clone, clip: Path, speaker: str, heard: str, said: str, seed: int) -> str:
    clip.write_bytes(sound(1.0, seed=1000 + seed))
    with Recorder(clone.path / "data/inbox") as recorder:
        case_id = recorder.failure(clip, original_transcript=heard, speaker_id=speaker)
        recorder.correction(case_id, said, author="ann")
    return case_id


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder as it lies there and, for Parquet, with its values unpacked."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield path, data
            at = data.find(b"PAR1")
            if at in (0, 32) and data.endswith(b"PAR1"):
                table = pq.read_table(pa.BufferReader(data[at:]))
                values = flat([column.to_pylist() for column in table.columns])
                yield path, b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def flat(values: list) -> Iterator[object]:
    for value in values:
        if isinstance(value, dict):
            yield from flat(list(value.values()))
        elif isinstance(value, list):
            yield from flat(value)
        else:
            yield value


def augmented(clone: Clone) -> list[bytes]:
    """Return the sound of every copy of what the speaker said."""
    rows = pq.read_table(clone.path / "data/augmented/rows.parquet").to_pylist()
    wanted = {row["audio_sha256"] for row in rows if row["speaker_id"] == SPEAKER}
    packs = sorted((clone.path / "data/augmented").glob("audio-*.parquet"))
    return [row["bytes"] for pack in packs for row in pq.read_table(pack).to_pylist() if row["sha256"] in wanted]


def holders(clone: Clone, needles: list[bytes]) -> set[str]:
    """The files of work tree, cache and remote that hold one of the needles; Git's own objects aside."""
    folder = clone.path.parent
    return {
        str(path.relative_to(folder))
        for place in (clone.path, folder / "remote")
        for path, data in contents(place)
        if "/.git/" not in str(path) and any(needle in data for needle in needles)
    }


def test_a_dry_run_says_what_there_is_and_changes_nothing(clone: Clone):
    before = clone.git("status", "--porcelain")
    said = clone.mondegreen("forget", "--speaker", SPEAKER, "--reason", "asked to", "--erase", "--dry-run")
    assert "5 cases, 5 clips, 9 events" in said
    assert "releases with it: v1.0.0" in said
    assert "asr-9" in said
    assert "cannot reach" in said
    assert clone.git("status", "--porcelain") == before
    refused = clone.mondegreen("forget", "--speaker", SPEAKER, "--reason", "asked to", "--erase", status=1)
    assert "add --yes" in refused
    assert "is no speaker here" in clone.mondegreen("forget", "--speaker", "nobody", "--reason", "x", status=1)
    lines = (clone.path / "data/raw/sample/events.jsonl").read_bytes().splitlines()
    sample = next(event["case_id"] for event in map(orjson.loads, lines) if event["event"] == "failure")
    refused = clone.mondegreen("forget", sample, "--reason", "x", "--erase", "--yes", status=1)
    assert "which Git holds" in refused


def test_what_is_erased_is_in_no_byte_within_reach(clone: Clone):
    clips = [sound(1.0, seed=seed) for seed in (1000, 1001, 1002, 1099, 2000 + len(f"nobody else said {ALOUD}"))]
    copies = augmented(clone)
    assert copies, "train holds copies of what the speaker said"
    needles = [HEARD.encode(), SAID.encode(), ALOUD.encode(), *(clip[1000:1400] for clip in (*clips, *copies))]
    for needle in needles:
        assert len(holders(clone, [needle])) > 4
    ids = event_ids(clone.path / "data/raw")
    clone.mondegreen("forget", "--speaker", SPEAKER, "--reason", "asked to", "--erase", "--yes", "--author", "ann")
    assert holders(clone, needles) == set()
    assert event_ids(clone.path / "data/raw") > ids, "the ids stay, so that nothing is ingested a second time"
    assert clone.git("status", "--porcelain") == ""
    assert "up to date" in clone.run("dvc", "status")
    assert clone.metrics("dataset")["passed"]
    assert clone.metrics("collect")["withdrawals_of_unknown"] == 0
    [entry] = erasures.read(clone.path)
    assert (len(entry.cases), len(entry.batches), entry.releases, entry.models) == (5, 2, ("v1.0.0",), ("asr-9",))
    assert SPEAKER not in (clone.path / erasures.PATH).read_text()
    kept = [row["original_transcript"] for row in pq.read_table(clone.path / "data/cases.parquet").to_pylist()]
    assert {"kiss this guy 0", "kiss this guy 1", "kiss this guy 2"} <= set(kept)
    page = clone.mondegreen("compare", "HEAD~1", "--review", "--markdown")
    assert "whose events are in others or were erased on record" in page
    assert "rows cannot be compared" in page
    before = (clone.path / erasures.PATH).read_text()
    said = clone.mondegreen("forget", "--speaker", SPEAKER, "--reason", "asked to", "--erase", "--yes")
    assert "0 cases" in said
    assert (clone.path / erasures.PATH).read_text() == before
    assert clone.git("status", "--porcelain") == ""


def test_a_withdrawn_case_leaves_the_next_dataset(clone: Clone, tmp_path: Path):
    case_id = record(clone, tmp_path / "w.wav", "speaker-w", "kiss this lie", "kiss the sky too", seed=300)
    clone.mondegreen("ingest")
    said = clone.mondegreen("forget", case_id, "--reason", "asked to")
    assert "mondegreen ingest && dvc repro" in said
    clone.mondegreen("ingest")
    clone.run("dvc", "repro", "--quiet")
    splits = pq.read_table(clone.path / "data/splits.parquet", columns=["case_id"]).column(0).to_pylist()
    assert case_id not in splits
    report = json.loads((clone.path / "data/report/report.json").read_text())
    assert report["system_statistics"]["data_management"]["withdrawn_cases"] >= 1


def test_rewriting_without_a_change_keeps_events_and_clips(clone: Clone, tmp_path: Path):
    raw = tmp_path / "raw"
    raw.mkdir()
    old = [path for path in sorted((clone.path / "data/raw").iterdir()) if path.is_dir() and path.name != "sample"]
    made = rewrite(raw, old)
    lines = sorted(line for batch in old for line in (batch / "events.jsonl").read_bytes().splitlines())
    assert sorted((made / "events.jsonl").read_bytes().splitlines()) == lines
    clips = [row for batch in old for pack in sorted(batch.glob("audio-*")) for row in pq.read_table(pack).to_pylist()]
    assert [row for pack in sorted(made.glob("audio-*")) for row in pq.read_table(pack).to_pylist()] == clips
    assert rewrite(raw, old) == made
