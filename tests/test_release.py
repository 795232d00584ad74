"""Releases as users make them, on a small repository: real Git and DVC, a kill at every step, two clones."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

from conftest import ROOT, case_row
from kills import Nursery, rounds
from mondegreen import ledger, releasing, repository, versions
from mondegreen.errors import RepositoryError
from states import States, rows

RELEASE = [sys.executable, "-c", "import sys; from mondegreen.cli import main; sys.exit(main(['release']))"]
EACH = 4
"""So often in a row it is killed before it may finish."""

pytestmark = pytest.mark.dvc


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> States:
    """Built, committed and pushed, not yet released; a test begins where the one before it has left off."""
    folder = tmp_path_factory.mktemp("release")
    made = States(folder / "clone")
    build(made, rows(), "built")
    made.git("clone", "-q", "--bare", ".", str(folder / "hub.git"))
    made.git("remote", "add", "origin", str(folder / "hub.git"))
    made.git("push", "-q", "-u", "origin", "main")
    return made


def build(repo: States, cases: list[dict[str, Any]], message: str, *, seed: int = 1, kind: str = "string") -> None:
    repo.tables(cases, kind=kind)
    repo.metrics(seed=seed)
    repo.commit(message)


def more(*numbers: int) -> list[dict[str, Any]]:
    """Return the ten cases, and more of them in train."""
    return rows() + [case_row(number) | {"type": "substitution", "place": "train"} for number in numbers]


def state(repo: States) -> tuple[str, str, str]:
    return repo.git("rev-parse", "HEAD"), repo.git("status", "--porcelain"), repo.git("tag")


def push(repo: States) -> None:
    repo.dvc("push", "-q")
    repo.git("push", "-q", "--follow-tags")


def dataset(repo: States) -> str:
    return versions.built(repo.root)


def test_each_refusal_names_the_reason_and_the_command_that_mends_it(repo: States):
    root, before = repo.root, state(repo)
    with pytest.raises(RepositoryError, match=r"'v1.2' is no version"):
        releasing.plan(root, "v1.2")
    (root / "params.yaml").write_text((root / "params.yaml").read_text() + "# changed\n")
    (root / "data/note").write_text("new")
    with pytest.raises(RepositoryError, match=r"not committed: params.yaml, data/note. git add"):
        releasing.plan(root)
    (root / "data/note").unlink()
    repo.git("checkout", "-q", "params.yaml")
    repo.git("checkout", "-q", "--detach")
    with pytest.raises(RepositoryError, match=r"HEAD is detached.*git switch"):
        releasing.plan(root)
    repo.git("checkout", "-q", "main")
    repo.git("config", "user.name", " ")
    with pytest.raises(RepositoryError, match=r"git config user.name"):
        releasing.plan(root)
    repo.git("config", "user.name", "test")
    repo.git("tag", "-a", "-m", "by hand", "dataset@v0.1.0", "HEAD")
    with pytest.raises(RepositoryError, match=r"dataset@v0.1.0 exists"):
        releasing.plan(root, "0.1.0")
    repo.git("tag", "-d", "dataset@v0.1.0")
    (root / "made/README.md").write_text("another")
    repo.git("commit", "-q", "-am", "not built")
    with pytest.raises(RepositoryError, match=r"not up to date: export, split. dvc repro"):
        releasing.plan(root)
    for name, what in (("gate", "the gate"), ("dataset", "the audit")):
        repo.git("reset", "-q", "--hard", before[0])
        metrics = root / f"data/metrics/{name}.json"
        metrics.write_text(metrics.read_text().replace("true", "false"))
        repo.git("commit", "-q", "-am", "failed")
        with pytest.raises(RepositoryError, match=rf"{what} did not pass: data/metrics/{name}.json says why"):
            releasing.plan(root)
    repo.git("reset", "-q", "--hard", before[0])
    assert state(repo) == before


def test_data_that_the_cache_has_not_as_it_was_is_not_released(repo: States):
    root, before = repo.root, state(repo)
    cache = root / ".dvc/cache/files/md5"
    entries = json.loads((cache / dataset(repo)[:2] / dataset(repo)[2:]).read_text())
    [shard] = [entry["md5"] for entry in entries if entry["relpath"] == "splits.parquet"]
    path = cache / shard[:2] / shard[2:]
    whole = path.read_bytes()

    def becomes(content: bytes) -> None:
        path.chmod(0o644)
        path.write_bytes(content)
        path.chmod(0o444)  # DVC trusts what is read-only

    becomes(whole[:-1] + b"x")
    with pytest.raises(RepositoryError, match=r"data/.*splits.parquet is not in the cache as it was: dvc fetch"):
        releasing.plan(root)
    assert releasing.plan(root, quality_check=False).version == "v1.0.0"
    becomes(whole[:-1])
    with pytest.raises(RepositoryError, match=r"data/.* is not in the cache as it was"):
        releasing.plan(root, quality_check=False)
    becomes(whole)
    assert state(repo) == before


@contextmanager
def dying(code: str, root: Path) -> Iterator[Callable[[str], int]]:
    """Give a function of a step (see steps.py) that runs the code, lets it die there, and returns its exit status."""
    command = [sys.executable, ROOT / "tests/steps.py", "-", code]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def die(step: str) -> int:
            print(step, file=process.stdin, flush=True)
            return int(process.stdout.readline())

        yield die
        process.stdin.close()


def test_a_kill_before_the_tag_leaves_the_old_state_and_after_it_the_release(repo: States, tmp_path: Path):
    """One kill in the middle of the build, one before the tag; then at every step of what follows the tag."""
    before, hashed, root = state(repo), dataset(repo), repo.root

    with dying("release(Path.cwd())", root) as die:
        for step in ("'repro'", "'--annotate'"):
            assert die(step) == -9
            assert state(repo) == before
            assert versions.unfinished(root) == ""
        assert die("'--annotate'+") == -9
    assert state(repo)[2] == "dataset@v1.0.0"
    assert versions.unfinished(root) == "v1.0.0"
    assert "v1.0.0 was interrupted: mondegreen release finishes it" in repo.mondegreen("versions")
    half = tmp_path / "half"
    shutil.copytree(root / ".git", half)
    tagged = repo.git("rev-parse", "dataset@v1.0.0^{commit}")

    def back() -> None:
        shutil.rmtree(root / ".git")
        shutil.copytree(half, root / ".git")
        repo.git("checkout", "-q", "HEAD", "--", ".")

    step = 0
    with dying("finish(Path.cwd())", root) as die:
        while (step := step + 1) and die(str(step)) == -9:
            assert releasing.finish(root) in ("v1.0.0", "")
            assert state(repo) == (tagged, "", "dataset@v1.0.0")
            back()
    assert step > 5
    back()
    (root / "data/ledger.csv").write_bytes(repository.cat([f"{tagged}:data/ledger.csv"], root)[0])
    assert "finished dataset@v1.0.0" in repo.mondegreen("release")
    assert state(repo) == (tagged, "", "dataset@v1.0.0")
    assert dataset(repo) == hashed
    back()
    (root / "dvc.lock").write_text("mine\n")
    with pytest.raises(RepositoryError, match=r"dvc.lock was changed since: git stash"):
        releasing.finish(root)
    assert (root / "dvc.lock").read_text() == "mine\n"
    repo.git("checkout", "-q", "dvc.lock")
    assert releasing.finish(root) == "v1.0.0"
    assert not list((root / ".git").glob("mondegreen-build-*"))


def test_a_release_is_read_by_gto_and_dvc_and_nothing_has_to_be_built(repo: States, tmp_path: Path):
    assert "up to date" in repository.dvc(["status"], repo.root)
    assert versions.versions(repo.root)[0].dataset_hash == dataset(repo)
    push(repo)
    assert "v1.0.0" in repo.run(str(Path(sys.executable).parent / "gto"), "show")
    target = tmp_path / "got"
    repo.dvc("artifacts", "get", str(repo.root), "dataset", "--rev", "v1.0.0", "-o", str(target))
    for file in ("README.md", "splits.parquet"):
        assert (target / file).read_bytes() == (repo.root / "data/dataset" / file).read_bytes()
    [version] = json.loads(repo.mondegreen("versions", "--json", "--remote"))
    assert (version["in_cache"], version["in_remote"]) == (True, True)
    assert (version["parent"], version["cases_added"], version["cases_removed"]) == ("", 10, 0)
    assert version["sizes"] == {"train": 6, "validation": 2, "test": 2}
    assert version["quality_score"] == 1.0
    assert json.loads(repo.mondegreen("versions", "--json", "--min-quality-score", "1.1")) == []
    with pytest.raises(RepositoryError, match=r"nothing to release: the dataset is that of v1\.0\.0"):
        releasing.plan(repo.root)


def test_the_next_version_follows_from_what_changed(repo: States):
    start = repo.git("rev-parse", "HEAD")
    for changed, version, why in (
        ({"cases": more(20, 21)}, "v1.1.0", "minor: 2 cases came and 0 went since v1.0.0"),
        ({"cases": rows(c0={"corrected_transcript": "another"})}, "v1.0.1", "patch: the cases of v1.0.0, corrected"),
        ({"cases": more(20), "seed": 7}, "v2.0.0", "major: split.seed changed since v1.0.0"),
        ({"cases": rows(), "kind": "large_string"}, "v2.0.0", "major: the dataset's columns changed since v1.0.0"),
    ):
        build(repo, message=version, **changed)
        plan = releasing.plan(repo.root)
        assert (plan.version, plan.why, plan.parent) == (version, why, "v1.0.0")
    assert "v2.0.0: major" in (said := repo.mondegreen("release", "--dry-run"))
    assert "dry run" in said
    repo.git("reset", "-q", "--hard", start)
    repo.dvc("checkout", "-q")
    assert state(repo) == (start, "", "dataset@v1.0.0")


def test_of_two_releases_at_once_one_waits(repo: States):
    build(repo, more(20, 21), "two more")
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": repo.env()}
    pair = [subprocess.Popen(RELEASE, cwd=repo.root, **pipe) for _ in range(2)]
    said = [process.communicate() for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 1], said
    assert any("nothing to release: the dataset is that of v1.1.0" in err for _, err in said), said
    assert [found.version for found in versions.versions(repo.root)] == ["v1.1.0", "v1.0.0"]
    assert versions.versions(repo.root)[0].cases_added == 2
    assert repo.git("status", "--porcelain") == ""
    push(repo)


def test_killed_at_any_moment_with_all_its_processes_there_is_the_release_or_none(repo: States):
    """Some times in a row; the next release is whole, whatever the moments were."""
    before = repo.git("rev-parse", "HEAD")
    build(repo, more(20, 21, 22), "one more")
    start, hashed, dice, killed = repo.git("rev-parse", "HEAD"), dataset(repo), Random(1), Counter()
    release = "releasing.release(Path.cwd())"

    def back(commit: str) -> None:
        repo.git("tag", "-d", "dataset@v1.2.0")
        repo.git("reset", "-q", "--hard", commit)

    with Nursery(repo.root, "mondegreen.releasing", env=repo.env()) as nursery:
        seconds = nursery.run(release)
        nursery.ended = 0
        while nursery.killed < rounds(2):
            back(start)
            made = False
            for number in range(min(EACH, rounds(2))):
                first = 0.8 * seconds * (number % 2)  # every other one where the tag is made
                if made or nursery.run(release, dice.uniform(first, seconds)) is not None:
                    break
                (repo.root / ".git/index.lock").unlink(missing_ok=True)  # as Git tells whose Git was killed
                made = "dataset@v1.2.0" in repo.git("tag")
                killed[made] += 1
                assert made or state(repo)[:2] == (start, "")
            if repo.git("rev-parse", "HEAD") == start:
                took = nursery.run(release)
                seconds = seconds if made else took
            released = repo.git("rev-parse", "dataset@v1.2.0^{commit}")
            assert state(repo) == (released, "", "dataset@v1.0.0\ndataset@v1.1.0\ndataset@v1.2.0")
            assert dataset(repo) == hashed
    print(f"release: killed {killed[False]} times before the tag, {killed[True]} times after it")
    back(before)
    repo.dvc("checkout", "-q")


def test_the_second_to_push_a_version_is_told_and_loses_nothing(repo: States):
    """What the README says, line by line."""
    other = repo.clone(repo.root.parent / "other")
    for number, here in enumerate((repo, other)):
        here.batch(f"of-{number}")
        here.write("data/ledger.csv", (here.root / "data/ledger.csv").read_text() + f"z-{number},test,v1.1.0\n")
        here.commit("a batch")
        here.mondegreen("release", "v1.2.0")
    push(repo)
    refused = subprocess.run(["git", "push", "--follow-tags"], cwd=other.root, capture_output=True, check=False)
    assert refused.returncode == 1
    take_back = "git rebase --onto dataset@v1.2.0~1 dataset@v1.2.0 && git tag -d dataset@v1.2.0"
    with pytest.raises(RepositoryError, match=f"came first. Take yours back, no data is lost: {take_back}"):
        releasing.plan(other.root)

    other.run("bash", "-c", take_back)
    other.run("bash", "-c", "git pull -q --no-rebase --tags || git checkout -q --theirs dvc.lock data/metrics")
    other.dvc("pull", "-q")
    other.commit("merged")
    assert "v1.3.0: named by you" in other.mondegreen("release", "v1.3.0")
    push(other)
    assert {path.name for path in (other.root / "data/raw").glob("of-*.dvc")} == {"of-0.dvc", "of-1.dvc"}
    mine, theirs = (ledger.read(each.root / "data/ledger.csv") for each in (other, repo))
    assert set(theirs.itertuples(index=False, name=None)) < set(mine.itertuples(index=False, name=None))
    assert {"z-0", "z-1"} < set(mine["case_id"])
    assert [each.version for each in versions.versions(other.root)] == ["v1.3.0", "v1.2.0", "v1.1.0", "v1.0.0"]
    assert len(pd.read_parquet(other.root / "data/splits.parquet")) == 12
