"""The engine as a child in the caller's terminal, which ends in its own time when it is interrupted.

`subprocess.run` gives a child a quarter of a second after Ctrl-C and then kills it: an engine needs longer to
end its steps, write its state and give its lock back.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ENDS = (signal.SIGINT, signal.SIGTERM)
"""What asks a program to end: Ctrl-C, and whoever cancels a job."""


def run(words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> int:
    """Run the engine to its end, however often it is asked to end, and return its exit code. Main thread only.

    A terminal interrupts the engine by itself. Where there is none, the engine is in a process group of its own
    and is interrupted by us, so that it hears each request once: at the second it ends at once.
    """
    terminal = _has_terminal()
    children: list[subprocess.Popen[bytes]] = []

    def asked(number: int, _: object) -> None:
        if children and not (terminal and number == signal.SIGINT):
            children[0].send_signal(signal.SIGINT)

    with _handled(asked):
        children.append(subprocess.Popen(words, cwd=cwd, env=dict(environment), process_group=None if terminal else 0))
        return children[0].wait()


@contextmanager
def _handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    """The handler is a function, so that the child has the system's own and not ours."""
    before = {number: signal.signal(number, handler) for number in ENDS}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def _has_terminal() -> bool:
    """Whether a Ctrl-C would come from a terminal, to the whole group."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
