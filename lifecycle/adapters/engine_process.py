"""Which process of this machine is the engine that asked for a step, and whether it is still there."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.ports import Run

if TYPE_CHECKING:
    import psutil

ENGINE, PLUGINS = "pulumi", "pulumi-"
"""The command line's process, and how those of its plugins begin: the one that runs commands is a step's parent."""

SAME_S = 0.5
"""Two readings of one process's start may differ by as much where it is a moment: such a number is rounded."""

START_TICKS = 19
"""Where /proc/PID/stat has a process's start, counted behind its name, which may hold blanks (proc(5): field 22)."""


class EngineProcess:
    """The nearest process above this one that is Pulumi's; this one itself if a person runs a step by hand.

    environment: INGOT_RUN in it names the run, for a pipeline whose steps are not all below one engine.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    @cached_property
    def run(self) -> Run:
        process, host = self._process, socket.gethostname()
        started_s = _started_s(process.pid)
        named = self._environment.get("INGOT_RUN", "").strip()
        if named:
            return Run(named, host)
        mark = hashlib.sha256(f"{place()} {started_s}".encode()).hexdigest()[:8]
        return Run(f"{host}/{process.pid}/{mark}", host, place(), process.pid, started_s)

    def lives(self) -> bool:
        """Whether the engine that asked for this step is there."""
        import psutil

        try:
            return bool(self._process.is_running()) and self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True

    def runs(self, run: Run) -> bool | None:
        """Whether that run's process is there; None if that cannot be known from this place."""
        import psutil

        if not run.pid or not run.place or run.place != place():
            return None
        try:
            found = psutil.Process(run.pid)
            same = abs(_started_s(run.pid) - run.started_s) < SAME_S
            return same and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return None

    @cached_property
    def _process(self) -> psutil.Process:
        import psutil

        own = psutil.Process()
        try:
            above = own.parents()
        except psutil.Error:  # a machine that hides the processes of others: the step is then a run of its own
            above = []
        names = [_name(process) for process in above]
        engines = [p for p, name in zip(above, names, strict=True) if name == ENGINE]
        plugins = [p for p, name in zip(above, names, strict=True) if name.startswith(PLUGINS)]
        return (engines or plugins or [own])[0]


def _started_s(pid: int) -> float:
    """When the process began: seconds since the machine did on Linux, since 1970 elsewhere.

    Linux knows no moment, and what psutil makes of the wall clock moves with it: whoever sets the clock of a
    machine would make another run of an engine that lives. Raises psutil.Error.
    """
    import psutil

    if not psutil.LINUX:
        return float(psutil.Process(pid).create_time())
    try:
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError as error:
        raise psutil.NoSuchProcess(pid) from error
    return int(said[START_TICKS]) / os.sysconf("SC_CLK_TCK")


def _name(process: psutil.Process) -> str:
    import psutil

    try:
        return str(process.name()).removesuffix(".exe")
    except psutil.Error:
        return ""


def place() -> str:
    """Where a pid means something: this boot of this machine, and this namespace of processes (two containers
    may have one host name, and each its own process 1)."""
    import psutil

    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/{psutil.boot_time():.0f}"
