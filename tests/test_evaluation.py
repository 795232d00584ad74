"""Evaluation of predictions on a small dataset: by hand, against jiwer, and what must never pass."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import ROOT
from mondegreen import cli, spool
from mondegreen.dataset import features
from mondegreen.errors import DataError, MondegreenError, ParamsError
from mondegreen.evaluation import Evaluation, evaluate
from mondegreen.predictions import LISTED, dataset_version, read_predictions, read_references

MD5 = "0123456789abcdef0123456789abcdef.dir"


def dataset(folder: Path, texts: list[str], *, split: str = "test", shards: int = 1, **columns: list[Any]) -> Path:
    """Write a text-only split; case_ids are c000, c001, …, every case has its own speaker unless `columns` says."""
    schema = features(require_audio=False).arrow_schema
    rows: dict[str, list[Any]] = {name: [None] * len(texts) for name in schema.names}
    rows |= {"text": texts, "case_id": [f"c{n:03d}" for n in range(len(texts))], "language": ["en"] * len(texts)}
    rows |= {"error_types": [[] for _ in texts], "speaker_id": [f"s{n}" for n in range(len(texts))]}
    table = pa.table(rows | columns, schema=schema)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    bounds = [len(texts) * n // shards for n in range(shards + 1)]
    for n in range(shards):
        path = folder / "data" / f"{split}-{n:05d}-of-{shards:05d}.parquet"
        pq.write_table(table.slice(bounds[n], bounds[n + 1] - bounds[n]), path)
    return folder


def predictions(path: Path, hypotheses: list[Any]) -> Path:
    lines = [json.dumps({"case_id": f"c{n:03d}", "hypothesis": text}) for n, text in enumerate(hypotheses)]
    path.write_text("".join(f"{line}\n" for line in reversed(lines)))
    return path


def measured(tmp_path: Path, texts: list[str], hypotheses: list[str], normaliser="basic-1", **columns) -> Evaluation:
    references = read_references(dataset(tmp_path / "dataset", texts, **columns), "test")
    found = read_predictions(predictions(tmp_path / "p.jsonl", hypotheses), references)
    return evaluate(references, found, normaliser=normaliser)


def repository(folder: Path, texts: list[str], monkeypatch, **columns: list[Any]) -> Path:
    """Make what `mondegreen evaluate` needs of a clone, and go there."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    shutil.copy(ROOT / "params.yaml", folder)
    out = f"stages:\n  export:\n    outs:\n    - path: data/dataset\n      hash: md5\n      md5: {MD5}\n"
    (folder / "dvc.lock").write_text(f"schema: '2.0'\n{out}")
    dataset(folder / "data/dataset", texts, **columns)
    monkeypatch.chdir(folder)
    return folder


TEXTS = ["kiss the sky", "hold me closer tiny dancer", "", "Don't stop."]
HEARD = ["kiss this guy", "", "thank you", "don't stop"]


def test_by_hand(tmp_path):
    found = measured(tmp_path, TEXTS, HEARD)
    assert found.normalised.wer.value == 7 / 10  # S: the, sky; D: all five of the second; silence does not count
    assert found.raw.wer.value == 9 / 10  # and both words of the fourth
    assert found.normalised.sums[1:5] == (10, 2, 5, 0)
    assert found.normalised.cer.value == (4 + 26) / (12 + 26 + 10)
    assert (found.normalised.sums.silent_utterances, found.normalised.sums.silence_hallucinations) == (1, 1)
    assert found.empty_rate == 1 / 3
    assert found.utterance_error_rate == 3 / 4
    assert [row["insertions"] for row in found.case_rows()] == [0, 0, 2, 0]


@pytest.mark.parametrize("normaliser", ["basic-1", "none-1"])
def test_corpus_rates_are_those_of_jiwer(tmp_path, normaliser):
    generator = np.random.default_rng(1)
    words = ["kiss", "the", "sky", "guy", "tiny", "dancer", "é", "naïve", "don't"]
    texts = [" ".join(generator.choice(words, 1 + generator.integers(9))) for _ in range(200)]
    heard = [" ".join(generator.choice(words, generator.integers(9))) for _ in range(200)]
    found = measured(tmp_path, texts, heard, normaliser)
    for rates in (found.normalised, found.raw):
        assert rates.wer.value == pytest.approx(jiwer.wer(texts, heard), abs=1e-12)
        assert rates.cer.value == pytest.approx(jiwer.cer(texts, heard), abs=1e-12)
        assert rates.wer.low < rates.wer.value < rates.wer.high
    by_word = jiwer.process_words(texts, heard)
    assert found.normalised.sums[2:5] == (by_word.substitutions, by_word.deletions, by_word.insertions)
    mean_of_utterances = np.mean([jiwer.wer(*pair) for pair in zip(texts, heard, strict=True)])
    assert found.normalised.wer.value != pytest.approx(mean_of_utterances, abs=0.01)


