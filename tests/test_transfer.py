"""Push and pull through a real emulator and a proxy that makes faults: what was said to be there is there, intact."""

import os
import pty
import random
import re
import resource
import shutil
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from cloud import HEALTHY, Emulator, Faults, Proxy
from mondegreen import mending, repository, service, snapshot, transfer, verifying
from mondegreen.cli import main
from mondegreen.errors import CloudError, RepositoryError, UnreachableError
from mondegreen.objects import Store

pytestmark = pytest.mark.dvc

BATCH = "data/raw/batch"
PACK = f"{BATCH}/audio-00000.parquet"
FILES, OBJECTS = 5, 7  # small files; with the pack and the list
UPLOAD, DOWNLOAD = "^(POST|PUT) /upload", "alt=media"

torture = pytest.mark.skipif(not os.environ.get("TORTURE"), reason="waits for a minute: make torture")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a batch of a pack of 3 MB and five small files."""
    root = tmp_path_factory.mktemp("template")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(root)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    repository.dvc(["init", "-q"], root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / ".dvc/config").write_text("[core]\n    remote = cloud\n    analytics = false\n")
    (root / ".gitignore").write_text("/data/.raw.lock\n/data/raw/?*\n!/data/raw/?*.dvc\n")
    fill(root / BATCH, seed=1)
    repository.dvc(["add", "-q", BATCH], root)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "start"], check=True)
    return root


def fill(folder: Path, *, seed: int) -> None:
    folder.mkdir(parents=True)
    source = random.Random(seed)
    (folder / "audio-00000.parquet").write_bytes(source.randbytes(3_000_000))
    for number in range(FILES):
        (folder / f"{number:02}.txt").write_bytes(source.randbytes(2000))


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator("bucket", folder=tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture
def cloud(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """An empty bucket behind a proxy, and this process taking it for Google's."""
    for name in emulator.objects("bucket"):
        emulator.delete("bucket", name)
    with Proxy(emulator) as proxy:
        changed = proxy.env(tmp_path)
        for name in os.environ.keys() - changed.keys() - {"PYTHONPATH", "COVERAGE_FILE"}:
            monkeypatch.delenv(name)
        for name in changed.keys() - os.environ.keys() | {"HOME"}:
            monkeypatch.setenv(name, changed[name])
        yield proxy


@pytest.fixture
def root(template: Path, tmp_path: Path, cloud: Proxy) -> Path:
    """A copy of the template, whose remote is the bucket."""
    copy = tmp_path / "repo"
    shutil.copytree(template, copy, symlinks=True)
    with (copy / ".dvc/config").open("a") as config:
        config.write("['remote \"cloud\"']\n    url = gs://bucket/data_versions\n    verify = true\n")
    return copy


def fresh(root: Path) -> Path:
    """Return a clone without cache and data."""
    clone = root.with_name("fresh")
    shutil.copytree(root, clone, symlinks=True)
    shutil.rmtree(clone / ".dvc/cache")
    shutil.rmtree(clone / ".dvc/tmp", ignore_errors=True)
    shutil.rmtree(clone / BATCH)
    return clone


def push(root: Path, **options) -> transfer.Transfer:
    return transfer.push(root, Store(root), **options)


def pull(root: Path, **options) -> transfer.Transfer:
    return transfer.pull(root, Store(root), **options)


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / BATCH).iterdir()}


def name_of(root: Path, path: str) -> str:
    """Return what the object of a file is called in the bucket."""
    objects, _ = transfer.needed(root, Store(root))
    [found] = [item.md5 for item in objects if item.path == path]
    return f"data_versions/files/md5/{found[:2]}/{found[2:]}"


def assert_complete(root: Path, cloud: Proxy) -> None:
    """What was pushed can be had: by an audit, by mondegreen and by DVC itself in clones without anything."""
    cloud.faults = HEALTHY
    assert push(root, dry=True, deep=True).problems == {}
    clone = fresh(root)
    assert pull(clone).problems == {}
    assert contents(clone) == contents(root)


# -- without faults


def test_what_is_pushed_comes_back_by_mondegreen_and_by_dvc(root: Path, cloud: Proxy):
    done = push(root)
    assert (done.needed, done.moved, done.problems) == (OBJECTS, OBJECTS, {})
    sizes = map(len, contents(root).values())
    assert done.moved_bytes == done.size == sum(sizes) + size_of_list(root)
    before = cloud.count(UPLOAD)
    assert push(root).moved == 0
    assert cloud.count(UPLOAD) == before, "nothing goes up twice"
    assert_complete(root, cloud)
    shutil.rmtree(root.with_name("fresh"))
    clone = fresh(root)
    repository.dvc(["pull", "-q"], clone)
    assert contents(clone) == contents(root)
    assert repository.dvc(["status", "-c"], root).strip() == "Cache and remote 'cloud' are in sync."


