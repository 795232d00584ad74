"""Replay: what the recogniser gets right trains beside its failures, leaks nothing, and measures forgetting."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT, case_row, case_table, sound
from mondegreen import Recorder, batches, cli, corpora, events, log, params, quality, replay, spool, tables, utterances
from mondegreen.errors import DataError, ParamsError, RecordError
from mondegreen.freezing import to_freeze
from mondegreen.ingest import ingest
from mondegreen.schemas import SPLITS, UTTERANCES
from mondegreen.splitting import split
from test_splitting import PARAMS, frozen

SETTINGS = params.Replay(seed=1, ratio=0.5, retention=0, sources=None)
LIMITS = params.load(params.Validate, ROOT / "params.yaml")


def pool(count: int = 100, **changes) -> pd.DataFrame:
    """Return utterances of twenty speakers who are in no case."""
    rows = [
        case_row(
            1000 + number,
            case_id=f"utterance-{number:03d}",
            speaker_id=f"reader-{number % 20}",
            recording_id=None,
            corrected_transcript=f"ordinary speech {number}",
            original_transcript=f"ordinary speech {number}",
        )
        for number in range(count)
    ]
    return case_table(rows).assign(**{"source": "agent", **changes})


def rows_of(cases: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    rows = split(cases, ledger[ledger["split"] != "retention"], PARAMS).rows
    return rows.assign(origin="failure", parent_case_id=None, augmentation=None)


def chosen(
    spoken: pd.DataFrame, cases: pd.DataFrame, settings=SETTINGS, ledger=None, known=None, rows=None
) -> replay.Replayed:
    ledger = frozen({}) if ledger is None else ledger
    rows = rows_of(cases, ledger) if rows is None else rows
    found = replay.choose(
        spoken, rows, ledger, settings, known=cases[:0] if known is None else known, min_shared_words=8
    )
    assert list(found.rows.columns) == SPLITS.arrow.names
    assert set(found.rows["origin"]) <= {"replay"}
    return found


def ids(found: replay.Replayed, name: str) -> set[str]:
    return set(found.rows.loc[found.rows["split"] == name, "case_id"])


def test_train_gets_as_many_as_the_ratio_says(make_cases):
    cases = make_cases(50)
    found = chosen(pool(), cases)
    trained = int((rows_of(cases, frozen({}))["split"] == "train").sum())
    assert len(ids(found, "train")) == round(0.5 * trained)
    assert found.report["train"]["short_of"] == 0
    assert chosen(pool(), cases).rows.equals(found.rows)
    assert ids(chosen(pool(), cases, replace(SETTINGS, seed=2)), "train") != ids(found, "train")
    assert chosen(pool(), cases, replace(SETTINGS, ratio=0)).rows.empty


def test_what_is_missing_is_told(make_cases):
    found = chosen(pool(3), make_cases(50), replace(SETTINGS, ratio=1.0, retention=10, sources=("agent", "nowhere")))
    assert found.report["retention"] == {"wanted": 10, "chosen": 3, "short_of": 7}
    notes = replay.notes(found.report, replace(SETTINGS, sources=("nowhere",)), pool(3))
    assert [note.split(" ")[0] for note in notes] == ["replay:", "replay:", "replay.sources"]
    assert notes[-1].endswith("names nowhere, which no utterance has; there are: agent")


def test_sources_that_are_no_list_are_told_what_a_list_is(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("replay: {seed: 1, ratio: 0.0, retention: 0, sources: agent}")
    with pytest.raises(ParamsError, match="sources='agent': expected a list of names in brackets or null"):
        params.load(params.Replay, file)


def test_sources_are_chosen_by_name(make_cases):
    spoken = pd.concat([pool(30), pool(60)[30:].assign(source="readings")], ignore_index=True)
    found = chosen(spoken, make_cases(50), replace(SETTINGS, ratio=9, sources=("readings",)))
    assert found.report["sources"] == {"readings": 30}


def shared(rows: pd.DataFrame, one: str, other: str) -> set[str]:
    speakers = [set(rows.loc[rows["split"] == name, "speaker_id"].dropna()) for name in (one, other)]
    return speakers[0] & speakers[1]


@cache
def fifty() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return fifty cases, and their rows of the dataset."""
    cases = case_table([case_row(number) for number in range(50)])
    return cases, rows_of(cases, frozen({}))


@given(
    voices=st.lists(st.integers(0, 30), min_size=20, max_size=60),
    retention=st.integers(0, 30),
    seed=st.integers(0, 1000),
)
def test_nothing_leaks_whatever_speakers_are_shared(voices, retention, seed):
    cases, cases_rows = fifty()
    spoken = pool(len(voices))
    spoken["speaker_id"] = [f"speaker-{voice}" for voice in voices]
    settings = replace(SETTINGS, ratio=5, retention=retention, seed=seed)
    found = chosen(spoken, cases, settings, rows=cases_rows)
    rows = pd.concat([cases_rows, found.rows], ignore_index=True)
    for one, other in (("train", "test"), ("train", "validation"), ("train", "retention"), ("retention", "test")):
        assert not shared(rows, one, other)
    assert not shared(rows, "retention", "validation")
    left = sum(found.report["left_out"].values())
    assert left + len(found.rows) == len(spoken)


