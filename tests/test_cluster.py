"""The engine dask: real clusters of two processes, killed in the middle, or without the repository; the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed import LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

from clone import Clone
from cloud import Emulator
from conftest import ROOT, sound
from mondegreen import Recorder, shelf
from mondegreen.errors import ParamsError
from mondegreen.executor import spread
from mondegreen.shelf import FOLDER as SHELF

pytestmark = pytest.mark.dvc


class Killer(SchedulerPlugin):
    """Kills the process that has just begun the first task of each of some functions."""

    def __init__(self, cluster: LocalCluster, *functions: str) -> None:
        self.killed: list[str] = []
        self._cluster, self._left = cluster, list(functions)

    def transition(self, key, start, finish, *args, **kwargs) -> None:
        name = next((name for name in self._left if finish == "processing" and str(key).startswith(name)), None)
        if name is not None:
            self._left.remove(name)
            address = self._cluster.scheduler.tasks[key].processing_on.address
            worker = next(each for each in self._cluster.workers.values() if each.worker_address == address)
            os.kill(worker.pid, signal.SIGKILL)
            self.killed.append(name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A dataset with a copy of every case of train, of the sample and of a batch that DVC tracks."""
    clone = Clone(tmp_path_factory.mktemp("built") / "clone")
    with Recorder(clone.path / "data/inbox") as recorder:
        for number in range(20):
            case_id = recorder.failure(sound(2, seed=number), original_transcript="heard", speaker_id=f"new{number}")
            recorder.correction(case_id, f"what speaker number {number} said", author="ann")
    clone.mondegreen("ingest")
    clone.set_param("augment", "factor", 1)
    clone.run("dvc", "repro", "--quiet", "export")
    clone.commit("built locally")
    return clone


@pytest.fixture
def clone(built: Clone, tmp_path: Path) -> Clone:
    return built.copy(tmp_path / "clone")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as made:
        monkeypatch.setenv("MONDEGREEN_SCHEDULER", made.scheduler_address)
        yield made


def test_a_cluster_makes_the_same_bytes_with_a_worker_killed_in_the_middle(cluster: LocalCluster, clone: Clone):
    killer = Killer(cluster, "abs", "collect", "_copies")
    cluster.scheduler.add_plugin(killer)
    assert list(spread(abs, [-1, 2, -3], engine="dask")) == [1, 2, 3]

    shutil.rmtree(clone.path / SHELF)
    rebuild(clone, cluster.scheduler_address, "collect", "augment", "export")
    assert killer.killed == ["abs", "collect", "_copies"]


def rebuild(clone: Clone, scheduler: str, *stages: str) -> None:
    """Build on a cluster what was built locally, and make sure that it is the same."""
    clone.env |= {"MONDEGREEN_SCHEDULER": scheduler}
    params, dataset = clone.path / "params.yaml", clone.dataset_hash()
    params.write_text(params.read_text().replace("engine: local", "engine: dask"))
    clone.run("dvc", "repro", "--quiet", "--force", "--single-item", *stages)
    assert clone.git("status", "--porcelain").split() == ["M", "params.yaml"], "dvc.lock names the same bytes"
    assert clone.dataset_hash() == dataset


HIDDEN = """mount -t tmpfs tmpfs "$0" && cd / && exec "$@" """


def test_workers_without_the_repository_read_the_packs_from_the_remote(clone: Clone, tmp_path: Path):
    """They have the package alone; where the clone is, they see an empty folder."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    shutil.copytree(ROOT / "stages/mondegreen", tmp_path / "package/mondegreen")
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator("bucket"))
        made = stack.enter_context(LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, silence_logs=50))
        env = emulator.env(tmp_path) | {"PYTHONPATH": str(tmp_path / "package")}
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", made.scheduler_address, "--no-nanny"]
        worker += ["--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / "dask")]
        for _ in range(2):
            command = ["unshare", "-rm", "sh", "-c", HIDDEN, str(clone.path), *worker]
            stack.callback(end, subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL))
        clone.env = emulator.env(tmp_path)
        clone.run("dvc", "remote", "add", "--default", "cloud", "gs://bucket/data_versions")
        clone.commit("a bucket")
        params = clone.path / "params.yaml"
        params.write_text(params.read_text().replace("engine: local", "engine: dask"))
        clone.env |= {"MONDEGREEN_SCHEDULER": made.scheduler_address}
        said = clone.run("dvc", "repro", "--quiet", "--force", "--single-item", "augment", status=255)
        assert "nor readable at gs://bucket/data_versions/files/md5/" in said
        assert "'mondegreen push'" in said
        assert "Traceback" not in said
        clone.run("dvc", "push", "--quiet", *map(str, clone.path.glob("data/raw/*.dvc")))
        rebuild(clone, made.scheduler_address, "augment", "export")


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


def test_a_worker_with_other_code_is_refused_before_it_does_anything(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = shutil.copytree(shelf.PACKAGE, tmp_path / "mondegreen")
    (other / "text.py").write_text((other / "text.py").read_text() + "\n# a change\n")
    monkeypatch.setattr(shelf, "PACKAGE", other)
    shelf.code.cache_clear()
    try:
        with pytest.raises(ParamsError, match="2 of 2 workers of the cluster, such as tcp://"):
            list(spread(abs, [-1, 2], engine="dask"))
    finally:
        shelf.code.cache_clear()


def test_a_scheduler_that_is_not_there_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MONDEGREEN_SCHEDULER", raising=False)
    with pytest.raises(ParamsError, match="no scheduler is named: set MONDEGREEN_SCHEDULER=tcp://HOST:8786"):
        list(spread(abs, [1], engine="dask"))
