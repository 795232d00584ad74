"""Snapshots and objects: any version's files without touching the work tree, each checked by its content."""

import shutil
import subprocess
from pathlib import Path

import pytest

import history
from mondegreen import repository, snapshot
from mondegreen.errors import RepositoryError
from mondegreen.objects import Store, md5_of

pytestmark = pytest.mark.dvc


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a tracked file and folder, pushed; committed as v1, then changed as v2."""
    root = tmp_path_factory.mktemp("repo")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(root)]
    history.start(root, str(root.parent / f"{root.name}-remote"))
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "data/raw").mkdir(parents=True)
    (root / ".gitignore").write_text("/data/.raw.lock\n/data/raw/?*\n!/data/raw/?*.dvc\n")
    for version in ("v1", "v2"):
        batch = root / "data/raw" / version
        batch.mkdir()
        (batch / "events.jsonl").write_text(f"{version}\n")
        (root / "params.yaml").write_text(f"version: {version}\n")
        repository.dvc(["add", "-q", f"data/raw/{version}"], root)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", version], check=True)
        subprocess.run([*git, "tag", "-a", "-m", version, f"dataset@{version}"], check=True)
    repository.dvc(["push", "-q"], root)
    return root


def test_a_version_is_read_without_touching_the_work_tree(repo: Path):
    old, new = snapshot.at(repo, "v1"), snapshot.at(repo, "dataset@v2")
    assert old.yaml("params.yaml") == {"version": "v1"}
    assert old.read("nothing") is None
    assert list(old.outputs) == ["data/raw/v1"]
    assert list(new.outputs) == ["data/raw/v1", "data/raw/v2"]
    assert new.outputs == snapshot.at(repo).outputs == snapshot.at(repo, "main").outputs
    assert new.file("data/raw/v1/events.jsonl").read_text() == "v1\n"
    with pytest.raises(RepositoryError, match="v1 has no data/raw/v2"):
        old.file("data/raw/v2/events.jsonl")


def test_an_unknown_version_is_an_error_that_says_where_to_look(repo: Path):
    with pytest.raises(RepositoryError, match="mondegreen versions"):
        snapshot.at(repo, "v3")
    with pytest.raises(RepositoryError, match="'--all' is no version"):
        snapshot.at(repo, "--all")


def test_what_the_cache_lost_or_damaged_comes_from_the_remote(repo: Path):
    version = snapshot.at(repo, "v2")
    [_, item] = version.store.objects([version.outputs["data/raw/v2"]])
    path = version.store.cache_path(item.md5)
    for harm in (path.unlink, lambda: (path.chmod(0o644), path.write_text("x2\n"))):
        harm()
        assert not version.store.intact(item.md5)
        assert version.file(item.path).read_text() == "v2\n"
    assert md5_of(path) == item.md5


def test_a_damaged_or_missing_remote_object_is_named_and_replaces_nothing(repo: Path, tmp_path: Path):
    copy = tmp_path / "repo"
    shutil.copytree(repo, copy)
    remote = tmp_path / "remote"
    shutil.copytree(repo.parent / f"{repo.name}-remote", remote)
    repository.dvc(["remote", "modify", "-q", "local", "url", str(remote)], copy)
    store = Store(copy)
    [_, item] = store.objects([snapshot.at(copy, "v1").outputs["data/raw/v1"]])
    kept = remote / "files/md5" / item.md5[:2] / item.md5[2:]
    kept.chmod(0o644)
    kept.write_text("x1\n")
    assert store.fetch([item.md5]) == {item.md5: "the remote's copy is damaged"}
    assert store.intact(item.md5)
    kept.unlink()
    store.cache_path(item.md5).unlink()
    with pytest.raises(RepositoryError, match=f"{item.md5} is nowhere in reach .the remote does not have it."):
        store.load(item.md5)
    assert not list(store.cache.rglob("*.tmp"))
