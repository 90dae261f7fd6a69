"""`python -m lab.warden FOLDER`: stops the lab in FOLDER when whoever started it is gone.

Its standard input is a pipe that only the starter holds: it ends with the starter, however that ends. PR_SET_PDEATHSIG
would do without a process, but follows the thread that started a part, and a test may restart one from any thread.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab import processes

NAME = "warden"
"""The part that it is."""

RELEASE = b"release"
"""Said by a starter that ends and leaves the lab running, or has stopped it itself."""

PROJECT = Path(__file__).resolve().parents[1]

CLOSE_LIMIT_S = 10.0
"""It reads one word and ends."""


class Warden:
    """The starter's end of the pipe."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.warden", str(folder)],
            cwd=PROJECT,
            env={**processes.caller_environment(), processes.LAB: str(folder), processes.PART: NAME},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Let it go without stopping anything. It may be gone already."""
        try:
            self._process.communicate(RELEASE, timeout=CLOSE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(CLOSE_LIMIT_S)


def main(folder: Path) -> None:
    """Wait for the end of standard input, then stop every part but this one."""
    if sys.stdin.buffer.read() != RELEASE:
        while parts := set(processes.running(folder)) - {NAME}:
            processes.stop(folder, parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
