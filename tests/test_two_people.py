"""Two people at once: two clones with a remote of Git and one of DVC between them, merged as the README says."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from clone import Clone
from conftest import sound
from mondegreen import ledger

pytestmark = pytest.mark.dvc


def splits(clone: Clone) -> pd.DataFrame:
    return pd.read_parquet(clone.path / "data/splits.parquet").set_index("case_id")


def change(clone: Clone, who: str, case: str, seed: int) -> str:
    """Record two cases, correct them and one that was there, ingest, build, commit, release; return what release says.

    Nobody has released yet: both make v1.0.0.
    """
    clone.git("config", "user.name", who)
    clone.git("config", "user.email", f"{who}@localhost")
    for number in range(2):
        clip = clone.path / f"{number}.wav"
        clip.write_bytes(sound(seed=seed + number))
        heard = f"kiss this guy {who} {number}"
        made = clone.mondegreen("record", clip.name, "--original", heard, "--speaker", who)
        clone.mondegreen("correct", made.strip(), f"kiss the sky {who} {number}", "--author", who)
        clip.unlink()
    clone.mondegreen("correct", case, f"what {who} heard", "--author", who)
    clone.mondegreen("ingest")
    clone.run("dvc", "repro", "--quiet")
    clone.commit(f"{who}'s batch")
    said = clone.mondegreen("release")
    clone.run("dvc", "push", "--quiet")
    return said


def test_two_people_merge_as_the_readme_says_and_nothing_is_lost(built: Clone, tmp_path: Path):
    ann, bob = built.copy(tmp_path / "ann"), built.copy(tmp_path / "bob")
    subprocess.run(["git", "clone", "-q", "--bare", ann.path, tmp_path / "hub.git"], check=True)
    for clone in (ann, bob):
        clone.run("dvc", "config", "--local", "remote.local.url", str(tmp_path / "remote"))
        clone.git("remote", "add", "origin", str(tmp_path / "hub.git"))
        clone.git("fetch", "-q")
        clone.git("branch", "-q", "--set-upstream-to", "origin/main")
    train = splits(built).query("split == 'train' and origin == 'failure'").index
    for clone, who, case, seed in ((ann, "ann", train[0], 1000), (bob, "bob", train[-1], 1100)):
        assert "released dataset@v1.0.0" in change(clone, who, case, seed)
    first = splits(ann)
    ann.git("push", "-q", "--follow-tags")
    assert "rejected" in bob.run("git", "push", "--follow-tags", status=1)
    [take_back] = [block.splitlines() for block in ann.readme("") if "$ git rebase" in block]
    assert take_back[0].removeprefix("$ ").replace("v1.1.0", "v1.0.0") in bob.mondegreen("release", status=1)

    for line in take_back:
        command = line.removeprefix("$ ").replace("v1.1.0", "v1.0.0")
        if command.startswith("git pull"):
            assert "Merge conflict in dvc.lock" in bob.run("bash", "-c", command, status=1)
            unmerged = {line[3:] for line in bob.git("status", "--porcelain").splitlines() if "U" in line[:2]}
            assert "dvc.lock" in unmerged
            assert {path.split("/")[1] for path in unmerged - {"dvc.lock"}} <= {"metrics", "plots"}
        elif command.startswith("git add"):
            bob.commit("merged")
        elif command.startswith("mondegreen"):
            assert "v1.1.0: minor: 2 cases came and 0 went since v1.0.0" in bob.mondegreen("release")
        else:
            bob.run("bash", "-c", command)
    bob.run("dvc", "push", "--quiet")
    bob.git("push", "-q", "--follow-tags")

    merged = splits(bob)
    was, now = (dict(table["split"][table["origin"] == "failure"]) for table in (first, merged))
    assert {case: now[case] for case in was} == was
    assert [merged["corrected_transcript"][case] for case in (train[0], train[-1])] == [
        "what ann heard",
        "what bob heard",
    ]
    assert len(list((bob.path / "data/raw").glob("*.dvc"))) == 2
    frozen = ledger.read(bob.path / "data/ledger.csv")
    assert set(ledger.read(ann.path / "data/ledger.csv").itertuples(index=False)) < set(frozen.itertuples(index=False))
    assert bob.git("status", "--porcelain") == ""
    assert "up to date" in bob.run("dvc", "status")

    ann.git("pull", "-q")
    ann.run("dvc", "pull", "--quiet")
    assert ann.dataset_hash() == bob.dataset_hash()
    assert "up to date" in ann.run("dvc", "status")
    assert "everything is what it was made as" in ann.mondegreen("verify", "--remote", "--all-versions")
