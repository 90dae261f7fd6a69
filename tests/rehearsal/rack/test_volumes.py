"""Volumes go where their pods go, also when a pod is sent on before its volume has come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.rack import volumes, workloads
from rehearsal.rack.rack import Rack
from rehearsal.rack.world import App, Host, KubeNode, Pod, Volume, World

LIMIT_S = 600


@pytest.fixture
def rack() -> Iterator[Rack]:
    """Three nodes; the database on n1, its volume with it."""
    names = ("n1", "n2", "n3")
    made = Rack(
        World(
            seed=1,
            hosts={n: Host(name=n, fault_domain=n, power="on", joined=True, boots=1) for n in names},
            nodes={n: KubeNode(name=n, ready=True) for n in names},
            apps={"db": App(name="db", owner="StatefulSet", replicas=1)},
            pods={"db-0": Pod(name="db-0", app="db", node="n1", phase="ready", volume="pv")},
            volumes={
                "pv": Volume(name="pv", claim="c", size_gib=1, replicas={"n3": True}, attached_to="n1", in_use="n1")
            },
        ),
        pins={},
    )
    yield made
    made.clock.close()


def settled(rack: Rack) -> None:
    """Let everything happen that is going to."""
    rack.clock.step_begins("test")
    rack.clock.park("test", rack.now_s + LIMIT_S, "")
    rack.clock.step_ends("test")


def leave(rack: Rack, node: str) -> None:
    rack.world.nodes[node].unschedulable = True
    for pod in [p.name for p in rack.world.pods.values() if p.node == node]:
        workloads.end(rack, pod)


class TestAPodMovesOn:
    """Its volume is attached once, where the pod is at last."""

    def test_when_its_volume_serves(self, rack: Rack) -> None:
        leave(rack, "n1")
        settled(rack)
        volume = rack.world.volumes["pv"]
        assert (volume.attached_to, volume.in_use, rack.world.pods["db-0"].phase) == ("n2", "n2", "ready")

    @pytest.mark.parametrize("attached_to", ["n1", "n3"], ids=["attached but not mounted", "still elsewhere"])
    def test_before_its_volume_has_come(self, rack: Rack, attached_to: str) -> None:
        rack.world.pods["db-0"].phase = "attaching"
        volume = rack.world.volumes["pv"]
        volume.attached_to, volume.in_use = attached_to, ""
        if attached_to == "n3":
            rack.later(30, "detached", "pv")
        leave(rack, "n1")
        settled(rack)
        assert (volume.attached_to, volume.in_use, rack.world.pods["db-0"].phase) == ("n2", "n2", "ready")


class TestAMove:
    """The moment of each stage is kept, for the evidence of the node that the volume left."""

    def test_stage_by_stage(self, rack: Rack) -> None:
        begun_s = rack.now_s
        leave(rack, "n1")
        settled(rack)
        (move,) = volumes.moves(rack, "n1")
        assert (move.volume, move.claim, move.from_node, move.pod) == ("pv", "default/c", "n1", "db-0")
        stages = (move.evicted_s, move.unmounted_s, move.detached_s, move.attached_s, move.ready_s)
        known = [at_s for at_s in stages if at_s is not None]
        assert known[0] == begun_s
        assert len(known) == len(stages)
        assert known == sorted(known)
        assert volumes.moves(rack, move.to_node) == ()


class TestADeadHost:
    """Its pods and volumes stay with it until its node is out of service."""

    def died(self, rack: Rack) -> None:
        rack.world.hosts["n1"].power, rack.world.nodes["n1"].ready = "off", False
        leave(rack, "n1")
        settled(rack)

    def test_keeps_its_pods(self, rack: Rack) -> None:
        self.died(rack)
        assert (rack.world.pods["db-0"].node, rack.world.volumes["pv"].attached_to) == ("n1", "n1")

    def test_until_it_is_given_up(self, rack: Rack) -> None:
        self.died(rack)
        workloads.give_up(rack, "n1")
        settled(rack)
        volume = rack.world.volumes["pv"]
        assert (volume.attached_to, volume.in_use, rack.world.pods["db-0"].phase) == ("n2", "n2", "ready")

    def test_never_while_its_power_is_on(self, rack: Rack) -> None:
        workloads.give_up(rack, "n1")
        assert rack.world.pods["db-0"].node == "n1"
