"""What others do to a node, and to the runner's clock, while it leaves or comes in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from lab import fleet as make
from lab.fleet import Json
from lifecycle.commands import Verb
from lifecycle.errors import NeverReady
from lifecycle.ports import ClaimState, Pod
from lifecycle.roster import Standing
from lifecycle.stops import RollTaken
from tests.lab.eventually import eventually
from tests.lab.leaving import GENERATION, Before, Cluster, tap
from tests.lifecycle.world import Host

pytestmark = pytest.mark.lab

LEAVE_S = 240
"""For a leave on a loaded machine: longer than any of its own limits."""

AN_HOUR_S = 3600.0


class Wall:
    """The system's time, which somebody sets."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s

    def __call__(self) -> float:
        return time.time() + self.ahead_s

    def set(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s


class TestAClockThatIsSet:
    """Ends no wait and no Lease, whichever way it is set."""

    def test_in_the_middle_of_a_leave(self, trio: Cluster) -> None:
        trio.app("web", replicas=2, on="s1", budget=1)
        others = trio.others("s1")
        trio.hold(*others)
        wall, ahead = Wall(), replace(trio, wall=Wall(AN_HOUR_S))
        jumps = tap("evict", lambda: wall.set(AN_HOUR_S))
        with ThreadPoolExecutor(1) as pool:
            leaving = pool.submit(replace(trio, wall=wall).leave, "s1", "first", kubernetes=jumps)
            eventually(lambda: trio.ready("web") == 1, "the one eviction that the budget allows")
            with pytest.raises(RollTaken, match="run first"):
                ahead.leave("s2", run="second")
            wall.set(-AN_HOUR_S)
            trio.release(*others)
            assert leaving.result(LEAVE_S) == "s1 left"
        trio.check_left("s1", web=2)
        assert trio.entry("s2").slot_since_s is None


class TestANodeDeletedByHand:
    """Is what the leave wanted, and what a join does not count as serving."""

    def test_in_the_middle_of_a_leave(self, trio: Cluster) -> None:
        trio.app("db", replicas=1, on="s1", claim="data")
        eventually(lambda: trio.ports().kubernetes.attachments_on("s1"), "the volume attached")
        # Not sooner: pods of a node that is gone are ended by a controller that takes a minute to look.
        deletes = tap("begin", lambda: trio.delete("s1"), "s1", "detach")
        assert trio.leave("s1", evidence=deletes) == "s1 left"
        trio.check_left("s1", db=1)

    def test_before_the_leave_could_cordon_it(self, trio: Cluster) -> None:
        deletes = tap("set_unschedulable", lambda: trio.delete("s1"))
        assert trio.leave("s1", kubernetes=deletes) == "s1 left"
        trio.check_left("s1")

    def test_in_the_middle_of_a_join(self, trio: Cluster) -> None:
        trio.world.limits = replace(trio.world.limits, join_s=60, attach_s=2)
        installed(trio, "s1")
        deletes = tap("is_redundant", lambda: trio.delete("s1"))
        with pytest.raises(NeverReady, match="no Node object, which somebody deleted"):
            trio.step(Verb.JOIN, "s1", storage=deletes)
        assert trio.entry("s1").standing is Standing.OUT
        trio.fleet.create(make.node("s1", "10.3.0.1", install=2))  # as its kubelet does when it starts again
        trio.world.limits = replace(trio.world.limits, attach_s=60)
        assert trio.step(Verb.JOIN, "s1") == "s1 serves"
        entry = trio.entry("s1")
        assert (entry.standing, entry.slot_since_s) == (Standing.IN, None)
        assert not trio.is_cordoned("s1")


def installed(trio: Cluster, name: str) -> None:
    """The node left, and its machine was installed anew and registered."""
    trio.leave(name)
    claim = trio.world.claims[name]
    trio.world.claims[name] = replace(claim, state=ClaimState.PROVISIONING, installed=True)
    trio.world.hosts[name] = Host(generation=GENERATION)
    trio.fleet.create(make.node(name, "10.3.0.1", install=2))


class TestADaemonSet:
    """Puts its pods on a cordoned node; they neither hold up its leave nor are evicted."""

    def test_pod_made_again_while_the_node_leaves(self, trio: Cluster) -> None:
        trio.app("web", replicas=2, on="s1", budget=1)
        trio.create(daemon_set("agent"))
        kubernetes = trio.ports().kubernetes

        def agents() -> dict[str, Pod]:
            return {p.uid: p for p in kubernetes.pods_on("s1") if p.owner == "DaemonSet" and not p.terminating}

        (first,) = eventually(agents, "the DaemonSet's pod")
        evicted: list[Pod] = []
        at_the_end: dict[str, Pod] = {}

        def made_again() -> None:
            assert trio.is_cordoned("s1")
            kubernetes.delete_pod(agents()[first])
            eventually(lambda: agents() and first not in agents(), "another pod in place of the deleted one")

        class Noted:
            """Notes what is evicted, and what is there when the Node is deleted."""

            def __init__(self, inner: Any) -> None:
                self._inner = Before(inner, "evict", made_again)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._inner, name)

            def evict(self, pods: Sequence[Pod]) -> Any:
                evicted.extend(pods)
                return self._inner.evict(pods)

            def delete_node(self, name: str) -> None:
                at_the_end.update(agents())
                self._inner.delete_node(name)

        assert trio.leave("s1", kubernetes=Noted) == "s1 left"
        assert len(at_the_end) == 1
        assert first not in at_the_end
        assert {pod.owner for pod in evicted} == {"ReplicaSet"}
        trio.check_left("s1", web=2)


def daemon_set(name: str) -> Json:
    """A pod on each node that has no taint but a cordon."""
    deployment = make.deployment(name, 1)
    spec = {key: value for key, value in deployment["spec"].items() if key != "replicas"}
    return {**deployment, "kind": "DaemonSet", "spec": spec}
