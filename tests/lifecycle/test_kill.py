"""A step that is killed at any call of any port, run again, ends where an unkilled one ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lifecycle.commands import Verb
from lifecycle.ports import ClaimState
from tests.lifecycle.fleets import bring_in, fresh, pin, roster, serving, standings, step
from tests.lifecycle.world import Killed, World

Way = Callable[[World], None]


def leaving(node: str, *, declared: bool = True) -> tuple[Callable[[], World], Way]:
    def before() -> World:
        world = serving()
        if declared:
            world.pins[node] = pin(node, "g2")
        else:
            del world.pins[node]
        return world

    return before, lambda world: void(step(world, Verb.LEAVE, node))


def joining(node: str) -> tuple[Callable[[], World], Way]:
    def before() -> World:
        world = serving()
        world.pins[node] = pin(node, "g2", soak_s=20)
        step(world, Verb.LEAVE, node)
        step(world, Verb.RELEASE, node)
        step(world, Verb.PROVISION, node, "g2")
        step(world, Verb.ENROL, node, "g2")
        return world

    return before, lambda world: void(step(world, Verb.JOIN, node, "g2"))


def coming_back(node: str) -> tuple[Callable[[], World], Way]:
    """It had left when the stack file went back to what it had: enrol and join install it again."""

    def before() -> World:
        world = serving()
        step(world, Verb.LEAVE, node)
        step(world, Verb.RELEASE, node)
        return world

    def way(world: World) -> None:
        step(world, Verb.ENROL, node)
        step(world, Verb.JOIN, node)

    return before, way


def initialising() -> tuple[Callable[[], World], Way]:
    def before() -> World:
        world = fresh()
        step(world, Verb.PROVISION, "c1")
        return world

    return before, lambda world: void(step(world, Verb.JOIN, "c1"))


def replacing(node: str) -> tuple[Callable[[], World], Way]:
    """Release and provision, as the engine repeats them."""

    def before() -> World:
        world = serving()
        world.pins[node] = pin(node, "g2")
        step(world, Verb.LEAVE, node)
        return world

    def way(world: World) -> None:
        if world.claims[node].generation == "g1":
            step(world, Verb.RELEASE, node)
        step(world, Verb.PROVISION, node, "g2")

    return before, way


def void(_: str) -> None:
    """The engine shows what is printed; the end state is what counts here."""


def end_state(world: World) -> tuple[object, ...]:
    """What an outsider finds afterwards, once everything has settled."""
    world.run_until(world.now_s + 3600)
    nodes = {n: (v.ready, v.unschedulable, v.os_image) for n, v in world.nodes.items()}
    members = {n: (m.voter, m.healthy) for n, m in world.members.items()}
    claims = {n: (c.state, c.generation, c.stack) for n, c in world.claims.items()}
    replicas = {n: dict(v.replicas) for n, v in world.volumes.items()}
    turn = roster(world).storage_turn if world.document else ""
    listed = standings(world) if world.document else {}
    return nodes, members, claims, replicas, turn, listed, world.initialised, sorted(world.maintenance)


WAYS = {
    "a worker leaves": leaving("w1"),
    "a worker leaves for good": leaving("w2", declared=False),
    "the leader leaves": leaving("c1"),
    "a worker joins": joining("w1"),
    "a control plane joins": joining("c2"),
    "a worker that had left comes back": coming_back("w1"),
    "the first control plane initialises": initialising(),
    "a machine is replaced": replacing("w4"),
}


@pytest.mark.parametrize("engine", ["run-a", "run-b"], ids=["same engine", "next engine"])
@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("name", WAYS)
def test_killed_at_every_call(name: str, after: bool, engine: str) -> None:
    before, way = WAYS[name]
    whole = before()
    way(whole)
    expected = end_state(whole)
    k = 0
    while True:
        k += 1
        world = before()
        world.kill_at, world.kill_after = k, after
        try:
            way(world)
        except Killed:
            world.kill_at = 0
            if engine != world.run.id:
                world.engine_ends(engine)
            way(world)
            assert end_state(world) == expected, f"killed at call {k}"
            assert world.roll is None or world.roll.run.id == engine
            assert world.broken == [], f"killed at call {k}"
            continue
        break
    assert k > 15


def test_a_leave_killed_anywhere_is_healed_by_the_join_of_a_revert() -> None:
    """The stack file goes back to what the node still runs; the engine makes its readiness again."""
    before, way = leaving("w1")
    healed = 0
    for k in range(1, 200):
        world = before()
        world.kill_at = k
        try:
            way(world)
        except Killed:
            world.kill_at, world.pins["w1"] = 0, pin("w1")
            assert step(world, Verb.JOIN, "w1") in ("w1 serves", "w1 serves already")
            assert (standings(world)["w1"], roster(world).storage_turn) == ("in", "")
            assert not world.nodes["w1"].unschedulable
            assert step(world, Verb.LEAVE, "w2") == "w2 left"
            assert world.broken == []
            healed += 1
    assert healed > 30


def test_a_whole_fleet_comes_up_and_rolls() -> None:
    world = fresh()
    for node in world.pins:
        bring_in(world, node)
    step(world, Verb.GATE)
    for node in ("c2", "c3", "c1", "w1", "w2", "w3", "w4"):
        world.pins[node] = pin(node, "g2")
        step(world, Verb.LEAVE, node)
        step(world, Verb.RELEASE, node)
        bring_in(world, node, "g2")
    assert {c.state for c in world.claims.values()} == {ClaimState.JOINED}
    assert {n.os_image for n in world.nodes.values()} == {"OS g2"}
    assert world.broken == []
