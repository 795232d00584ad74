"""Releases as users make them: real Git and DVC, two clones, and a kill at every step."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from clone import Clone
from conftest import ROOT, sound
from mondegreen import ledger, releasing, repository, versions
from mondegreen.errors import RepositoryError

pytestmark = [pytest.mark.dvc, pytest.mark.xdist_group("dvc-release")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    folder = tmp_path_factory.mktemp("release")
    made = Clone(folder / "clone")
    made.run("dvc", "config", "--local", "remote.local.url", str(folder / "remote"))
    made.run("dvc", "repro", "--quiet")
    made.commit("built")
    made.git("clone", "-q", "--bare", ".", str(folder / "hub.git"))
    made.git("remote", "add", "origin", str(folder / "hub.git"))
    made.git("push", "-q", "-u", "origin", "main")
    return made


def state(clone: Clone) -> tuple[str, str, str]:
    return clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain"), clone.git("tag")


def add_cases(clone: Clone, count: int, seed: int, speaker: str) -> None:
    """Record, correct, ingest and build."""
    for number in range(count):
        clip = clone.path / f"{speaker}-{number}.wav"
        clip.write_bytes(sound(seed=seed + number))
        heard = f"kiss this guy {speaker} {number}"
        case = clone.mondegreen("record", clip.name, "--original", heard, "--speaker", speaker)
        clone.mondegreen("correct", case.strip(), f"kiss the sky {speaker} {number}", "--author", "ann")
        clip.unlink()
    clone.mondegreen("ingest")
    clone.run("dvc", "repro", "--quiet")
    clone.commit(f"{count} cases of {speaker}")


def placed(clone: Clone) -> dict[str, str]:
    table = pd.read_parquet(clone.path / "data/splits.parquet")
    return dict(zip(table["case_id"], table["split"], strict=True))


def test_each_refusal_names_the_reason_and_the_command_that_mends_it(clone: Clone):
    root, before = clone.path, state(clone)
    with pytest.raises(RepositoryError, match=r"'v1.2' is no version"):
        releasing.plan(root, "v1.2")
    (root / "params.yaml").write_text((root / "params.yaml").read_text() + "# changed\n")
    (root / "data/note").write_text("new")
    with pytest.raises(RepositoryError, match=r"not committed: params.yaml, data/note. git add"):
        releasing.plan(root)
    (root / "data/note").unlink()
    clone.git("checkout", "-q", "params.yaml")
    clone.git("checkout", "-q", "--detach")
    with pytest.raises(RepositoryError, match=r"HEAD is detached.*git switch"):
        releasing.plan(root)
    clone.git("checkout", "-q", "main")
    clone.git("config", "user.name", " ")
    with pytest.raises(RepositoryError, match=r"git config user.name"):
        releasing.plan(root)
    clone.git("config", "user.name", "test")
    clone.git("tag", "-a", "-m", "by hand", "dataset@v0.1.0", "HEAD")
    with pytest.raises(RepositoryError, match=r"dataset@v0.1.0 exists"):
        releasing.plan(root, "0.1.0")
    clone.git("tag", "-d", "dataset@v0.1.0")
    clone.set_param("report", "worst_cases", 3)
    clone.git("commit", "-q", "-am", "params")
    with pytest.raises(RepositoryError, match=r"not up to date: report. dvc repro"):
        releasing.plan(root)
    clone.git("reset", "-q", "--hard", before[0].strip())
    held = next((root / ".dvc/cache/files/md5").glob(f"{clone.dataset_hash()[:2]}/{clone.dataset_hash()[2:]}"))
    shard = json.loads(held.read_text())[-1]["md5"]
    path = root / f".dvc/cache/files/md5/{shard[:2]}/{shard[2:]}"
    whole = path.read_bytes()

    def becomes(content: bytes) -> None:
        path.chmod(0o644)
        path.write_bytes(content)
        path.chmod(0o444)  # DVC trusts what is read-only

    becomes(whole[:-1] + b"x")
    with pytest.raises(RepositoryError, match=r"data/dataset/.* is not in the cache as it was: dvc fetch"):
        releasing.plan(root)
    assert releasing.plan(root, quality_check=False).version == "v1.0.0"
    becomes(whole[:-1])
    with pytest.raises(RepositoryError, match=r"data/dataset is not in the cache as it was"):
        releasing.plan(root, quality_check=False)
    becomes(whole)
    assert state(clone) == before


def test_a_kill_before_the_tag_leaves_the_old_state_and_after_it_the_release(clone: Clone, tmp_path: Path):
    """One kill in the middle of the build, one before the tag; then at every step of what follows the tag."""
    before, hashed = state(clone), clone.dataset_hash()

    def run(step: str, code: str) -> int:
        command = [sys.executable, str(ROOT / "tests/steps.py"), step, code]
        done = subprocess.run(command, cwd=clone.path, env=clone.env, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -9), done.stderr
        return done.returncode

    for step in ("'repro'", "'commit-tree'", "'--annotate'"):
        assert run(step, "release(Path.cwd())") == -9
        assert state(clone) == before
        assert versions.unfinished(clone.path) == ""
    assert run("'--annotate'+", "release(Path.cwd())") == -9
    assert state(clone)[2] == "dataset@v1.0.0\n"
    assert versions.unfinished(clone.path) == "v1.0.0"
    assert "finish v1.0.0, which was interrupted" in clone.mondegreen("status")
    half = tmp_path / "half"
    shutil.copytree(clone.path / ".git", half)
    tagged = clone.git("rev-parse", "dataset@v1.0.0^{commit}")

    def back() -> None:
        shutil.rmtree(clone.path / ".git")
        shutil.copytree(half, clone.path / ".git")
        clone.git("checkout", "-q", "HEAD", "--", ".")

    step = 0
    while (step := step + 1) and run(str(step), "finish(Path.cwd())") == -9:
        assert releasing.finish(clone.path) in ("v1.0.0", "")
        assert state(clone) == (tagged, "", "dataset@v1.0.0\n")
        back()
    assert step > 5
    back()
    (clone.path / "data/ledger.csv").write_bytes(repository.cat([f"{tagged.strip()}:data/ledger.csv"], clone.path)[0])
    assert "finished dataset@v1.0.0" in clone.mondegreen("release")
    assert state(clone) == (tagged, "", "dataset@v1.0.0\n")
    assert clone.dataset_hash() == hashed
    back()
    (clone.path / "dvc.lock").write_text("mine\n")
    with pytest.raises(RepositoryError, match=r"dvc.lock was changed since: git stash"):
        releasing.finish(clone.path)
    assert (clone.path / "dvc.lock").read_text() == "mine\n"
    clone.git("checkout", "-q", "dvc.lock")
    assert releasing.finish(clone.path) == "v1.0.0"
    assert not list((clone.path / ".git").glob("mondegreen-build-*"))


def test_a_release_is_read_by_gto_and_dvc_and_nothing_has_to_be_built(clone: Clone, tmp_path: Path):
    assert "up to date" in clone.run("dvc", "status")
    assert versions.versions(clone.path)[0].dataset_hash == clone.dataset_hash()
    clone.run("dvc", "push", "--quiet")
    clone.git("push", "-q", "--follow-tags")
    assert "v1.0.0" in clone.run("gto", "show")
    target = tmp_path / "got"
    clone.run("dvc", "artifacts", "get", str(clone.path), "dataset", "--rev", "v1.0.0", "-o", str(target))
    assert sorted(path.name for path in target.rglob("*.parquet")) == sorted(
        path.name for path in (clone.path / "data/dataset").rglob("*.parquet")
    )
    [version] = json.loads(clone.mondegreen("versions", "--json", "--remote"))
    assert version["in_cache"]
    assert version["in_remote"]
    assert (version["parent"], version["cases_removed"]) == ("", 0)
    assert version["cases_added"] == len(placed(clone))
    assert version["sizes"] == clone.metrics("dataset")["rows"]
    assert json.loads(clone.mondegreen("versions", "--json", "--min-quality-score", "1.0")) == []
    assert "nothing to release" in clone.mondegreen("release", status=1)


def test_of_two_releases_at_once_one_waits(clone: Clone):
    add_cases(clone, 2, 900, "both")
    before = placed(clone)
    code = "import sys; sys.path.insert(0, 'stages'); from mondegreen.cli import main; sys.exit(main(['release']))"
    command = [sys.executable, "-c", code]
    pair = [
        subprocess.Popen(
            command, cwd=clone.path, env=clone.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate() for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 1], said
    assert any("nothing to release: the dataset is that of v1.0.0" in err or "v1.1.0" in err for _, err in said)
    assert [found.version for found in versions.versions(clone.path)] == ["v1.1.0", "v1.0.0"]
    assert versions.versions(clone.path)[0].cases_added == 2
    assert placed(clone) == before
    assert clone.git("status", "--porcelain") == ""
    clone.run("dvc", "push", "--quiet")
    clone.git("push", "-q", "--follow-tags")


def test_two_clones_merge_and_the_second_to_push_a_version_loses_nothing(clone: Clone, tmp_path: Path):
    """Each ingests its own batch, corrects and releases; what the README says brings both together."""
    other = Clone.__new__(Clone)
    other.path, other.env = tmp_path / "other", clone.env
    subprocess.run(["git", "clone", "-q", clone.git("remote", "get-url", "origin").strip(), other.path], check=True)
    for name, value in (("user.email", "bob@localhost"), ("user.name", "bob")):
        other.git("config", name, value)
    other.run("dvc", "config", "--local", "remote.local.url", str(clone.path.parent / "remote"))
    other.run("dvc", "pull", "--quiet")
    released = placed(clone)
    for number, here in enumerate((clone, other)):
        add_cases(here, 2, 1000 + 100 * number, f"voice{number}")
        assert "v1.2.0: minor: 2 cases came and 0 went" in here.mondegreen("release")
        here.run("dvc", "push", "--quiet")
    clone.git("push", "-q", "--follow-tags")
    assert "rejected" in other.run("git", "push", "--follow-tags", status=1)
    said = other.mondegreen("release", "--dry-run", status=1)
    assert "git rebase --onto dataset@v1.2.0~1 dataset@v1.2.0 && git tag -d dataset@v1.2.0" in said

    other.run("git", "rebase", "-q", "--onto", "dataset@v1.2.0~1", "dataset@v1.2.0")
    other.git("tag", "-d", "dataset@v1.2.0")
    other.run("git", "pull", "-q", "--no-rebase", "--tags", status=1)
    conflicts = {line[3:] for line in other.git("status", "--porcelain").splitlines() if line[:2] in ("UU", "AA", "DU")}
    assert "dvc.lock" in conflicts
    assert not [path for path in conflicts if path.startswith(("data/raw", "data/ledger"))]
    other.run("git", "checkout", "--theirs", "dvc.lock", "data/metrics", "data/plots")
    other.run("dvc", "pull", "--quiet", "--allow-missing")
    other.run("dvc", "repro", "--quiet")
    other.commit("merged")
    assert "v1.3.0: minor: 2 cases came and 0 went since v1.2.0" in other.mondegreen("release")
    other.run("dvc", "push", "--quiet")
    other.git("push", "-q", "--follow-tags")
    assert released.items() <= placed(other).items()
    assert placed(clone).items() <= placed(other).items()
    assert len(placed(other)) == len(released) + 4
    frozen = ledger.read(other.path / "data/ledger.csv")
    assert set(frozen["release"]) == {"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"} - (
        {"v1.1.0", "v1.2.0", "v1.3.0"} - set(frozen["release"])
    )


def test_the_next_version_follows_from_what_changed(clone: Clone):
    case = next(case_id for case_id, split in placed(clone).items() if split == "train")
    clone.mondegreen("correct", case, "what was really said, at last", "--author", "ann")
    clone.mondegreen("ingest")
    clone.run("dvc", "repro", "--quiet")
    clone.commit("one correction")
    clone.run("git", "fetch", "-q", "--tags")
    assert "v1.2.1: patch: the cases of v1.2.0, corrected" in clone.mondegreen("release", "--dry-run")
    clone.set_param("split", "seed", 7)
    clone.run("dvc", "repro", "--quiet")
    clone.commit("another seed")
    said = clone.mondegreen("release", "--dry-run")
    assert "v2.0.0: major: split.seed changed since v1.2.0" in said
    assert "dry run" in said
