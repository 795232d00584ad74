"""A small repository with voices in it: two releases of real batches, a fast pipeline, all pushed.

`v1.0.0` has the batch of `leaver` and `stayer`; `v1.1.0` another one of `stayer`. The ledger holds a train row of the
first case of each.
"""

import sys
from pathlib import Path

from conftest import sound
from history import git, start
from mondegreen import Recorder, ingest, repository

STAGE = """
stages:
  export:
    cmd: {python} stages/make.py
    deps: [params.yaml, data/raw]
    outs: [data/dataset, data/splits.parquet]
    metrics:
      - data/metrics/dataset.json:
          cache: false
"""
MAKE = """
import json
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
lines = [line for file in sorted(Path("data/raw").glob("*/events.jsonl")) for line in file.read_text().splitlines()]
cases = [event for event in map(json.loads, lines) if event["event"] == "failure"]
if "shut" in Path("params.yaml").read_text():
    raise SystemExit("the gate is shut")
Path("data/dataset").mkdir(parents=True)
Path("data/dataset/train").write_text(Path("params.yaml").read_text() + "".join(str(case) + chr(10) for case in cases))
Path("data/metrics").mkdir(exist_ok=True)
Path("data/metrics/dataset.json").write_text("{}")
splits = {"case_id": [case["case_id"] for case in cases], "split": ["train"] * len(cases)}
pq.write_table(pa.table(splits), "data/splits.parquet")
"""
HEARD = "nobody else says rabiznaz"
CLIP = sound(0.2, seed=7)
CASE, OTHER = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
"""The first and the second case of `leaver`; the first is in the ledger."""


def build(folder: Path) -> None:
    """Make `folder/repo`, its remote `folder/remote`, and `folder/uploads`, where its inbox was uploaded to."""
    root = folder / "repo"
    (root / "stages").mkdir(parents=True)
    start(root)
    (root / "dvc.yaml").write_text(STAGE.format(python=sys.executable))
    (root / "stages/make.py").write_text(MAKE)
    (root / ".gitignore").write_text(
        "/data/.raw.lock\n/data/**/.*.new\n/data/raw/?*\n!/data/raw/?*.dvc\n!/data/raw/sample/\n/data/inbox\n/data/exports\n"
    )
    rows = f"{CASE},train,v1.0.0\n"
    for version in ("v1.0.0", "v1.1.0"):
        with Recorder(root / "data/inbox") as recorder:
            if version == "v1.0.0":
                record(recorder, folder, CASE, "leaver", HEARD, CLIP)
                record(recorder, folder, OTHER, "leaver", "something else", sound(0.2, seed=8))
            record(recorder, folder, None, "stayer", f"kiss the sky {version}", sound(0.2, seed=len(version) + 90))
        ingest.ingest(root / "data/inbox", root / "data/raw", track=repository.track)
        (root / "params.yaml").write_text(f"version: {version}\n")
        (root / "data/ledger.csv").write_text("case_id,split,release\n" + rows)
        repository.dvc(["repro", "-q"], root)
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", version)
        git(root, "tag", "-a", "-m", version, f"dataset@{version}")
        repository.dvc(["push", "-q"], root)


def record(recorder: Recorder, folder: Path, case_id: str | None, speaker: str, heard: str, clip: bytes) -> None:
    path = folder / "clip.wav"
    path.write_bytes(clip)
    recorder.failure(path, original_transcript=heard, speaker_id=speaker, case_id=case_id)
    path.unlink()