def test_capitals_and_punctuation_are_raw_errors_only(tmp_path):
    found = measured(tmp_path, ["Kiss the sky!"] * 8, ["kiss THE sky"] * 8)
    assert (found.normalised.wer.value, found.utterance_error_rate) == (0.0, 0.0)
    assert found.raw.wer.value == 1.0
    assert (found.normalised.wer.low, found.normalised.wer.high) == (0.0, 0.0)


def test_a_model_that_says_nothing(tmp_path):
    found = measured(tmp_path, [*TEXTS[:2], ""], ["", " ", "..."])
    assert (found.normalised.wer.value, found.empty_rate) == (1.0, 1.0)
    assert found.normalised.sums.deletions == found.normalised.sums.reference_words
    assert found.normalised.sums.silence_hallucination_rate == 0.0


def test_silence_alone_has_no_rate(tmp_path):
    found = measured(tmp_path, ["", "", "..."], ["", "thanks", ""])
    assert (found.normalised.wer.value, found.empty_rate) == (None, None)
    assert found.normalised.sums.silence_hallucination_rate == 1 / 3
    assert "wer_low" not in found.metrics()
    json.dumps(found.as_dict(), allow_nan=False)


def test_what_does_not_fit_is_listed_at_once(tmp_path):
    references = read_references(dataset(tmp_path / "dataset", [f"text {n}" for n in range(60)]), "test")
    rows: list[Any] = [{"case_id": f"c{n:03d}", "hypothesis": "x"} for n in range(30)]
    rows[3]["hypothesis"], rows[4]["hypothesis"] = None, 5
    del rows[5]["hypothesis"]
    rows += [rows[0], {"case_id": "other", "hypothesis": "x"}, {"case_id": 7, "hypothesis": "x"}, ["c030"]]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\nnot json\n\n")
    with pytest.raises(DataError) as error:
        read_predictions(path, references)
    said = str(error.value)
    assert "1 given twice: c000" in said
    assert "1 not in test: other" in said
    assert "3 hypothesis is not a string: c003, c004, c005" in said
    assert "3 not of the form {case_id, hypothesis}: line 33, line 34, line 35" in said
    assert f"30 missing: c030, {', '.join(f'c{n:03d}' for n in range(31, 30 + LISTED))} and 10 more" in said


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{" * 100_000])
def test_a_file_that_is_no_predictions_measures_nothing(tmp_path, content):
    references = read_references(dataset(tmp_path / "dataset", TEXTS), "test")
    for name in ("p.jsonl", "p.jsonl.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"p\.jsonl"):
            read_predictions(tmp_path / name, references)
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path / "gone.jsonl", references)


def test_compressed_predictions_are_the_same(tmp_path):
    references = read_references(dataset(tmp_path / "dataset", TEXTS), "test")
    path = predictions(tmp_path / "p.jsonl", HEARD)
    packed = tmp_path / "p.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes()))
    assert read_predictions(packed, references) == read_predictions(path, references) == HEARD
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(packed, references)


def test_the_test_set_is_known_by_its_ids_and_texts(tmp_path):
    one = read_references(dataset(tmp_path / "a", TEXTS), "test")
    sharded = read_references(dataset(tmp_path / "b", TEXTS, shards=2, duration=[1.0] * 4), "test")
    assert one.test_set == sharded.test_set
    corrected = read_references(dataset(tmp_path / "c", [*TEXTS[:3], "Don't stop"]), "test")
    fewer = read_references(dataset(tmp_path / "d", TEXTS[:3]), "test")
    assert len({one.test_set, corrected.test_set, fewer.test_set}) == 3


def test_audio_is_not_read(tmp_path):
    schema = features(require_audio=True).arrow_schema
    row = dict.fromkeys(schema.names) | {"case_id": "c", "text": "a", "audio": {"bytes": b"x" * 100, "path": "x"}}
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist([row], schema=schema), tmp_path / "data/test-00000-of-00001.parquet")
    assert "audio" not in read_references(tmp_path, "test").rows


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: shutil.rmtree(data), "holds no dataset"),
        (lambda data: (data / "test-00001-of-00002.parquet").unlink(), "misses a shard"),
        (lambda data: (data / "test-00000-of-00002.parquet").write_bytes(b"PAR1"), "cannot be read"),
        (lambda data: [path.rename(data / f"train{path.name[4:]}") for path in list(data.iterdir())], "one of train"),
    ],
)
def test_a_dataset_that_is_not_whole(tmp_path, change, says):
    dataset(tmp_path, TEXTS, shards=2)
    change(tmp_path / "data")
    with pytest.raises(DataError, match=says):
        read_references(tmp_path, "test")


