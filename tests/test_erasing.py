"""Erasing: whatever is killed, shut, away or in another clone, what was erased is nowhere, and the rest is whole."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import voices
from cloud import Emulator
from conftest import ROOT
from history import git
from mondegreen import cli, doomed, erasures, ledger, repository, rollback, snapshot, verifying
from mondegreen.errors import RepositoryError
from mondegreen.objects import Store
from mondegreen.place import Place
from voices import CASE, CLIP, HEARD, OTHER

pytestmark = pytest.mark.dvc


@pytest.fixture
def root(voices_made: Path, tmp_path: Path) -> Path:
    shutil.copytree(voices_made, tmp_path / "made", symlinks=True)
    return tmp_path / "made/repo"


NEEDLES = (HEARD.encode(), CLIP[100:300])


def holders(folder: Path) -> set[str]:
    """Every file but Git's that holds the voice."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {
        path.relative_to(folder).as_posix() for path in files if any(needle in path.read_bytes() for needle in NEEDLES)
    }


def erase(root: Path, case_id: str = CASE, status: int = 0, *options: str) -> None:
    arguments = ["forget", case_id, "--reason", "asked to", "--erase", "--yes", *options]
    assert run(root, *arguments) == status


def run(root: Path, *arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return cli.main(list(arguments))


def whole(root: Path) -> None:
    assert holders(root.parent) == set()
    assert git(root, "status", "--porcelain") == ""
    assert verifying.verify(root, Store(root)).problems == ()
    text = (root / "data/dataset/train").read_text()
    assert "kiss the sky v1.0.0" in text
    assert "kiss the sky v1.1.0" in text
    assert "something else" in text
    assert len(erasures.read(root)) == 1
    assert doomed.read(root) == doomed.Doomed()


def test_a_train_row_of_the_ledger_goes_to_another_case_of_the_speaker(root: Path):
    erase(root)
    whole(root)
    rows = ledger.read(root / "data/ledger.csv").set_index("case_id")
    assert rows.loc[OTHER, "split"] == "train"
    assert "data/ledger.csv" in git(root, "show", "--name-only", "--format=")


def test_only_what_was_asked_for_is_committed(root: Path):
    (root / "mine.txt").write_text("staged before")
    git(root, "add", "mine.txt")
    erase(root)
    assert git(root, "status", "--porcelain") == "A  mine.txt"


@pytest.mark.parametrize("asked", [["--speaker", ""], [""], [], [CASE, "--speaker", "leaver"]])
def test_nobody_is_not_everybody_without_a_name(root: Path, asked: list[str], capsys: pytest.CaptureFixture):
    assert run(root, "forget", *asked, "--reason", "x", "--erase", "--yes") == 1
    assert "name one case" in capsys.readouterr().err


def test_when_the_build_fails_the_old_dataset_stays_nowhere(root: Path, capsys: pytest.CaptureFixture):
    (root / "params.yaml").write_text("gate: shut\n")
    git(root, "commit", "-qam", "shut")
    erase(root, status=1)
    assert "could not be built" in capsys.readouterr().err
    assert holders(root.parent) == set()
    (root / "params.yaml").write_text("gate: open\n")
    git(root, "commit", "-qam", "open")
    repository.dvc(["repro", "-q"], root)
    assert "kiss the sky" in (root / "data/dataset/train").read_text()


def test_what_was_pushed_but_never_committed_goes_too(root: Path):
    from mondegreen import Recorder

    with Recorder(root / "data/inbox") as recorder:
        voices.record(recorder, root.parent, None, "late", HEARD, CLIP)
    erase_late = ["forget", "--speaker", "late", "--reason", "x", "--erase", "--yes"]
    run(root, "ingest")
    repository.dvc(["repro", "-q"], root)
    repository.dvc(["push", "-q"], root)
    assert run(root, *erase_late) == 0
    assert holders(root.parent) == set(), "the same words and clip of the first batch, too"


def test_what_repair_put_aside_goes_too(root: Path):
    aside = root / ".dvc/tmp/put-aside/then/data/dataset/train"
    aside.parent.mkdir(parents=True)
    aside.write_text(HEARD)
    erase(root)
    whole(root)


def test_what_was_uploaded_is_recalled(root: Path):
    from mondegreen import Recorder

    place = Place((root.parent / "uploads").as_uri())
    with Recorder(root / "data/inbox") as recorder:
        voices.record(recorder, root.parent, None, "late", HEARD, CLIP)
        voices.record(recorder, root.parent, None, "stayer", "kiss me", voices.sound(0.2, seed=5))
    assert run(root, "upload", "data/inbox", "--to", place.url) == 0
    assert any(name.startswith("uploads") for name in holders(root.parent))
    run(root, "ingest")
    assert run(root, "forget", "--speaker", "late", "--reason", "x", "--erase", "--yes") == 0
    assert holders(root.parent) == set()
    left = [place.read(f"events/{name}") for name in place.tree("events")]
    assert b"kiss me" in b"".join(left)
    assert b"withdrawal" not in b"".join(left)
    assert len(place.tree("audio")) == 1
    before = git(root, "status", "--porcelain")
    run(root, "ingest", place.url)
    assert git(root, "status", "--porcelain") == before, "all that is left is known"


def test_what_was_uploaded_to_a_bucket_is_recalled_over_http(root: Path, tmp_path: Path, monkeypatch):
    """A real emulator; the bucket is a remote, too."""
    from mondegreen import Recorder

    with Emulator("bucket") as cloud:
        for name, value in cloud.env(tmp_path).items():
            monkeypatch.setenv(name, value)
        repository.dvc(["remote", "add", "-q", "-d", "dev", "gs://bucket/data_versions"], root)
        git(root, "commit", "-qam", "a bucket")
        with Recorder(root / "data/inbox") as recorder:
            voices.record(recorder, root.parent, None, "late", HEARD, CLIP)
            voices.record(recorder, root.parent, None, "stayer", "kiss me", voices.sound(0.2, seed=5))
        assert run(root, "upload", "data/inbox", "--to", "gs://bucket/learning_data") == 0
        run(root, "ingest")
        assert run(root, "push", "--all-versions") == 0
        assert spoken(cloud), "the bucket has it"
        assert run(root, "forget", "--speaker", "late", "--reason", "x", "--erase", "--yes") == 0
        assert holders(root.parent) == spoken(cloud) == set()
        parts = [cloud.read("bucket", name) for name in cloud.objects("bucket", "learning_data/events/")]
        assert b"kiss me" in b"".join(parts)
        assert len(cloud.objects("bucket", "learning_data/audio/")) == 1
        before = git(root, "status", "--porcelain")
        run(root, "ingest", "gs://bucket/learning_data")
        assert git(root, "status", "--porcelain") == before, "all that is left is known"


def spoken(cloud: Emulator) -> set[str]:
    """The objects of the bucket that hold the voice."""
    objects = {name: cloud.read("bucket", name) for name in cloud.objects("bucket")}
    return {name for name, content in objects.items() if any(needle in content for needle in NEEDLES)}


def test_a_cache_that_others_share_loses_the_voice_alone_and_a_compaction_hides_nothing(root: Path):
    shared = root.parent / "shared"
    shutil.move(root / ".dvc/cache", shared)
    repository.dvc(["config", "cache.dir", str(shared)], root)
    theirs = shared / "files/md5/ab/cdef"
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("of another repository")
    assert run(root, "ingest", "--compact") == 0
    repository.dvc(["repro", "-q"], root)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "compacted")
    repository.dvc(["push", "-q"], root)
    assert len(list((root / "data/raw").glob("2*.dvc"))) == 1
    assert any(name.startswith("shared/") for name in holders(root.parent))
    erase(root)
    whole(root)
    assert theirs.read_text() == "of another repository"
    [entry] = erasures.read(root)
    assert len(entry.batches) == 3, "the compacted one, and the two that it was made of"
    assert entry.releases == ("v1.0.0", "v1.1.0")


