"""Publishing, against a real emulator: a release as plain files, complete or not to be used, the same for ever."""

import hashlib
import json
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cloud import HEALTHY, Emulator, Faults, Proxy, run
from conftest import ROOT
from mondegreen import publishing, repository, service, snapshot
from mondegreen.errors import CloudError, RepositoryError
from mondegreen.objects import md5_of
from mondegreen.place import Place
from states import PIPELINE, States, rows

pytestmark = pytest.mark.dvc

BASE = "finetuning_datasets/v1.0.0"

# a build in small: what is published is what its stages leave
MAKE = """
import sys, json
from pathlib import Path
import pandas as pd, pyarrow as pa, pyarrow.parquet as pq
from mondegreen import tables
from mondegreen.schemas import PERFORMANCE
number = int(Path("params.yaml").read_text().split(":")[1])
folder = Path("data/dataset/data")
folder.mkdir(parents=True)
for split in ("train", "validation", "test"):
    pq.write_table(pa.table({"text": [f"{split} {row}" for row in range(number * 3)]}), folder / f"{split}-0.parquet")
configs = "".join(f"\\n  - split: {split}\\n    path: data/{split}-*" for split in ("train", "validation", "test"))
(folder.parent / "README.md").write_text(f"---\\nconfigs:\\n- config_name: default\\n  data_files:{configs}\\n---\\n")
Path("data/report").mkdir()
Path("data/report/report.json").write_text(json.dumps({"number": number}))
Path("data/report/report.html").write_text("<p>")
Path("data/metrics").mkdir(exist_ok=True)
Path("data/metrics/quality.json").write_text(json.dumps({"passed": True}))
empty = pa.Table.from_pylist([], PERFORMANCE.arrow).to_pandas()
tables.write(empty, "data/performance.parquet", PERFORMANCE)
"""

REPORT = """
  report:
    cmd: python report.py
    deps: [report.py, data/splits.parquet]
    outs: [data/report, data/performance.parquet]
"""
MAKE_REPORT = """
from pathlib import Path
import pyarrow as pa
from mondegreen import tables
from mondegreen.schemas import PERFORMANCE
Path("data/report").mkdir()
Path("data/report/report.json").write_text("{}")
tables.write(pa.Table.from_pylist([], PERFORMANCE.arrow).to_pandas(), "data/performance.parquet", PERFORMANCE)
"""

