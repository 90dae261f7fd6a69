"""Registers nodes in the plan's order, by coroutine: a node's turn comes, or it is not registered yet.

The engine has no notion of "one at a time" for replacements. What it does have is a program that waits:
a machine that is not registered is not touched. So each planned node is a coroutine that awaits its
predecessors' readiness before it registers its own machine; the recorded dependencies (URNs, not
resources) keep destroy and scale-down in the opposite order. Linear in nodes: one future a node and
one a wave, no chain of awaits deeper than one. Why not `depends_on` alone: docs/decisions/0002.md.

The danger of a program that waits: what it never registered counts as removed. So the first failure
stops every other lane at its next turn, and then fails the program, which keeps the engine from deleting
anything. A node whose turn had come goes on to the end, as far as the engine lets it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from components.rollout.planner import Plan, PlannedNode

Machine = TypeVar("Machine")
T = TypeVar("T")
Urn = str


class Registrar(Protocol[Machine]):
    """Registers what a node is made of (components.rollout.nodes)."""

    def machine(self, host: str, pool: str, *, machine_after: Sequence[Urn]) -> Machine:
        """Register the machine, without waiting for it."""
        ...

    async def ended(self, machine: Machine) -> None:
        """Return once the machine's own steps have ended, well or not; a failing program would cut them short."""
        ...

    async def serve(
        self, host: str, pool: str, machine: Machine, *, member_after: Sequence[Urn], ready_after: Sequence[Urn]
    ) -> Urn:
        """Register membership and readiness; return the readiness' URN once the node serves."""
        ...

    async def leave(self, node: str, pool: str, *, after: Sequence[Urn]) -> None:
        """Return once a node that is not declared any more has left, and its machine is given back."""
        ...


class NotItsTurn(Exception):
    """Another lane failed, so this one stopped before it registered a node. Never the first cause."""


class Lanes(Generic[Machine]):
    """One run of a plan.

    network: registers what pods need to reach each other, given the URN of the control plane that
    serves the API; returns the URN that workers' readiness waits for. Called once, as soon as the
    plan's first control plane serves. control_planes: their hosts. foundation: what must stand while a
    control plane does, so that a destroy takes it last.
    """

    def __init__(
        self,
        plan: Plan,
        registrar: Registrar[Machine],
        network: Callable[[Urn], Awaitable[Urn]],
        control_planes: frozenset[str],
        foundation: Sequence[Urn] = (),
    ) -> None:
        self._plan, self._registrar, self._network = plan, registrar, network
        self._control_planes, self._foundation = control_planes, foundation
        self._cause: BaseException | None = None
        in_plan = [n for n in plan.nodes if n.node in control_planes]
        self._first_control_plane = in_plan[0] if in_plan else None
        self._left = Counter(n.wave for n in plan.nodes)

    async def run(self) -> dict[str, Urn]:
        """Register every node; return the URN of each one's readiness, in the plan's order.

        Raises what the first failing node raised, once no lane registers any more.
        """
        loop = asyncio.get_running_loop()
        self._served: dict[str, asyncio.Future[Urn]] = {n.node: loop.create_future() for n in self._plan.nodes}
        self._wave_over: dict[int, asyncio.Future[None]] = {wave: loop.create_future() for wave in self._left}
        self._connected: asyncio.Future[Urn] = loop.create_future()
        self._last_control_plane: Urn | None = None
        turns = [self._halting(self._turn(n)) for n in self._plan.nodes]
        await asyncio.gather(self._halting(self._connect()), *turns, return_exceptions=True)
        if self._cause:
            raise self._cause
        return {n.node: self._served[n.node].result() for n in self._plan.nodes}

    async def _halting(self, turn: Awaitable[None]) -> None:
        """Run a turn. The first that fails is the cause of all; every one that still waits wakes, and stops."""
        try:
            await turn
        except (NotItsTurn, GeneratorExit):  # the latter: the program is over, and nobody waits any more
            return
        except BaseException as failure:
            self._cause = self._cause or failure
            waits: list[asyncio.Future[Any]] = [*self._served.values(), *self._wave_over.values(), self._connected]
            for waited in waits:
                if not waited.done():
                    waited.cancel()
            raise

    async def _until(self, waited: asyncio.Future[T]) -> T:
        """The result, once it is there. Raises NotItsTurn if another lane failed meanwhile."""
        await asyncio.wait([waited])
        if waited.cancelled():
            raise NotItsTurn
        return waited.result()

    async def _turn(self, n: PlannedNode) -> None:
        if n.wave:
            await self._until(self._wave_over[n.wave - 1])
        machine_after = [await self._until(self._served[n.machine_after])] if n.machine_after else []
        if not machine_after and n.wave and self._last_control_plane:
            # The head of a lane: on destroy, its lane leaves before the control planes do.
            machine_after = [self._last_control_plane]
        if n.node in self._control_planes:
            machine_after += self._foundation
        self._still_going()
        machine = self._registrar.machine(n.node, n.pool, machine_after=machine_after)
        try:
            member_after = [await self._until(self._served[n.member_after])] if n.member_after else []
            ready_after = [await self._until(self._connected)] if self._waits_for_network(n) else []
        except NotItsTurn:
            await self._registrar.ended(machine)
            raise
        urn = await self._registrar.serve(n.node, n.pool, machine, member_after=member_after, ready_after=ready_after)
        for older in n.succeeds:
            self._still_going()
            await self._registrar.leave(older, n.pool, after=[urn])
        self._serves(n, urn)

    def _still_going(self) -> None:
        if self._cause:
            raise NotItsTurn

    def _waits_for_network(self, n: PlannedNode) -> bool:
        """A worker waits for it, unless it heals before the first control plane's turn.

        Then the cluster has its network already, and waiting would be for a node that waits for this one.
        """
        first = self._first_control_plane
        return n.node not in self._control_planes and first is not None and n.wave >= first.wave

    def _serves(self, n: PlannedNode, urn: Urn) -> None:
        if n.node in self._control_planes:
            self._last_control_plane = urn
        self._settle(self._served[n.node], urn)
        self._left[n.wave] -= 1
        if not self._left[n.wave]:
            self._settle(self._wave_over[n.wave], None)

    @staticmethod
    def _settle(waited: asyncio.Future[T], result: T) -> None:
        """Say the result, unless nobody may go on: another lane failed while this one ended its turn."""
        if not waited.done():
            waited.set_result(result)

    async def _connect(self) -> None:
        if self._first_control_plane is None:
            return
        api = await self._until(self._served[self._first_control_plane.node])
        self._settle(self._connected, await self._network(api))
