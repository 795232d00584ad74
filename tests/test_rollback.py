"""`mondegreen rollback`: all of a version comes back, or nothing changes; whenever it is killed."""

import json
import shutil
from pathlib import Path

import pytest

from history import git
from mondegreen import cli, repository, rollback, verifying
from mondegreen.errors import RepositoryError
from mondegreen.objects import Store, md5_of

pytestmark = pytest.mark.dvc


@pytest.fixture
def root(two_versions: Path, tmp_path: Path) -> Path:
    shutil.copytree(two_versions, tmp_path / "made")
    return tmp_path / "made/repo"


def state(root: Path) -> dict[str, str]:
    """Return the hash of every file that a user sees."""
    files = (path for path in root.rglob("*") if path.is_file() and not {".git", ".dvc"} & set(path.parts))
    return {path.relative_to(root).as_posix(): md5_of(path) for path in files}


def at_version(root: Path, version: str) -> bool:
    """Tell whether everything in the work tree is that version's, and committed."""
    name = (root / "params.yaml").read_text()
    batches = {path.name for path in (root / "data/raw").iterdir()}
    return (
        name == f"version: {version}\n"
        and (root / "data/dataset/train").read_text() == f"train of {name}"
        and batches == {"sample", "first", "first.dvc"} | ({"second", "second.dvc"} if version == "v1.1.0" else set())
        and git(root, "status", "--porcelain") == ""
        and verifying.verify(root, Store(root)).problems == ()
    )


def test_a_version_comes_back_as_a_new_commit_and_the_ledger_stays(root: Path):
    before = git(root, "rev-parse", "HEAD")
    done = rollback.rollback(root, "v1.0.0", message="May was wrong")
    assert at_version(root, "v1.0.0")
    assert git(root, "rev-parse", "HEAD^") == before == done.before
    assert git(root, "rev-parse", "HEAD") == git(root, "rev-parse", "main") == done.after
    said = git(root, "log", "-1", "--format=%B")
    assert said.startswith("Roll back to v1.0.0\n\nMay was wrong\n\nRolled-back-to: dataset@v1.0.0 (")
    assert "b,test,v1.1.0" in (root / "data/ledger.csv").read_text()
    assert (done.frozen, done.trained, done.batches, done.hashed, done.code) == (1, 1, ("second",), 5, ())
    assert "up to date" in repository.dvc(["status"], root)


def test_a_rollback_can_be_rolled_back(root: Path):
    before, head = state(root), git(root, "rev-parse", "HEAD")
    rollback.rollback(root, "dataset@v1.0.0")
    done = rollback.rollback(root, head[:10])
    assert at_version(root, "v1.1.0")
    assert state(root) == before
    assert done.frozen == 0
    again = rollback.rollback(root, "v1.1.0")
    assert again.before == again.after, "nothing is left to do"


def test_git_and_dvc_alone_can_do_it(root: Path):
    git(root, "checkout", "-q", "dataset@v1.0.0")
    repository.dvc(["checkout", "-q"], root)
    assert (root / "data/dataset/train").read_text() == "train of version: v1.0.0\n"


def test_what_would_be_lost_stops_it(root: Path):
    stray = root / "data/notes.txt"
    stray.write_text("mine")
    with pytest.raises(RepositoryError, match=r"not committed: data/notes\.txt; commit"):
        rollback.rollback(root, "v1.0.0")
    stray.unlink()
    (root / "data/dataset/train").write_text("an edit")
    with pytest.raises(RepositoryError, match=r"data/dataset/train is not what dvc\.lock says, and would be lost"):
        rollback.rollback(root, "v1.0.0")
    assert (root / "data/dataset/train").read_text() == "an edit"
    with pytest.raises(RepositoryError, match="'v7' is no version"):
        rollback.rollback(root, "v7")


def test_the_cache_is_healed_from_the_remote_and_from_the_work_tree(root: Path):
    shutil.rmtree(root / ".dvc/cache")
    rollback.rollback(root, "v1.0.0")
    assert at_version(root, "v1.0.0")
    shutil.rmtree(root.parent / "remote")
    rollback.rollback(root, "v1.1.0")
    assert at_version(root, "v1.1.0"), "the batch that left the work tree was kept in the cache"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: (path.chmod(0o644), path.write_text("x"))])
