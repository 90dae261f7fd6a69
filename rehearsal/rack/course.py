"""Which nodes the plan expects to act now: what lets the virtual clock know that all of them wait.

A node's turn has two parts: its machine (released, provisioned) and its coming in (enrolled, joined).
The first part is due once every node of all earlier waves serves and the node before it in its lane
serves; the second once its machine is there and `member_after` serves. What the engine has not been
able to ask for yet is not due, so a lane behind a barrier never holds the clock. The turn of a node that succeeds
another goes on with that one's leave and release, in a lane of the other's name.
"""

from __future__ import annotations

from collections import defaultdict

from components.rollout.planner import Plan, PlannedNode

FLEET = "fleet-ready"
"""The barrier behind the last wave: one more turn, of the whole fleet."""


class Course:
    """Progress through one plan. Not thread-safe: the clock's lock guards it."""

    def __init__(self, plan: Plan) -> None:
        waves = 1 + max((n.wave for n in plan.nodes), default=-1)
        barrier = PlannedNode(FLEET, "", waves, FLEET, None, None, "barrier")
        self._nodes = {n.node: n for n in (*plan.nodes, barrier)}
        self._machine_waiters: dict[str, list[str]] = defaultdict(list)
        self._member_waiters: dict[str, list[str]] = defaultdict(list)
        self._by_wave: dict[int, list[str]] = defaultdict(list)
        for n in self._nodes.values():
            self._by_wave[n.wave].append(n.node)
            if n.machine_after:
                self._machine_waiters[n.machine_after].append(n.node)
            if n.member_after:
                self._member_waiters[n.member_after].append(n.node)
        self._to_leave = {n.node: list(n.succeeds) for n in plan.nodes if n.succeeds}
        self._successor = {older: node for node, those in self._to_leave.items() for older in those}
        self._left = {wave: len(names) for wave, names in self._by_wave.items()}
        self._wave = 0
        self._machine_done: set[str] = set()
        self.done: set[str] = set()
        self.due: set[str] = set()
        self._open_wave()

    @property
    def finished(self) -> bool:
        """Every node and the barrier have had their turn."""
        return len(self.done) == len(self._nodes)

    def knows(self, lane: str) -> bool:
        """Whether the plan has a turn for it."""
        return lane in self._nodes or lane in self._successor

    def machine_done(self, node: str) -> None:
        """The node's machine is as declared (provisioned, or it never differed)."""
        if node not in self._nodes or node in self._machine_done:
            return
        self._machine_done.add(node)
        after = self._nodes[node].member_after
        if after is not None and after not in self.done:
            self.due.discard(node)

    def node_done(self, node: str) -> None:
        """The node serves (joined, or it never differed)."""
        if node not in self._nodes or node in self.done:
            return
        self._machine_done.add(node)
        self.due.discard(node)
        if self._to_leave.get(node):
            self.due.add(self._to_leave[node][0])
            return
        self.done.add(node)
        for follower in self._machine_waiters[node]:
            if self._nodes[follower].wave <= self._wave and follower not in self.done:
                self.due.add(follower)
        for follower in self._member_waiters[node]:
            if follower in self._machine_done and follower not in self.done:
                self.due.add(follower)
        self._left[self._nodes[node].wave] -= 1
        while self._left.get(self._wave) == 0:
            self._wave += 1
            self._open_wave()

    def node_left(self, older: str) -> None:
        """The node has left and its machine is given back, if it was in its successor's turn to do so."""
        node = self._successor.get(older)
        if node is not None and older in self._to_leave[node]:
            self._to_leave[node].remove(older)
            self.due.discard(older)
            self.node_done(node)

    def _open_wave(self) -> None:
        for name in self._by_wave.get(self._wave, ()):
            before = self._nodes[name].machine_after
            if name not in self.done and (before is None or before in self.done):
                self.due.add(name)
