"""A node that left and came back by itself is emptied as by its leave before its power goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lifecycle.commands import Verb
from lifecycle.errors import DrainBlocked, HostStillJoined, NotRedundant
from lifecycle.ports import ClaimState, Node, Power, Progress
from lifecycle.roster import Standing
from tests.lifecycle.fleets import pin, roster, serving, step
from tests.lifecycle.world import KUBELET, Host, World

POWER_OFF = "power off w4"


def comes_back(world: World) -> None:
    """Its old system registers, and a pod whose node was restarted goes there with its volume."""
    world.hosts["w4"] = Host(Power.ON, Progress.RUNNING, True, "g1", 1)
    world.nodes["w4"] = Node("w4", True, False, "OS g1", "6.18", KUBELET, "w4-m1", "w4-b2")
    world.pods["apps/db-2"] = replace(world.pods["apps/db-2"], node="w4")
    world.volumes["pv-2"].attached_to = "w4"


@pytest.fixture
def world() -> World:
    """w4 stores nothing, has left, and is back with a pod and its volume."""
    world = serving()
    world.pins["w4"] = pin("w4", stores=False)
    world.claims["w4"] = replace(world.claims["w4"], stores=False)
    world.volumes["pv-2"].replicas = {"w3": True, "w2": True}
    step(world, Verb.LEAVE, "w4")
    assert "w4" not in world.nodes
    comes_back(world)
    world.changes.clear()
    return world


def released(world: World) -> str:
    return step(world, Verb.RELEASE, "w4")


def provisioned(world: World) -> str:
    return step(world, Verb.PROVISION, "w4")


def provisioned_again(world: World) -> str:
    """An earlier run had claimed the host for it."""
    world.claims["w4"] = replace(world.claims["w4"], state=ClaimState.PROVISIONING)
    return step(world, Verb.PROVISION, "w4")


STEPS = pytest.mark.parametrize("run", [released, provisioned, provisioned_again])


class TestWhatCameBackIsEmptied:
    """Before its power is cut, by whichever step comes next."""

    @STEPS
    def test_in_the_order_of_a_leave(self, world: World, run: Callable[[World], str]) -> None:
        run(world)
        order = ["cordon w4", "evict apps/db-2", "delete node w4", POWER_OFF]
        assert [c for c in world.changes if c in order] == order
        assert world.volumes["pv-2"].attached_to != "w4"
        assert world.broken == []
        assert any("came back uninvited" in entry[-1] for entry in world.journal)

    def test_and_then_it_comes_in(self, world: World) -> None:
        provisioned_again(world)
        step(world, Verb.ENROL, "w4")
        step(world, Verb.JOIN, "w4")
        assert roster(world).nodes["w4"].standing is Standing.IN
        assert world.claims["w4"].machine_id == world.nodes["w4"].machine_id != "w4-m1"

    def test_nothing_is_asked_of_one_that_stayed_away(self, world: World) -> None:
        step(world, Verb.RELEASE, "w4")
        world.changes.clear()
        step(world, Verb.PROVISION, "w4")
        assert not any("cordon" in c or "evict" in c or "delete node" in c for c in world.changes)


class TestItsPowerStays:
    """While it holds what others need; the next run goes on from there."""

    @STEPS
    def test_while_a_budget_refuses(self, world: World, run: Callable[[World], str]) -> None:
        world.pods["apps/db-1"] = replace(world.pods["apps/db-1"], ready=False)
        with pytest.raises(DrainBlocked, match="apps/db-2 refused by its budget"):
            run(world)
        assert not any(POWER_OFF in c or "install" in c for c in world.changes)
        assert world.nodes["w4"].unschedulable
        world.pods["apps/db-1"] = replace(world.pods["apps/db-1"], ready=True)
        run(world)
        assert POWER_OFF in world.changes

    @STEPS
    def test_while_a_volume_is_not_redundant(self, world: World, run: Callable[[World], str]) -> None:
        world.volumes["pv-0"].replicas["w2"] = False
        with pytest.raises(NotRedundant, match="pv-0"):
            run(world)
        assert POWER_OFF not in world.changes

    def test_of_one_that_is_in_by_the_roster(self, world: World) -> None:
        """Records that contradict each other are nobody's leave."""
        entries = roster(world)
        back = entries.nodes["w4"].model_copy(update={"standing": Standing.IN, "slot_since_s": None})
        world.document = entries.model_copy(update={"nodes": {**entries.nodes, "w4": back}}).model_dump_json()
        with pytest.raises(HostStillJoined, match=r"provisioning, and attached volumes pv-2.*ingot node leave"):
            provisioned_again(world)
        assert "w4" in world.nodes
        assert not any(POWER_OFF in c or "cordon" in c for c in world.changes)