@pytest.mark.parametrize("columns", [{"case_id": ["a", "a"]}, {"text": ["a", None]}, {"case_id": ["a", None]}])
def test_a_split_without_texts_or_ids_is_no_reference(tmp_path, columns):
    with pytest.raises(DataError, match="a case_id of its own"):
        read_references(dataset(tmp_path, ["a", "b"], **columns), "test")


def test_intervals_are_over_speakers_else_recordings_else_cases(tmp_path):
    texts, heard = ["one two three"] * 24, ["one two three", "one too three", "won too tree"] * 8
    speakers = [f"s{n // 3}" for n in range(24)]
    found = measured(tmp_path / "a", texts, heard, speaker_id=speakers)
    assert (found.blocks.kind, found.blocks.count, found.notes) == ("speaker", 8, ())
    assert (found.normalised.wer.low, found.normalised.wer.high) == (4 / 9, 4 / 9)  # every speaker alike
    recordings = [f"r{n // 4}" for n in range(24)]
    one = measured(tmp_path / "b", texts, heard, speaker_id=["s"] * 24, recording_id=recordings)
    assert (one.blocks.kind, one.blocks.count) == ("recording", 6)
    assert "too few speakers (1): intervals are over recordings" in one.notes[0]
    nothing = measured(tmp_path / "c", texts, heard, speaker_id=[None] * 24)
    assert (nothing.blocks.kind, nothing.blocks.count) == ("case", 24)
    assert "no speaker_id" in nothing.notes[0]
    assert nothing.normalised.wer.low < 4 / 9 < nothing.normalised.wer.high
    some = measured(tmp_path / "d", texts, heard, speaker_id=[*speakers[:21], None, None, None])
    assert (some.blocks.kind, some.blocks.count) == ("speaker", 10)
    assert "3 cases without a speaker_id" in some.notes[0]
    few = measured(tmp_path / "e", texts[:5], heard[:5])
    assert (few.normalised.wer.low, few.notes) == (None, ("no interval: it takes 6 cases with words, 5 are there",))


def test_slices(tmp_path):
    n = 60
    found = measured(
        tmp_path,
        ["kiss the sky"] * n,
        ["kiss the guy", "kiss the sky"] * 30,
        error_types=[["substitution", "names"], []] * 30,
        speaker_id=[f"s{min(k, 25):02d}" for k in range(n)],
        language=["en"] * 40 + ["de"] * 19 + [None],
        duration=[1.0, 2.0, 19.9, 20.0, 500.0, None] * 10,
    )
    types = found.slices["error_type"]
    assert [(each.name, each.cases) for each in types.slices] == [(None, 30), ("names", 30), ("substitution", 30)]
    assert [each.wer.value for each in types.slices] == [0.0, 1 / 3, 1 / 3]
    assert (types.slices[1].wer.low, types.slices[1].wer.high) == (1 / 3, 1 / 3)
    speakers = found.slices["speaker"]
    assert (speakers.slices[0].name, speakers.slices[0].cases, speakers.slices[0].blocks) == ("s25", 35, "case")
    assert speakers.slices[1].wer.low is None
    assert (len(speakers.slices), speakers.other_slices, speakers.other_cases) == (LISTED, 6, 6)
    assert [(each.name, each.cases) for each in found.slices["language"].slices] == [("en", 40), ("de", 19), (None, 1)]
    bands = [(each.name, each.cases) for each in found.slices["duration"].slices]
    assert bands == [("under 2 s", 10), ("2 to 5 s", 10), ("10 to 20 s", 10), ("20 s and more", 20), (None, 10)]


def test_the_same_again(tmp_path):
    one, two = (measured(tmp_path / name, TEXTS * 5, HEARD * 5).as_dict() for name in "ab")
    assert json.dumps(one) == json.dumps(two)


def test_an_unknown_normaliser(tmp_path):
    with pytest.raises(ParamsError, match="'loose'"):
        measured(tmp_path, TEXTS, HEARD, "loose")


def test_dataset_version(tmp_path):
    assert dataset_version(tmp_path) is None
    for content in ("stages: {}", "schema: '2.0'\nstages:\n  collect:\n    cmd: x\n"):
        (tmp_path / "dvc.lock").write_text(content)
        assert dataset_version(tmp_path) is None
    for content in ("", "<<<<<<< HEAD\n", "stages: 3"):
        (tmp_path / "dvc.lock").write_text(content)
        with pytest.raises(MondegreenError, match=r"dvc\.lock"):
            dataset_version(tmp_path)


