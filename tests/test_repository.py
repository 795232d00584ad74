"""The repository itself: what a wheel holds, what is pinned, what Git and DVC see, what an import costs."""

import configparser
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mondegreen
from mondegreen import events
from mondegreen.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PUBLIC = {"DataManager", "DataVersionControl", "FinetuningDatasetPipeline", "MetadataTracker"} | {
    "MondegreenError",
    "Recorder",
    "__version__",
}
TOP_LEVEL = {
    *(".ci", ".dvc", ".dvcignore", ".gitattributes", ".github", ".gitignore"),
    *("CHANGELOG.md", "LICENSE", "Makefile", "README.md"),
    *("data", "docs", "dvc.lock", "dvc.yaml", "params.yaml", "pyproject.toml", "requirements.lock", "stages", "tests"),
}


def run(*command, cwd=ROOT):
    """The standard output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def dvc(*arguments, cwd):
    return run(sys.executable, "-m", "dvc", *arguments, cwd=cwd)


# -- the package


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy: building in place would leave build/ behind."""
    copy = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "stages", copy / "stages", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", copy / "dist", cwd=copy)
    (path,) = (copy / "dist").iterdir()
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    library = ROOT / "stages" / "mondegreen"
    kinds = ("*.py", "py.typed", "*.html", "*.css", "*.js")
    expected = {str(path.relative_to(library.parent)) for kind in kinds for path in library.rglob(kind)}
    assert {name for name in wheel if ".dist-info/" not in name} == expected


def test_the_wheel_asks_a_recorder_for_no_dependency(wheel):
    (text,) = (body.decode() for name, body in wheel.items() if name.endswith(".dist-info/METADATA"))
    requirements = re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)
    assert requirements
    assert [line for line in requirements if "extra ==" not in line] == []


def test_public_names():
    assert set(mondegreen.__all__) == PUBLIC
    assert all(getattr(mondegreen, name) for name in PUBLIC)
    assert mondegreen.__version__ == PROJECT["project"]["version"]


@pytest.mark.parametrize("statement", ["import mondegreen", "from mondegreen import Recorder", "import mondegreen.cli"])
def test_an_import_loads_the_standard_library_alone(statement):
    code = f"""
import sys
before = set(sys.modules)
{statement}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*sorted(loaded - sys.stdlib_module_names))
"""
    assert run(sys.executable, "-c", code, cwd=ROOT / "stages").split() == ["mondegreen"]


def test_a_recorder_works_where_no_package_is_installed(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "stages")!r})
from mondegreen import Recorder
with Recorder({str(tmp_path / "inbox")!r}) as recorder:
    case_id = recorder.failure(None, original_transcript="a", error_score=0.5)
    recorder.correction(case_id, "b", method="manual", author="ann")
