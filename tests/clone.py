"""A clone that tests may do anything to: real Git, real DVC, the commands as a user calls them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from conftest import ROOT


class Clone:
    """A clone of this work tree, as it stands, with everything committed."""

    def __init__(self, path: Path) -> None:
        listed = self._git_in(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, path / name)
        self._open(path)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "test@localhost")
        self.git("config", "user.name", "test")
        self.commit("start")

    def _open(self, path: Path) -> None:
        self.path = path
        self.env = {
            **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "COVERAGE_FILE")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HF_HUB_OFFLINE": "1",
        }

    @classmethod
    def at(cls, path: Path) -> "Clone":
        """Return the clone that is at `path` already."""
        found = cls.__new__(cls)
        found._open(path)
        return found

    def copy(self, path: Path) -> "Clone":
        """Return a copy of this clone as it is now, its data and cache included."""
        shutil.copytree(self.path, path, symlinks=True)
        return Clone.at(path)

    @staticmethod
    def _git_in(cwd: Path, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout

    def git(self, *arguments: str) -> str:
        return self._git_in(self.path, *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def run(self, *command: str, status: int = 0) -> str:
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, env=self.env, check=False)
        assert done.returncode == status, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def readme(self, language: str) -> list[str]:
        """Return the README's fenced blocks of a language ('' for the shell)."""
        parts = re.split(r"^```(.*)\n", (self.path / "README.md").read_text(), flags=re.M)
        fences, texts = parts[1::2], parts[2::2]
        return [text for fence, text in zip(fences[::2], texts[::2], strict=True) if fence == language]

    def mondegreen(self, *arguments: str, status: int = 0) -> str:
        code = "import sys; sys.path.insert(0, 'stages'); from mondegreen.cli import main; sys.exit(main())"
        return self.run(sys.executable, "-c", code, *arguments, status=status)

    def metrics(self, name: str) -> dict:
        return json.loads((self.path / f"data/metrics/{name}.json").read_text())

    def dataset_hash(self) -> str:
        lock = YAML(typ="safe").load((self.path / "dvc.lock").read_text())
        return lock["stages"]["export"]["outs"][0]["md5"]

    def set_param(self, block: str, name: str, value: object) -> None:
        yaml = YAML()
        params = yaml.load((self.path / "params.yaml").read_text())
        params[block][name] = value
        with (self.path / "params.yaml").open("w") as file:
            yaml.dump(params, file)


def build(folder: Path) -> None:
    """Make `folder/clone`, with its sample built and committed."""
    made = Clone(folder / "clone")
    made.run("dvc", "repro", "--quiet")
    made.commit("built")
