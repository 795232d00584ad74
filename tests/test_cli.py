"""The shell: help with an example for every command, one-line errors, exit status."""

import json
from pathlib import Path

import pytest

from conftest import sound
from mondegreen import spool
from mondegreen.cli import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example:\n  mondegreen {command}" in capsys.readouterr().out


def test_record_and_correct_print_what_was_recorded(tmp_path: Path, capsys):
    clip = tmp_path / "call.wav"
    clip.write_bytes(sound())
    inbox = str(tmp_path / "inbox")
    assert main(["record", str(clip), "--original", "kiss this guy", "--json", "--spool", inbox]) == 0
    case_id = json.loads(capsys.readouterr().out)["case_id"]
    assert main(["correct", case_id, "kiss the sky", "--author", "ann", "--spool", inbox]) == 0
    failure, correction = (event for part in spool.read(Path(inbox)) for event in part.events)
    assert failure["audio"]["bytes"] == len(sound())
    assert correction["case_id"] == failure["case_id"] == case_id


def test_silence_is_recorded_as_such(tmp_path: Path):
    assert main(["record", "--original", "the", "--corrected", "", "--no-speech", "--spool", str(tmp_path)]) == 0
    assert [event["is_speech"] for part in spool.read(tmp_path) for event in part.events] == [False, False]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["record", "gone.wav", "--original", "x"], "gone.wav is not a file"),
        (["record", "--original", "x", "--error-score", "7.5"], "error_score=7.5: expected a number from 0 to 1"),
        (["correct", "c", "x", "--method", "guess"], "method='guess'"),
        (["ingest"], "not inside a Mondegreen repository"),
        (["status"], "not inside a Mondegreen repository"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(arguments: list[str], says: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("mondegreen: ")
    assert says in said
    assert said.count("\n") == 1


def test_what_comes_from_outside_cannot_steer_the_terminal(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["record", "\x1b]0;owned\x07.wav", "--original", "x"]) == 1
    assert "\x1b" not in capsys.readouterr().err