def test_the_command_records_what_it_measured(tmp_path, monkeypatch, capsys):
    root = repository(tmp_path / "clone", TEXTS * 4, monkeypatch)
    path = predictions(tmp_path / "p.jsonl", HEARD * 4)
    out = tmp_path / "out" / "result.json"
    assert cli.main(["evaluate", str(path), "--model-version", "v2", "--output", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (event,) = (event for part in spool.read(root / "data/inbox") for event in part.events)
    assert (event["event"], event["model_version"], event["dataset_version"]) == ("performance", "v2", MD5)
    assert (event["wer"], event["cer"]) == (0.7, told["normalised"]["cer"]["value"])
    blocks = {"kind": "speaker", "count": 12}
    identity = {"test_set": told["test_set"], "split": "test", "normaliser": "basic-1", "blocks": blocks}
    assert event["metadata"] == identity
    assert event["metrics"]["raw_wer"] == 0.9
    assert event["metrics"]["wer_low"] < 0.7 < event["metrics"]["wer_high"]
    assert {name: event["metrics"][name] for name in ("substitutions", "deletions", "insertions", "cases")} == {
        "substitutions": 8,
        "deletions": 20,
        "insertions": 0,
        "cases": 16,
    }
    assert event["metrics"]["silence_hallucination_rate"] == 1.0
    written = json.loads(out.read_text())
    assert len(written.pop("results")) == 16
    assert written == told


def test_the_command_writes_nothing_unasked(tmp_path, monkeypatch, capsys):
    root = repository(tmp_path / "clone", TEXTS, monkeypatch, speaker_id=["\x1b[31mann", "bob", None, None])
    path = predictions(tmp_path / "p.jsonl", HEARD)
    before = sorted(root.rglob("*"))
    assert cli.main(["evaluate", str(path), "--no-record", "--dataset-version", "mine"]) == 0
    assert sorted(root.rglob("*")) == before
    said = capsys.readouterr().out
    assert "4 cases of test of dataset mine" in said
    assert "normalised     70.0%" in said
    assert "100.0% (1 of 1 silent cases)" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["p.jsonl"], "--model-version"),
        (["p.jsonl", "--no-record", "--split", "dev"], "has no split 'dev': choose one of test"),
        (["p.jsonl", "--no-record", "--dataset", "nowhere"], "nowhere holds no dataset"),
        (["gone.jsonl", "--no-record"], "gone.jsonl cannot be read"),
        (["half.jsonl", "--model-version", "v"], "2 missing: c002, c003"),
        (["p.jsonl", "--model-version", "v", "--output", "dvc.yaml/x"], "dvc.yaml/x cannot be written"),
        (["--compare", "p.jsonl", "p.jsonl", "--model-version", "v"], "--compare records nothing"),
    ],
)
def test_what_cannot_be_measured_is_not_recorded(tmp_path, monkeypatch, capsys, arguments, says):
    root = repository(tmp_path / "clone", TEXTS, monkeypatch)
    predictions(root / "p.jsonl", HEARD)
    predictions(root / "half.jsonl", HEARD[:2])
    assert cli.main(["evaluate", *arguments]) == 1
    assert says in capsys.readouterr().err
    assert not (root / "data/inbox").exists()


def test_silence_alone_cannot_be_recorded(tmp_path, monkeypatch, capsys):
    repository(tmp_path / "clone", ["", ""], monkeypatch)
    path = str(predictions(tmp_path / "p.jsonl", ["", "thanks"]))
    assert cli.main(["evaluate", path, "--model-version", "v"]) == 1
    assert "--no-record" in capsys.readouterr().err
    assert cli.main(["evaluate", path, "--no-record"]) == 0
    assert "50.0% (1 of 2 silent cases)" in capsys.readouterr().out


def test_what_a_model_says_cannot_break_the_report(tmp_path, monkeypatch, capsys):
    root = repository(tmp_path / "clone", ["a"], monkeypatch)
    (root / "p.jsonl").write_text('{"case_id": "c000", "hypothesis": "\\ud800 a \\u0000"}\n')
    assert cli.main(["evaluate", "p.jsonl", "--no-record", "--output", "out.json"]) == 0
    assert json.loads((root / "out.json").read_text())["results"][0]["hypothesis"] == "? a \x00"


def test_either_predictions_or_a_comparison(capsys):
    for arguments in ([], ["p.jsonl", "--compare", "a", "b"], ["--compare", "a"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["evaluate", *arguments])
        assert stopped.value.code == 2
