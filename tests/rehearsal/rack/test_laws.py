"""Each law notices the world that breaks it, and no other: a law that cannot be broken proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from components import stackfile
from components.boot.pin import pins
from components.images import lock
from lifecycle.ports import Claim, ClaimState, Limits, Pin, Ports, Progress, Role
from rehearsal.rack import outage
from rehearsal.rack.ports import ports
from rehearsal.rack.rack import Rack
from rehearsal.rack.world import App, Host, KubeNode, Member, Pod, Volume, World
from rehearsal.session import IMAGES, ROOT

DECLARED = pins(stackfile.load(ROOT / "stacks" / "Pulumi.metal.yaml"), lock.load(IMAGES))


def claim(pin: Pin) -> Claim:
    return Claim("metal", pin.node, pin.generation, ClaimState.JOINED, pin.controller, pin.pool, pin.role, pin.stores)


def served_world() -> World:
    """The metal fleet as it is when all is well: three voters, a volume on w1 and w2, attached to w1."""
    world = World(seed=1, initialised_by="cp1", cni_up=True, storage_up=True, settled=True)
    for name, pin in DECLARED.items():
        markers = dict.fromkeys(pin.data_disks, f"{name} data")
        world.hosts[name] = Host(
            name=name, fault_domain=pin.fault_domain, power="on", boots=1, joined=True, markers=markers
        )
        world.nodes[name] = KubeNode(name=name, ready=True)
        world.claims[name] = claim(pin)
        world.served.add(name)
        if pin.role is Role.CONTROL_PLANE:
            world.members[name] = Member(id=name, node=name, voter=True, leader=name == "cp1")
    replicas = {"w1": True, "w2": True}
    world.volumes["pv"] = Volume(name="pv", claim="data", size_gib=1, replicas=replicas, attached_to="w1", in_use="w1")
    world.apps["db"] = App(name="db", owner="StatefulSet", replicas=1, healthy_min=1)
    world.pods["db-0"] = Pod(name="db-0", app="db", node="w1", phase="ready", volume="pv")
    return world


@pytest.fixture
def rack() -> Iterator[Rack]:
    made = Rack(served_world(), DECLARED)
    yield made
    made.clock.close()


@pytest.fixture
def step(rack: Rack) -> Ports:
    return ports(rack, "w1", Limits(), lambda: None)


def broken(rack: Rack) -> set[str]:
    rack.laws.check()
    return {e["law"] for e in rack.journal.entries if e["kind"] == "law"}


class TestLaws:
    """One impossible world a law."""

    def test_a_fleet_that_is_well_breaks_none(self, rack: Rack) -> None:
        assert broken(rack) == set()

    def test_quorum(self, rack: Rack) -> None:
        rack.world.hosts["cp1"].joined = rack.world.hosts["cp2"].joined = False
        assert broken(rack) == {"quorum"}

    def test_quorum_when_no_voter_is_left(self, rack: Rack) -> None:
        rack.world.members.clear()
        assert broken(rack) == {"quorum", "voters"}

    def test_voters(self, rack: Rack) -> None:
        del rack.world.members["cp1"], rack.world.members["cp2"]
        assert broken(rack) == {"voters"}

    def test_volume_live(self, rack: Rack) -> None:
        rack.world.volumes["pv"].replicas = {"w1": False, "w4": False}  # both of rack-a
        assert broken(rack) == {"volume-live"}

    def test_one_domain(self, rack: Rack) -> None:
        rack.world.volumes["pv"].replicas = {"w1": False, "w2": False, "w3": True}
        assert broken(rack) == {"one-domain"}

    def test_budget(self, rack: Rack) -> None:
        for name in ("w1", "w2"):
            rack.world.nodes[name].unschedulable = True
            rack.note_standing(name)
        assert broken(rack) == {"budget"}

    def test_disruption(self, rack: Rack) -> None:
        rack.world.pods["db-0"].phase = "starting"
        assert broken(rack) == {"disruption"}

    def test_drained_when_the_power_is_cut(self, rack: Rack) -> None:
        rack.laws.machine_stops("w1")
        assert broken(rack) == {"drained"}

    def test_drained_when_a_live_host_is_installed_anew(self, rack: Rack, step: Ports) -> None:
        step.machines.install("w1", DECLARED["w1"])
        assert "drained" in broken(rack)
        assert not rack.world.hosts["w1"].joined

    def test_data_disks(self, rack: Rack) -> None:
        rack.laws.disk_written("w1", "/dev/disk/by-id/data")
        assert broken(rack) == {"data-disks"}

    def test_a_breach_is_told_once_until_it_is_over(self, rack: Rack) -> None:
        rack.world.pods["db-0"].phase = "starting"
        broken(rack)
        broken(rack)
        assert sum(e["kind"] == "law" for e in rack.journal.entries) == 1


class TestAPowerCut:
    """What it breaks is nobody's doing, until all is whole again; what somebody does meanwhile still is."""

    def test_is_excused_until_all_is_whole_again(self, rack: Rack) -> None:
        with rack.clock.lock:
            outage.power_cut(rack)
        assert broken(rack) == set()
        for host in rack.world.hosts.values():
            host.power, host.joined, host.member, host.progress = "on", True, True, Progress.RUNNING
        rack.world.dark.clear()
        rack.world.pods["db-0"].phase = "ready"
        assert broken(rack) == set()
        rack.world.pods["db-0"].phase = "starting"
        assert broken(rack) == {"disruption"}

    def test_excuses_no_node_that_is_out_besides(self, rack: Rack) -> None:
        rack.world.nodes["w1"].ready = rack.world.nodes["w2"].ready = False
        with rack.clock.lock:
            outage.power_cut(rack)
        for name in ("w1", "w2", "w3"):
            rack.world.nodes[name].ready = False
            rack.note_standing(name)
        assert broken(rack) == {"budget"}

    def test_excuses_no_power_that_a_step_takes(self, rack: Rack) -> None:
        with rack.clock.lock:
            outage.power_cut(rack)
        rack.laws.machine_stops("w1")
        assert broken(rack) == {"drained"}


class TestSuccession:
    """A host that has two nodes for a while: w1 serves and is to be succeeded by w1-01234567."""

    @pytest.fixture
    def rack(self) -> Iterator[Rack]:
        new = replace(DECLARED["w1"], node="w1-01234567", host="w1", stores=False)
        world = served_world()
        world.hosts[new.node] = Host(name=new.node, fault_domain=new.fault_domain, power="on", boots=1, joined=True)
        world.nodes[new.node] = KubeNode(name=new.node, ready=True)
        made = Rack(world, {n: p for n, p in DECLARED.items() if n != "w1"} | {new.node: new})
        yield made
        made.clock.close()

    def test_lets_the_old_one_leave_once_the_new_one_serves(self, rack: Rack) -> None:
        rack.world.nodes["w1"].unschedulable = True
        assert "succession" not in broken(rack)

    def test_breaks_if_it_leaves_before(self, rack: Rack) -> None:
        rack.world.nodes["w1-01234567"].ready = False
        assert "succession" not in broken(rack)
        rack.world.nodes["w1"].unschedulable = True
        assert "succession" in broken(rack)