STAGES = """
stages:
  export:
    cmd: python make.py
    deps: [make.py, params.yaml]
    outs: [data/dataset, data/report, data/performance.parquet]
    metrics: [{data/metrics/quality.json: {cache: false}}]
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two releases; the work tree is of neither."""
    root = tmp_path_factory.mktemp("repo")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(root)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    repository.dvc(["init", "-q"], root)
    (root / "make.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT / 'stages')!r})\n{MAKE}")
    (root / "dvc.yaml").write_text(STAGES)
    for number in (1, 2):
        (root / "params.yaml").write_text(f"number: {number}\n")
        repository.dvc(["repro", "-q"], root)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", f"{number}"], check=True)
        subprocess.run([*git, "tag", "-a", "-m", "x", f"dataset@v{number}.0.0"], check=True)
    shutil.rmtree(root / "data")
    return root


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch):
    with Emulator("bucket", folder=tmp_path / "cloud") as emulator, Proxy(emulator) as proxy:
        for name, value in proxy.env(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield proxy


def publish(repo: Path, version: str | None = "v1.0.0", **options: float) -> publishing.Published:
    return publishing.publish(publishing.gather(repo, version), Place("gs://bucket"), **options)


def test_a_training_job_loads_a_release_without_git_and_dvc(repo: Path, cloud: Proxy, tmp_path: Path):
    done = publish(repo, None)
    assert (done.url, done.new) == ("gs://bucket/finetuning_datasets/v2.0.0", True)
    script = textwrap.dedent(
        f"""
        from datasets import load_dataset
        splits = ("train", "validation", "test")
        files = {{split: f"{done.url}/data/{{split}}-*.parquet" for split in splits}}
        found = load_dataset("parquet", data_files=files, cache_dir={str(tmp_path)!r})
        print({{split: len(rows) for split, rows in found.items()}}, found["test"]["text"][0])
        """
    )
    said = run(sys.executable, "-c", script, cwd=tmp_path, env=cloud.env(tmp_path))
    assert "{'train': 6, 'validation': 6, 'test': 6} test 0" in said
    assert json.loads(cloud.target.read("bucket", "metadata/v2.0.0/report.json")) == {"number": 2}
    assert json.loads(cloud.target.read("bucket", "metadata/v2.0.0/metrics/quality.json")) == {"passed": True}
    assert json.loads(cloud.target.read("bucket", "metadata/v2.0.0/performance.json")) == []


def test_everything_is_there_before_it_counts_as_complete(repo: Path, cloud: Proxy):
    publish(repo)
    found = cloud.target.objects("bucket", BASE)
    manifest = json.loads(cloud.target.read("bucket", f"{BASE}/_COMPLETE"))
    assert {f"{BASE}/{name}": each["bytes"] for name, each in manifest["files"].items()} == {
        name: int(item["size"]) for name, item in found.items() if not name.endswith("_COMPLETE")
    }
    assert manifest["commit"] == repository.commit_of("dataset@v1.0.0", repo)
    assert max(found, key=lambda name: found[name]["timeCreated"]) == f"{BASE}/_COMPLETE"


def test_publishing_again_sends_nothing_but_what_was_lost_or_damaged(repo: Path, cloud: Proxy):
    publish(repo)
    cloud.requests.clear()
    again = publish(repo)
    assert (again.new, again.files, cloud.count("^(POST|PUT)")) == (False, 0, 0)
    content = cloud.target.read("bucket", f"{BASE}/data/test-0.parquet")
    cloud.target.write("bucket", f"{BASE}/data/test-0.parquet", content[:-9])
    cloud.target.delete("bucket", f"{BASE}/README.md")
    assert publish(repo).files == 2
    assert cloud.target.read("bucket", f"{BASE}/data/test-0.parquet") == content


def test_another_content_under_a_published_version_is_refused(repo: Path, cloud: Proxy):
    publish(repo)
    subprocess.run(["git", "-C", str(repo), "tag", "-f", "dataset@v1.0.0", "dataset@v2.0.0^{}"], check=True)
    try:
        with pytest.raises(RepositoryError, match=r"is another dataset there .*never changes: make a new release"):
            publish(repo)
    finally:
        subprocess.run(["git", "-C", str(repo), "tag", "-f", "dataset@v1.0.0", "dataset@v2.0.0~1"], check=True)
    cloud.target.write("bucket", f"{BASE}/data/train-9.parquet", b"x")
    with pytest.raises(RepositoryError, match="not of this release"):
        publish(repo)
    with pytest.raises(RepositoryError, match=r"no release v3\.0\.0"):
        publish(repo, "v3.0.0")


def test_the_emulator_is_killed_and_restarted_in_the_middle(repo: Path, cloud: Proxy):
    def restart() -> None:
        cloud.target.kill()
        cloud.target.start()

    cloud.faults = Faults(match="^POST", every=3, times=1, do=restart)
    assert publish(repo).new
    assert publish(repo).files == 0


def test_kill_9_again_and_again_and_the_next_run_completes(repo: Path, cloud: Proxy):
    command = [sys.executable, "-m", "mondegreen.cli", "publish", "v1.0.0", "--to", "gs://bucket"]
    env = cloud.env(repo) | {"PYTHONPATH": str(ROOT / "stages")}
    there: set[str] = set()
    for at in (1, 3, 4):
        with subprocess.Popen(command, cwd=repo, env=env, stdout=subprocess.DEVNULL) as process:
            cloud.faults = Faults(match="^POST", every=at, times=1, do=process.kill)
        assert process.returncode == -9
        before, there = there, cloud.target.objects("bucket").keys()
        assert before <= there
        assert f"{BASE}/_COMPLETE" not in there
    cloud.faults = HEALTHY
    assert publish(repo).new
    assert publish(repo).new is False
    assert_last(cloud)


def assert_last(cloud: Proxy) -> None:
    """`_COMPLETE` came behind every file, and says what they are."""
    found = cloud.target.objects("bucket", BASE)
    assert max(found, key=lambda name: found[name]["timeCreated"]) == f"{BASE}/_COMPLETE"
    manifest = json.loads(cloud.target.read("bucket", f"{BASE}/_COMPLETE"))
    for name, each in manifest["files"].items():
        assert hashlib.sha256(cloud.target.read("bucket", f"{BASE}/{name}")).hexdigest() == each["sha256"]


def test_two_who_publish_the_same_at_once_are_both_right(repo: Path, cloud: Proxy):
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: publish(repo), range(2)))
    assert {done.url for done in both} == {f"gs://bucket/{BASE}"}
    assert_last(cloud)
    assert publish(repo).files == 0


@pytest.mark.parametrize("at", [1, 3])
def test_of_two_who_publish_different_things_under_one_version_one_is_refused(at: int, repo: Path, cloud: Proxy):
    ours = publishing.gather(repo, "v1.0.0")
    theirs = replace(publishing.gather(repo, "v2.0.0"), version="v1.0.0")
    refusals = []

    def meanwhile() -> None:
        cloud.faults = HEALTHY
        try:
            publishing.publish(theirs, Place("gs://bucket"))
        except RepositoryError as error:
            refusals.append(str(error))

    cloud.faults = Faults(match="^POST", every=at, times=1, do=meanwhile)
    try:
        publishing.publish(ours, Place("gs://bucket"))
    except RepositoryError as error:
        refusals.append(str(error))
    [said] = refusals
    assert "v1.0.0 is another dataset there" in said
    assert_last(cloud)