def test_a_pull_where_nothing_was_built_yet_brings_the_batches(root: Path, cloud: Proxy):
    push(root)
    clone = fresh(root)
    (clone / "dvc.yaml").write_text("stages: {collect: {cmd: 'false', outs: [data/cases.parquet]}}\n")
    assert pull(clone).problems == {}
    assert contents(clone) == contents(root)


def test_a_pull_says_what_is_not_there_in_order_and_what_to_do(root: Path, cloud: Proxy, monkeypatch, capsys):
    for number in range(25):
        (root / BATCH / f"more-{number:02}.txt").write_text(str(number))
    repository.dvc(["add", "-q", BATCH], root)
    push(root)
    shutil.rmtree(root / ".dvc/cache")
    bucket = [name for name in cloud.target.objects("bucket") if not name.endswith(".dir")]
    for name in bucket:
        cloud.target.delete("bucket", name)
    monkeypatch.chdir(root)
    assert main(["pull"]) == 1
    [_, *lost, more, summary, following] = capsys.readouterr().out.splitlines()
    assert lost == sorted(lost)
    assert more == f"  and {len(bucket) - len(lost)} more objects"
    assert summary.endswith(f"{len(bucket)} objects")
    assert following.startswith("next: 'mondegreen push' where they are")
    (root / "data/raw/batch.dvc").unlink()
    assert main(["pull"]) == 0
    assert "all 0 that are needed are here" in capsys.readouterr().out


def test_a_pull_that_finds_no_room_in_the_work_tree_does_not_pass(root: Path, cloud: Proxy):
    push(root)
    clone = fresh(root)
    pull(clone)
    shutil.rmtree(clone / BATCH)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))  # as a full disk: the pack does not fit
    try:
        with pytest.raises(RepositoryError, match=f"{BATCH}.* could not be put into the work tree.* make room"):
            pull(clone)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    pull(clone)
    assert contents(clone) == contents(root)


def test_what_dvc_says_comes_without_its_closing_words(root: Path):
    (root / ".dvc/config.local").mkdir()
    with pytest.raises(RepositoryError, match=r"failed: ERROR: .*Is a directory") as raised:
        repository.dvc(["status"], root)
    assert "Having any troubles" not in str(raised.value)


def size_of_list(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / ".dvc/cache/files/md5").rglob("*.dir"))


def test_many_small_objects_survive_faults(root: Path, cloud: Proxy):
    for number in range(150):
        (root / BATCH / f"more-{number}.txt").write_text(f"{number}")
    repository.dvc(["add", "-q", BATCH], root)
    cloud.faults = Faults(match=UPLOAD, every=20, cut=100, times=3)
    assert push(root).problems == {}
    assert len(cloud.target.objects("bucket")) == OBJECTS + 150
    assert_complete(root, cloud)


def test_what_dvc_pushed_is_complete(root: Path, cloud: Proxy):
    repository.dvc(["push", "-q", "-j", "4"], root)
    done = push(root)
    assert (done.moved, done.problems) == (0, {})


def test_a_folder_as_remote(root: Path, tmp_path: Path):
    repository.dvc(["remote", "modify", "cloud", "url", str(tmp_path / "remote")], root)
    assert push(root).moved == OBJECTS
    [pack] = [path for path in (tmp_path / "remote").rglob("*") if path.is_file() and path.stat().st_size == 3_000_000]
    pack.write_bytes(b"x" * 3_000_000)
    assert push(root).moved == 0, "a file system knows no hash"
    [why] = push(root, dry=True, deep=True).problems.values()
    assert why == "has another content"
    clone = fresh(root)
    [why] = pull(clone).problems.values()
    assert "damaged" in why
    assert not (clone / BATCH).exists()
    assert push(root, deep=True).moved == 1
    assert pull(clone).problems == {}
    assert contents(clone) == contents(root)


