"""Environments: a bucket each, set for everyone with the file's comments kept, chosen for one clone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cloud import Emulator
from conftest import ROOT
from mondegreen import environments
from mondegreen.cli import main
from mondegreen.errors import RepositoryError

pytestmark = pytest.mark.dvc


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the .dvc/config of this one."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text((ROOT / ".dvc/config").read_text())
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_block_names_three_that_do_no_harm_until_they_have_a_bucket(root: Path, capsys):
    found = environments.known(root)
    assert list(found) == ["local", "dev", "staging", "production"]
    assert [name for name, each in found.items() if each.chosen] == ["local"]
    for arguments in (["environment", "dev"], ["push", "--environment", "dev"], ["pull", "--environment", "dev"]):
        assert main(arguments) == 1
        assert "dev has no bucket yet: 'mondegreen environment dev --bucket" in capsys.readouterr().err
    with pytest.raises(RepositoryError, match="has no bucket"):
        found["local"].address(environments.LEARNING)


def test_a_bucket_is_set_for_everyone_and_chosen_for_this_clone(root: Path, capsys):
    before = (root / ".dvc/config").read_text()
    assert main(["environment", "staging", "--bucket", "our-calls", "--project", "ours"]) == 0
    after = (root / ".dvc/config").read_text()
    assert after == before.replace(
        "gs://YOUR-STAGING-BUCKET/data_versions\n    verify = true\n",
        "gs://our-calls/data_versions\n    verify = true\n    projectname = ours\n",
    )
    capsys.readouterr()
    assert main(["environment", "staging", "--json"]) == 0
    assert (root / ".dvc/config").read_text() == after
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["staging"] == {
        "name": "staging",
        "url": "gs://our-calls/data_versions",
        "project": "ours",
        "chosen": True,
    }
    assert environments.find(root).address(environments.DATASETS) == "gs://our-calls/finetuning_datasets"
    assert main(["environment", "local"]) == 0
    assert environments.find(root).name == "local"


def test_a_new_environment_and_a_folder_in_a_bucket(root: Path):
    environments.set_bucket(root, "trial", "gs://our-calls/team-a")
    assert environments.find(root, "trial").address(environments.METADATA) == "gs://our-calls/team-a/metadata"
    assert "verify = true" in (root / ".dvc/config").read_text().partition("trial")[2]


@pytest.mark.parametrize("bucket", ["Our-Calls", "x", "a b", "gs://", "s3://calls", "calls\nverify = false", "../up"])
def test_what_can_be_no_bucket_changes_nothing(bucket: str, root: Path):
    before = (root / ".dvc/config").read_text()
    with pytest.raises(RepositoryError, match="is no bucket"):
        environments.set_bucket(root, "dev", bucket)
    assert (root / ".dvc/config").read_text() == before


def test_unknown_names_say_which_there_are(root: Path, capsys):
    assert main(["environment", "prod"]) == 1
    said = capsys.readouterr().err
    assert "prod is no environment here: there are local, dev, staging, production" in said
    assert main(["push", "--environment", "prod"]) == 1
    assert "prod is no remote here: there are dev, local, production, staging" in capsys.readouterr().err


def test_check_says_that_it_can_be_used(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    with Emulator("calls") as emulator:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        environments.set_bucket(root, "dev", "calls")
        assert main(["environment", "dev", "--check"]) == 0
        environments.set_bucket(root, "dev", "no-such-calls")
        assert main(["environment", "--check"]) == 1
    assert "there is no bucket gs://no-such-calls: 'gcloud storage buckets create" in capsys.readouterr().err


def test_watch_pushes_what_changes_until_it_is_stopped(root: Path, tmp_path: Path):
    remote = tmp_path.with_name(f"{tmp_path.name}-remote")
    subprocess.run([sys.executable, "-m", "dvc", "config", "--local", "remote.local.url", str(remote)], check=True)
    (root / "data/raw/first").mkdir(parents=True)
    (root / "data/raw/first/events.jsonl").write_text("{}\n")
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data/raw/first"], check=True)
    code = "import sys; from mondegreen.cli import main; sys.exit(main(['push', '--watch', '0.1', '--json']))"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'stages')!r}); {code}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert next_object(process)["moved"] == 2
        (root / "data/raw/second").mkdir()
        (root / "data/raw/second/events.jsonl").write_text("{} \n")
        subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data/raw/second"], check=True)
        assert next_object(process)["needed"] == 4
        process.kill()


def next_object(process: subprocess.Popen) -> dict:
    lines = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
    return json.loads("".join(lines))
