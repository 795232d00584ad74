"""What a person sees in a terminal: progress, and nothing that a text from outside makes it do."""

import io

import pytest

from mondegreen import terminal
from mondegreen.terminal import QUIET, be_quiet, counted, plain, progress


def test_without_a_terminal_a_line_now_and_then(capsys, monkeypatch: pytest.MonkeyPatch):
    with progress(5_000_000, "B", "packing", scale=True) as advance:
        advance(1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(terminal, "EVERY", 0.0)
    with progress(5_000_000, "B", "packing \x1b[2J", scale=True) as advance:
        advance(1_500_000)
    said = capsys.readouterr().err
    assert said.startswith("packing \ufffd[2J: 1.5 M of 5.0 M B, ")
    assert said.endswith(" s left\n")
    with progress(0, " cases", "importing") as advance:
        advance(20_000)
    assert capsys.readouterr().err.startswith("importing: 20,000 cases, ")


def test_quiet_is_silent(capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(terminal, "EVERY", 0.0)
    be_quiet(True)
    try:
        with progress(2, " cases", "importing") as advance:
            advance(1)
    finally:
        be_quiet(False)
    monkeypatch.setenv(QUIET, "1")
    with progress(2, " cases", "exporting") as advance:
        advance(1)
    assert capsys.readouterr().err == ""


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch):
    screen = Screen()
    with monkeypatch.context() as patched:
        patched.setattr("sys.stderr", screen)
        with progress(2, " cases", "importing") as advance:
            advance(1)
    assert "importing" in screen.getvalue()
    assert "0/2" in screen.getvalue()


def test_plain_keeps_words_alone():
    assert plain("a\x1b[31m\nb\u202ec") == "a\ufffd[31m b\ufffdc"


def test_one_is_not_many():
    assert [counted(number, "case") for number in (0, 1, 2000)] == ["0 cases", "1 case", "2,000 cases"]
    assert counted(2, "batch", "batches") == "2 batches"
