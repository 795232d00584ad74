"""The README runs, as it stands there."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from clone import Clone
from conftest import sound

pytestmark = pytest.mark.dvc


@pytest.fixture
def clone(built: Clone, tmp_path: Path) -> Clone:
    return built.copy(tmp_path / "clone")


PREDICTIONS = """
import json, pandas
rows = pandas.read_parquet("data/splits.parquet").query("split == 'test'")
for name, column in (("before", "original_transcript"), ("predictions", "corrected_transcript")):
    with open(f"{name}.jsonl", "w") as file:
        for case_id, text in zip(rows["case_id"], rows[column]):
            print(json.dumps({"case_id": case_id, "hypothesis": text}), file=file)
"""


def test_the_readme_runs(clone: Clone, tmp_path: Path):
    """Every command and every Python block of the README, in order, as it stands there."""
    clone.run("dvc", "config", "--local", "remote.local.url", str(tmp_path / "remote"))
    script = tmp_path / "bin/mondegreen"
    script.parent.mkdir()
    code = "import sys; sys.path.insert(0, 'stages'); from mondegreen.cli import main; sys.exit(main())"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    script.chmod(0o755)
    path = f"PATH={script.parent}:$PATH"
    for seed, name in enumerate(("audio/sample.wav", "clips/a.wav", "clips/b.wav", "call.wav"), 900):
        (clone.path / name).parent.mkdir(exist_ok=True)
        (clone.path / name).write_bytes(sound(seed=seed))
    (clone.path / "failures.csv").write_text(
        "audio,hypothesis,reference\na.wav,kiss this guy,kiss the sky\nb.wav,,there's a bathroom on the right\n"
    )
    hub = tmp_path / "hub.git"
    clone.git("clone", "-q", "--bare", ".", str(hub))
    clone.git("remote", "add", "origin", str(hub))
    clone.git("push", "-q", "-u", "origin", "main")
    (clone.path / "readings").mkdir()
    (clone.path / "readings/a.wav").write_bytes(sound(seed=77))
    (clone.path / "readings/metadata.csv").write_text("file_name,transcription\na.wav,kiss the sky\n")
    for block in clone.readme("python"):
        clone.run(sys.executable, "-c", f"import sys; sys.path.insert(0, 'stages')\n{block}")
    lines = [line for block in clone.readme("") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith(("mondegreen ", "dvc ", "git "))]
    assert len(commands) >= 9
    for command in commands:
        if command.startswith("mondegreen evaluate"):
            clone.run(sys.executable, "-c", PREDICTIONS)
        if command.startswith("mondegreen review"):
            _visit(clone, f"{path}; exec {command}")
        elif not command.startswith("git clone"):
            clone.run("bash", "-c", f"set -e; {path}; {command}")
    assert clone.metrics("collect")["batches"] >= 2
    assert {"Two hundred corrections from May", "Corrections of May"} <= set(
        clone.git("log", "--format=%s").splitlines()
    )
    assert "refs/tags/dataset@v1.0.0" in clone.git("ls-remote", "--tags", "origin")


def _visit(clone: Clone, command: str) -> None:
    """Start the review page, look at it, and end it (not by SIGINT: a suite in the background ignores that)."""
    running = subprocess.Popen(
        ["bash", "-c", command], cwd=clone.path, env=clone.env, stdout=subprocess.PIPE, text=True
    )
    with running:
        try:
            assert "cases wait" in running.stdout.readline()
            with urllib.request.urlopen(running.stdout.readline().strip()) as page:
                assert b"What was really said" in page.read()
        finally:
            running.send_signal(signal.SIGTERM)
            running.communicate(timeout=60)  # its last words: with the pipe closed before them, it would fail
    assert running.returncode == 0
