"""Git and DVC: the only room that starts them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mondegreen import machine, room
from mondegreen.errors import RepositoryError

RAW, INBOX, DATASET = Path("data/raw"), Path("data/inbox"), Path("data/dataset")


def root(start: Path | None = None) -> Path:
    """Return the nearest folder, from `start` (or here) upwards, that DVC drives; raises `RepositoryError`."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir() and (folder / "dvc.yaml").is_file():
            return folder
    raise RepositoryError(f"{here} is not inside a Mondegreen repository: change into your clone, then run this again")


def dvc(arguments: Sequence[str], cwd: Path) -> str:
    """Run `dvc ARGUMENTS` in `cwd` and return what it printed; raises `RepositoryError` with its last words.

    Never with `--quiet`: DVC would keep to itself why it refuses.
    """
    mend(cwd)
    return _run([sys.executable, "-m", "dvc", *arguments], cwd)


def mend(cwd: Path) -> None:
    """Remove a lock file of DVC that `kill -9` left half-written: DVC (3.67) would refuse to work from then on.

    DVC writes it while it holds another lock, on `rwlock.lock`: who holds that one sees it whole, or torn for good.
    """
    for folder in (cwd, *cwd.absolute().parents):
        torn = folder / ".dvc/tmp/rwlock"
        if torn.is_file():
            with machine.alone(torn.with_name("rwlock.lock")) as free:
                if free and not _is_json(torn):
                    torn.unlink(missing_ok=True)
            return


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def git(
    arguments: Sequence[str], cwd: Path, *, env: Mapping[str, str] | None = None, text: str = "", quiet: bool = False
) -> str:
    """Run `git ARGUMENTS` in `cwd` and return what it printed; raises `RepositoryError` with its last words.

    `env` is added to the environment, `text` is what it reads; `quiet` runs none of the repository's hooks.
    """
    return _run(["git", *(["-c", "core.hooksPath=/dev/null"] if quiet else []), *arguments], cwd, env, text)


def git_folder(root: Path) -> Path:
    """Return the folder in which Git keeps the work tree's index and the like."""
    return Path(git(["rev-parse", "--absolute-git-dir"], root).strip())


def remote_tags(pattern: str, root: Path, seconds: float) -> dict[str, str] | None:
    """Return the tags of the Git remote that match, each with its object; None where it is not heard of in time.

    The remote is that of the branch, else `origin`; {} where there is none.
    """
    name = git(["config", "--default", "origin", f"branch.{branch(root)}.remote"], root).strip()
    if name not in git(["remote"], root).split():
        return {}
    command = ["git", "ls-remote", "--tags", "--refs", name, f"refs/tags/{pattern}"]
    env = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=env,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    return {name.removeprefix("refs/tags/"): object_ for object_, name in map(str.split, done.stdout.splitlines())}


