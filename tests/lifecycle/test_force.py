"""Force: a deadline that ends with harm, where the pool says so, for workers that store nothing, and never silently."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lifecycle.commands import Verb
from lifecycle.errors import BudgetNeverAllows, DrainBlocked, LifecycleError, UnmanagedPods, VolumesStillAttached
from lifecycle.ports import OnTimeout, Pod
from tests.lifecycle.fleets import bring_in, pin, serving, standings, step
from tests.lifecycle.world import World

FORCE = OnTimeout.FORCE
STUCK = "apps/db-0"


def forced(world: World, node: str, **said: object) -> None:
    """The node's pool says force, and stores nothing."""
    pool = "control" if node.startswith("c") else "batch"
    fields: dict[str, object] = {"pool": pool, "stores": False, "drain_timeout": FORCE, "detach_timeout": FORCE}
    world.pins[node] = pin(node, "g1", **{**fields, **said})
    world.claims[node] = replace(world.claims[node], stores=False)
    for volume in world.volumes.values():
        if volume.replicas.pop(node, None) is not None:
            volume.replicas["w3" if "w3" not in volume.replicas else "w4"] = True


@pytest.fixture
def world() -> World:
    """A pod of w1 that its budget does not let go: its fellow on w2 is not Ready, and never will be."""
    world = serving()
    world.pods["apps/db-1"] = replace(world.pods["apps/db-1"], ready=False)
    return world


def notes(world: World) -> list[str]:
    return [entry[2] for entry in world.journal if entry[1] == "note"]


class TestADrain:
    """At its deadline what is left is deleted past its budgets, each pod named."""

    def test_goes_past_a_stuck_pod(self, world: World) -> None:
        forced(world, "w1")
        began_s = world.now_s
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert world.changes[:2] == ["cordon w1", f"delete pod {STUCK}"]
        assert world.now_s - began_s > world.limits.drain_s
        said = f"FORCED after 900 s, as its pool says: pod {STUCK} is deleted past PodDisruptionBudget apps/db"
        assert said in notes(world)

    def test_asks_budgets_until_then(self, world: World) -> None:
        forced(world, "w1")
        heals = replace(world.pods["apps/db-1"], ready=True)
        world.later(600, lambda: world.pods.update({"apps/db-1": heals}))
        step(world, Verb.LEAVE, "w1")
        assert f"evict {STUCK}" in world.changes
        assert not [text for text in notes(world) if "FORCED" in text]

    def test_a_budget_that_never_allows_holds_until_then(self, world: World) -> None:
        forced(world, "w1")
        world.budgets["db"] = 3
        assert step(world, Verb.LEAVE, "w1") == "w1 left"

    def test_a_pod_that_does_not_end_halts_it_all_the_same(self, world: World) -> None:
        forced(world, "w1")
        world.pods[STUCK] = replace(world.pods[STUCK], terminating=True)  # a finalizer keeps it
        with pytest.raises(DrainBlocked, match=STUCK):
            step(world, Verb.LEAVE, "w1")
        assert standings(world)["w1"] == "leaving"

    def test_a_pod_that_nothing_makes_again_is_refused(self, world: World) -> None:
        forced(world, "w1")
        world.pods["apps/lone"] = Pod("apps", "lone", "w1")
        with pytest.raises(UnmanagedPods):
            step(world, Verb.LEAVE, "w1")


class TestADetach:
    """At its deadline the power is cut and proven off; only then are the volumes taken away."""

    @pytest.fixture
    def hanging(self) -> World:
        """The pod goes, its volume does not."""
        world = serving()
        world.detaches = False
        world.pods[STUCK] = replace(world.pods[STUCK], claims=())
        world.volumes["pv-0"].attached_to = "w1"
        return world

    def test_takes_the_volumes_away_once_the_power_is_off(self, hanging: World) -> None:
        world = hanging
        forced(world, "w1")
        world.later(350, lambda: setattr(world.volumes["pv-0"], "attached_to", ""))  # what the taint brings about
        step(world, Verb.LEAVE, "w1")
        off, out = world.changes.index("power off w1"), world.changes.index("w1 out of service")
        assert off < out
        assert "FORCED: pv-0 is taken away from it" in notes(world)
        assert world.broken == ["w1 was powered off with pv-0 attached"], "the one law that force breaks"
        world.broken.clear()
        step(world, Verb.RELEASE, "w1")
        bring_in(world, "w1")
        assert not world.nodes["w1"].out_of_service

    def test_halts_elsewhere(self, hanging: World) -> None:
        with pytest.raises(VolumesStillAttached, match="pv-0"):
            step(hanging, Verb.LEAVE, "w1")
        assert "power off w1" not in hanging.changes


class TestNever:
    """For a control plane or a node that stores: by the claim of the host, whatever the stack file says now."""

    @pytest.mark.parametrize("stored", ["claim", "pin"])
    def test_where_replicas_are(self, world: World, stored: str) -> None:
        forced(world, "w1", stores=stored == "pin")
        world.claims["w1"] = replace(world.claims["w1"], stores=stored == "claim")
        with pytest.raises(DrainBlocked):
            step(world, Verb.LEAVE, "w1")
        assert not [c for c in world.changes if c.startswith("delete pod")]

    def test_a_control_plane(self, world: World) -> None:
        forced(world, "c2")
        world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], node="c2")
        with pytest.raises(DrainBlocked):
            step(world, Verb.LEAVE, "c2")

    def test_a_budget_that_never_allows_there(self, world: World) -> None:
        world.pins["w1"] = pin("w1", drain_timeout=FORCE)
        world.budgets["db"] = 3
        with pytest.raises(BudgetNeverAllows):
            step(world, Verb.LEAVE, "w1")
        assert world.changes == []

    def test_where_the_pool_says_halt(self, world: World) -> None:
        forced(world, "w1", drain_timeout=OnTimeout.HALT)
        with pytest.raises(LifecycleError, match=STUCK):
            step(world, Verb.LEAVE, "w1")
