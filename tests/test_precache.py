"""Packs that are in DVC's cache before `dvc add` asks: the same cache and .dvc file, and a changed pack is noticed."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import sound
from mondegreen import Recorder, repository, sealing, verifying
from mondegreen.ingest import ingest
from mondegreen.objects import Store, md5_of

pytestmark = pytest.mark.dvc

CLIPS = 6
"""Each is a pack of its own here."""


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spool")
    with Recorder(folder) as recorder:
        for seed in range(CLIPS):
            recorder.failure(sound(0.2, seed=seed), original_transcript="x")
    return folder


@pytest.fixture
def sealed(spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that makes a repository with the spool's batch in it."""
    monkeypatch.setattr(sealing, "PACK_BYTES", 5000)

    def made(
        name: str,
        *,
        early: bool,
        elsewhere: bool = False,
        kind: str = "",
        seen: Callable[[Path], None] = lambda batch: None,
    ) -> Path:
        root = tmp_path / name
        root.mkdir()
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        repository.dvc(["init", "-q"], root)
        if kind:
            repository.dvc(["config", "cache.type", kind], root)
        shutil.copytree(spool, root / "inbox")

        def track(batch: Path) -> None:
            seen(batch)
            repository.track(batch)

        repo = tmp_path if elsewhere else root if early else None
        done = ingest(root / "inbox", root / "data/raw", track=track, root=repo)
        assert done.clips == CLIPS
        assert verifying.verify(root, Store(root)).problems == ()
        return root

    return made


def held(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of all that is in the cache, by path."""
    files = (path for path in (root / ".dvc/cache").rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): (path.stat().st_mode, path.read_bytes()) for path in files}


def dvc_file(root: Path) -> bytes:
    [file] = (root / "data/raw").glob("*.dvc")
    return file.read_bytes()


def listed(root: Path) -> dict[str, str]:
    """Return the MD5 of each file of the batch, by name, as DVC has noted it."""
    [out] = yaml.safe_load(dvc_file(root))["outs"]
    return {entry["relpath"]: entry["md5"] for entry in json.loads(Store(root).cache_path(out["md5"]).read_bytes())}


def known(root: Path, file: Path) -> str | None:
    """Return the MD5 that DVC would take for a file without reading it."""
    from dvc.repo import Repo

    with Repo(str(root)) as opened:
        _, found = opened.state.get(str(file), opened.cache.local.fs)
    return found and found.value


def test_what_dvc_keeps_is_the_same_and_was_there_before_it_was_asked(sealed: Callable[..., Path]):
    before: dict[str, tuple[str | None, bool]] = {}

    def look(batch: Path) -> None:
        root = batch.parents[2]
        for pack in batch.glob("*.parquet"):
            before[pack.name] = known(root, pack), Store(root).cache_path(md5_of(pack)).is_file()

    late, early = sealed("late", early=False), sealed("early", early=True, seen=look)
    assert held(early) == held(late)
    assert dvc_file(early) == dvc_file(late)
    assert len(before) == CLIPS
    assert before == {name: (md5, True) for name, md5 in listed(late).items() if name != "events.jsonl"}


def test_a_pack_that_changed_since_is_read_again(sealed: Callable[..., Path]):
    """Even to one of the same size."""

    def change(batch: Path) -> None:
        pack = min(batch.glob("*.parquet"))
        content = pack.read_bytes()
        before = known(batch.parents[2], pack)
        pack.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
        os.utime(pack, ns=(1, 1))  # a clock may be too coarse to tell two writes apart
        assert before != md5_of(pack)

    root = sealed("changed", early=True, seen=change)
    [batch] = (path for path in (root / "data/raw").iterdir() if path.is_dir())
    assert listed(root) == {path.name: md5_of(path) for path in batch.iterdir()}


@pytest.mark.parametrize("trouble", ["it links", "it is not found"])
def test_where_the_cache_takes_nothing_early_dvc_does_all(sealed: Callable[..., Path], trouble: str):
    def look(batch: Path) -> None:
        root = batch.parents[2]
        for pack in batch.glob("*.parquet"):
            assert known(root, pack) is None
            assert not Store(root).cache_path(md5_of(pack)).exists()

    links = trouble == "it links"
    sealed("plain", early=links, elsewhere=not links, kind="hardlink,copy" if links else "", seen=look)
