"""The engine dask: a real cluster of two worker processes, one of them killed in the middle; the same bytes."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

from clone import Clone
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


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as made:
        monkeypatch.setenv("MONDEGREEN_SCHEDULER", made.scheduler_address)
        yield made


def test_a_cluster_makes_the_same_bytes_with_a_worker_killed_in_the_middle(cluster: LocalCluster, tmp_path: Path):
    killer = Killer(cluster, "abs", "_piece", "_copies")
    cluster.scheduler.add_plugin(killer)
    assert list(spread(abs, [-1, 2, -3], engine="dask")) == [1, 2, 3]

    clone = Clone(tmp_path / "clone")
    clone.env |= {"MONDEGREEN_SCHEDULER": cluster.scheduler_address}
    params = clone.path / "params.yaml"
    clone.run("dvc", "repro", "--quiet", "export")
    clone.commit("built locally")
    dataset = clone.dataset_hash()
    params.write_text(params.read_text().replace("engine: local", "engine: dask"))
    shutil.rmtree(clone.path / SHELF)
    clone.run("dvc", "repro", "--quiet", "--force", "--single-item", "collect", "augment", "export")
    assert clone.git("status", "--porcelain").split() == ["M", "params.yaml"], "dvc.lock names the same bytes"
    assert clone.dataset_hash() == dataset
    assert killer.killed == ["abs", "_piece", "_copies"]


def test_a_scheduler_that_is_not_there_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MONDEGREEN_SCHEDULER", raising=False)
    with pytest.raises(ParamsError, match="no scheduler is named: set MONDEGREEN_SCHEDULER=tcp://HOST:8786"):
        list(spread(abs, [1], engine="dask"))
