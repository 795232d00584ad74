"""`mondegreen verify`: whatever is damaged is found by its bytes, named, and mended from what is intact."""

import json
import shutil
from pathlib import Path

import pytest

from mondegreen import cli, mending, repository, verifying
from mondegreen.errors import RepositoryError
from mondegreen.objects import Store
from mondegreen.verifying import Problem, Verification

pytestmark = pytest.mark.dvc


@pytest.fixture
def root(two_versions: Path, tmp_path: Path) -> Path:
    shutil.copytree(two_versions, tmp_path / "made")
    return tmp_path / "made/repo"


def verify(root: Path, *, repair: bool = False, **scope: bool) -> Verification:
    check = mending.repair if repair else verifying.verify
    return check(root, Store(root), **scope)


def names(problems: tuple[Problem, ...]) -> set[tuple[str, str, str]]:
    return {(problem.where, problem.path, problem.what) for problem in problems}


def place(root: Path, where: str, path: str, version: str = "v1.1.0") -> Path:
    """Return where a version's file lies."""
    from mondegreen import snapshot

    if where == "work tree":
        return root / path
    version_ = snapshot.at(root, version)
    [md5] = {item.md5 for item in version_.store.objects(version_.outputs.values()) if item.path == path}
    folder = root.parent / "remote/files/md5" if where == "remote" else root / ".dvc/cache/files/md5"
    return folder / md5[:2] / md5[2:]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


ALL = {"remote": True, "all_versions": True}
FILES = ("data/dataset/train", "data/dataset", "data/raw/second/events.jsonl", "data/raw/second")
IN_GIT = ("data/metrics/dataset.json", "data/raw/sample/events.jsonl")


def test_what_is_whole_passes(root: Path):
    found = verify(root, **ALL)
    assert found.problems == ()
    assert found.checked == {"work tree": 6, "cache": 11, "remote": 11}
    assert found.versions == ("this work tree", "v1.0.0", "v1.1.0, main")


@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("where", ["work tree", "cache", "remote"])
def test_any_harm_to_any_file_is_found_by_its_bytes_and_mended(root: Path, where: str, harm):
    for path in (
        FILES if where != "work tree" else (*FILES[::2], "data/metrics/dataset.json", "data/raw/sample/events.jsonl")
    ):
        file = place(root, where, path)
        before = file.read_bytes()
        harm(file)
        found = verify(root, **ALL)
        what = "missing" if harm is Path.unlink else "changed" if where == "work tree" else "damaged"
        assert names(found.problems) == {(where, path, what)}
        mended = verify(root, repair=True, **ALL)
        assert mended.problems == ()
        assert names(mended.mended) == {(where, path, what)}
        assert file.read_bytes() == before


def test_what_a_repair_replaces_is_put_aside(root: Path):
    (root / "data/dataset/train").write_text("an unfinished edit")
    (root / "data/dataset/notes.txt").write_text("a stray file")
    found = verify(root, repair=True)
    assert found.problems == ()
    kept = {file.read_text() for file in (root / ".dvc/tmp/put-aside").rglob("*") if file.is_file()}
    assert kept == {"an unfinished edit", "a stray file"}
    assert all(".dvc/tmp/put-aside/" in problem.mend for problem in found.mended)
    assert not (root / "data/dataset/notes.txt").exists()


def test_a_cache_that_is_gone_comes_back_from_work_tree_and_remote(root: Path):
    shutil.rmtree(root / ".dvc/cache")
    shutil.rmtree(root.parent / "remote")
    lost = verify(root, repair=True, **ALL)
    assert names(lost.problems) >= {("cache", "data/dataset", "unlisted"), ("remote", "data/dataset", "missing")}
    assert {problem.versions for problem in lost.problems} == {("v1.0.0",)}, "this version came from the work tree"
    assert all("mondegreen push" in problem.mend or "cache's copy" in problem.mend for problem in lost.problems)
    assert verify(root, remote=True).problems == ()


def test_another_version_is_missing_only_where_nobody_has_it(root: Path):
    cached, remote = (place(root, where, "data/dataset/train", "v1.0.0") for where in ("cache", "remote"))
    cached.unlink()
    assert verify(root, all_versions=True).problems == ()
    assert verify(root, **ALL).problems == ()
    flip(remote)
    [first, second] = verify(root, **ALL).problems
    assert first.versions == second.versions == ("v1.0.0",)
    remote.unlink()
    [problem] = verify(root, all_versions=True).problems
    assert (problem.where, problem.what, problem.versions) == ("cache", "missing", ("v1.0.0",))
    assert verify(root).problems == (), "this version does not need it"
    assert [problem.what for problem in verify(root, repair=True, all_versions=True).problems] == ["missing"]


def test_what_the_work_tree_has_no_longer_comes_from_the_remote(root: Path):
    flip(place(root, "cache", "data/dataset/train", "v1.0.0"))
    shutil.rmtree(root / "data/dataset")
    place(root, "cache", "data/dataset").unlink()
    found = verify(root, repair=True, all_versions=True)
    assert found.problems == ()
    fetched = {(problem.where, problem.path) for problem in found.mended if problem.mend == "fetched from the remote"}
    assert fetched == {("cache", "data/dataset"), ("cache", "data/dataset/train")}


def test_a_remote_that_cannot_be_asked_is_an_error(root: Path):
    repository.dvc(["remote", "remove", "-q", "local"], root)
    assert verify(root).problems == ()
    with pytest.raises(RepositoryError, match="remote"):
        verify(root, remote=True)


def test_the_command_says_what_is_wrong_and_what_to_do(root: Path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert cli.main(["verify", "--remote", "--all-versions"]) == 0
    assert "everything is what it was made as" in capsys.readouterr().out
    flip(place(root, "remote", "data/dataset/train"))
    assert cli.main(["verify", "--remote", "--all-versions"]) == 1
    said = capsys.readouterr().out
    assert "remote     damaged   data/dataset/train, for this work tree; v1.1.0, main" in said
    assert "next: mondegreen verify --remote --all-versions --repair" in said
    assert cli.main(["verify", "--remote", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is False
    assert report["problems"][0]["path"] == "data/dataset/train"
    assert cli.main(["verify", "--remote", "--repair"]) == 0
    assert "uploaded again from the cache" in capsys.readouterr().out
