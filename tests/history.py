"""A small repository with a history: two releases, a batch and a ledger line apart; real Git and DVC, all pushed."""

import subprocess
import sys
from pathlib import Path

from mondegreen import repository

STAGE = """
stages:
  export:
    cmd: {python} stages/make.py
    deps: [params.yaml]
    outs: [data/dataset, data/splits.parquet]
    metrics:
      - data/metrics/dataset.json:
          cache: false
"""
MAKE = """
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
params = Path("params.yaml").read_text()
Path("data/dataset").mkdir(parents=True)
Path("data/dataset/train").write_text("train of " + params)
Path("data/dataset/README.md").write_text("---\\n---\\nthe same in all versions")
Path("data/metrics").mkdir(exist_ok=True)
Path("data/metrics/dataset.json").write_text("{}")
splits = {"case_id": ["a", "b"], "split": ["train", "test" if "v1.1.0" in params else "train"]}
pq.write_table(pa.table(splits), "data/splits.parquet")
"""
CONFIG = """
[core]
    remote = local
    analytics = false
    check_update = false
['remote "local"']
    url = {remote}
"""
LEDGER = "case_id,split,release\n"


def git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def start(root: Path, remote: str = "../../remote") -> None:
    """Make a repository of Git and DVC in `root`, by what `dvc init` and `dvc remote add` write: a second sooner."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / ".dvc/config").write_text(CONFIG.format(remote=remote))
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "test")
    git(root, "config", "user.email", "test@localhost")
    git(root, "add", ".dvc")


def build(folder: Path) -> None:
    """Make `folder/repo` and its remote `folder/remote`; v1.1.0 has the batch `second` and has frozen the case b."""
    root = folder / "repo"
    (root / "stages").mkdir(parents=True)
    start(root)
    (root / "dvc.yaml").write_text(STAGE.format(python=sys.executable))
    (root / "stages/make.py").write_text(MAKE)
    (root / ".gitignore").write_text("/data/.raw.lock\n/data/raw/?*\n!/data/raw/?*.dvc\n!/data/raw/sample/\n")
    _batch(root, "sample")
    for version, batch, frozen in (("v1.0.0", "first", ""), ("v1.1.0", "second", "b,test,v1.1.0\n")):
        _batch(root, batch)
        repository.dvc(["add", "-q", f"data/raw/{batch}"], root)
        (root / "params.yaml").write_text(f"version: {version}\n")
        (root / "data/ledger.csv").write_text(LEDGER + frozen)
        repository.dvc(["repro", "-q"], root)
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", version)
        git(root, "tag", "-a", "-m", version, f"dataset@{version}")
        repository.dvc(["push", "-q"], root)


def _batch(root: Path, name: str) -> None:
    (root / "data/raw" / name).mkdir(parents=True)
    (root / "data/raw" / name / "events.jsonl").write_text(f"{name}\n")
