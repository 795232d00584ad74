"""Security: what docs/security.md promises of secrets, hostile text and damage is so."""

import ast
import json
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

import voices
from conftest import ROOT, sound
from mondegreen import Recorder, cli, repository, snapshot, verifying
from mondegreen.objects import Store

pytestmark = pytest.mark.dvc

SECRET = "c2VjcmV0LWtleS1vZi1ub2JvZHk"
FLIPS = 200 if "TORTURE" in os.environ else 20


@pytest.fixture
def root(voices_made: Path, tmp_path: Path) -> Path:
    shutil.copytree(voices_made, tmp_path / "made", symlinks=True)
    return tmp_path / "made/repo"


BUCKET = "gs://bucket-of-nobody/learning_data"
COMMANDS = (
    ["status"],
    ["environment"],
    ["environment", "cloud"],
    ["push"],
    ["push", "cloud"],
    ["pull"],
    ["publish", "v1.0.0"],
    ["publish", "v1.0.0", "--to", "gs://bucket-of-nobody/finetuning_datasets"],
    ["upload", "data/inbox", "--to", BUCKET],
    ["ingest", BUCKET],
    ["ingest"],
    ["verify", "--remote", "cloud"],
    ["versions"],
    ["gc", "--remote", "cloud"],
    ["forget", voices.OTHER, "--reason", "x", "--erase", "--yes"],
    ["rollback", "v1.0.0"],
    ["no-such-command"],
)


def test_a_key_in_the_environment_is_in_no_output_and_in_no_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    key = tmp_path / "key.json"
    facts = {"type": "service_account", "project_id": "p", "private_key_id": SECRET, "client_email": "a@p.example"}
    pem = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"
    key.write_text(json.dumps(facts | {"private_key": pem, "token_uri": "http://127.0.0.1:1/token"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    for name in ("HF_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "GOOGLE_OAUTH_ACCESS_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.chdir(root)
    repository.dvc(["remote", "add", "-q", "cloud", "gs://bucket-of-nobody/data_versions"], root)
    repository.git(["commit", "-qam", "a bucket"], root)
    with Recorder(root / "data/inbox") as recorder:
        recorder.failure(sound(0.1), original_transcript="x")
    said = []

    for command in COMMANDS:
        try:
            status = cli.main(command)
        except SystemExit as end:
            status = end.code
        out, err = capfd.readouterr()
        assert "Traceback" not in err, (command, err)
        assert status in (0, 1, 2), command
        said.append(out + err)
    assert SECRET not in "".join(said)
    assert not [path for path in root.parent.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


TURNED = "\u202egnihton\u2066 <script>alert(1)</script> [x](http://x) `rm` $(reboot) =1+1"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnihton\u2066 <script>alert(1)</script> [x](http://x) `rm` $(reboot) =1+1"


def test_hostile_text_reaches_no_terminal_as_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    monkeypatch.chdir(root)
    with Recorder(root / "data/inbox") as recorder:
        case_id = recorder.failure(sound(0.1), original_transcript=HOSTILE, speaker_id=TURNED, model_version=TURNED)
        recorder.correction(case_id, HOSTILE + " yes", author=TURNED)
    commands = (
        ["trace", case_id],
        ["status"],
        ["ingest"],
        ["trace", case_id],
        ["trace", HOSTILE],
        ["correct", HOSTILE, HOSTILE],
        ["forget", "--speaker", TURNED, "--reason", HOSTILE, "--erase", "--dry-run"],
        ["rollback", HOSTILE],
        ["import", HOSTILE],
        ["performance", "add", "--model-version", TURNED, "--wer", "0.1", "--cer", "0.1"],
        ["performance"],
        ["compare", HOSTILE],
    )
    for command in commands:
        with suppress(SystemExit):
            cli.main(command)
        out, err = capfd.readouterr()
        assert not set(out + err) & set("\x1b\x07\u202e\u2066"), command
        assert "Traceback" not in err, (command, err)


def test_nothing_evaluates_text():
    """What ruff's rules cannot be told to forgive: no noqa lets any of this in."""
    found = []
    for path in sorted((ROOT / "stages").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {name.partition(".")[0] for name in names} & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}:
                found.append((path.name, names))
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if isinstance(node.func, ast.Name) and called in ("eval", "exec", "compile"):
                    found.append((path.name, called))
                if called in ("system", "popen", "unsafe_load", "full_load"):
                    found.append((path.name, called))
                found += [(path.name, word.arg) for word in node.keywords if word.arg == "shell"]
    assert found == []


def _versions(root: Path) -> dict[str, snapshot.Snapshot]:
    return {version.name: version for version in snapshot.every(root)}


def test_a_byte_that_flips_anywhere_is_found(root: Path):
    """Batches and dataset in the work tree, everything in cache and remote; dvc.lock says what each should be."""
    places = [root / "data/raw", root / "data/dataset", root / ".dvc/cache/files", root.parent / "remote"]
    files = [path for place in places for path in sorted(place.rglob("*")) if path.is_file() and path.stat().st_size]
    needed = {path.parent.name + path.name for path in files} & set(
        verifying.needed(_versions(root), Store(root)).objects
    )
    files = [path for path in files if path.suffix != ".dvc"]
    files = [path for path in files if "md5" not in path.parts or path.parent.name + path.name in needed]
    dice = random.Random(5)
    assert verifying.verify(root, Store(root), remote=True, all_versions=True).problems == ()
    for _ in range(FLIPS):
        path = dice.choice(files)
        content, mode = path.read_bytes(), path.stat().st_mode
        at = dice.randrange(len(content))
        path.chmod(0o644)
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :])
        found = verifying.verify(root, Store(root), remote=True, all_versions=True).problems
        assert found, f"{path}, byte {at}"
        path.write_bytes(content)
        path.chmod(mode)
    assert verifying.verify(root, Store(root), remote=True, all_versions=True).problems == ()
