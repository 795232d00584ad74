"""Automatic correctors: what each makes of a case, how they are found, and how their corrections are recorded."""

import io
import json
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from conftest import ROOT, sound
from mondegreen import Recorder, correcting, correctors, ingest, spool
from mondegreen.cli import main
from mondegreen.correctors import Suggestion
from mondegreen.correctors.recognisers import Heard, SecondRecogniser, recogniser
from mondegreen.errors import CorrectorError, ParamsError
from mondegreen.methods import may_train


def case(text: str, **known: Any) -> dict[str, Any]:
    return {"case_id": "c", "original_transcript": text, "language": "en", "model_version": "asr-1"} | known


def suggested(name: str, text: str, **known: Any) -> str | None:
    found = correctors.load(name).suggest(case(text, **known), None)
    return found.text if found else None


def test_a_checkout_has_the_correctors_that_an_installation_has():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][correctors.GROUP]
    assert declared == correctors.BUILT_IN
    assert set(declared) <= set(correctors.names())
    for name in declared:
        found = correctors.load(name)
        assert found.name == name
        assert found.method.startswith(("rule:", "model:"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("guess", "there is no corrector 'guess': choose one of case-restoration, consensus"),
        ("loop-removal:x", "loop-removal takes no option: leave out ':x'"),
        ("second-recogniser:ears", "there is no recogniser 'ears'"),
        ("second-recogniser:faster-whisper", "faster-whisper needs a model"),
    ],
)
def test_what_cannot_be_loaded_is_named(name: str, says: str):
    with pytest.raises(CorrectorError, match=says):
        correctors.load(name)


@pytest.mark.parametrize(
    ("text", "restored"),
    [
        ("WHERE AM I. I'M ON THE ROAD", "Where am I. I'm on the road"),
        ('he said "see you on monday"', 'He said "see you on Monday"'),
        ("привет мир", "Привет мир"),
        ("Already Mixed case", None),
        ("USA", None),
        ("", None),
        ("123 456", None),
    ],
)
def test_case_is_restored(text: str, restored: str | None):
    assert suggested("case-restoration", text) == restored


def test_case_restoration_learns_how_people_write():
    taught = correctors.load("case-restoration", ["We met Zoë at NASA.", "At NASA, Zoë waved.", "SHOUTED NASA ZOË"])
    found = taught.suggest(case("THEN ZOË LEFT NASA"), None)
    assert found
    assert found.text == "Then Zoë left NASA"
    assert found.method == "rule:case-restoration"
    untaught = correctors.load("case-restoration").suggest(case("THEN ZOË LEFT NASA"), None)
    assert untaught
    assert untaught.text == "Then zoë left nasa"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("Thank you. Thank you. Thank you. Thank you. Thank", "Thank you."),
        ("so the the the the the the price", "so the price"),
        ("it was no no no no no", None),  # people do say that
        ("in the end in the end in the end", None),
        ("s s s s s s s s", None),
        ("", None),
    ],
)
def test_loops_are_said_once(text: str, without: str | None):
    assert suggested("loop-removal", text) == without


class Echo:
    """A recogniser that needs no ears."""

    def __init__(self, name: str, text: str, confidence: float | None = None) -> None:
        self.name = name
        self.heard = Heard(text, confidence)

    def transcribe(self, waveform: np.ndarray, language: str | None) -> Heard:
        assert waveform.dtype == np.float32
        assert len(waveform) == 16000
        return self.heard


def test_any_recogniser_can_be_the_second_one():
    stereo = sound(1.0, rate=44100, channels=2)
    second = SecondRecogniser(Echo("ears-2", "kiss the sky", 0.8))
    assert second.suggest(case("kiss this guy"), stereo) == Suggestion("kiss the sky", 0.8, "model:ears-2")
    assert second.suggest(case("Kiss the sky!"), stereo) is None, "the same words are no second opinion"
    assert second.suggest(case("kiss this guy", model_version="ears-2"), stereo) is None, "nor is the same recogniser"
    assert second.suggest(case("kiss this guy"), None) is None
    assert second.suggest(case("kiss this guy"), b"no audio") is None
    unsure = SecondRecogniser(Echo("ears-2", "kiss the sky")).suggest(case("kiss this guy"), stereo)
    assert unsure
    assert 0 < unsure.confidence < 1


