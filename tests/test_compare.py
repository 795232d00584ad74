"""Comparing versions: by case, split and error type, with parameters, metrics, batches and ledger; any two states."""

import json
import shutil
from pathlib import Path

import pytest

from mondegreen import judgement
from mondegreen.errors import RepositoryError
from states import GATE, States, rows

pytestmark = pytest.mark.dvc


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> States:
    """The release v1.0.0, and the branch `more` with a change of every kind."""
    made = States(tmp_path_factory.mktemp("compare") / "clone")
    made.batch("b1")
    made.batch("b2")
    made.tables(rows(c5={"place": "rejected"}))
    made.metrics()
    made.write("data/ledger.csv", "case_id,split,release\ncase-00008,test,v1.0.0\ncase-00009,test,v1.0.0\n")
    made.commit("start")
    made.git("tag", "-a", "-m", "start", "dataset@v1.0.0")
    made.git("checkout", "-q", "-b", "more")
    made.batch("b3")
    made.tables(
        rows(
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


def test_every_case_that_changed_is_told_with_what_became_of_it(repo: States):
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


def test_the_counts_add_up(repo: States):
    found = repo.compare("v1.0.0", "more")
    for split, count in found.totals("split").items():
        moved = count["moved_in"] - count["moved_out"]
        assert count["after"] - count["before"] == count["added"] - count["removed"] + moved, split


def test_parameters_metrics_batches_and_columns_that_differ(repo: States):
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


def test_a_version_is_the_same_as_itself_by_any_name(repo: States):
    found = repo.compare("dataset@v1.0.0", "main").to_dict()
    names = ("added", "removed", "corrected", "moved", "params", "columns", "unread")
    assert {name: found[name] for name in names if found[name]} == {}
    assert {metric["direction"] for metric in found["metrics"]} == {"same"}


def test_a_reviewer_is_told_what_to_look_at(repo: States):
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


# -- what must not be merged


@pytest.fixture
def copy(repo: States, tmp_path: Path) -> States:
    """A copy of the repository, at `more`, that a test may do anything to."""
    shutil.copytree(repo.root, tmp_path / "clone", symlinks=True)
    made = States.__new__(States)
    made.root = tmp_path / "clone"
    return made


def test_a_good_change_passes_its_review_and_what_main_did_since_is_no_part_of_it(copy: States):
    copy.git("checkout", "-q", "main")
    copy.write("params.yaml", f"gate: {json.dumps(GATE)}\nsplit: {{seed: 77}}\n")
    copy.git("commit", "-qam", "main goes on")
    copy.git("checkout", "-q", "more")
    page = copy.mondegreen("compare", "main", "more", "--review", "--markdown")
    assert "main where more left it" in page
    assert "gate and audit passed" in page
    assert "<code>77</code>" not in page
    assert "77" in copy.mondegreen("compare", "main", "more", "--markdown")


def test_raw_data_and_ledger_that_shrank_fail_the_review_and_are_named(copy: States):
    (copy.root / "data/raw/b1.dvc").unlink()
    copy.batch("b2", '{"other": 1}\n')
    copy.write("data/raw/sample/events.jsonl", "changed\n")
    copy.write("data/ledger.csv", "case_id,split,release\ncase-00008,validation,v1.0.0\ncase-00009,test,v1.0.0\n")
    copy.commit("shrunk")
    page = copy.mondegreen("compare", "main", "--review", "--markdown", status=1)
    assert page.startswith("<!-- mondegreen data review -->\n## Data review: ❌")
    assert "1 batch left: b1" in page
    assert "2 batches did: changed data/raw/b2/events.jsonl, data/raw/sample/events.jsonl" in page
    assert "1 line left or changed: case-00008,test,v1.0.0" in page
    assert copy.mondegreen("compare", "main")  # a comparison alone judges nothing


def test_a_lost_file_of_the_sample_fails_the_review(copy: States):
    (copy.root / "data/raw/sample/events.jsonl").unlink()
    copy.commit("lost")
    assert "1 batch left: sample" in copy.mondegreen("compare", "main", "more", "--review", status=1)


def test_a_shut_gate_fails_the_review_and_says_what_is_missed(copy: States):
    copy.metrics(0.5, passed=False)
    copy.commit("shut")
    page = copy.mondegreen("compare", "main", "--review", "--markdown", status=1)
    assert "❌ the gate is shut: validity 0.5000 is below 0.9500" in page
    assert "| validity | 1.0000 | 0.5000 | worse ▼ | ❌ ≥ 0.9500 |" in page


def test_a_verdict_on_another_report_is_none(copy: States):
    copy.write("data/metrics/quality.json", json.dumps({"quality_metrics": {"validity": 1.0}}))
    copy.git("commit", "-qam", "touched up")
    assert "have not judged" in copy.mondegreen("compare", "main", "more", "--review", status=1)


def test_a_work_tree_that_is_not_built_or_not_committed_says_so(copy: States):
    copy.write("params.yaml", f"gate: {json.dumps(GATE)}\nsplit: {{seed: 3}}\n")
    copy.write("made/README.md", "changed")
    said = copy.mondegreen("compare", "main", "--review", status=1)
    assert "the work tree is not built (export, split changed): 'dvc repro'" in said
    assert "commit made/README.md, params.yaml" in said


def test_what_the_cache_lost_comes_from_the_remote_and_what_nobody_has_is_named(copy: States):
    for name in ("main", "more"):  # not `--all-commits`: DVC (3.67) takes a relative remote as one of / there
        copy.git("checkout", "-q", name)
        copy.dvc("push", "-q")
    expected = copy.compare("v1.0.0", "more").to_dict()
    shutil.rmtree(copy.root / ".dvc/cache")
    assert copy.compare("v1.0.0", "more").to_dict() == expected
    shutil.rmtree(copy.root / ".dvc/cache")
    shutil.rmtree(copy.root.parent / "remote")
    with pytest.raises(RepositoryError, match=r"data/splits.parquet of v1.0.0 cannot be had: .* 'mondegreen push'"):
        copy.compare("v1.0.0", "more")
    page = copy.mondegreen("compare", "v1.0.0", "more", "--review", "--markdown", status=1)
    assert "❌ its rows cannot be compared: data/splits.parquet of v1.0.0" in page
    assert "| validity | 1.0000 | 0.9700 | worse ▼ | ✅ ≥ 0.9000 |" in page


def test_a_commit_without_a_dataset_compares_as_an_empty_one(copy: States):
    copy.git("rm", "-q", "dvc.lock")
    copy.git("commit", "-qm", "nothing built")
    found = copy.compare("more", "v1.0.0")
    assert (len(found.removed), len(found.added)) == (0, 9)
