"""The rack: one world, its clock, its events and its laws.

Each part of the world is modelled in a module of its own (hosts, quorum, workloads, volumes), with
its assumptions and their sources; here is only what they share. All methods expect the clock's lock
to be held unless they say otherwise.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Mapping

from lifecycle import erase
from lifecycle.ports import Claim, ClaimState, Erasure, Machines, Pin, Role, Run
from rehearsal.rack import hosts, instances, latency, laws, outage, quorum, volumes, workloads
from rehearsal.rack.clock import VirtualClock
from rehearsal.rack.faults import Faults
from rehearsal.rack.journal import Journal
from rehearsal.rack.on_aws import OnAws
from rehearsal.rack.world import Event, World

Handler = Callable[["Rack", Event], None]

HOST = "rack"
"""Where the rack's runs are at home."""

HANDLERS: Mapping[str, Handler] = {
    **hosts.HANDLERS,
    **instances.HANDLERS,
    **outage.HANDLERS,
    **quorum.HANDLERS,
    **volumes.HANDLERS,
    **workloads.HANDLERS,
}
"""What each kind of event does."""


def _eraser(claim: Claim, erasure: Erasure) -> Pin:
    """What nobody fetches needs no address."""
    return erase.pin_of(claim, erasure, generation=f"erase-{claim.node}", boot_url="")


class Rack:
    """A world in motion. pins: the declared nodes of the stack file in force. read_letters: takes in, lock held,
    what another terminal asks of the cluster. asked: how often steps called each method of each port.
    machines: by a step's lane and what makes the world durable, what the step switches hosts by; None for the rack's
    own (rehearsal/rack/ports.py). eraser: makes what a host boots to erase its OS disk. aws: where a fleet has
    machines there."""

    def __init__(
        self, world: World, pins: Mapping[str, Pin], faults: Faults | None = None, journal: Journal | None = None
    ) -> None:
        self.world = world
        self.pins: dict[str, Pin] = {}
        self.planes: tuple[str, ...] = ()
        self.successors: dict[str, str] = {}
        self.declare(pins)
        self.faults = faults or Faults()
        self.aws: OnAws | None = None
        self.faults.cut_power = lambda after_s: self.later(after_s, "power-cut", outage.EVERYTHING)
        self.journal = journal or Journal()
        self._heap = [(e.at_s, e.seq, e) for e in world.events]
        heapq.heapify(self._heap)
        self.clock = VirtualClock(world.now_s, self._next_event_s, self._run_event)
        self.laws = laws.Laws(self)
        self.out: dict[str, set[str]] = {}
        self.read_letters: Callable[[], None] = lambda: None
        self.asked: Counter[str] = Counter()
        self.machines: Callable[[str, Callable[[], None]], Machines] | None = None
        self.eraser: Callable[[Claim, Erasure], Pin] = _eraser
        self.begin_run()
        for name in world.served:
            self.note_standing(name)

    def declare(self, pins: Mapping[str, Pin]) -> None:
        """Take over the nodes that a stack file declares now. planes: the control planes among them.
        successors: the node of each host that has others at other times, by host."""
        self.pins.clear()
        self.pins.update(pins)
        self.planes = tuple(n for n, pin in pins.items() if pin.role is Role.CONTROL_PLANE)
        self.successors = {pin.host: name for name, pin in pins.items() if pin.host}

    def begin_run(self) -> None:
        """The engine begins a run: no run that has the roll, or had it, is called so."""
        last = self.world.roll
        self.run = Run(f"run-{last.generation + 1 if last is not None else 0}", HOST)

    @property
    def now_s(self) -> float:
        return self.clock.now_s

    # ---------------------------------------------------------------- chance and time

    def draw(self, low: float, high: float, *subject: object) -> float:
        """A number of [low, high], the same for the same seed and subject."""
        key = ":".join(str(part) for part in (self.world.seed, *subject))
        return round(random.Random(key).uniform(low, high), 1)

    def later(self, after_s: float, kind: str, subject: str, number: int = 0) -> None:
        """Schedule an event."""
        self.world.next_seq += 1
        event = Event(
            at_s=round(self.now_s + after_s, 1), seq=self.world.next_seq, kind=kind, subject=subject, number=number
        )
        heapq.heappush(self._heap, (event.at_s, event.seq, event))

    def _next_event_s(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def _run_event(self) -> None:
        _, _, event = heapq.heappop(self._heap)
        HANDLERS[event.kind](self, event)
        self.settle()

    def settle(self) -> None:
        """After every change: the laws are checked and the report's series sampled."""
        self.laws.check()
        for key, value in latency.gauges(self).items():
            self.journal.sample(self.now_s, key, value)

    def freeze(self) -> World:
        """The world as it is now, ready to be saved."""
        self.world.now_s = self.now_s
        self.world.events = [e for _, _, e in sorted(self._heap, key=lambda item: item[:2])]
        self.world.journal_lines = len(self.journal.entries)
        return self.world

    # ---------------------------------------------------------------- what several models ask

    def role(self, node: str) -> Role:
        """The role a host was claimed for; a host without a claim is a worker."""
        claim = self.world.claims.get(node)
        return claim.role if claim is not None else Role.WORKER

    def pool(self, node: str) -> str:
        """The pool that declares the node, or the one that it was claimed for."""
        if node in self.pins:
            return self.pins[node].pool
        claim = self.world.claims.get(node)
        return claim.pool if claim is not None else ""

    def note_standing(self, node: str) -> None:
        """Recount whether a node is out: it has served once, and is not Ready now, or cordoned."""
        kube, claim = self.world.nodes.get(node), self.world.claims.get(node)
        is_out = kube is None or not kube.ready or kube.unschedulable
        if not is_out and claim is not None and claim.state is ClaimState.JOINED:
            self.world.served.add(node)
        if node in self.world.served:
            pool = self.out.setdefault(self.pool(node), set())
            (pool.add if is_out else pool.discard)(node)

    def changed(self, *about: str) -> None:
        """Wake who waits for any of these."""
        for topic in about:
            self.clock.changed(topic)
