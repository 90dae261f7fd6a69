"""Which process of this machine is the engine that asked for a step, and whether it is still there."""

from __future__ import annotations

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
"""Two readings of one process's start may differ by as much: the kernel counts from a boot that is not exact."""


class EngineProcess:
    """The nearest process above this one that is Pulumi's; this one itself if a person runs a step by hand.

    environment: INGOT_RUN in it names the run, for a pipeline whose steps are not all below one engine.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    @cached_property
    def run(self) -> Run:
        process, host = self._process, socket.gethostname()
        started_s = process.create_time()
        named = self._environment.get("INGOT_RUN", "").strip()
        if named:
            return Run(named, host)
        return Run(f"{host}/{process.pid}/{started_s:.0f}", host, place(), process.pid, started_s)

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
            same = abs(float(found.create_time()) - run.started_s) < SAME_S
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