def test_a_remote_that_was_away_is_purged_when_it_answers_again(root: Path, capsys: pytest.CaptureFixture):
    second = root.parent / "second"
    repository.dvc(["remote", "add", "-q", "second", "../second"], root)
    git(root, "commit", "-qam", "a second remote")
    repository.dvc(["push", "-q", "-r", "second"], root)
    repository.dvc(["push", "-q", "-r", "second", "--all-tags"], root)
    second.rename(root.parent / "elsewhere")
    second.write_text("not a folder")
    erase(root, status=1)
    assert "not done: the remote second" in capsys.readouterr().err
    assert any("elsewhere" in name for name in holders(root.parent))
    second.unlink()
    (root.parent / "elsewhere").rename(second)
    erase(root)
    whole(root)


def test_another_clone_is_told_and_finishes(root: Path, capsys: pytest.CaptureFixture):
    other = root.parent / "other"
    git(root.parent, "clone", "-q", str(root), str(other))
    repository.dvc(["pull", "-q"], other)
    erase(root)
    repository.dvc(["push", "-q"], root)
    git(other, "pull", "-q")
    assert run(other, "ingest") == 1
    assert "mondegreen forget --finish" in capsys.readouterr().err
    git(other, "config", "user.name", "other")
    git(other, "config", "user.email", "other@localhost")
    assert run(other, "forget", "--finish") == 1
    assert "dvc pull" in capsys.readouterr().err
    repository.dvc(["pull", "-q"], other)
    assert run(other, "forget", "--finish") == 0
    whole(other)