def test_when_something_cannot_be_had_it_is_named_and_nothing_changes(root: Path, damage, monkeypatch, capsys):
    old = rollback.snapshot.at(root, "v1.0.0")
    [item] = [item for item in old.store.objects(old.outputs.values()) if item.path == "data/dataset/train"]
    damage(old.store.cache_path(item.md5))
    damage(root.parent / "remote/files/md5" / item.md5[:2] / item.md5[2:])
    before, head = state(root), git(root, "rev-parse", "HEAD")
    monkeypatch.chdir(root)
    assert cli.main(["rollback", "v1.0.0"]) == 1
    assert "data/dataset/train of v1.0.0 cannot be had" in capsys.readouterr().err
    assert (state(root), git(root, "rev-parse", "HEAD")) == (before, head)
    assert at_version(root, "v1.1.0")


class Killed(BaseException):
    """Like a kill: nothing catches it."""


def test_killed_at_any_step_it_is_the_old_state_or_the_next_call_finishes_it(root: Path, tmp_path: Path, monkeypatch):
    """Every start of Git and DVC is a step; the process ends before it, or after it."""
    real, left = repository._run, 0

    def dying(*arguments, **options):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        done = real(*arguments, **options)
        if left == 1:
            left = 0
            raise Killed
        return done

    ends: list[str] = []
    for step in range(1, 200):
        here = tmp_path / f"copy{step}/repo"
        shutil.copytree(root.parent, here.parent)
        left = step
        monkeypatch.setattr(repository, "_run", dying)
        try:
            rollback.rollback(here, "v1.0.0")
            break
        except Killed:
            monkeypatch.setattr(repository, "_run", real)
        finally:
            monkeypatch.setattr(repository, "_run", real)
        moved = git(here, "rev-parse", "HEAD") != git(root, "rev-parse", "HEAD")
        ends.append("moved" if moved else "old")
        if not moved:
            assert git(here, "status", "--porcelain") == ""
            assert state(here) == state(root)
            continue
        rollback.rollback(here, "v1.0.0")
        assert at_version(here, "v1.0.0")
        assert len(git(here, "log", "--format=%h").splitlines()) == 3, "finished, not done twice"
        shutil.rmtree(here.parent)
    assert ends.count("old") > 5
    assert ends.count("moved") >= 3


def test_an_edit_after_an_interruption_is_not_overwritten(root: Path, monkeypatch):
    real = repository.dvc
    monkeypatch.setattr(repository, "dvc", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        rollback.rollback(root, "v1.0.0")
    monkeypatch.setattr(repository, "dvc", real)
    (root / "params.yaml").write_text("version: mine\n")
    with pytest.raises(RepositoryError, match=r"params\.yaml was edited after a rollback was interrupted"):
        rollback.rollback(root, "v1.0.0")
    git(root, "checkout", "HEAD", "--", "params.yaml")
    rollback.rollback(root, "v1.0.0")
    assert at_version(root, "v1.0.0")


def test_code_comes_back_only_when_asked(root: Path, monkeypatch, capsys):
    code = root / "stages/make.py"
    old = code.read_text()
    code.write_text(f"{old}# newer\n")
    git(root, "commit", "-qam", "newer code")
    assert rollback.rollback(root, "v1.0.0").code == ("stages/make.py",)
    assert code.read_text() != old
    monkeypatch.chdir(root)
    assert cli.main(["rollback", "v1.0.0", "--with-code"]) == 0
    assert code.read_text() == old
    assert "stages/make.py" in capsys.readouterr().out


def test_the_command_says_what_became_of_the_cases(root: Path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert cli.main(["rollback", "v1.0.0"]) == 0
    said = capsys.readouterr().out
    assert "cases: train 1 -> 2, test 1 -> 0" in said
    assert "0 came, 0 went, 0 re-corrected, 1 moved: mondegreen compare HEAD~1 HEAD" in said
    assert 'version: "v1.1.0" -> "v1.0.0"' in said


def test_the_ledger_of_another_branch_is_taken_over(root: Path):
    git(root, "checkout", "-q", "-b", "other", "dataset@v1.0.0")
    repository.dvc(["checkout", "-q"], root)
    rollback.rollback(root, "v1.1.0")
    assert "b,test,v1.1.0" in (root / "data/ledger.csv").read_text()
    assert json.loads((root / "data/metrics/dataset.json").read_text()) == {}
