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

SAME_S = 2.0
"""Two readings of one process's start may differ by as much where the system says it by its wall clock."""

START_TICKS = 19
"""Of what proc(5) says of a process after its name: when it started, in clock ticks since the boot."""


class EngineProcess:
    """The nearest process above this one that is Pulumi's; this one itself if a person runs a step by hand.

    environment: INGOT_RUN in it names the run, for a pipeline whose steps are not all below one engine.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    @cached_property
    def run(self) -> Run:
        process, host = self._process, socket.gethostname()
        started_s = started(process)
        named = self._environment.get("INGOT_RUN", "").strip()
        if named:
            return Run(named, host)
        at = hashlib.sha256(f"{_boot()}/{started_s:.2f}".encode()).hexdigest()[:8]
        return Run(f"{host}/{process.pid}/{at}", host, place(), process.pid, started_s)

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
            same = abs(started(found) - run.started_s) < SAME_S
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


def started(process: psutil.Process) -> float:
    """When it started, in seconds: since the boot where the kernel says so, else since 1970.

    psutil's own figure is the boot's moment by the wall clock plus that, so a clock that is set while a roll runs
    would make each later step one of another run. Raises psutil.NoSuchProcess.
    """
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        return int(fields.split()[START_TICKS]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):  # no /proc, or no such process: this says which
        return float(process.create_time())


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
        return f"{_boot() or psutil.boot_time()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/{psutil.boot_time():.0f}"


def _boot() -> str:
    """What tells this boot of the machine from any other; "" where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