def test_an_outage_is_given_up_some_time_and_the_next_run_goes_on(repo: Path, cloud: Proxy, monkeypatch):
    monkeypatch.setattr(service, "PATIENCE", 0.1)
    cloud.faults = Faults(match="^POST", every=3, times=1, do=cloud.target.kill)
    with pytest.raises(CloudError, match=r"not published, such as .*: gs://bucket does not answer .*Run this again"):
        publish(repo, patience=0.1)
    cloud.target.start()
    assert publish(repo).new
    assert_last(cloud)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> States:
    """A repository with v1.0.0, made by `mondegreen release`, and a case more on main; its remote is a bucket."""
    made = States(tmp_path_factory.mktemp("released") / "clone")
    made.write("dvc.yaml", PIPELINE.replace("artifacts:", REPORT + "artifacts:"))
    made.write("report.py", f"import sys\nsys.path.insert(0, {str(ROOT / 'stages')!r})\n{MAKE_REPORT}")
    made.dvc("remote", "add", "-q", "-d", "cloud", "gs://bucket/data_versions")
    made.dvc("remote", "modify", "-q", "cloud", "verify", "true")
    for more in ({}, {"c0": {"corrected_transcript": "kiss the moon"}}):
        made.tables(rows(**more))
        made.metrics()
        made.commit("built")
        if not more:
            made.mondegreen("release")
    return made


def test_a_release_is_published_and_read_as_it_is(released: States, cloud: Proxy, tmp_path: Path):
    said = json.loads(released.mondegreen("publish", "--to", "gs://bucket", "--json"))
    assert said["version"] == "v1.0.0"
    code = f"""
        from datasets import load_dataset
        url = "gs://bucket/{BASE}/splits.parquet"
        found = load_dataset("parquet", data_files=url, cache_dir={str(tmp_path)!r}, split="train")
        print(sorted(zip(found["case_id"], found["split"], found["corrected_transcript"])))
        """
    loaded = run(sys.executable, "-c", textwrap.dedent(code), cwd=tmp_path, env=cloud.env(tmp_path))
    table = released_table(released)
    columns = (table[name] for name in ("case_id", "split", "corrected_transcript"))
    assert str(sorted(zip(*columns, strict=True))) in loaded
    assert "kiss the moon" not in loaded
    assert_last(cloud)


def released_table(released: States) -> pd.DataFrame:
    """Return the dataset of v1.0.0, from the cache."""
    state = snapshot.at(released.root, "dataset@v1.0.0")
    [item] = [item for item in state.store.listing(state.outputs["data/dataset"]) if item.path.endswith(".parquet")]
    return pd.read_parquet(state.store.cache_path(item.md5))


@pytest.mark.parametrize("command", ["dvc", "mondegreen"])
def test_a_fresh_clone_gets_an_old_release_back_from_the_bucket(
    command: str, released: States, cloud: Proxy, tmp_path: Path
):
    said = json.loads(released.mondegreen("push", "--all-versions", "--json"))
    assert said["problems"] == {}
    subprocess.run(["git", "clone", "-q", released.root, tmp_path / "fresh"], check=True)
    fresh = States.__new__(States)
    fresh.root = tmp_path / "fresh"
    fresh.git("checkout", "-q", "dataset@v1.0.0")
    if command == "dvc":
        fresh.dvc("pull", "-q")
    else:
        fresh.mondegreen("pull")
    state = snapshot.at(released.root, "dataset@v1.0.0")
    files = [item for item in state.store.objects(state.outputs.values()) if not item.md5.endswith(".dir")]
    assert len(files) > 8
    assert {item.path: md5_of(fresh.root / item.path) for item in files} == {item.path: item.md5 for item in files}


def test_what_was_interrupted_goes_on(repo: Path, cloud: Proxy):
    publish(repo)
    cloud.target.delete("bucket", f"{BASE}/_COMPLETE")
    cloud.target.delete("bucket", f"{BASE}/data/test-0.parquet")
    done = publish(repo)
    assert (done.new, done.files) == (True, 1)
    assert publish(repo).new is False


def test_every_third_request_fails(repo: Path, cloud: Proxy):
    cloud.faults = Faults(every=3, status=503, times=6)
    assert publish(repo).new
    assert not publish(repo).new


def test_a_dry_run_sends_nothing_not_even_to_the_hub(repo: Path, tmp_path: Path):
    code = "import sys; from mondegreen.cli import main; sys.exit(main())"
    env = {"PYTHONPATH": str(ROOT / "stages"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    said = run(sys.executable, "-c", code, "publish", "--hub", "org/name", "--dry-run", cwd=repo, env=env)
    assert said.startswith("would publish v2.0.0") and "org/name on the Hugging Face Hub" in said
    assert "  data/train-0.parquet\n" in said and said.endswith("  _COMPLETE\n")