def test_pocketsphinx_listens():
    packs = sorted((ROOT / "data/raw/sample").glob("audio-*.parquet"))
    clips = {row["sha256"]: row["bytes"] for pack in packs for row in pq.read_table(pack).to_pylist()}
    lines = (ROOT / "data/raw/sample/events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    proposed = {e["case_id"]: e for e in events if e.get("method") == "model:pocketsphinx-second-pass"}
    failures = {e["case_id"]: e for e in events if e["event"] == "failure"}
    case_id = min(proposed)
    second = correctors.load("second-recogniser")
    audio = clips[failures[case_id]["audio"]["sha256"]]
    found = second.suggest(case(failures[case_id]["original_transcript"]), audio)
    assert found
    assert found.text == proposed[case_id]["corrected_transcript"]
    assert 0 < found.confidence <= 1
    assert second.suggest(case("kiss this guy", language="de"), audio) is None, "its model is English"


@pytest.mark.parametrize("name", ["faster-whisper/tiny", "transformers/some/model"])
def test_what_is_not_installed_is_needed_only_to_listen(name: str):
    if find_spec(name.split("/")[0].replace("-", "_")):
        pytest.skip("it is installed here")
    second = SecondRecogniser(name)
    assert second.method == f"model:{name}"
    with pytest.raises(CorrectorError, match="pip install"):
        second.suggest(case("kiss this guy"), sound())
    with pytest.raises(CorrectorError):
        recogniser("pocketsphinx/huge")


def test_a_consensus_needs_two_others():
    def agreed(**transcripts: str) -> tuple[str, float] | None:
        found = correctors.load("consensus:").suggest(case("kiss this guy", transcripts=transcripts), None)
        return (found.text, round(found.confidence, 2)) if found else None

    assert agreed(b="kiss the sky", c="Kiss the sky.", d="kiss the sky") == ("kiss the sky", 0.75)
    assert agreed(b="kiss the sky", c="kiss the pie", d="kiss the sky!")[1] == 0.5
    assert agreed(b="kiss the sky") is None
    assert agreed(**{"b": "kiss the sky", "asr-1": "kiss the sky"}) is None, "the one that misheard is no witness"
    assert agreed(b="kiss the sky", c="kiss the sky", d="kiss this guy") is None, "as many stand by the transcript"
    assert agreed(b="kiss the sky", c="kiss the sky", d="a pie", e="a pie") is None
    assert agreed(b="", c="") is None
    assert agreed(**{"b": "kiss the sky", "asr-2": "kiss the sky"}) is None, "nor is its next version"
    assert agreed(**{"b-1": "kiss the sky", "b-2": "kiss the sky"}) is None, "two versions have one voice"


def test_a_consensus_listens_only_where_the_records_leave_it_open():
    consensus = correctors.load("consensus:")
    consensus._recognisers = [Echo("ears-2", "kiss the sky")]
    found = consensus.suggest(case("kiss this guy", transcripts={"b": "Kiss the sky"}), sound())
    assert found
    assert found.method == "model:consensus"
    assert consensus.suggest(case("kiss this guy", transcripts={}), b"is not even opened") is None


@pytest.fixture
def repository(tmp_path: Path, monkeypatch) -> Path:
    """A folder with two ingested cases of one sound by two recognisers, and others in the inbox."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").touch()
    with Recorder(tmp_path / "data/inbox") as recorder:
        for model, text in (("asr-1", "KISS THIS GUY"), ("ears-1", "kiss the sky"), ("listener", "Kiss the sky")):
            recorder.failure(sound(), original_transcript=text, model_version=model, case_id=model, language="en")
    ingest.ingest(tmp_path / "data/inbox", tmp_path / "data/raw", track=lambda batch: None)
    with Recorder(tmp_path / "data/inbox") as recorder:
        recorder.failure(None, original_transcript="I AM ALL CAPS", error_types=["all_caps"], case_id="caps")
        recorder.failure(None, original_transcript="AND SO AM I", error_types=["all_caps"], case_id="done")
        recorder.correction("done", "And so am I.")
        recorder.failure(None, original_transcript="THE", case_id="silent", is_speech=False)
        recorder.failure(None, original_transcript="IT IS GONE", case_id="gone", error_types=["all_caps"])
        recorder.withdrawal(reason="asked to", case_id="gone")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recorded(root: Path) -> list[dict[str, Any]]:
    events = [event for part in spool.read(root / "data/inbox") for event in part.events]
    return [event for event in events if event["event"] == "correction" and event["method"] != "manual"]


def test_auto_corrects_what_no_person_has(repository: Path, capsys):
    assert main(["correct", "--auto", "case-restoration", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "I am all caps" in said
    assert "1 of 4 cases that no person has corrected would be corrected" in said
    assert "2 change no word" in said, "validate would reject them as no failures"
    assert recorded(repository) == []
    assert main(["correct", "--auto", "case-restoration"]) == 0
    [event] = recorded(repository)
    assert (event["case_id"], event["corrected_transcript"]) == ("caps", "I am all caps")
    assert event["method"] == "rule:case-restoration"
    assert 0 < event["metadata"]["confidence"] <= 1
    assert main(["correct", "--auto", "case-restoration"]) == 0
    assert len(recorded(repository)) == 1, "nothing is corrected by one method twice"


def test_auto_consensus_uses_what_others_heard_in_the_same_sound(repository: Path, capsys):
    assert main(["correct", "--auto", "consensus:", "--min-confidence", "0.6", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["outcomes"] == {"suggested": 1, "nothing": 3, "unsure": 0, "same_words": 0}
    [event] = recorded(repository)
    assert (event["case_id"], event["corrected_transcript"]) == ("asr-1", "Kiss the sky")
    found, ranked = correcting.read(repository, repository / "data/inbox")
    row = found.set_index("case_id").loc["asr-1"]
    assert row["correction_method"] == "model:consensus"
    with Recorder(repository / "data/inbox") as recorder:
        recorder.correction("asr-1", "kiss the skies")
    found, ranked = correcting.read(repository, repository / "data/inbox")
    assert found.set_index("case_id").loc["asr-1"]["corrected_transcript"] == "kiss the skies"
    assert "asr-1" not in {row["case_id"] for row in correcting.waiting(found, ranked)}


def test_auto_hears_audio_of_batches_and_of_the_inbox(repository: Path, monkeypatch, capsys):
    pytest.importorskip("pocketsphinx")
    packs = sorted((ROOT / "data/raw/sample").glob("audio-*.parquet"))
    clip = pq.read_table(packs[0], columns=["bytes"]).column(0)[3].as_py()
    with Recorder(repository / "data/inbox") as recorder:
        recorder.failure(clip, original_transcript="nonsense", case_id="spoken")
    assert main(["correct", "--auto", "second-recogniser", "--json"]) == 0
    assert "spoken" in {row["case_id"] for row in json.loads(capsys.readouterr().out)["suggestions"]}


def test_a_check_listens_to_what_people_corrected_and_corrects_nothing(repository: Path, capsys):
    pytest.importorskip("pocketsphinx")
    packs = sorted((ROOT / "data/raw/sample").glob("audio-*.parquet"))
    clips = pq.read_table(packs[0], columns=["bytes"]).column(0)
    own = {"model_version": "pocketsphinx-5", "original_transcript": "it misheard this itself"}
    with Recorder(repository / "data/inbox") as recorder:
        recorder.failure(clips[6].as_py(), original_transcript="nonsense", case_id="spoken", model_version="asr-1")
        recorder.failure(clips[4].as_py(), case_id="relative", **own)
        for case_id in ("spoken", "relative"):
            recorder.correction(case_id, "What a person heard.", author="ann")
    before = correcting.read(repository, repository / "data/inbox")
    assert main(["correct", "--auto", "second-recogniser", "--check", "--dry-run"]) == 0
    assert "  ? the the hallway" in capsys.readouterr().out
    assert main(["correct", "--auto", "second-recogniser", "--check"]) == 0
    assert "listened to 1 of 2 cases that people corrected; 1 without audio" in capsys.readouterr().out
    cases, ranked, hearings = correcting.read_all(repository, repository / "data/inbox")
    [heard] = hearings.to_dict("records")
    assert (heard["case_id"], heard["model_version"]) == ("spoken", "pocketsphinx-wide")
    assert heard["transcript"]
    assert len(ranked) == len(before[1])
    assert cases["corrected_transcript"].equals(before[0]["corrected_transcript"])
    assert heard["transcript"] not in [case["transcripts"] for case in correcting.waiting(cases, ranked)]
    assert main(["correct", "--auto", "second-recogniser", "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["heard"] == [], "nothing is listened to twice"


@pytest.mark.parametrize(
    "wrong",
    [["--auto", "consensus"], ["--auto", "loop-removal"], ["--auto", "second-recogniser", "--min-confidence", "0.5"]],
)
def test_a_check_is_for_those_who_listen(repository: Path, wrong: list[str], capsys):
    assert main(["correct", *wrong, "--check"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_auto_is_asked_for_properly(repository: Path, capsys):
    assert main(["correct", "--auto", "list"]) == 0
    assert capsys.readouterr().out.split() == correctors.names()
    for wrong in (["--auto", "x", "--from", "y"], ["case"], [], ["--auto", "loop-removal", "--min-confidence", "7"]):
        assert main(["correct", *wrong]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_what_only_auto_understands_records_nothing_elsewhere(repository: Path, capsys):
    file = repository / "corrections.csv"
    file.write_text("case_id,corrected_transcript\nasr-1,Kiss the sky.\n")
    for wrong in (
        ["asr-1", "Kiss the sky.", "--dry-run"],
        ["--from", str(file), "--dry-run"],
        ["asr-1", "x", "--min-confidence", "0.5"],
        ["--from", str(file), "--no-speech"],
    ):
        assert main(["correct", *wrong]) == 1
        said = capsys.readouterr()
        assert "nothing was recorded" in said.err
        assert said.err.count("\n") == 1
    ranked = correcting.read(repository, repository / "data/inbox")[1]
    assert "asr-1" not in set(ranked["case_id"])


def test_that_nobody_speaks_is_said_in_words(repository: Path, capsys):
    assert main(["correct", "asr-1", ""]) == 1
    assert "--no-speech says so; nothing was recorded" in capsys.readouterr().err
    assert main(["correct", "asr-1", "--no-speech"]) == 0
    ranked = correcting.read(repository, repository / "data/inbox")[1].set_index("case_id")
    assert ranked.loc["asr-1", "corrected_transcript"] == ""


def test_which_methods_may_train():
    import pandas as pd

    methods = pd.Series(["manual", "user_feedback", "rule:x", "model:a/b", "model:c"])
    assert may_train(methods, "manual, model:a*").tolist() == [True, False, False, True, False]
    assert may_train(methods, "*").all()
    with pytest.raises(ParamsError, match="train_methods names 'human'"):
        may_train(methods, "human")


def test_corrections_of_a_file(repository: Path, capsys):
    file = repository / "corrections.csv"
    file.write_text(
        "case_id,corrected_transcript,method,is_speech\n"
        "asr-1,Kiss the sky.,,\nlater,Not here yet.,user_feedback,\ncaps,,,no\ncaps,,,\n,nobody,,\nasr-2,x,guess,\n"
    )
    assert main(["correct", "--from", str(file), "--author", "ann"]) == 1
    said = capsys.readouterr()
    assert "read 3 corrections" in said.out
    assert "no case later is recorded here: kept" in said.err
    assert "line 5: corrected_transcript" in said.err
    assert "line 6: case_id" in said.err
    assert "line 7: method='guess'" in said.err
    found, ranked = correcting.read(repository, repository / "data/inbox")
    by_id = found.set_index("case_id")
    assert by_id.loc["asr-1", "corrected_transcript"] == "Kiss the sky."
    assert by_id.loc["asr-1", "correction_author"] == "ann"
    assert not by_id.loc["caps", "is_speech"]
    assert set(ranked.loc[~ranked["known_case"], "case_id"]) == {"later"}
    ingest.ingest(repository / "data/inbox", repository / "data/raw", track=lambda batch: None)
    lines = [{"case_id": "asr-1", "corrected_transcript": "Kiss the sky.", "author": "ann"}]
    file = repository / "again.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert main(["correct", "--from", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"corrections": 1, "unknown": [], "rejected": 0}
    again = ingest.ingest(repository / "data/inbox", repository / "data/raw", track=lambda batch: None)
    assert again.known == 1, "the same correction is the same event"


@pytest.mark.parametrize("content", ["", "case_id,corrected_transcript\n"])
def test_a_file_without_corrections_is_an_error(repository: Path, content: str, capsys):
    file = repository / "corrections.csv"
    file.write_text(content)
    assert main(["correct", "--from", str(file)]) == 1
    assert "corrections.csv has no rows" in capsys.readouterr().err


def test_a_consensus_needs_no_ingest(repository: Path, capsys):
    with Recorder(repository / "data/inbox") as recorder:
        for model, text in (("kaldi-1", "look a table"), ("vosk-2", "book a table"), ("whisper", "Book a table.")):
            recorder.failure(sound(seed=7), original_transcript=text, model_version=model, case_id=model)
    assert main(["correct", "--auto", "consensus:", "--json"]) == 0
    found = {row["case_id"]: row["text"] for row in json.loads(capsys.readouterr().out)["suggestions"]}
    assert found["kaldi-1"] in ("book a table", "Book a table.")


def test_a_single_unknown_case_is_kept_and_said(repository: Path, capsys):
    assert main(["correct", "asr-9", "kiss the sky"]) == 0
    assert "no case asr-9 is recorded here: kept" in capsys.readouterr().err
    assert main(["correct", "asr-1", "kiss", "the", "sky"]) == 0
    assert main(["correct", "caps", "I am"]) == 0
    found = correcting.read(repository, repository / "data/inbox")[0].set_index("case_id")["corrected_transcript"]
    assert found["asr-1"] == "kiss the sky"
    assert capsys.readouterr().err == ""


def test_silence_is_heard_as_silence():
    quiet = io.BytesIO()
    soundfile.write(quiet, np.zeros(16000, np.int16), 16000, format="WAV")
    assert correctors.load("second-recogniser").suggest(case("the"), quiet.getvalue()) is None


def tiny_model(folder: Path) -> Path:
    """Make a wav2vec2 of a few thousand random weights with its processor, as `transformers` itself saves them."""
    import torch
    import transformers

    torch.manual_seed(0)
    folder.mkdir()
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"etaoinshr"]
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "conv_dim": (16,) * 7}
    sizes |= {"num_hidden_layers": 1, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    config = transformers.Wav2Vec2Config(vocab_size=len(letters), pad_token_id=0, **sizes)
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2Processor(
        feature_extractor=transformers.Wav2Vec2FeatureExtractor(),
        tokenizer=transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")),
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("seconds", [0.02, 1.0, 40.0])
def test_a_transformers_model_in_a_folder_listens(tmp_path: Path, seconds: float):
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason="not in the lock: 200 MB that only this adapter needs")
    by = correctors.load(f"second-recogniser:transformers/{tiny_model(tmp_path / 'tiny')}")
    noise = np.random.default_rng(0).normal(0, 3000, (int(8000 * seconds), 2)).astype(np.int16)
    clip = io.BytesIO()
    soundfile.write(clip, noise, 8000, format="WAV")
    heard = by.hear(case("the"), clip.getvalue())
    assert heard is not None
    assert heard.confidence is None
    assert by.method == "model:transformers/tiny", "where a folder lies is nobody's business"


def test_weights_that_are_not_here_are_said_in_one_line(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for kind in ("transformers", "faster-whisper"):
        by = correctors.load(f"second-recogniser:{kind}/{tmp_path / 'empty'}")
        with pytest.raises(CorrectorError, match=r"pip install|cannot be loaded") as raised:
            by.hear(case("the"), sound())
        assert "\n" not in str(raised.value)