"""
    run(sys.executable, "-I", "-S", "-c", code)
    assert len("".join(path.read_text("utf-8") for path in (tmp_path / "inbox").rglob("*.jsonl")).splitlines()) == 2


def test_the_docs_name_every_kind_of_event_and_every_field():
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", (ROOT / "docs/events.md").read_text(), re.MULTILINE))
    assert list(rows) == list(events.FIELDS)
    for kind, fields in events.FIELDS.items():
        assert set(re.findall(r"`(\w+)`", rows[kind])) == set(fields), kind
        assert tuple(re.findall(r"\*\*`(\w+)`\*\*", rows[kind])) == events.REQUIRED[kind], kind


def test_the_readme_names_every_command():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {name for name in COMMANDS if not re.search(rf"\bmondegreen {name}\b", readme)} == set()


# -- the lock file


@pytest.fixture(scope="module")
def lock():
    """(requirement, its hashes) of each entry."""
    entries = re.split(r"(?<!\\)\n", (ROOT / "requirements.lock").read_text("utf-8").strip())
    parts = [entry.split("--hash=") for entry in entries]
    return [(Requirement(first.strip(" \\\n")), [part.strip(" \\\n") for part in rest]) for first, *rest in parts]


def test_the_lock_is_exact_hashed_and_names_no_address(lock):
    assert "://" not in (ROOT / "requirements.lock").read_text("utf-8")
    for requirement, hashes in lock:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), requirement


def needed(requirement, extras=frozenset()):
    """The names that an installed requirement needs, itself included, each with the extras it is asked for."""
    name, asked = canonicalize_name(requirement.name), frozenset(requirement.extras)
    found, waiting = set(), [(name, asked)]
    while waiting:
        name, asked = waiting.pop()
        if (name, asked) in found:
            continue
        found.add((name, asked))
        for line in metadata.requires(name) or []:
            other = Requirement(line)
            if not other.marker or any(other.marker.evaluate({"extra": extra}) for extra in ("", *asked)):
                waiting.append((canonicalize_name(other.name), frozenset(other.extras)))
    return {name for name, _ in found}


def test_the_lock_is_in_step_with_pyproject(lock):
    """It pins what pyproject asks for and what that needs, and nothing that it no longer asks for."""
    here = {canonicalize_name(r.name): r for r, _ in lock if not r.marker or r.marker.evaluate()}
    asked = [Requirement(line) for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
    for requirement in [*asked, *map(Requirement, PROJECT["build-system"]["requires"])]:
        (pin,) = here[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version), f"{requirement} but {pin} is locked: make lock"
    assert set(here) == set().union(*map(needed, asked))


def test_the_environment_is_the_locked_one(lock):
    wrong = {
        str(requirement): metadata.version(requirement.name)
        for requirement, _ in lock
        if (not requirement.marker or requirement.marker.evaluate())
        and not requirement.specifier.contains(metadata.version(requirement.name))
    }
    assert wrong == {}, "`make env` installs the locked versions"


# -- what Git and DVC see


def test_the_top_level_holds_nothing_unexpected():
    tracked = {line.partition("/")[0] for line in run("git", "ls-files").splitlines()}
    assert tracked - TOP_LEVEL == set()


def test_every_remote_is_verified():
    config = configparser.ConfigParser()
    config.read_string(re.sub(r"^\s+", "", (ROOT / ".dvc" / "config").read_text("utf-8"), flags=re.MULTILINE))
    remotes = [section for section in config.sections() if "remote" in section]
    assert remotes
    assert {section: config[section].get("verify") for section in remotes} == dict.fromkeys(remotes, "true")


@pytest.mark.dvc
def test_batches_reach_another_clone_byte_by_byte(tmp_path):
    """Guards the .gitignore (a pattern too wide hides every batch from `dvc push`) and the .gitattributes."""
    first, second = tmp_path / "first", tmp_path / "second"
    sample, batch = Path("data/raw/sample/events.jsonl"), Path("data/raw/20260102T030405Z-0123abcd/events.jsonl")
    (first / ".dvc").mkdir(parents=True)
    for name in (".gitignore", ".gitattributes", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, first / name)
    for path in (sample, batch):
        (first / path).parent.mkdir(parents=True)
        (first / path).write_bytes(b'{"event_id":"1"}\n{"event_id":"2"}\r\n')

    run("git", "init", "--quiet", cwd=first)
    dvc("add", batch.parent, cwd=first)
    run("git", "add", ".", cwd=first)
    run("git", "-c", "user.name=ann", "-c", "user.email=ann@example.com", "commit", "--quiet", "-m", "batch", cwd=first)
    dvc("push", cwd=first)
    run("git", "-c", "core.autocrlf=true", "clone", "--quiet", first, second, cwd=tmp_path)
    dvc("pull", cwd=second)

    assert (second / sample).read_bytes() == (second / batch).read_bytes() == (first / batch).read_bytes()
    assert run("git", "status", "--porcelain", cwd=second) == ""
    assert not (second / "data/raw/.gitignore").exists()  # two people's would conflict
