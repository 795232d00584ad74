"""Comparing versions: by case, split and error type, with parameters, metrics, batches and ledger; any two states."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import case_row
from mondegreen import changes, judgement, repository, snapshot, tables
from mondegreen.changes import Changes
from mondegreen.schemas import CASES, LEFT_OUT, REJECTED, SPLITS

pytestmark = [pytest.mark.dvc, pytest.mark.xdist_group("dvc-compare")]

PIPELINE = """
stages:
  build:
    cmd: mkdir -p data/dataset && cp made/*.parquet data/ && cp made/README.md data/dataset/
    deps: [made]
    outs: [data/cases.parquet, data/rejected.parquet, data/left_out.parquet, data/splits.parquet, data/dataset]
"""
CARD = "---\ndataset_info:\n  features:\n  - name: text\n    dtype: {kind}\n---\n\n# mondegreen\n"
GATE = {"completeness": 0.95, "consistency": 0.9, "uniqueness": 1.0, "validity": 0.95}


class Repo:
    """A repository whose pipeline copies the tables that a test gives, with a remote of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "data/raw/sample").mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "test@localhost")
        self.git("config", "user.name", "test")
        repository.dvc(["init", "-q"], root)
        repository.dvc(["remote", "add", "-q", "-d", "local", str(root.parent / "remote")], root)
        self.write("dvc.yaml", PIPELINE)
        self.write(".gitignore", "/made\n/data/raw/?*\n!/data/raw/?*.dvc\n!/data/raw/sample/\n")
        self.write("data/ledger.csv", "case_id,split,release\n")
        self.write("data/raw/sample/events.jsonl", "{}\n")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, path: str, content: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(content)

    def batch(self, name: str, content: str = "{}\n") -> None:
        self.write(f"data/raw/{name}/events.jsonl", content)
        repository.dvc(["add", "-q", f"data/raw/{name}"], self.root)

    def tables(self, rows: list[dict[str, Any]], *, kind: str = "string") -> None:
        """Write what the pipeline copies; a row's `place` is its split, or why it is in none."""
        made = self.root / "made"
        made.mkdir(exist_ok=True)
        frame = pd.DataFrame(rows)
        split = frame["place"].isin(["train", "validation", "test"])
        splits = frame[split].assign(split=frame["place"], component="c", primary_error_type=frame["type"])
        out = frame["place"] == "left out"
        tables.write(_cases(frame), made / "cases.parquet", CASES)
        tables.write(_cases(splits), made / "splits.parquet", SPLITS)
        tables.write(frame[out].assign(reason="balanced_out"), made / "left_out.parquet", LEFT_OUT)
        rejected = _cases(frame[frame["place"] == "rejected"])
        rejected = rejected.assign(reasons=[["too_short", "no_words"]] * len(rejected))
        tables.write(rejected, made / "rejected.parquet", REJECTED)
        (made / "README.md").write_text(CARD.format(kind=kind))

    def metrics(
        self, *, validity: float = 1.0, passed: bool = True, gate: dict[str, float] = GATE, seed: int = 1
    ) -> None:
        measures = dict.fromkeys(("completeness", "consistency", "uniqueness"), 1.0) | {"validity": validity}
        self.write("data/metrics/quality.json", json.dumps({"passed": passed, "quality_metrics": measures}))
        report = hashlib.sha256((self.root / "data/metrics/quality.json").read_bytes()).hexdigest()
        self.write("data/metrics/gate.json", json.dumps({"passed": passed, "report_sha256": report}))
        self.write("data/metrics/dataset.json", json.dumps({"passed": True, "wer": {"test": validity / 2}}))
        self.write("params.yaml", f"gate: {json.dumps(gate)}\nsplit: {{seed: {seed}}}\n")

    def commit(self, message: str) -> None:
        repository.dvc(["repro", "-q"], self.root)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def compare(self, before: str, after: str | None = None) -> Changes:
        return changes.compare(snapshot.at(self.root, before), snapshot.at(self.root, after))


def _cases(frame: pd.DataFrame) -> pd.DataFrame:
    kinds = {"is_speech": "boolean", "sample_rate": "Int32", "frames": "Int64", "channels": "Int16"}
    return frame.astype(kinds | dict.fromkeys(("start", "end"), "float64"))


def _rows(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return ten cases: 0-5 train, 6-7 validation, 8-9 test; `changed` sets fields by `c<number>`."""
    places = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    return [
        case_row(number, **{key: value for key, value in more.items() if key not in ("place", "type")})
        | {"type": "substitution", "place": place}
        | {key: value for key, value in more.items() if key in ("place", "type")}
        for number, place in enumerate(places)
        for more in [changed.get(f"c{number}", {})]
    ]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """The release v1.0.0, and the branch `more` with a change of every kind."""
    made = Repo(tmp_path_factory.mktemp("compare") / "clone")
    made.batch("b1")
    made.batch("b2")
    made.tables(_rows(c5={"place": "rejected"}))
    made.metrics()
    made.write("data/ledger.csv", "case_id,split,release\ncase-00008,test,v1.0.0\ncase-00009,test,v1.0.0\n")
    made.commit("start")
    made.git("tag", "-a", "-m", "start", "dataset@v1.0.0")
    made.git("checkout", "-q", "-b", "more")
    made.batch("b3")
    made.tables(
        _rows(
            c0={"corrected_transcript": "kiss the sea 0"},
            c1={"place": "rejected"},
            c2={"place": "left out"},
            c3={"withdrawn": True, "place": "none"},
            c6={"place": "test", "type": "empty"},
            c8={"corrected_transcript": "another text"},
            c9={"corrected_transcript": None, "place": "none"},
        ),
        kind="large_string",
    )
    made.metrics(validity=0.97, gate=GATE | {"validity": 0.9}, seed=2)
    made.commit("more")
    return made


def test_every_case_that_changed_is_told_with_what_became_of_it(repo: Repo):
    found = repo.compare("v1.0.0", "more").to_dict()
    [added] = found["added"]
    assert (added["case_id"], added["split"], added["was"]) == ("case-00005", "train", "rejected")
    assert added["reasons"] == ["too_short", "no_words"]
    assert [(row["case_id"][-1], row["now"], row["reasons"], row["frozen"]) for row in found["removed"]] == [
        ("1", "rejected", ["too_short", "no_words"], None),
        ("2", "left out", ["balanced_out"], None),
        ("3", "withdrawn", [], None),
        ("9", "uncorrected", [], "v1.0.0"),
    ]
    assert [(row["case_id"][-1], row["before"], row["after"], row["frozen"]) for row in found["corrected"]] == [
        ("0", "kiss the sky 0", "kiss the sea 0", None),
        ("8", "kiss the sky 8", "another text", "v1.0.0"),
    ]
    assert [(row["case_id"][-1], row["before"], row["after"]) for row in found["moved"]] == [
        ("6", "validation", "test")
    ]
    assert found["splits"]["test"] == {
        **{"before": 2, "after": 2, "added": 0, "removed": 1},
        **{"corrected": 1, "moved_in": 1, "moved_out": 0},
    }
    assert found["error_types"]["empty"]["before"] == 0
    assert found["error_types"]["empty"]["after"] == 1
    assert {"split": "test", "error_type": "empty", "before": 0, "after": 1} in found["rows"]
    json.dumps(found, allow_nan=False)


def test_the_counts_add_up(repo: Repo):
    found = repo.compare("v1.0.0", "more")
    for split, count in found.totals("split").items():
        moved = count["moved_in"] - count["moved_out"]
        assert count["after"] - count["before"] == count["added"] - count["removed"] + moved, split


def test_parameters_metrics_batches_and_columns_that_differ(repo: Repo):
    found = repo.compare("v1.0.0", "more")
    assert found.params == [
        {"name": "gate.validity", "before": 0.95, "after": 0.9},
        {"name": "split.seed", "before": 1, "after": 2},
    ]
    told = {metric.name: (metric.direction, metric.threshold) for metric in found.metrics}
    assert told["quality.quality_metrics.validity"] == ("worse", 0.9)
    assert told["quality.quality_metrics.completeness"] == ("same", 0.95)
    assert told["dataset.wer.test"] == ("changed", None)
    assert found.batches.added == ("b3",)
    assert found.batches.grew
    assert found.columns == [{"name": "text", "before": '{"dtype": "string"}', "after": '{"dtype": "large_string"}'}]
    back = repo.compare("more", "v1.0.0")
    assert {metric.name: metric.direction for metric in back.metrics}["quality.quality_metrics.validity"] == "better"
    assert back.batches.lost == ("b3",)


def test_a_version_is_the_same_as_itself_by_any_name(repo: Repo):
    found = repo.compare("dataset@v1.0.0", "main").to_dict()
    names = ("added", "removed", "corrected", "moved", "params", "columns", "unread")
    assert {name: found[name] for name in names if found[name]} == {}
    assert {metric["direction"] for metric in found["metrics"]} == {"same"}


def test_a_reviewer_is_told_what_to_look_at(repo: Repo):
    found = repo.compare("v1.0.0", "more")
    said = "\n".join(judgement.warnings(found))
    assert "1 test case changed the text: case-00008 (frozen by v1.0.0)" in said
    assert "1 test case left the dataset (1 uncorrected): case-00009 (frozen by v1.0.0)" in said
    assert "1 validation case moved (1 to test): case-00006" in said
    assert "speakers left the dataset, with 4 cases" in said
    assert "the gate was lowered: gate.validity 0.95 -> 0.9" in said
    assert "who is in which split changed: split.seed" in said
    assert "columns of the dataset changed: text" in said
    assert judgement.failures(found) == []
