"""A lab as a whole: everything that must run does, or nothing does."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import control_plane, etcd, kwok, processes, redfish
from lab.errors import LabIsDown, LabIsUp
from lab.layout import ADMIN_GROUP, FILE, Layout, Shape, require_linux
from lab.processes import Part, Process
from lab.warden import Warden
from tools.cache import lock
from tools.lab import ensure

START_LIMIT_S = 120.0
"""For one part. The API server serves after four seconds on two cores; a loaded machine takes its time."""

LOCK_LIMIT_S = 300.0
"""As long as somebody else may take to bring the same lab up or down."""

SYSTEMS = 6
"""Management controllers of a lab, unless told otherwise: as many as the example stack has workers."""


class Lab:
    """One lab in a folder. `start` makes it, `attach` finds one that runs.

    What `start` made stops when the process that started it ends, however that ends, and at the end of a `with`
    block; unless `detach` was called.
    """

    def __init__(self, layout: Layout, warden: Warden | None = None) -> None:
        self.layout, self._warden = layout, warden
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    def start(cls, folder: Path, *, etcd_members: int = 1, systems: int = SYSTEMS) -> Lab:
        """Bring a lab up in `folder`, which becomes its own; builds the parts that are not in the cache.

        etcd_members: 1 or 3. Raises LabIsUp, PartFailed, NoFreePort, NotLinux, tools.lab.PartUnobtainable; nothing
        runs then that did not run before.
        """
        require_linux()
        folder = folder.resolve()
        _refuse_if_up(folder)  # before building for minutes, and again under the lock
        binaries = ensure()
        with _held(folder):
            _refuse_if_up(folder)
            _clear(folder)
            shutil.rmtree(folder / "logs", ignore_errors=True)
            lab = cls(Layout(folder, Shape.choose(etcd_members, systems), binaries), Warden(folder))
            try:
                lab.layout.write()
                lab._start_all()
            except BaseException:
                lab._stop_all()
                raise
            return lab

    @classmethod
    def attach(cls, folder: Path) -> Lab:
        """The lab that was left running in `folder`. Raises LabIsDown, tools.lab.PartUnobtainable."""
        folder = folder.resolve()
        layout = Layout.read(folder, ensure())
        if not processes.running(folder):
            raise LabIsDown(folder, "that file, and no process")
        return cls(layout)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        if self._warden is not None:
            self.stop()

    def detach(self) -> None:
        """Leave it running, also after this process; `down` stops it."""
        if self._warden is not None:
            self._warden.release()
            self._warden = None

    @property
    def folder(self) -> Path:
        return self.layout.folder

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.layout.kubeconfig("admin", "admin", ADMIN_GROUP)

    def running(self) -> dict[str, Process]:
        """The parts that run now, by name."""
        return processes.running(self.folder)

    def stop(self) -> list[str]:
        """End every part, at once: nothing of theirs but logs is kept. Returns who ran. Raises PartStillRuns."""
        with _held(self.folder):
            stopped = self._stop_all()
            _clear(self.folder)
        return stopped

    # ------------------------------------------------------------ faults

    def kill(self, name: str) -> None:
        """End a part by SIGKILL, as a machine that loses its power does. Idempotent."""
        self._end(name, signal.SIGKILL)

    def restart(self, name: str, *, kill: bool = False) -> None:
        """Stop a part, by SIGTERM unless `kill`, start it again with its data, and wait until it answers."""
        self._end(name, signal.SIGKILL if kill else signal.SIGTERM)
        self._bring_up([self._part(name)])

    def restart_apiserver(self, *, kill: bool = False) -> None:
        """Every watch and every request under way breaks."""
        self.restart(control_plane.API_SERVER, kill=kill)

    def kill_etcd(self, member: int) -> None:
        """End an etcd member (from 1) by SIGKILL; `restart` brings it back."""
        self.kill(etcd.name(member))

    # ------------------------------------------------------------ inside

    def _start_all(self) -> None:
        """In the order in which they need each other; what needs nothing starts first and is asked last."""
        layout = self.layout
        members = [etcd.part(layout, member) for member in range(1, layout.shape.etcd_members + 1)]
        controllers = redfish.part(layout)
        self._spawn(controllers)
        self._bring_up(members)
        self._bring_up([control_plane.api_server(layout)])
        self._bring_up([control_plane.controller_manager(layout), control_plane.scheduler(layout), kwok.part(layout)])
        self._wait(controllers)

    def _part(self, name: str) -> Part:
        layout = self.layout
        members = {etcd.name(member): member for member in range(1, layout.shape.etcd_members + 1)}
        if name in members:
            return etcd.part(layout, members[name])
        return {
            control_plane.API_SERVER: control_plane.api_server,
            control_plane.CONTROLLER_MANAGER: control_plane.controller_manager,
            control_plane.SCHEDULER: control_plane.scheduler,
            kwok.NAME: kwok.part,
            redfish.NAME: redfish.part,
        }[name](layout)

    def _bring_up(self, parts: list[Part]) -> None:
        for part in parts:
            self._spawn(part)
        for part in parts:
            self._wait(part)

    def _spawn(self, part: Part) -> None:
        self._children[part.name] = processes.start(part, self.folder)

    def _wait(self, part: Part) -> None:
        processes.wait_until_it_answers(part, self._children[part.name], self.folder, START_LIMIT_S)

    def _end(self, name: str, sign: signal.Signals) -> None:
        processes.stop(self.folder, [name], sign)
        self._collect(name)

    def _collect(self, name: str) -> None:
        """Take the exit status of a child that ended: until then it would stay in the kernel's table."""
        child = self._children.pop(name, None)
        if child is not None:
            child.wait(processes.KILL_LIMIT_S)

    def _stop_all(self) -> list[str]:
        self.detach()
        # An API server that is asked to end waits for its clients' watches, ten seconds and more.
        stopped = processes.stop(self.folder, sign=signal.SIGKILL)
        for name in list(self._children):
            self._collect(name)
        return stopped


def down(folder: Path) -> list[str]:
    """Stop whatever runs of the lab in `folder`, whoever started it, complete or not; returns who ran.

    Idempotent. Raises PartStillRuns.
    """
    folder = folder.resolve()
    if not folder.exists():
        return []
    with _held(folder):
        stopped = processes.stop(folder)
        _clear(folder)
    return stopped


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Only one caller at a time brings this lab up or down."""
    with lock(folder, LOCK_LIMIT_S, lambda _: None):
        yield


def _refuse_if_up(folder: Path) -> None:
    """Raises LabIsUp."""
    parts = sorted(processes.running(folder))
    if parts:
        raise LabIsUp(folder, parts)


def _clear(folder: Path) -> None:
    """Remove what a stopped lab leaves, keys and data; its logs stay until the next one starts."""
    for entry in folder.iterdir():
        if entry.name in {"pki", "data", "redfish"}:
            shutil.rmtree(entry)
        elif entry.name in {FILE, "audit.json"} or entry.suffix == ".kubeconfig":
            entry.unlink()
