"""A fleet on a rack of its own, driven as `ingot rack` drives it, and what tests ask of it afterwards."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

from pulumi.automation.events import EngineEvent

from components import stackfile
from components.rollout.planner import Plan
from lifecycle.ports import Pin
from rehearsal.rack import outage
from rehearsal.rack.journal import Journal
from rehearsal.rack.rack import Rack
from rehearsal.rack.store import Store
from rehearsal.rack.world import World
from rehearsal.serving import account_of
from rehearsal.session import ROOT, Halted, Options, open_session

OLD, NEW = "44.20260621.3.1", "44.20260707.3.1"
CONTROL_PLANES = ["cp1", "cp2", "cp3"]
WORKERS = ["w1", "w2", "w3", "w4", "w5", "w6"]
NODES = CONTROL_PLANES + WORKERS
RUN_LIMIT_S = 180

Change = Callable[[dict[str, Any]], None]


def metal() -> dict[str, Any]:
    """The raw environment of the example stack."""
    return example_of("metal")


def example_of(stack: str) -> dict[str, Any]:
    """The same of any of them."""
    return stackfile.environment_of(ROOT / "stacks" / f"Pulumi.{stack}.yaml")


def moved(data: dict[str, Any], hosts: Sequence[str], to: str) -> None:
    """These hosts in a pool `to` that is like the workers' in all but what it keeps."""
    workers = data["pools"]["workers"]
    made = copy.deepcopy(workers)
    for pool, keeps in ((workers, False), (made, True)):
        pool["machines"]["hosts"] = {n: h for n, h in pool["machines"]["hosts"].items() if (n in hosts) is keeps}
    data["pools"][to] = made


def _plain(part: object) -> object:
    """What an event's part holds, for json."""
    return part.value if isinstance(part, Enum) else vars(part)


def _nothing_is_launched(pin: Pin, zone: str) -> NoReturn:
    raise AssertionError(f"an instance was launched for {pin.node} in {zone}, with nobody there")


@dataclass
class Outcome:
    """What one run did. steps: `op name` of the engine's own events, in order. verbs: what ran on the rack.
    plans: what the program planned. said: all that the engine and the program printed, and every event."""

    error: str
    world: World
    journal: list[dict[str, Any]]
    steps: list[str] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    said: str = ""

    @property
    def verbs(self) -> list[str]:
        return [f"{e['verb']} {e['node']}".strip() for e in self.journal if e["kind"] == "step"]

    def nodes_asked(self, verb: str) -> list[str]:
        """The nodes for which that verb ran, in order."""
        return [e["node"] for e in self.journal if e["kind"] == "step" and e["verb"] == verb]

    @property
    def broken(self) -> list[str]:
        """Every law that was ever broken, since the rack was new."""
        return [f"{e['law']}: {e['text']}" for e in self.journal if e["kind"] == "law"]

    def image_of(self, node: str) -> str:
        return self.world.nodes[node].os_image.removeprefix("Fedora CoreOS ")

    def assert_whole(self, image: str, nodes: list[str] = NODES) -> None:
        """Every node serves on that image, nothing is left behind, and no law was ever broken."""
        assert self.broken == []
        assert {n: self.image_of(n) for n in nodes} == dict.fromkeys(nodes, image)
        assert [n for n in nodes if not self.world.nodes[n].ready or self.world.nodes[n].unschedulable] == []
        assert [v.name for v in self.world.volumes.values() if not all(v.replicas.values())] == []
        assert not self.world.maintenance
        assert not self.world.excused, "what a power cut broke is not whole again"
        assert [p.name for p in self.world.pods.values() if p.phase != "ready"] == []
        assert sorted(m.node for m in self.world.members.values() if m.voter) == CONTROL_PLANES
        roster = json.loads(self.world.roster)["nodes"]
        assert {n: e["standing"] for n, e in roster.items()} == dict.fromkeys(nodes, "in")
        assert [n for n, e in roster.items() if e.get("slot_since_s") is not None] == []


