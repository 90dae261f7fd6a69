"""The engine's order of steps without the engine: fast enough for properties over many racks.

One node after another, as the engine does with `--parallel 1`; what it made it remembers as the engine's state does,
so that a step that was killed or halted comes again. The real engine's order is held to in tests/rehearsal.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from components.boot.pin import pins
from components.environment import Environment
from components.rollout.planner import plan
from lifecycle.commands import Step, Verb
from lifecycle.errors import LifecycleError
from lifecycle.ports import Limits, Pin, Role
from lifecycle.run import execute
from rehearsal.rack import hosts, volumes
from rehearsal.rack.course import Course
from rehearsal.rack.faults import Faults
from rehearsal.rack.journal import Journal
from rehearsal.rack.ports import ports
from rehearsal.rack.rack import Rack
from rehearsal.rack.world import Host, World
from rehearsal.session import pinned

STACK = "metal"
MACHINE, MEMBERSHIP, READINESS = "machine", "membership", "readiness"


class Killed(BaseException):
    """The process that ran the step is gone."""


class KillingCounter(Counter[str]):
    """Counts calls, and kills the one that asks for the `at`-th of them; None: none."""

    at: int | None = None
    calls = 0

    def __setitem__(self, key: str, value: int) -> None:
        super().__setitem__(key, value)
        self.calls += 1
        if self.at is not None and self.calls > self.at:
            self.at = None
            raise Killed(key)


class Alone(Course):
    """A course on which one lane runs, whichever it is: time passes as soon as it waits."""

    def __init__(self) -> None:
        super().__init__(plan([], {}))

    def knows(self, lane: str) -> bool:
        return True

    @property
    def finished(self) -> bool:
        return False


@dataclass
class Driver:
    """A rack and the engine's state of it. made: of each resource that there is, its node's generation."""

    world: World
    made: dict[tuple[str, str], str] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def copy(self) -> Driver:
        return Driver(self.world.model_copy(deep=True), dict(self.made), list(self.entries))

    def up(self, environment: Environment, *faults: str, kill_at: int | None = None, replace: str = "") -> str:
        """One `pulumi up`: what its step halted with, "killed", or "" if it ended well. kill_at: calls of ports.
        replace: a node whose machine `--replace` names."""
        first = not self.world.served
        return self._run(environment, faults, kill_at, lambda run: run.up(first=first, replace=replace))

    def destroy(self, environment: Environment, *faults: str, kill_at: int | None = None) -> str:
        """One `pulumi destroy`, likewise."""
        return self._run(environment, faults, kill_at, _Run.destroy)

    def _run(
        self, environment: Environment, faults: tuple[str, ...], kill_at: int | None, what: Callable[[_Run], None]
    ) -> str:
        declared = pins(environment, pinned(environment))
        for name, pin in declared.items():
            self.world.hosts.setdefault(name, Host(name=name, fault_domain=pin.fault_domain))
        rack = Rack(self.world, declared, Faults.of(faults), Journal(self.entries))
        rack.asked = counter = KillingCounter()
        counter.at = kill_at
        try:
            what(_Run(rack, self.made))
        except LifecycleError as halted:
            return str(halted)
        except Killed:
            return "killed"
        finally:
            rack.clock.close()
            self.world, self.entries = rack.freeze(), rack.journal.entries
        return ""


@dataclass
class _Run:
    rack: Rack
    made: dict[tuple[str, str], str]

    def up(self, *, first: bool, replace: str) -> None:
        declared = self.rack.pins
        if not first:
            self.step(Verb.RETIRE)
        for node in sorted(
            declared, key=lambda name: (self._serves(name), declared[name].role is not Role.CONTROL_PLANE)
        ):
            if first and declared[node].role is not Role.CONTROL_PLANE:
                hosts.cni_comes_up(self.rack)
            self._node(declared[node], replace=node == replace)
        for node in sorted({node for _, node in self.made} - declared.keys()):
            self.delete(node)
        if first:
            volumes.driver_installed(self.rack)
        self.step(Verb.GATE)

    def destroy(self) -> None:
        """The engine runs leaves at once, so the one that holds the slot ends while others wait for it: here it is
        the first."""
        planes, waits = self.rack.planes, self._holds_no_slot
        for node in sorted({node for _, node in self.made}, key=lambda name: (name in planes, waits(name), name)):
            self.delete(node)

    def _serves(self, node: str) -> bool:
        """As the program's own plan asks: the roster says."""
        entry = self._entry(node)
        return entry.get("standing") == "in" and entry.get("slot_since_s") is None

    def _holds_no_slot(self, node: str) -> bool:
        return self._entry(node).get("slot_since_s") is None

    def _entry(self, node: str) -> dict[str, Any]:
        roster = self.rack.world.roster
        found: dict[str, Any] = json.loads(roster)["nodes"].get(node, {}) if roster else {}
        return found

    def _node(self, pin: Pin, *, replace: bool) -> None:
        node, wanted = pin.node, pin.generation
        if replace or self.made.get((MACHINE, node)) != wanted:
            self.delete(node)
        for kind, verb in ((MACHINE, Verb.PROVISION), (MEMBERSHIP, Verb.ENROL), (READINESS, Verb.JOIN)):
            if (kind, node) not in self.made:
                self.step(verb, node, wanted)
                self.made[kind, node] = wanted

    def delete(self, node: str) -> None:
        self.made.pop((READINESS, node), None)
        for kind, verb in ((MEMBERSHIP, Verb.LEAVE), (MACHINE, Verb.RELEASE)):
            if (kind, node) in self.made:
                self.step(verb, node, self.made[kind, node])
                del self.made[kind, node]

    def step(self, verb: Verb, node: str = "", generation: str = "") -> None:
        lane = node or verb.value
        clock = self.rack.clock
        course = Alone()
        course.due = {lane}
        clock.begin_phase(course)
        clock.step_begins(lane)
        try:
            with clock.lock:
                self.rack.faults.step_begins()
            execute(Step(verb, STACK, node, generation), ports(self.rack, lane, Limits(), lambda: None))
        finally:
            clock.step_ends(lane)
