"""A call that is killed (SIGKILL) right before one of its steps, for tests of what a crash leaves behind.

    python tests/steps.py 7 'release(Path.cwd())'               before its 7th step
    python tests/steps.py "'--annotate'" 'release(Path.cwd())'  before the first with this word; +: the next
    python tests/steps.py 0 'release(Path.cwd())'               never: how many steps there are is printed

A step is a process that is started, or a file that is renamed or removed, or a folder that is made or removed.
"""

import os
import signal
import sys
from pathlib import Path

EVENTS = ("subprocess.Popen", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree")


def main(when: str, code: str) -> None:
    """Run `code`, and die at the step that `when` names."""
    count, last = 0, int(when) if when.isdigit() else -1

    def step(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count, last
        if event not in EVENTS or (event == "os.remove" and arguments[1] != -1):  # rmtree's own
            return
        count += 1
        if last < 0 and when.rstrip("+") in str(arguments):
            last = count + when.endswith("+")
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.path.insert(0, "stages")
    from mondegreen import erasing, releasing, rollback

    sys.addaudithook(step)
    exec(code, {"Path": Path, "erasing": erasing, "rollback": rollback, **vars(releasing)})
    print(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