def test_a_version_is_built_again_without_what_was_erased(root: Path, capsys: pytest.CaptureFixture):
    erase(root)
    repository.dvc(["push", "-q"], root)
    found = verifying.verify(root, Store(root), remote=True, all_versions=True)
    assert {"v1.0.0", "v1.1.0"} == set(found.erased)
    assert found.problems == ()
    with pytest.raises(RepositoryError, match=r"mondegreen rollback v1\.0\.0"):
        snapshot.at(root, "v1.0.0").table("data/splits.parquet", ["case_id"])
    capsys.readouterr()
    assert run(root, "rollback", "v1.0.0") == 0
    said = capsys.readouterr().out
    assert "of v1.0.0 holds less today" in said
    text = (root / "data/dataset/train").read_text()
    assert "version: v1.0.0" in text
    assert "kiss the sky v1.0.0" in text
    assert "kiss the sky v1.1.0" not in text
    assert holders(root.parent) == set()
    assert git(root, "status", "--porcelain") == ""
    assert "up to date" in repository.dvc(["status"], root)
    assert not (root / ".dvc/tmp/rebuilding").exists()
    assert rollback.rollback(root, "v1.0.0").before == git(root, "rev-parse", "HEAD")


def test_the_review_of_a_branch_that_left_before_an_erasure_says_so(root: Path, capsys: pytest.CaptureFixture):
    git(root, "branch", "late")
    erase(root)
    git(root, "checkout", "-q", "late")
    git(root, "commit", "-q", "--allow-empty", "-m", "another idea")
    capsys.readouterr()
    assert run(root, "compare", "main", "--review", "--json") == 1
    out, err = capsys.readouterr()
    [batch] = json.loads(out)["overdue"]
    assert f"part of {batch} was erased since: merge that first" in err
    assert "mondegreen push" not in err
    git(root, "merge", "-q", "main")
    run(root, "compare", "main", "--review")
    assert "erased since" not in capsys.readouterr().err


KILL = (
    f"erasing.erase(Path.cwd(), erasing.find(Path.cwd(), case_id='{CASE}'), '{CASE}', reason='x', author='a', "
    "remotes=['local'])"
)


def killed(root: Path, step: str) -> int:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/steps.py"), step, KILL],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "stages")},
        check=False,
    )
    assert done.returncode in (0, -9), done.stderr
    return int(done.stdout) if done.returncode == 0 else 0


def test_killed_at_some_steps_the_next_run_finishes(root: Path, tmp_path: Path):
    shutil.copytree(root.parent, tmp_path / "whole", symlinks=True)
    steps = killed(tmp_path / "whole/repo", "0")
    assert steps > 40
    print(f"an erasure has {steps} steps")
    every = range(1, steps + 1) if "TORTURE" in os.environ else range(3, steps, steps // 4)
    for step in (".ledger.csv", *every):
        here = tmp_path / f"copy{step}"
        shutil.copytree(root.parent, here, symlinks=True)
        assert killed(here / "repo", str(step)) == 0
        (here / "repo/.git/index.lock").unlink(missing_ok=True)
        erase(here / "repo")
        whole(here / "repo")
        shutil.rmtree(here)