# -- faults on the way


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(every=3, status=503), id="503 on every third"),
        pytest.param(Faults(every=2, status=429, retry_after=1, times=3), id="429 with Retry-After"),
        pytest.param(Faults(every=4, cut=1000, times=3), id="cut connections"),
        pytest.param(Faults(match="upload|media", cut=1_500_000, times=2), id="cut half-way through the pack"),
        pytest.param(Faults(every=5, cut=0, times=3), id="dropped connections"),
    ],
)
def test_push_and_pull_survive(faults: Faults, root: Path, cloud: Proxy):
    cloud.faults = faults
    assert push(root).problems == {}
    cloud.faults = faults
    clone = fresh(root)
    assert pull(clone).problems == {}
    assert contents(clone) == contents(root)
    assert len(cloud.target.objects("bucket")) == OBJECTS


def test_a_50_mb_object_survives_a_cut(root: Path, cloud: Proxy):
    (root / PACK).write_bytes(random.Random(2).randbytes(50_000_000))
    repository.dvc(["add", "-q", BATCH], root)
    cloud.faults = Faults(match="^PUT /upload", cut=9_000_000, times=1)
    assert push(root).problems == {}
    assert cloud.count("^PUT /upload") == 3, "two chunks, one of them twice"
    cloud.faults = Faults(match=DOWNLOAD, cut=25_000_000, times=1)
    clone = fresh(root)
    assert pull(clone).problems == {}
    assert contents(clone) == contents(root)


def test_the_emulator_is_killed_and_restarted_in_the_middle(root: Path, cloud: Proxy, emulator: Emulator):
    def restart() -> None:
        emulator.kill()
        emulator.start()

    cloud.faults = Faults(match=UPLOAD, every=4, times=1, do=restart)
    assert push(root).problems == {}
    cloud.faults = Faults(match=DOWNLOAD, every=4, times=1, do=restart)
    clone = fresh(root)
    assert pull(clone).problems == {}
    assert contents(clone) == contents(root)


