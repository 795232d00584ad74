"""A call that is killed (SIGKILL) right before one of its steps, for tests of what a crash leaves behind.

    python tests/steps.py 7 'release(Path.cwd())'               before its 7th step
    python tests/steps.py "'--annotate'" 'release(Path.cwd())'  before the first with this word; +: the next
    python tests/steps.py 0 'release(Path.cwd())'               never: how many steps there are is printed
    python tests/steps.py - 'release(Path.cwd())'               in a child for each step that its input names: how each
                                                                ended is printed; modules are imported once

A step is a process that is started, or a file that is renamed or removed, or a folder that is made or removed.
"""

import os
import signal
import sys
from pathlib import Path

EVENTS = ("subprocess.Popen", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree")


def main(when: str, code: str) -> None:
    """Run `code`, and die at the step that `when` names."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "stages"))
    from mondegreen import erasing, releasing, rollback

    names = {"Path": Path, "erasing": erasing, "rollback": rollback, **vars(releasing)}
    if when != "-":
        steps = die_at(when)
        exec(code, names)
        print(len(steps))
        return
    for line in sys.stdin:
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        die_at(line.strip())
        exec(code, names)
        os._exit(0)


def die_at(when: str) -> list[str]:
    """Kill this process at a step to come; return a list that the steps are added to."""
    steps: list[str] = []
    last = int(when) if when.isdigit() else -1

    def step(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal last
        if event not in EVENTS or (event == "os.remove" and arguments[1] != -1):  # rmtree's own
            return
        steps.append(event)
        if last < 0 and when.rstrip("+") in str(arguments):
            last = len(steps) + when.endswith("+")
        if len(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(step)
    return steps


if __name__ == "__main__":
    main(*sys.argv[1:])
