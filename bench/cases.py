"""One measurement each, made in a process of its own (memory is counted for a process and its children).

A case returns plain figures; `bench.__main__` sets them beside their limits and peers.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulumi
from pulumi_command import local

from components import stackfile
from lifecycle.commands import Step, Verb
from rehearsal.session import ROOT, Options, Session, open_session, use_engine
from tools.engine import ensure

OLD, NEW = "44.20260621.3.1", "44.20260707.3.1"
Figures = dict[str, float]


def rehearse_metal() -> Figures:
    """The whole verb, as a person runs it."""
    with tempfile.TemporaryDirectory() as out:
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "cli.main", "rehearse", "metal", "--out", out], cwd=ROOT, check=True)
        return {"wall_s": time.monotonic() - began}


def roll(nodes: int, lanes: int) -> Figures:
    """Bring a fleet of that many nodes up, roll it, without checkpoints."""
    with _fleet(nodes, lanes) as (folder, data):
        up_s, bring_up = _up(folder, data, OLD)
        roll_s, rolled = _up(folder, data, NEW)
        return {
            "up_s": up_s,
            "roll_s": roll_s,
            "wall_s": up_s + roll_s,
            "peak_mib": _peak_mib(),
            "virtual_up_s": bring_up["virtual_s"],
            "slowest_host_s": bring_up["slowest_host_s"],
            "laws_broken": rolled["laws_broken"],
        }


def preview(nodes: int, lanes: int) -> Figures:
    """Preview a first bring-up, then bring it up and preview a bump of a fleet that is known: in lanes."""
    with _fleet(nodes, lanes) as (folder, data):
        first_s = _preview(folder, data, OLD)
        _up(folder, data, OLD)
        return {"first_s": first_s, "bump_s": _preview(folder, data, NEW), "peak_mib": _peak_mib()}


def register(nodes: int, repeats: int) -> Figures:
    """Preview a fleet and a flat hand-written program of the same steps, by turns; the best of each."""
    fleet_s, flat_s = [], []
    for _ in range(repeats):
        with _fleet(nodes, 1) as (folder, data):
            flat_s.append(_preview(folder, data, OLD, lambda: _flat(data)))
        with _fleet(nodes, 1) as (folder, data):
            fleet_s.append(_preview(folder, data, OLD))
    return {"fleet_s": min(fleet_s), "flat_s": min(flat_s)}


CASES: dict[str, Callable[..., Figures]] = {
    "rehearse": rehearse_metal,
    "roll": roll,
    "preview": preview,
    "register": register,
}


def _flat(data: dict[str, Any]) -> None:
    """What somebody writes by hand: three commands a host, one after another, no component."""
    for pool in data["pools"].values():
        for host in pool["machines"]["hosts"]:
            machine = _command(f"{host}.machine", host, [OLD], Verb.PROVISION, Verb.RELEASE)
            membership = _command(f"{host}.membership", host, [machine.id], Verb.ENROL, Verb.LEAVE)
            _command(f"{host}.readiness", host, [membership.id], Verb.JOIN, None)


def _command(
    name: str, host: str, triggers: list[pulumi.Input[str]], create: Verb, delete: Verb | None
) -> local.Command:
    return local.Command(
        name,
        create=Step(create, "metal", host).command(),
        update="true",
        delete=Step(delete, "metal", host).command() if delete is not None else None,
        triggers=triggers,
        opts=pulumi.ResourceOptions(delete_before_replace=True),
    )


@contextmanager
def _fleet(nodes: int, lanes: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    use_engine(ensure().path)
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "metal", stackfile.example(nodes - 3, lanes)


def _up(folder: Path, data: dict[str, Any], version: str) -> tuple[float, Figures]:
    began = time.monotonic()
    with open_session("metal", Options(version=version, data=data, durable=False), folder) as session:
        start_s = session.rack.now_s
        session.up()
        took_s = time.monotonic() - began
        _keep(session)
        entries = session.rack.journal.entries
        return took_s, {
            "virtual_s": session.rack.now_s - start_s,
            "slowest_host_s": _slowest_host_s(entries),
            "laws_broken": sum(e["kind"] == "law" for e in entries),
        }


def _slowest_host_s(entries: list[dict[str, Any]]) -> float:
    """The longest that one host took to install, boot and come in; what others kept it waiting is not counted."""
    waits: dict[str, float] = {}
    for e in entries:
        if e["kind"] == "waited":
            waits[e["node"]] = waits.get(e["node"], 0) + e["end_s"] - e["start_s"]
    return max(waits.values(), default=0)


def _preview(folder: Path, data: dict[str, Any], version: str, program: Callable[[], None] | None = None) -> float:
    options = Options(version=version, data=data, durable=False)
    if program is not None:
        options.program = program
    with open_session("metal", options, folder) as session:
        began = time.monotonic()
        session.preview()
        took_s = time.monotonic() - began
        _keep(session)
        return took_s


def _keep(session: Session) -> None:
    """Save the world once, at the end: the next session of the same fleet goes on with it, and with the engine's
    state beside it."""
    session.rack.freeze()
    session.store.save(session.rack.world, session.rack.journal.entries)


def _peak_mib() -> float:
    """Of this process and of the largest of its children, the engine."""
    kib = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return kib / 1024