def test_a_killed_push_goes_on_where_it_was(root: Path, cloud: Proxy):
    code = "import sys; from mondegreen.cli import main; sys.exit(main(['push', '--jobs', '1']))"
    env = os.environ | {"PYTHONPATH": str(Path(transfer.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, env=env, stderr=subprocess.DEVNULL)
    cloud.faults = Faults(match=UPLOAD, every=4, times=1, do=process.kill)
    process.wait()
    there = len(cloud.target.objects("bucket"))
    assert 0 < there < OBJECTS
    assert not any(name.endswith(".dir") for name in cloud.target.objects("bucket")), "the list goes last"
    cloud.faults = HEALTHY
    assert push(root).moved == OBJECTS - there
    assert_complete(root, cloud)


def test_two_pushes_at_once(root: Path, cloud: Proxy):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(push, [root, root])
    assert first.problems == second.problems == {}
    assert len(cloud.target.objects("bucket")) == OBJECTS
    assert_complete(root, cloud)


def test_a_server_that_stays_dead_is_given_up_and_named(root: Path, cloud: Proxy, capsys, monkeypatch):
    push(root)
    monkeypatch.setattr(service, "CONTACT", 1.0)
    cloud.faults = Faults(cut=0)
    with pytest.raises(UnreachableError, match=r"gs://bucket cannot be reached .*check the network"):
        push(root)
    monkeypatch.chdir(root)
    assert main(["pull"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mondegreen: gs://bucket cannot be reached") and said.count("\n") == 1


def test_a_push_waits_as_long_as_the_service_asks_or_says_that_it_does_not(root: Path, cloud: Proxy):
    cloud.faults = Faults(match=UPLOAD, status=429, retry_after=3600)
    done = push(root)
    assert len(done.problems) == OBJECTS
    assert any("429" in why and "asks to wait for 3600 seconds" in why for why in done.problems.values())


@torture
def test_what_does_not_get_through_ends_after_a_while(root: Path, cloud: Proxy):
    cloud.faults = Faults(match=UPLOAD, status=503)
    done = push(root, patience=0.1)
    assert len(done.problems) == OBJECTS
    assert any("503" in why for why in done.problems.values())


def test_a_slow_link_has_a_bar_that_moves_with_what_passes(root: Path, cloud: Proxy):
    (root / PACK).write_bytes(bytes(30_000_000))
    repository.dvc(["add", "-q", BATCH], root)
    moved, passed, seen = threading.Event(), [0], {0: 0}

    def pace(size: int) -> None:
        """Let a piece pass when the bar has moved since the one before; the system may have had room for both."""
        if max(seen) < 60:
            moved.wait(0.2)
            moved.clear()
        passed[0] += size

    cloud.faults = Faults(match=UPLOAD, pace=pace)
    code = "import sys; from mondegreen.cli import main; sys.exit(main(['push', '--jobs', '1']))"
    env = os.environ | {"PYTHONPATH": str(Path(transfer.__file__).parents[1]), "TQDM_MININTERVAL": "0"}
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux says so when the other end is closed
        while part := os.read(ours, 4096):
            shown += part
            for found in re.findall(rb"gs://bucket/data_versions: +(\d+)%", shown):
                if int(found) not in seen:
                    seen[int(found)] = passed[0]
                    moved.set()
    os.close(ours)
    assert process.wait() == 0
    assert list(seen) == sorted(seen), shown
    assert len(set(seen.values())) >= 5, "it moves as the link lets something through, not at once"


def test_a_clock_that_is_wrong_changes_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMULATOR_CLOCK", str(-40 * 86_400))
    with Emulator("bucket") as late:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", late.url)
        assert push(root).problems == {}
        clone = fresh(root)
        assert pull(clone).problems == {}
        assert contents(clone) == contents(root)


# -- objects that changed behind our back


def spoil(how: str, cloud: Proxy, name: str) -> None:
    emulator = cloud.target
    if how == "deleted":
        emulator.delete("bucket", name)
        return
    content = emulator.read("bucket", name)
    flipped = bytes([content[0] ^ 1]) + content[1:]
    others = {"truncated": content[: len(content) // 2], "replaced": b"\0" * len(content), "flipped": flipped}
    emulator.write("bucket", name, others[how])


@pytest.mark.parametrize("how", ["deleted", "truncated", "replaced"])
@pytest.mark.parametrize("what", ["a file", "the list"])
def test_a_spoilt_object_is_never_accepted_and_the_next_push_mends_it(how: str, what: str, root: Path, cloud: Proxy):
    push(root)
    name = name_of(root, PACK if what == "a file" else BATCH)
    spoil(how, cloud, name)
    clone = fresh(root)
    done = pull(clone)
    assert len(done.problems) == 1
    assert not (clone / BATCH).exists()
    assert push(root, dry=True).problems.keys() == done.problems.keys()
    assert push(root).moved == 1
    assert pull(clone).problems == {}
    assert contents(clone) == contents(root)


@pytest.mark.parametrize("count", [0, 150], ids=["asked one by one", "listed"])
def test_verify_finds_in_a_bucket_what_changed_behind_our_back_and_mends_it(count: int, root: Path, cloud: Proxy):
    for number in range(count):
        (root / BATCH / f"more-{number}.txt").write_text(f"{number}")
    if count:
        repository.dvc(["add", "-q", BATCH], root)
    push(root)
    assert verifying.verify(root, Store(root), remote=True).problems == ()
    harm = {PACK: "flipped", f"{BATCH}/00.txt": "truncated", f"{BATCH}/01.txt": "deleted", BATCH: "truncated"}
    for path, how in harm.items():
        spoil(how, cloud, name_of(root, path))
    cloud.requests.clear()
    found = verifying.verify(root, Store(root), remote=True).problems
    what = {path: "missing" if how == "deleted" else "damaged" for path, how in harm.items()}
    assert {problem.path: (problem.where, problem.what) for problem in found} == {
        path: ("remote", each) for path, each in what.items()
    }
    assert cloud.count(DOWNLOAD) == 0, "the service states what it has"
    assert len(cloud.requests) == (2 if count else 1 + OBJECTS)
    mended = mending.repair(root, Store(root), remote=True)
    assert (mended.problems, len(mended.mended)) == ((), 4)
    assert_complete(root, cloud)


def test_verify_says_at_once_that_a_bucket_cannot_be_used(root: Path, cloud: Proxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    with pytest.raises(CloudError, match="no Google credentials here: 'gcloud auth application-default login'"):
        verifying.verify(root, Store(root), remote=True)
    with pytest.raises(CloudError, match="no Google credentials here"):
        Store(root).stored(["0" * 32])
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        (None, "damaged"),
        (Faults(match=DOWNLOAD, status=404), "does not have it"),
        pytest.param(Faults(match=DOWNLOAD, cut=2000), "does not answer", marks=torture),
        (Faults(match=DOWNLOAD, status=403, body="not yours"), "not yours"),
    ],
)
def test_a_pull_that_fails_leaves_the_old_files(faults: Faults | None, says: str, root: Path, cloud: Proxy):
    clone = fresh(root)
    push(root)
    pull(clone)
    old = contents(clone)
    shutil.rmtree(root / BATCH)
    fill(root / BATCH, seed=2)
    repository.dvc(["add", "-q", BATCH], root)
    push(root)
    shutil.copy(root / f"{BATCH}.dvc", clone / f"{BATCH}.dvc")
    if faults is None:
        spoil("truncated", cloud, name_of(root, PACK))
    else:
        cloud.faults = faults
    try:
        problems = list(pull(clone, patience=0.1).problems.values())
    except CloudError as error:
        problems = [str(error)]
    assert any(says in problem for problem in problems), problems
    assert contents(clone) == old
    cloud.faults = HEALTHY
    push(root)
    assert pull(clone).problems == {}
    assert contents(clone) == contents(root)


def test_a_damaged_cache_does_not_spoil_the_remote(root: Path, cloud: Proxy):
    name = name_of(root, PACK).removeprefix("data_versions/")
    copy = root / ".dvc/cache" / name
    copy.chmod(0o644)
    copy.write_bytes(b"\0" * 3_000_000)
    done = push(root)
    assert sorted(done.problems.values()) == ["this clone's copy is damaged", "waits for its files"]
    assert not any(item.endswith(".dir") or "000000" in item for item in cloud.target.objects("bucket"))


# -- garbage


def change(root: Path, seed: int, commit: str = "") -> set[str]:
    """Replace the batch, push it, and commit it under a branch or tag's name; return the hashes of its objects."""
    shutil.rmtree(root / BATCH, ignore_errors=True)
    fill(root / BATCH, seed=seed)
    repository.dvc(["add", "-q", BATCH], root)
    push(root)
    if commit:
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", commit)
        git(root, *commit.split())
    return {item.md5 for item in transfer.needed(root, Store(root))[0]}


def git(root: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(root), *arguments]
    subprocess.run(command, check=True)


def cached(root: Path) -> set[str]:
    folder = root / ".dvc/cache/files/md5"
    return {path.parent.name + path.name for path in folder.rglob("*") if path.is_file()}


def stored(cloud: Proxy) -> set[str]:
    prefix = "data_versions/files/md5/"
    return {name.removeprefix(prefix).replace("/", "") for name in cloud.target.objects("bucket", prefix)}


def test_gc_keeps_what_any_release_branch_or_tag_needs(root: Path, cloud: Proxy, capsys, monkeypatch):
    cloud.target.write("bucket", "learning_data/events/1.jsonl", b"{}")
    before = change(root, 1)
    released = change(root, 2, "tag -a -m v1 dataset@v1.0.0")
    branch = change(root, 3, "branch side")
    theirs = change(root, 4, "update-ref refs/remotes/origin/theirs HEAD")
    git(root, "reset", "-q", "--hard", "HEAD~1")
    forgotten = change(root, 5)
    now = change(root, 6)
    everything = before | released | branch | theirs | forgotten | now
    monkeypatch.chdir(root)

    assert main(["gc", "--environment", "cloud", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "this clone's cache: 14 objects (6.0 MB) that no release, branch or tag needs" in said
    assert "14 more are younger than 14 days: left there" in said
    assert main(["gc", "--environment", "cloud", "--days", "0"]) == 1
    assert "nothing was removed: say --yes" in capsys.readouterr().err
    assert cached(root) == stored(cloud) == everything

    assert main(["gc", "--yes"]) == 0
    assert cached(root) == released | branch | theirs | now
    assert stored(cloud) == everything, "a remote is named or left alone"
    assert main(["gc", "--environment", "cloud", "--days", "0", "--yes"]) == 0
    assert stored(cloud) == released | branch | theirs | now
    assert cloud.target.read("bucket", "learning_data/events/1.jsonl") == b"{}"
    assert push(root, all_versions=True, dry=True).problems == {}


def test_gc_does_nothing_where_it_cannot_know_what_is_needed(root: Path, cloud: Proxy, capsys, monkeypatch):
    change(root, 1)
    git(root, "tag", "old")
    change(root, 2, "branch side")
    lists = [name for name in cloud.target.objects("bucket") if name.endswith(".dir")]
    [name] = [name for name in lists if is_needed_by(root, "old", name)]
    cloud.target.delete("bucket", name)
    (root / ".dvc/cache" / name.removeprefix("data_versions/")).unlink()
    before = cached(root)
    monkeypatch.chdir(root)
    assert main(["gc", "--yes"]) == 1
    assert f"nothing was removed: what {BATCH} needs is not known" in capsys.readouterr().err
    assert cached(root) == before


def is_needed_by(root: Path, version: str, name: str) -> bool:
    [output] = snapshot.at(root, version).outputs.values()
    return name.replace("/", "").endswith(output.md5)