def test_a_sound_that_is_a_case_already_is_not_repeated(make_cases):
    cases = make_cases(50)
    spoken = pool(5)
    spoken["pcm_sha256"] = list(cases["pcm_sha256"][:5])
    found = chosen(spoken, cases, replace(SETTINGS, ratio=1))
    assert found.rows.empty


def test_retention_has_many_voices(make_cases):
    found = chosen(pool(), make_cases(50), replace(SETTINGS, ratio=1, retention=20))
    kept = found.rows[found.rows["split"] == "retention"]
    assert (len(kept), kept["speaker_id"].nunique()) == (20, 10)
    assert found.report["left_out"]["linked_to_retention"] == 30


def test_what_a_release_froze_stays_in_retention_and_keeps_its_speakers_out_of_train(make_cases):
    cases = make_cases(50)
    first = ids(chosen(pool(), cases, replace(SETTINGS, retention=20)), "retention")
    ledger = frozen(dict.fromkeys(first, "retention"))
    later = chosen(pool(100), cases, replace(SETTINGS, retention=25, seed=7), ledger)
    assert first < ids(later, "retention")
    assert first == ids(chosen(pool(), cases, replace(SETTINGS, retention=0, sources=()), ledger), "retention")
    cases.loc[0, "speaker_id"] = pool().set_index("case_id").loc[min(first), "speaker_id"]
    assert list(replay.linked(cases, pool(), ledger, min_shared_words=8)) == [True] + [False] * 49


def test_what_trained_in_a_release_is_not_for_measuring_later(make_cases):
    cases, spoken = make_cases(50), pool()
    trained = ids(chosen(spoken, cases), "train")
    ledger, before = frozen(dict.fromkeys(trained, "train")), spoken[spoken["case_id"].isin(trained)]
    found = chosen(spoken, cases, replace(SETTINGS, ratio=0, retention=100), ledger, before)
    voices = set(found.rows["speaker_id"])
    assert not voices & set(before["speaker_id"])
    measured = frozen({"utterance-000": "test"})
    found = chosen(spoken, cases, replace(SETTINGS, ratio=9), measured, spoken[:1])
    assert "reader-0" not in set(found.rows["speaker_id"])


def test_a_release_freezes_retention(make_cases):
    cases = make_cases(50)
    found = chosen(pool(), cases, replace(SETTINGS, retention=20))
    rows = pd.concat([rows_of(cases, frozen({})), found.rows], ignore_index=True).assign(kept=True)
    frozen_rows = to_freeze(rows, frozen({}))
    assert set(frozen_rows.loc[frozen_rows["split"] == "retention", "case_id"]) == ids(found, "retention")


# -- where utterances come from


def gathered(inbox: Path, raw: Path) -> pd.DataFrame:
    ingest(inbox, raw, track=lambda batch: None)
    found = utterances.gather(log.read(batches.event_files(raw)), batches.audio_index(raw), "basic-1")
    tables.write(found, raw.parent / "utterances.parquet", UTTERANCES)
    return tables.read(raw.parent / "utterances.parquet", UTTERANCES)


def test_confirmed_inferences_become_utterances(tmp_path):
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.inference(failed=True)
        recorder.inference(failed=False, audio=sound(seed=1))
        said = recorder.inference(
            failed=False, audio=sound(1.5, seed=2), confirmed_transcript="kiss the sky", speaker_id="s1", language="en"
        )
        gone = recorder.inference(failed=False, audio=sound(seed=3), confirmed_transcript="no more", speaker_id="s2")
        recorder.inference(failed=False, audio=sound(seed=4), confirmed_transcript="no more", speaker_id="s3")
        recorder.withdrawal(reason="asked to", case_id=gone)
        recorder.withdrawal(reason="asked to", speaker_id="s3")
        with pytest.raises(RecordError, match="failed=True"):
            recorder.inference(failed=True, confirmed_transcript="kiss the sky")
    found = gathered(tmp_path / "inbox", tmp_path / "raw").set_index("case_id")
    assert len(found) == 3
    assert list(found["withdrawn"]) == [False, True, True]
    row = found.loc[said]
    assert (row["source"], row["corrected_transcript"], row["duration"]) == ("agent", "kiss the sky", 1.5)
    assert (row["original_transcript"], row["wer"], row["reference_words"]) == ("kiss the sky", 0.0, 3)


