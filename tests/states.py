"""A small repository whose pipeline copies the tables that a test gives: states to compare are made in seconds."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from conftest import ROOT, case_row
from history import start
from mondegreen import changes, repository, snapshot, tables
from mondegreen.changes import Changes
from mondegreen.schemas import CASES, FAILURE, LEFT_OUT, REJECTED, SPLITS

PIPELINE = """
stages:
  split:
    cmd: >-
      cp made/*.parquet data/ && mkdir -p data/metrics &&
      echo "{\\"frozen\\": $(wc -l < data/ledger.csv)}" > data/metrics/frozen.json
    deps: [made, data/ledger.csv]
    outs:
    - data/cases.parquet
    - data/left_out.parquet
    - data/rejected.parquet
    - data/splits.parquet
    - data/valid.parquet
    metrics:
    - data/metrics/frozen.json: {cache: false}
  export:
    cmd: mkdir -p data/dataset && cp made/README.md data/splits.parquet data/dataset/
    deps: [made/README.md, data/splits.parquet]
    outs: [data/dataset]
artifacts:
  dataset: {path: data/dataset, type: dataset}
"""
CARD = "---\ndataset_info:\n  features:\n  - name: text\n    dtype: {kind}\n---\n\n# mondegreen\n"
GATE = {"completeness": 0.95, "consistency": 0.9, "uniqueness": 1.0, "validity": 0.95}


class States:
    """A repository whose pipeline copies the tables that a test gives, with a remote of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "data/raw/sample").mkdir(parents=True)
        start(root)
        self.write("dvc.yaml", PIPELINE)
        self.write(".gitignore", "/data/.raw.lock\n/data/raw/?*\n!/data/raw/?*.dvc\n!/data/raw/sample/\n")
        self.write(".gitattributes", "/data/ledger.csv merge=union\n")
        self.write("data/ledger.csv", "case_id,split,release\n")
        self.write("data/raw/sample/events.jsonl", "{}\n")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, path: str, content: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(content)

    def batch(self, name: str, content: str = "") -> None:
        self.write(f"data/raw/{name}/events.jsonl", content or f'{{"batch": "{name}"}}\n')
        repository.dvc(["add", "-q", f"data/raw/{name}"], self.root)

    def tables(self, rows: list[dict[str, Any]], *, kind: str = "string") -> None:
        """Write what the pipeline copies; a row's `place` is its split, or why it is in none."""
        made = self.root / "made"
        made.mkdir(exist_ok=True)
        frame = pd.DataFrame(rows)
        split = frame["place"].isin(["train", "validation", "test"])
        splits = frame[split].assign(split=frame["place"], component="c", primary_error_type=frame["type"])
        splits = splits.assign(origin=FAILURE)
        out = frame["place"] == "left out"
        _write(_cases(frame), made / "cases.parquet", CASES)
        _write(_cases(splits), made / "splits.parquet", SPLITS)
        _write(_cases(frame[split | (frame["place"] == "left out")]), made / "valid.parquet", CASES)
        _write(frame[out].assign(reason="balanced_out"), made / "left_out.parquet", LEFT_OUT)
        rejected = _cases(frame[frame["place"] == "rejected"])
        rejected = rejected.assign(
            reasons=pd.Series([["too_short", "no_words"]] * len(rejected), rejected.index, dtype=object)
        )
        _write(rejected, made / "rejected.parquet", REJECTED)
        (made / "README.md").write_text(CARD.format(kind=kind))

    def metrics(
        self, validity: float = 1.0, *, passed: bool = True, gate: dict[str, float] = GATE, seed: int = 1
    ) -> None:
        measures = dict.fromkeys(("completeness", "consistency", "uniqueness"), 1.0) | {"validity": validity}
        measures["overall_score"] = round(sum(measures.values()) / 4, 6)
        self.write("data/metrics/quality.json", json.dumps({"passed": passed, "quality_metrics": measures}))
        report = hashlib.sha256((self.root / "data/metrics/quality.json").read_bytes()).hexdigest()
        self.write("data/metrics/gate.json", json.dumps({"passed": passed, "report_sha256": report}))
        audit = {"passed": True, "wer": {"test": validity / 2}, "rows": self.sizes()}
        self.write("data/metrics/dataset.json", json.dumps(audit))
        self.write("params.yaml", f"gate: {json.dumps(gate)}\nsplit: {{seed: {seed}}}\n")

    def sizes(self) -> dict[str, int]:
        made = self.root / "made/splits.parquet"
        return pd.read_parquet(made, columns=["split"])["split"].value_counts().to_dict() if made.exists() else {}

    def clone(self, path: Path) -> "States":
        """Return a clone, by another person."""
        subprocess.run(["git", "clone", "-q", self.git("remote", "get-url", "origin"), path], check=True)
        made = States.__new__(States)
        made.root = path
        made.git("config", "user.email", "bob@localhost")
        made.git("config", "user.name", "bob")
        made.dvc("pull", "-q")
        return made

    def commit(self, message: str) -> None:
        repository.dvc(["repro", "-q"], self.root)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def dvc(self, *arguments: str) -> None:
        repository.dvc(arguments, self.root)

    def run(self, *command: str, status: int = 0) -> str:
        """Return what a command printed; `mondegreen` is this checkout's."""
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, env=self.env(), check=False)
        assert done.returncode == status, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def env(self) -> dict[str, str]:
        path = f"{self._shim()}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "stages")}

    def mondegreen(self, *arguments: str, status: int = 0) -> str:
        return self.run(sys.executable, "-m", "mondegreen.cli", *arguments, status=status)

    def _shim(self) -> Path:
        folder = self.root.parent / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "mondegreen").write_text(f'#!/bin/sh\nexec {sys.executable} -m mondegreen.cli "$@"\n')
        (folder / "mondegreen").chmod(0o755)
        return folder

    def compare(self, before: str, after: str | None = None) -> Changes:
        return changes.compare(snapshot.at(self.root, before), snapshot.at(self.root, after))


def _write(frame: pd.DataFrame, path: Path, table: tables.Table) -> None:
    """Write a table; columns that no test speaks of are null."""
    tables.write(frame.assign(**dict.fromkeys(name for name in table.arrow.names if name not in frame)), path, table)


def _cases(frame: pd.DataFrame) -> pd.DataFrame:
    kinds = {"is_speech": "boolean", "sample_rate": "Int32", "frames": "Int64", "channels": "Int16"}
    return frame.astype(kinds | dict.fromkeys(("start", "end"), "float64"))


def rows(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return ten cases: 0-5 train, 6-7 validation, 8-9 test; `changed` sets fields by `c<number>`."""
    places = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    return [
        case_row(number, **{key: value for key, value in more.items() if key not in ("place", "type")})
        | {"type": "substitution", "place": place}
        | {key: value for key, value in more.items() if key in ("place", "type")}
        for number, place in enumerate(places)
        for more in [changed.get(f"c{number}", {})]
    ]
