"""kill -9 at any instant of a stage, or of `dvc repro`: the dataset is whole all the time, the next run completes.

At no moment is a table torn either: each file of a stage is what it was, what it becomes, or not there.
"""

import hashlib
from collections import Counter
from random import Random

import pytest

from clone import Clone
from conftest import ROOT
from kills import TORTURE, Nursery, rounds
from mondegreen import DataManager, FinetuningDatasetPipeline, params, repository
from mondegreen.errors import RepositoryError

pytestmark = pytest.mark.dvc

STAGES = {
    "collect": "data/*.parquet data/metrics/collect.json",
    "validate": "data/valid*.parquet data/rejected.parquet data/metrics/quality.json",
    "gate": "data/metrics/gate.json",
    "split": "data/splits.parquet data/left_out.parquet data/metrics/split.json",
    "augment": "data/metrics/augment.json",
    "export": "",
    "audit": "data/metrics/dataset.json",
    "report": "data/report/report.json",
}
"""The files of each that never are half written; the dataset never is."""

EACH = 10
"""So often in a row a build is killed before it may finish."""

LIBRARY = sorted(f"mondegreen.{path.stem}" for path in (ROOT / "stages/mondegreen").glob("[a-z]*.py"))


@pytest.fixture(scope="module")
def clone(built: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return built.copy(tmp_path_factory.mktemp("kills") / "clone")


def dataset(clone: Clone) -> str:
    """Return what tells one dataset from another; '' where there is none."""
    folder = clone.path / "data/dataset"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = b"".join(path.relative_to(folder).as_posix().encode() + path.read_bytes() for path in files)
    return hashlib.sha256(found).hexdigest() if folder.exists() else ""


def tables(clone: Clone, stage: str) -> dict[str, bytes]:
    return {
        path.relative_to(clone.path).as_posix(): path.read_bytes()
        for pattern in STAGES[stage].split()
        for found in clone.path.glob(pattern)
        for path in (found.iterdir() if found.is_dir() else (found,))
        if not found.name.startswith(".")
    }


def test_a_stage_that_was_killed_tears_nothing_and_runs_again(clone: Clone):
    good, dice = dataset(clone), Random(7)
    imported = [name for name in LIBRARY if name not in ("mondegreen.companion", "mondegreen.cli")]
    with Nursery(clone.path, "runpy", "sys", *imported) as nursery:
        for stage in STAGES if TORTURE else ("split", "export"):
            run = f"sys.argv[:] = ['stages/{stage}.py']; runpy.run_path('stages/{stage}.py', run_name='__main__')"
            expected = tables(clone, stage)
            seconds, before = nursery.run(run) or 0, nursery.killed
            assert tables(clone, stage) == expected
            for _ in range(rounds(1)):
                nursery.torment(run, seconds, dice)
                assert tables(clone, stage).items() <= expected.items()
                assert dataset(clone) in (good, "")
            nursery.run(run)
            assert dataset(clone) == good
            assert tables(clone, stage) == expected
            print(f"{stage}: killed {nursery.killed - before} times")
    assert "up to date" in clone.run("dvc", "status")
    assert clone.git("status", "--porcelain") == ""


def test_a_build_that_was_killed_never_shows_half_a_dataset_and_the_next_one_completes(clone: Clone):
    """With all it started, or `dvc` alone: then the stage that it had begun ends with it.

    Two seeds take turns: some builds make everything, others take what DVC has seen before from its cache.
    """
    seeds = (params.load(params.Split, clone.path / "params.yaml").seed, 99)
    made, dice, torn, ended, whole = {seeds[0]: dataset(clone)}, Random(8), Counter(), 1, {}
    fresh = True  # nothing of this build was made by one that was killed
    with Nursery(clone.path, "dvc.cli", "dvc.repo.reproduce", "dvc.stage.run") as nursery:
        while nursery.killed < rounds(2):
            cached, seen = len(whole) > 0 and dice.random() < 0.5, []
            repro = f"raise SystemExit(cli.main(['repro', *{['--no-run-cache'] * (not cached)}]))"
            for number in range(min(EACH, rounds(2))):
                took: float | None = 0.0
                while took is not None:
                    clone.set_param("split", "seed", seeds[ended % 2])
                    seconds = dice.uniform(0, whole[cached]) if cached in whole else None
                    try:
                        took = nursery.run(repro, seconds, alone=number % 2 == 1)
                    except AssertionError as error:
                        [name] = [name for name in ("/dvc.lock'", "/rwlock'") if name in str(error)]
                        assert mended(clone) == (name == "/dvc.lock'")
                        torn[name] += 1
                        continue
                    if took is not None:
                        assert dataset(clone) == made.setdefault(seeds[ended % 2], dataset(clone))
                        whole |= {cached: took} if fresh else {}
                        ended, fresh = ended + 1, True
                fresh = False
                seen.append(dataset(clone))
            torn["/dvc.lock'"] += mended(clone)
            clone.run("dvc", "repro")
            assert dataset(clone) == made.setdefault(seeds[ended % 2], dataset(clone))
            ended, fresh = ended + 1, True
            assert set(seen) <= {*made.values(), ""}
            assert "up to date" in clone.run("dvc", "status")
            assert clone.metrics("dataset")["passed"]
            print(f"dvc repro: killed {nursery.killed} times; now {seen.count('')} of {len(seen)} times no dataset")
    assert made[seeds[0]] != made[seeds[1]]
    print(f"torn: {dict(torn)}; {ended} builds were quicker, whole ones in {whole} seconds")


def mended(clone: Clone) -> bool:
    """Do what commands tell a user whose DVC was killed while it wrote dvc.lock; say if it was so."""
    try:
        repository.dvc(["status"], clone.path)
    except RepositoryError as error:
        if "left dvc.lock torn" in str(error):
            clone.git("checkout", "HEAD", "--", "dvc.lock")
            return True
    return False


def test_a_torn_dvc_lock_is_named_with_what_mends_it(clone: Clone):
    lock = (clone.path / "dvc.lock").read_bytes()
    prepared = FinetuningDatasetPipeline(DataManager(clone.path / "data/inbox"))
    for size in (0, 7):
        (clone.path / "dvc.lock").write_bytes(lock[:size])
        with pytest.raises(RepositoryError, match=r"torn: 'git checkout HEAD -- dvc\.lock', then"):
            repository.dvc(["status"], clone.path)
        with pytest.raises(RepositoryError, match=r"torn: 'git checkout HEAD -- dvc\.lock', then"):
            prepared.prepare_dataset(train_ratio=0.7, val_ratio=0.2)
    (clone.path / "dvc.lock").write_bytes(lock)


def test_a_lock_of_dvc_that_was_torn_keeps_nobody_out(clone: Clone):
    torn = clone.path / ".dvc/tmp/rwlock"
    for content in ("", '{"a": {"re'):
        torn.write_text(content)
        assert "JSON structure is corrupted" in clone.run("dvc", "repro", status=255)
        repository.mend(clone.path / "data/raw")
        assert not torn.exists()
    torn.write_text("{}")
    repository.mend(clone.path)
    assert torn.exists()
    assert "up to date" in repository.dvc(["status"], clone.path)