def branch(root: Path) -> str:
    """Return the name of the branch that is checked out; '' where HEAD is detached."""
    command = ["git", "symbolic-ref", "--quiet", "--short", "HEAD"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout.strip()


def changed(root: Path, *, env: Mapping[str, str] | None = None) -> list[str]:
    """Return the paths that differ from the last commit, in index or work tree, and what in data or stages is new."""
    said = git(["status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"], root, env=env).split("\0")
    return [line[3:] for line in said if line and (line[:2] != "??" or line[3:].startswith(("data/", "stages/")))]


def cat(names: Sequence[str], cwd: Path) -> list[bytes | None]:
    """Return the content of Git objects such as `<commit>:<path>`, all from one process; None for what is not there."""
    asked = "".join(f"{name}\n" for name in names).encode()
    done = subprocess.run(["git", "cat-file", "--batch"], cwd=cwd, input=asked, capture_output=True, check=False)
    if done.returncode != 0:
        raise RepositoryError(f"'git cat-file' failed: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    found: list[bytes | None] = []
    rest = memoryview(done.stdout)
    for _ in names:
        line = bytes(rest[:65536]).split(b"\n", 1)[0]
        rest = rest[len(line) + 1 :]
        if line.endswith((b" missing", b" ambiguous")):
            found.append(None)
            continue
        size = int(line.rsplit(b" ", 1)[1])
        found.append(bytes(rest[:size]))
        rest = rest[size + 1 :]
    return found


def commit_of(name: str, cwd: Path) -> str:
    """Return the commit that a tag, branch or abbreviated commit names; '' where there is none."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False).stdout.strip()


def references(cwd: Path) -> list[str]:
    """Return the full names of all branches, those of remotes too, and tags."""
    listed = git(["for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes", "refs/tags"], cwd)
    return [name for name in listed.split() if not name.endswith("/HEAD")]


def fork(one: str, other: str, cwd: Path) -> str:
    """Return the newest commit that two commits have in common; raises `RepositoryError` where there is none."""
    try:
        return git(["merge-base", one, other], cwd).strip()
    except RepositoryError as error:
        raise RepositoryError(
            f"{one[:10]} and {other[:10]} have no commit in common here; in a shallow clone: 'git fetch --unshallow'"
        ) from error


def default_remote(root: Path) -> str:
    """Return the address of the default DVC remote; '' where none is set."""
    found = re.search(r"^\S+\s+(.+?)\s+\(default\)$", dvc(["remote", "list"], root), re.MULTILINE)
    return found[1] if found else ""


def user(cwd: Path) -> str:
    """Return Git's user.name; raises `RepositoryError` where it is not set."""
    try:
        return git(["config", "user.name"], cwd).strip()
    except RepositoryError as error:
        raise RepositoryError("who are you? --author NAME, or git config user.name NAME") from error


def track(batch: Path) -> None:
    """Put a batch under DVC: `<batch>.dvc` beside it, staged for Git.

    Raises `RepositoryError` where the cache did not take all of it; then it is not tracked, and the next ingest tries
    again.
    """
    try:
        dvc(["add", batch.name], batch.parent)
    except RepositoryError:
        batch.with_name(f"{batch.name}.dvc").unlink(missing_ok=True)
        raise


def check_clean(root: Path) -> None:
    """Raise `RepositoryError` naming what is changed or new in the work tree and not committed."""
    if found := git(["status", "--porcelain"], root).splitlines():
        shown = ", ".join(line[3:] for line in found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        raise RepositoryError(
            f"not committed: {shown}; commit ('git add -A && git commit') or put it away ('git stash -u')"
        )


def _run(command: list[str], cwd: Path, env: Mapping[str, str] | None = None, text: str = "") -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, input=text, env=os.environ | (env or {})
        )
    except OSError as error:
        raise RepositoryError(f"{command[0]} cannot be started: {error}") from error
    if done.returncode != 0:
        shown = " ".join(command[2:] if command[1:3] == ["-m", "dvc"] else command)
        said = _reason(done.stderr) or _reason(done.stdout) or "no reason given; run it by hand, without --quiet"
        raise RepositoryError(f"'{shown}' failed: {said}")
    if lost := _NOT_KEPT.search(done.stderr):
        why = room.explain(OSError(int(lost["errno"]), lost["what"], lost["path"]))
        raise RepositoryError(f"DVC's cache cannot take it: {why}; make room or mend that")
    return done.stdout


def _reason(said: str) -> str:
    said = said.replace("Having any troubles? Hit us up at https://dvc.org/support, we are always happy to help!", "")
    said = said[said.rfind("ERROR:") :] if "Traceback" in said and "ERROR:" in said else said.strip()[-2000:]
    torn = "; a DVC that was killed left dvc.lock torn: 'git checkout HEAD -- dvc.lock', then 'dvc repro'"
    broken = "dvc.lock' validation failed" in said or "dvc.lock', YAML file structure is corrupted" in said
    return said.strip() + (torn if broken else "")


_NOT_KEPT = re.compile(r"ERROR: failed to transfer .* - \[Errno (?P<errno>\d+)\] (?P<what>.*?): .*-> '(?P<path>.+)'")
"""What DVC (3.67) says, and still exits with status 0, when the cache is full; with --quiet it says nothing."""
