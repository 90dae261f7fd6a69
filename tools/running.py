"""Runs a command that may take minutes: shows that it lives, ends at a deadline, keeps its last lines."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status

TICK_S = 0.25
"""How often the display is renewed and the deadline looked at: smooth to the eye, idle for the machine."""

PLAIN_EVERY_S = 30.0
"""Where nobody watches a terminal (a CI log), one line this often shows that the command lives."""

KEPT_LINES = 30
"""Lines of output that an error carries: a compiler's complaint fits, a download list does not drown it."""

KILL_AFTER_S = 5.0
"""A command that ignores SIGTERM this long is killed."""


class CommandFailed(Exception):
    """A command did not end well. `str()` says which one, what was expected, and its last output."""


@dataclass(frozen=True)
class Job:
    """A command, what a person calls it, and the longest it may take, in seconds."""

    title: str
    argv: Sequence[str]
    limit_s: float
    cwd: Path | None = None
    env: Mapping[str, str] | None = None


def run(job: Job, console: Console) -> str:
    """Run the job and return its last output lines. Raises CommandFailed when it fails or takes too long.

    The job's whole process group is ended at the deadline, and when the caller is interrupted.
    """
    started_s = time.monotonic()
    tail: deque[str] = deque(maxlen=KEPT_LINES)
    try:
        process = subprocess.Popen(
            list(job.argv),
            cwd=job.cwd,
            env=None if job.env is None else dict(job.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"`{shlex.join(job.argv)}` did not start: {error}") from error
    reader = threading.Thread(target=_read, args=(process, tail), daemon=True)
    reader.start()
    try:
        in_time = _watch(process, job, tail, started_s, console)
    finally:
        _end(process)
        reader.join(timeout=KILL_AFTER_S)
    output = "\n".join(tail)
    if not in_time:
        raise CommandFailed(f"`{shlex.join(job.argv)}` took longer than {job.limit_s:g} s; last output:\n{output}")
    if process.returncode != 0:
        raise CommandFailed(f"`{shlex.join(job.argv)}` exited {process.returncode}; last output:\n{output}")
    return output


def _read(process: subprocess.Popen[str], tail: deque[str]) -> None:
    """Keep the last lines until whoever holds the pipe is gone."""
    if process.stdout is None:
        return
    with process.stdout as output:
        for line in output:
            if line.strip():
                tail.append(line.rstrip())


def _watch(process: subprocess.Popen[str], job: Job, tail: deque[str], started_s: float, console: Console) -> bool:
    """Show progress until the process ends (True) or its time is up (False)."""
    next_plain_s = PLAIN_EVERY_S
    with _status(job.title, console) as status:
        while process.poll() is None:
            elapsed_s = time.monotonic() - started_s
            if elapsed_s > job.limit_s:
                return False
            if status is not None:
                status.update(f"{escape(job.title)} [bold]{elapsed_s:.0f} s[/bold] [dim]{_last(tail)}[/dim]")
            elif elapsed_s >= next_plain_s:
                next_plain_s += PLAIN_EVERY_S
                console.print(f"{escape(job.title)}: {elapsed_s:.0f} s; {_last(tail)}", highlight=False)
            time.sleep(min(TICK_S, max(0.0, job.limit_s - elapsed_s)))
    return True


def _status(title: str, console: Console) -> AbstractContextManager[Status | None]:
    if console.is_terminal:
        return console.status(escape(title))
    console.print(escape(title), highlight=False)
    return nullcontext()


def _last(tail: deque[str]) -> str:
    """The last line of output, short enough to keep the display on one line."""
    return escape(tail[-1][:80]) if tail else ""


def _end(process: subprocess.Popen[str]) -> None:
    """End the process and whatever it started; nothing if it is over."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, sign)
        try:
            process.wait(timeout=KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            continue
