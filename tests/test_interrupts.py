"""Ctrl-C in the middle of long work: one line, status 130, no traceback, no process left; the next run completes.

As a terminal does it, the signal goes to all processes of the command, when it opens or renames a certain file,
starts a process or decodes a clip.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clone import Clone
from conftest import sound
from mondegreen import Recorder

pytestmark = pytest.mark.dvc

INTERRUPTED = """
import os, re, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
pattern = re.compile(sys.argv.pop(1))
def audit(event, args):
    if event in EVENTS and pattern.search(f"{event} {args}") and not done:
        done.append(True)
        os.killpg(0, signal.SIGINT)
EVENTS, done = ("open", "os.rename", "subprocess.Popen"), []
sys.addaudithook(audit)
"""
COMMAND = """
from mondegreen.cli import main
sys.exit(main())
"""
INGEST = (
    """
from mondegreen import sealing
sealing.PACK_BYTES = sealing.GROUP_BYTES = 100_000
"""
    + COMMAND
)
STAGE = """
import runpy
from mondegreen import audio
real = audio.decode
audio.decode = lambda data: (sys.audit("open", "a clip"), real(data))[1]
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.fixture(scope="module")
def clone(built: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    yield built.copy(tmp_path_factory.mktemp("interrupted") / "clone")


def interrupt(clone: Clone, code: str, pattern: str, *arguments: str) -> str:
    """Run `code`, send SIGINT to it and all it started when a call of it matches, and return what it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED + code, pattern, *arguments],
        cwd=clone.path,
        env=clone.env | {"PYTHONPATH": str(clone.path / "stages")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = process.communicate(timeout=300)[0]  # ends with the last process that may still say something
    assert process.returncode == 130, said
    assert "Traceback" not in said
    return said


STOPPED = "mondegreen: stopped; nothing is lost, run the same command again to go on\n"


def test_stages(clone: Clone):
    """Each is stopped while it works; then `dvc repro` makes what there was."""
    dataset = clone.dataset_hash()
    for stage, pattern in (
        ("audit", r"a clip"),
        ("export", r"rename"),
        ("augment", r"a clip"),
        ("collect", r"rename.*cases\.parquet"),
    ):
        assert interrupt(clone, STAGE, pattern, f"stages/{stage}.py") == "", stage
    clone.run("dvc", "repro", "--quiet")
    assert clone.dataset_hash() == dataset


def test_push_and_pull(clone: Clone, tmp_path: Path):
    clone.run("dvc", "remote", "add", "--local", "--default", "there", str(tmp_path / "there"))
    assert interrupt(clone, COMMAND, r"there/files/md5/.*", "push", "--quiet") == STOPPED
    clone.mondegreen("push")
    shutil.rmtree(clone.path / ".dvc/cache")
    shutil.rmtree(clone.path / "data/dataset")
    assert interrupt(clone, COMMAND, r"\.dvc/cache/files/md5/.*", "pull", "--quiet") == STOPPED
    clone.mondegreen("pull")
    clone.mondegreen("verify", "--remote")


def test_ingest(clone: Clone):
    with Recorder(clone.path / "data/inbox") as recorder:
        for number in range(8):
            recorder.failure(sound(2, seed=number), original_transcript="heard")
    for pattern in (r"open.*partial/audio-00000", r"rename.*partial", r"Popen.*'add'"):
        assert interrupt(clone, INGEST, pattern, "ingest", "--quiet") == STOPPED
    assert "8 events" in clone.mondegreen("ingest")
    assert "nothing new" in clone.mondegreen("ingest")
