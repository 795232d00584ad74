"""The benchmark runs: every row comes out, with figures that can be true. How fast anything is, is not tested here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT


def rows(*names: str) -> dict[str, dict]:
    """Return the rows of a quick run, by name; it leaves nothing behind."""
    command = [sys.executable, str(ROOT / "tests/bench/bench.py"), "--quick", "--json", "--only", *names]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    assert " cores, " in done.stderr
    [folder] = re.findall(r" in (/.*/bench-\w+)$", done.stderr, re.M)
    assert not Path(folder).exists()
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert all(0 <= row["ours"] < 1e6 for row in found.values())
    for row in found.values():
        assert row["floor"] is None or (row["floor"] > 0 and row["ratio"] == row["ours"] / row["floor"])
        assert bool(row["target"]) == (row["met"] is not None)
    return found


def test_the_rows_of_the_recorder():
    found = rows("record", "record-audio", "processes", "imports")
    assert [row["unit"] for row in found.values()] == ["ms"] * 6 + ["1/s"] + ["ms"] * 2
    assert sum(bool(row["target"]) for row in found.values()) == 6


def test_the_rows_of_the_upload():
    found = rows("upload")
    assert len(found) == 6
    assert sum(bool(row["target"]) for row in found.values()) == 4


@pytest.mark.dvc
def test_the_rows_of_the_pipeline():
    found = rows("cases", "nothing", "versions", "audio", "augment")
    assert {"  collect", "  validate", "  gate", "  split", "  export", "  audit"} <= found.keys()
    assert sum(bool(row["target"]) for row in found.values()) == 11


@pytest.mark.dvc
def test_the_rows_of_the_cloud():
    found = rows("push")
    assert [row["target"] for row in found.values()] == ["<= 1.3x", "<= 1.5x"]