def test_what_is_wrong_with_an_utterance_is_counted(tmp_path):
    with Recorder(tmp_path / "inbox") as recorder:
        recorder.inference(failed=False, audio=b"RIFF", confirmed_transcript="broken")
        recorder.inference(failed=False, audio=sound(0.09), confirmed_transcript="short")
        recorder.inference(failed=False, audio=sound(seed=2), confirmed_transcript="kiss the sky")
    found = quality.sort_out(gathered(tmp_path / "inbox", tmp_path / "raw"), LIMITS, require_audio=True, failures=False)
    assert quality.counts(found) == {
        "valid": 1,
        "rejected": 2,
        "rejected_by_reason": {"undecodable_audio": 1, "too_short": 1},
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return an audio folder with a good clip, one that is missing, one outside, and one without a text."""
    place = tmp_path / "readings/train"
    place.mkdir(parents=True)
    (place / "a.wav").write_bytes(sound(seed=1))
    (tmp_path / "out.wav").write_bytes(sound(seed=2))
    lines = [
        "file_name,transcription,speaker_id",
        "a.wav,kiss the sky,7",
        "b.wav,gone,7",
        "../../out.wav,out,7",
        "a.wav,,",
    ]
    (place / "metadata.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "readings"


def imported(path: Path, inbox: Path, **options) -> list[events.Event]:
    corpora.import_corpus(path, inbox, mapped=options.get("mapped", {}), defaults=options.get("defaults", {}))
    return [event for contents in spool.read(inbox) for event in contents.events]


def test_an_audio_folder_is_imported_and_what_cannot_be_is_set_aside(folder, tmp_path, capsys):
    inbox = tmp_path / "inbox"
    assert cli.main(["import", "--as", "replay", str(folder), "--spool", str(inbox), "--default", "language=en"]) == 1
    said = capsys.readouterr()
    assert "1 utterance into" in said.out
    assert f"3 rows rejected: see {folder}.rejected.jsonl" in said.err
    [event] = [event for contents in spool.read(inbox) for event in contents.events]
    wanted = {"event": "utterance", "transcript": "kiss the sky", "source": "readings", "speaker_id": "7"}
    assert event.items() >= (wanted | {"language": "en"}).items()
    reasons = [json.loads(line)["reason"] for line in Path(f"{folder}.rejected.jsonl").read_text().splitlines()]
    assert [
        next(part for part in ("No such file", "stays inside", "something in transcription") if part in reason)
        for reason in reasons
    ] == ["No such file", "stays inside", "something in transcription"]
    again = imported(folder, tmp_path / "again", defaults={"language": "en"})
    assert [each["event_id"] for each in again] == [event["event_id"]]
    [row] = gathered(inbox, tmp_path / "raw").to_dict("records")
    assert pd.isna(row["original_transcript"])
    assert pd.isna(row["wer"])
    assert (row["source"], row["reference_words"]) == ("readings", 3)


def test_the_shards_of_a_dataset_are_imported(tmp_path):
    rows = [{"audio": {"bytes": sound(seed=n), "path": f"{n}.wav"}, "sentence": f"kiss {n}"} for n in range(3)]
    (tmp_path / "speech/data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "speech/data/train-00000.parquet")
    found = imported(tmp_path / "speech", tmp_path / "inbox")
    assert {event["transcript"] for event in found} == {"kiss 0", "kiss 1", "kiss 2"}
    other = imported(tmp_path / "speech", tmp_path / "other", mapped={"transcript": "audio.path"})
    assert {event["transcript"] for event in other} == {"0.wav", "1.wav", "2.wav"}


def test_a_copy_with_other_sound_is_no_speech_to_replay(tmp_path):
    rows = [{"audio": {"bytes": sound(seed=n), "path": f"{n}.wav"}, "text": f"kiss {n}"} for n in range(2)]
    rows[0]["origin"], rows[1]["origin"] = "recorded", "augmented"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    found = imported(tmp_path / "own.parquet", tmp_path / "inbox")
    assert [event["transcript"] for event in found] == ["kiss 0"]
    [rejected] = (tmp_path / "own.parquet.rejected.jsonl").read_text().splitlines()
    assert "origin='augmented': expected speech as it was recorded" in json.loads(rejected)["reason"]


def test_what_is_no_corpus_is_said(tmp_path):
    with pytest.raises(DataError, match="no audio folder or dataset"):
        imported(tmp_path, tmp_path / "inbox")
    with pytest.raises(DataError, match=r"reader is no field of an utterance; the fields are audio"):
        imported(tmp_path, tmp_path / "inbox", mapped={"reader": "x"})
    with pytest.raises(DataError, match="nowhere is not there"):
        imported(tmp_path / "nowhere", tmp_path / "inbox")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no sound Parquet file"):
        imported(tmp_path, tmp_path / "inbox")


def test_rows_of_replay_may_lack_what_nobody_heard():
    required = {field.name for field in SPLITS.arrow if not field.nullable}
    assert "original_transcript" not in required
    assert {"origin", "split", "component"} <= required