@dataclass
class Fleet:
    """A rack in `folder`, of an example stack."""

    folder: Path
    stack: str = "metal"

    def up(self, version: str, *faults: str, change: Change | None = None, **options: Any) -> Outcome:
        """Run one up; a halt is an outcome. change: edits the raw environment before."""
        return self._run("up", version, faults, change, options)

    def destroy(self, version: str, *faults: str, change: Change | None = None) -> Outcome:
        return self._run("destroy", version, faults, change, {})

    def preview(self, version: str, change: Change | None = None) -> Outcome:
        return self._run("preview", version, (), change, {})

    def refresh(self, version: str) -> Outcome:
        return self._run("refresh", version, (), None, {})

    def resources(self) -> list[dict[str, Any]]:
        """The engine's state as it is on disk."""
        (path,) = (self.folder / "state" / ".pulumi" / "stacks").rglob(f"{self.stack}.json")
        found: list[dict[str, Any]] = json.loads(path.read_text())["checkpoint"]["latest"].get("resources") or []
        return found

    def world(self) -> World:
        """The rack as it was left."""
        loaded = Store(self.folder).load()
        assert loaded is not None
        return loaded[0]

    def edit(self, change: Callable[[World], None]) -> None:
        """Let something happen to the rack while nobody looks."""
        world = self.world()
        change(world)
        Store(self.folder).save(world, [])

    def cut_power(self, seconds: float = 0) -> Outcome:
        """Every host loses its power, and nobody is there: no stack file, no step. What the rack is so long after."""
        loaded = Store(self.folder).load()
        assert loaded is not None
        world, entries = loaded
        rack = Rack(world, {}, journal=Journal(entries))
        try:
            with self._account(rack):
                with rack.clock.lock:
                    outage.power_cut(rack)
                rack.clock.let_pass(seconds)
        finally:
            rack.clock.close()
        assert not rack.asked, "somebody asked something of the rack"
        said = rack.journal.entries[world.journal_lines :]
        Store(self.folder).save(rack.freeze(), said)
        return Outcome("", self.world(), said)

    def _account(self, rack: Rack) -> AbstractContextManager[None]:
        """The rack's account on AWS, if it has one, open."""
        environment = stackfile.validate(copy.deepcopy(example_of(self.stack)), self.stack)
        return account_of(rack, Store(self.folder), environment, self.stack, _nothing_is_launched, lasting=True)

    def _run(
        self, verb: str, version: str, faults: tuple[str, ...], change: Change | None, options: dict[str, Any]
    ) -> Outcome:
        data = copy.deepcopy(example_of(self.stack))
        if change is not None:
            change(data)
        steps: list[str] = []
        said: list[str] = []

        def watch(event: EngineEvent) -> None:
            said.append(json.dumps(event, default=_plain))
            if event.resource_pre_event is not None:
                meta = event.resource_pre_event.metadata
                steps.append(f"{meta.op.value if hasattr(meta.op, 'value') else meta.op} {meta.urn.split('::')[-1]}")

        chosen = replace(Options(version=version, faults=faults, data=data, on_event=watch), **options)
        before = self._journal_length()
        error = ""
        with open_session(self.stack, chosen, self.folder) as session:
            try:
                result = getattr(session, verb)()
                said += [result.stdout, result.stderr]
            except Halted as halted:
                error = str(halted)
            entries = session.rack.journal.entries
            laws = [e for e in entries[:before] if e["kind"] == "law"]
            journal = [*laws, *entries[before:]]
            return Outcome(error, session.rack.world, journal, steps, session.plans, "\n".join([*said, error]))

    def _journal_length(self) -> int:
        loaded = Store(self.folder).load() if self.folder.exists() else None
        return len(loaded[1]) if loaded is not None else 0

    def killed_up(self, version: str, victim: str, step: int, change: str = "") -> int:
        """Run `up` in a process of its own that is killed when its `step`-th step begins; its exit code.

        0: it ended before it came to that step. change: where one is, as `module:name`.
        """
        code = (
            "import sys; from pathlib import Path; from pkgutil import resolve_name; "
            "from tests.rehearsal.fleet import Fleet; "
            "change = resolve_name(sys.argv[4]) if sys.argv[4] else None; "
            "outcome = Fleet(Path(sys.argv[1]), sys.argv[5]).up(sys.argv[2], sys.argv[3], change=change); "
            "sys.exit(1 if 'halted' in outcome.error else 0)"
        )
        arguments = [str(self.folder), version, f"kill:{victim}:{step}", change, self.stack]
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return process.wait(RUN_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
