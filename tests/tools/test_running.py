"""Long commands: seen to live, ended in time, their last words kept."""

from __future__ import annotations

import io
import sys
import threading

import pytest
from rich.console import Console

from tools.running import CommandFailed, Job, run


def job(script: str, limit_s: float = 30) -> Job:
    return Job("a job", [sys.executable, "-c", script], limit_s)


class TestItsOutcome:
    """What a command did is returned, or raised with its last output."""

    def test_output(self) -> None:
        assert run(job("print('one'); print('two')"), Console(file=io.StringIO())) == "one\ntwo"

    def test_failure_says_the_last_words(self) -> None:
        with pytest.raises(CommandFailed, match="exited 3; last output:\nno such module"):
            run(job("print('no such module'); raise SystemExit(3)"), Console(file=io.StringIO()))

    def test_a_program_that_is_not_there(self) -> None:
        with pytest.raises(CommandFailed, match="did not start"):
            run(Job("a job", ["./no-such-program"], 1), Console(file=io.StringIO()))

    def test_too_long_ends_the_whole_group(self) -> None:
        child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
        threads = threading.active_count()
        with pytest.raises(CommandFailed, match=r"took longer than 0\.5 s"):
            run(job(child, limit_s=0.5), Console(file=io.StringIO()))
        # The reader ends only once nobody holds the pipe any more: neither the command nor what it started.
        assert threading.active_count() <= threads  # those of others may have ended too


class TestItIsSeenToLive:
    """Something is shown from the first moment on, in whatever it is shown."""

    @pytest.mark.parametrize("terminal", [False, True])
    def test_by_its_title(self, terminal: bool) -> None:
        shown = io.StringIO()
        run(job("print('[odd] markup')"), Console(file=shown, force_terminal=terminal, width=100))
        assert "a job" in shown.getvalue()
