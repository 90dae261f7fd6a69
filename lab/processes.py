"""The lab's processes: started, waited for, found again, stopped.

A part carries in its environment which lab it belongs to and which part it is. That mark is how it is found: it
exists from the part's first instant to its last, whoever started it and however that ended, and nothing else has
it. A file of process ids would miss what was started just before a SIGKILL, and go stale.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import PartFailed, PartStillRuns

LAB, PART, LAST = "INGOT_LAB", "INGOT_LAB_PART", "INGOT_LAB_LAST"
"""The mark: variables with the lab's folder and the part's name, and one that says that it is stopped last."""

MARK_LIMIT_S = 5.0
"""A program has its environment within a millisecond of its start."""

TERM_LIMIT_S, KILL_LIMIT_S = 10.0, 10.0
"""How long a part may take to end after SIGTERM, and after SIGKILL."""

PROBE_POLL_S = 0.05
"""How often a starting part is asked: parts are up within seconds, and asking costs a millisecond."""

LAST_LINES = 15
"""Of a log, in an error: enough for a Go program's fatal line and what led to it."""


@dataclass(frozen=True)
class Process:
    """A part that runs. start_ticks: when it started, in clock ticks since the machine did. memory_bytes: resident.
    last: it is stopped after the others.
    """

    name: str
    pid: int
    start_ticks: int
    memory_bytes: int
    last: bool = False


@dataclass(frozen=True)
class Part:
    """How to start a part. answers: "" once it serves, else what it says instead; asked again and again.
    last: the others need it to end well, so it is stopped after them.
    """

    name: str
    argv: Sequence[str]
    answers: Callable[[], str]
    last: bool = False


def start(part: Part, folder: Path) -> subprocess.Popen[bytes]:
    """Start the part of the lab in `folder`, in a session of its own; its output goes to `log_path`.

    Returns once `running` finds it, or it ended. Raises OSError if there is no such program.
    """
    log = log_path(folder, part.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    last = {LAST: "1"} if part.last else {}
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(part.argv),
            cwd=folder,
            env={**caller_environment(), LAB: str(folder), PART: part.name, **last},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _wait_for_mark(process, folder)
    return process


def wait_until_it_answers(part: Part, process: subprocess.Popen[bytes], folder: Path, limit_s: float) -> None:
    """Return once the part answers. Raises PartFailed if it ends before that or takes too long."""
    until_s = time.monotonic() + limit_s
    while True:
        found = part.answers()
        if not found:
            return
        if process.poll() is not None:
            found = f"that it ended with {process.returncode}"
        elif time.monotonic() < until_s:
            time.sleep(PROBE_POLL_S)
            continue
        log = log_path(folder, part.name)
        raise PartFailed(part.name, limit_s, found, log, last_lines(log))


def running(folder: Path) -> dict[str, Process]:
    """The parts of the lab in `folder` that run now, by name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            process = _read(int(entry.name), folder)
            if process is not None:
                found[process.name] = process
    return found


def stop(
    folder: Path,
    names: Iterable[str] | None = None,
    sign: signal.Signals = signal.SIGTERM,
    *,
    term_limit_s: float = TERM_LIMIT_S,
    kill_limit_s: float = KILL_LIMIT_S,
) -> list[str]:
    """End the lab's parts (those in `names`, else all), by SIGTERM, then SIGKILL; returns who ran. Those that are
    to be stopped last come after the others.

    sign: what to begin with. Raises PartStillRuns. A process that is not the lab's is never signalled, also if it
    gets the id of one that just ended.
    """
    chosen = None if names is None else frozenset(names)
    stopped: set[str] = set()
    while parts := {n: part for n, part in running(folder).items() if chosen is None or n in chosen}:
        wave = {name: part for name, part in parts.items() if not part.last} or parts
        _stop(wave, folder, sign, term_limit_s, kill_limit_s)
        stopped |= set(wave)  # and look again: another may have been started meanwhile
    return sorted(stopped)


def _stop(
    parts: Mapping[str, Process], folder: Path, sign: signal.Signals, term_limit_s: float, kill_limit_s: float
) -> None:
    """One wave of `stop`, all at once."""
    handles = {name: handle for name, process in parts.items() if (handle := _handle(process.pid, folder)) is not None}
    try:
        left = _end(handles, sign, term_limit_s)
        left = _end(left, signal.SIGKILL, kill_limit_s)
    finally:
        for handle in handles.values():
            os.close(handle)
    if left:
        raise PartStillRuns({name: parts[name].pid for name in left}, kill_limit_s)


def log_path(folder: Path, name: str) -> Path:
    """Where a part's output is."""
    return folder / "logs" / f"{name}.log"


def last_lines(log: Path) -> str:
    """The end of a log; "" if there is none."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
    except OSError:
        return ""


def _wait_for_mark(process: subprocess.Popen[bytes], folder: Path) -> None:
    """A program that was just started has no environment for an instant; who looks then must not miss it."""
    until_s = time.monotonic() + MARK_LIMIT_S
    while _read(process.pid, folder) is None and process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.001)


def caller_environment() -> dict[str, str]:
    """The caller's, without what would lead a part to another lab, cluster or proxy than its own."""
    dropped = {"KUBECONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"}
    return {
        key: value for key, value in os.environ.items() if key not in dropped and not key.startswith(("ETCD_", "KWOK_"))
    }


def _read(pid: int, folder: Path) -> Process | None:
    """The process, if it is a part of this lab. One that ended and was not collected yet has no environment left."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if f"{LAB}={folder}".encode() not in entries:
            return None
        name = next(entry.partition(b"=")[2].decode() for entry in entries if entry.startswith(f"{PART}=".encode()))
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, StopIteration, IndexError, ValueError):  # gone, or another user's
        return None
    last = f"{LAST}=1".encode() in entries
    return Process(name, pid, int(after_name[19]), pages * os.sysconf("SC_PAGE_SIZE"), last)


def _handle(pid: int, folder: Path) -> int | None:
    """A descriptor of the process, if it is the lab's: unlike an id it can never mean another one."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    if _read(pid, folder) is None:
        os.close(handle)
        return None
    return handle


def _end(handles: Mapping[str, int], sign: signal.Signals, limit_s: float) -> dict[str, int]:
    """Signal every process and wait for all; returns those that are left after `limit_s`."""
    left = dict(handles)
    poll = select.poll()
    for name, handle in handles.items():
        try:
            signal.pidfd_send_signal(handle, sign)
        except ProcessLookupError:
            del left[name]
        else:
            poll.register(handle, select.POLLIN)
    until_s = time.monotonic() + limit_s
    while left and (left_s := until_s - time.monotonic()) > 0:
        ended = {handle for handle, _ in poll.poll(left_s * 1000)}
        for name in [name for name, handle in left.items() if handle in ended]:
            poll.unregister(left.pop(name))
    return left
