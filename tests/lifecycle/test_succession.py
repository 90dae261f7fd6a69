"""A host's next node comes in beside its last one, and only then does that one leave."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from lifecycle import succession
from lifecycle.commands import Verb
from lifecycle.errors import AttachIncomplete, BudgetFull, NeverBooted, NotLeft
from lifecycle.losses import DataWouldBeLost
from lifecycle.pause import pause
from lifecycle.ports import Claim, ClaimState, Controller, DrainPolicy, Limits, Node, Pin, Pod, Power, Progress, Rollout
from lifecycle.roster import Entry, Paused, Roster, Standing
from lifecycle.stops import RollPaused, RollStopped
from tests.lifecycle.fakes import ports
from tests.lifecycle.fleets import bring_in, pin, roster, serving, standings, step
from tests.lifecycle.world import KUBELET, Host, World

OLD, NEW, NEXT = "a" * 16, "b" * 16, "c" * 16
HOSTS = ("b1", "b2", "b3")


def of(host: str, generation: str = OLD, **changes: object) -> Pin:
    """A host's node of that generation."""
    node = succession.node_name(host, generation)
    fields = {"pool": "web", "host": host, "stores": False, "fault_domain": host, "mac": "", **changes}
    return pin(node, generation, controller=Controller(f"ec2://r/c/{node}"), **fields)


def declare(world: World, generation: str, **changes: object) -> None:
    """The stack file says so now."""
    rest = {n: p for n, p in world.pins.items() if p.pool != "web"}
    pins = [of(host, generation, **changes) for host in HOSTS]
    world.pins = {**rest, **{p.node: p for p in pins}}
    for p in pins:
        world.hosts.setdefault(p.node, Host(Power.OFF, Progress.NONE, False, "", 0))


@pytest.fixture
def world() -> World:
    """A fleet that serves, with a pool that rolls blue-green; its stack file says NEW now, its nodes are OLD."""
    world = serving()
    entries = dict(roster(world).nodes)
    for p in map(of, HOSTS):
        world.hosts[p.node] = Host(generation=OLD)
        fields = (p.controller, p.pool, p.role, p.stores)
        made = Claim("metal", p.node, OLD, ClaimState.JOINED, *fields, machine_id=f"{p.node}-m1", host=p.host)
        world.claims[p.node] = made
        world.nodes[p.node] = Node(p.node, True, False, f"OS {OLD}", "6.18", KUBELET, f"{p.node}-m1", f"{p.node}-b1")
        entries[p.node] = Entry(
            pool="web", role=p.role, generation=OLD, fault_domain=p.host, standing=Standing.IN, host=p.host
        )
    world.document = Roster(serving=True, nodes=entries).model_dump_json()
    declare(world, NEW)
    return world


def old(host: str) -> str:
    return of(host, OLD).node


def new(host: str) -> str:
    return of(host, NEW).node


def let_go(world: World, host: str, generation: str = OLD) -> None:
    """What the engine runs of a node that is not declared any more."""
    node = succession.node_name(host, generation)
    step(world, Verb.LEAVE, node, generation)
    step(world, Verb.RELEASE, node, generation)
    step(world, Verb.VACATE, node, generation)


def take_turn(world: World, host: str) -> None:
    bring_in(world, new(host), NEW)
    let_go(world, host)


class TestNames:
    """The host's name and the beginning of the generation."""

    def test_tell_generations_apart(self) -> None:
        assert succession.node_name("web-1", "0123456789abcdef") == "web-1-01234567"

    @pytest.mark.parametrize("name", ["b1", "b1-01234567", "b1-deadbeef"])
    def test_that_a_host_can_have_had(self, name: str) -> None:
        assert succession.may_be_of("b1", name)

    @pytest.mark.parametrize("name", ["b10", "b10-01234567", "b1-0123456", "b1-012345678", "b1-0123456g"])
    def test_that_are_of_other_hosts(self, name: str) -> None:
        assert not succession.may_be_of("b1", name)


class TestATurn:
    """The pool never misses a node."""

    def test_leaves_one_node_a_host_and_nothing_of_the_other(self, world: World) -> None:
        for host in HOSTS:
            take_turn(world, host)
        nodes = {n for n in world.nodes if n.startswith("b")}
        assert nodes == {new(host) for host in HOSTS}
        assert {n for n in world.claims if n.startswith("b")} == nodes
        assert {n for n in standings(world) if n.startswith("b")} == nodes
        assert {world.hosts[old(host)].power for host in HOSTS} == {Power.OFF}
        assert world.broken == []

    def test_begins_with_the_new_machine(self, world: World) -> None:
        step(world, Verb.PROVISION, new("b1"), NEW)
        assert roster(world).taken == (new("b1"),)
        assert (standings(world)[new("b1")], standings(world)[old("b1")]) == ("out", "in")

    def test_ends_no_earlier_than_the_new_node_serves(self, world: World) -> None:
        world.limits = Limits(slot_s=60)
        before = dict(world.nodes)
        for verb in (Verb.PROVISION, Verb.ENROL):
            step(world, verb, new("b1"), NEW)
            with pytest.raises(BudgetFull, match=f"{new('b1')}, which takes its place, does not serve"):
                step(world, Verb.LEAVE, old("b1"), OLD)
        assert {n: world.nodes[n] for n in before} == before

    def test_counts_once(self, world: World) -> None:
        take_turn(world, "b1")
        assert roster(world).taken == (new("b1"),)

    def test_run_again_changes_nothing(self, world: World) -> None:
        take_turn(world, "b1")
        world.changes.clear()
        let_go(world, "b1")
        assert world.changes == []

    def test_waits_for_what_the_old_node_gave_away(self, world: World) -> None:
        world.limits = Limits(attach_s=60)
        world.pods["apps/db-9"] = Pod("apps", "db-9", old("b1"), "StatefulSet", claims=("data-db-9",))
        bring_in(world, new("b1"), NEW)
        for name, node in world.nodes.items():  # nobody else takes it
            world.nodes[name] = replace(node, unschedulable=name != old("b1"))
        with pytest.raises(AttachIncomplete, match=r"apps/db-9 \(claims data-db-9\)"):
            step(world, Verb.LEAVE, old("b1"), OLD)
        assert world.claims[old("b1")].state is ClaimState.JOINED
        for name, node in world.nodes.items():
            world.nodes[name] = replace(node, unschedulable=name == old("b1"))
        world.becomes_ready("w1")
        let_go(world, "b1")
        assert old("b1") not in world.nodes

    def test_goes_by_what_its_pool_says_of_a_drain(self, world: World) -> None:
        world.pods["apps/cache"] = Pod("apps", "cache", old("b1"), "ReplicaSet", empty_dir=True)
        bring_in(world, new("b1"), NEW)
        with pytest.raises(DataWouldBeLost, match="apps/cache"):
            step(world, Verb.LEAVE, old("b1"), OLD)
        declare(world, NEW, drain=DrainPolicy(empty_dir=True))
        let_go(world, "b1")
        assert old("b1") not in world.nodes


class TestBudgets:
    """A host is missed once: by the node that serves, if one does."""

    def test_one_that_comes_in_takes_nobodys_slot(self, world: World) -> None:
        bring_in(world, new("b1"), NEW)
        step(world, Verb.PROVISION, new("b2"), NEW)
        step(world, Verb.ENROL, new("b2"), NEW)
        step(world, Verb.LEAVE, old("b1"), OLD)
        assert old("b1") not in standings(world)

    def test_old_nodes_leave_as_many_at_once_as_may_be_out(self, world: World) -> None:
        world.limits = Limits(slot_s=60)
        bring_in(world, new("b1"), NEW)
        bring_in(world, new("b2"), NEW)
        entry = roster(world).nodes[old("b1")].model_copy(update={"slot_since_s": 5.0})
        held = {**roster(world).nodes, old("b1"): entry}
        world.document = roster(world).model_copy(update={"nodes": held}).model_dump_json()
        with pytest.raises(BudgetFull, match=old("b1")):
            step(world, Verb.LEAVE, old("b2"), OLD)
        declare(world, NEW, max_unavailable=2)
        step(world, Verb.LEAVE, old("b2"), OLD)
        assert old("b2") not in standings(world)

    def test_an_old_node_that_is_broken_is_missed_until_the_new_one_serves(self, world: World) -> None:
        world.limits = Limits(slot_s=60)
        bring_in(world, new("b1"), NEW)
        world.nodes[old("b2")] = replace(world.nodes[old("b2")], ready=False)
        with pytest.raises(BudgetFull, match=f"{old('b2')} is not serving"):
            step(world, Verb.LEAVE, old("b1"), OLD)
        bring_in(world, new("b2"), NEW)
        step(world, Verb.LEAVE, old("b1"), OLD)
        assert old("b1") not in world.nodes


class TestMissed:
    """Pure."""

    def test_without_nodes_of_that_kind_it_is_what_is_declared(self) -> None:
        known = Roster(nodes={"w1": entry(Standing.IN), "gone": entry(Standing.IN)})
        assert succession.missed(known, {"w1": "w1", "w2": "w2"}) == {"w1", "w2"}

    @pytest.mark.parametrize(
        ("comes", "slot", "missed"),
        [(Standing.OUT, None, old("b1")), (Standing.IN, None, new("b1")), (Standing.OUT, 5.0, new("b1"))],
    )
    def test_it_is_the_node_that_served_last(self, comes: Standing, slot: float | None, missed: str) -> None:
        listed = {new("b1"): entry(comes, slot_since_s=slot), old("b1"): entry(Standing.IN)}
        assert succession.missed(Roster(nodes=listed), {new("b1"): "b1"}) == {missed}

    def test_a_node_with_its_hosts_name_precedes_as_well(self) -> None:
        known = Roster(nodes={"b1": entry(Standing.IN, host="")})
        assert succession.missed(known, {new("b1"): "b1"}) == {"b1"}


def entry(standing: Standing, **more: object) -> Entry:
    fields = {"pool": "web", "role": "worker", "generation": OLD, "fault_domain": "", "host": "b1", **more}
    return Entry.model_validate({**fields, "standing": standing})


class TestStops:
    """Before a machine more is made, and never between it and the leave of the other one."""

    def test_a_pause_makes_no_machine(self, world: World) -> None:
        pause(ports(world), world.stack, Paused(by="ann", since_s=1.0))
        world.changes.clear()
        with pytest.raises(RollPaused):
            step(world, Verb.PROVISION, new("b1"), NEW)
        assert (world.changes, new("b1") in world.claims) == ([], False)

    def test_so_many_hosts_a_run(self, world: World) -> None:
        world.rollout = Rollout(stop_after=1)
        take_turn(world, "b1")
        with pytest.raises(RollStopped, match="1 replaced by this run"):
            step(world, Verb.PROVISION, new("b2"), NEW)
        world.engine_ends("run-b")
        take_turn(world, "b2")
        assert world.broken == []

    def test_a_turn_that_another_run_began_asks_again(self, world: World) -> None:
        bring_in(world, new("b1"), NEW)
        pause(ports(world), world.stack, Paused(by="ann", since_s=1.0))
        world.engine_ends("run-b")
        with pytest.raises(RollPaused):
            step(world, Verb.LEAVE, old("b1"), OLD)
        assert not world.nodes[old("b1")].unschedulable

    def test_its_own_run_ends_the_turn(self, world: World) -> None:
        bring_in(world, new("b1"), NEW)
        pause(ports(world), world.stack, Paused(by="ann", since_s=1.0))
        let_go(world, "b1")
        assert old("b1") not in world.nodes

    def test_a_host_that_is_dead_is_healed_beyond_it(self, world: World) -> None:
        pause(ports(world), world.stack, Paused(by="ann", since_s=1.0))
        world.nodes[old("b1")] = replace(world.nodes[old("b1")], ready=False)
        step(world, Verb.PROVISION, new("b1"), NEW)
        assert world.claims[new("b1")].state is ClaimState.PROVISIONING

    def test_waits_for_the_turn_of_another_lane(self, world: World) -> None:
        world.rollout = Rollout(stop_after=1)
        bring_in(world, new("b1"), NEW)
        world.limits = Limits(**dict.fromkeys((f.name for f in fields(Limits)), 10.0))
        with pytest.raises(RollStopped):
            step(world, Verb.PROVISION, new("b2"), NEW)
        assert any(node == new("b2") and not met for node, _, _, met in world.waits)

    def test_waits_for_no_lane_that_halted(self, world: World) -> None:
        world.rollout, world.boots = Rollout(stop_after=1), False
        with pytest.raises(NeverBooted):
            step(world, Verb.PROVISION, new("b1"), NEW)
        world.waits.clear()
        with pytest.raises(RollStopped):
            step(world, Verb.PROVISION, new("b2"), NEW)
        assert world.waits == []


class TestVacate:
    """What the engine has no record of goes as well."""

    def test_gives_back_a_machine_that_never_booted(self, world: World) -> None:
        world.boots = False
        with pytest.raises(NeverBooted):
            step(world, Verb.PROVISION, new("b1"), NEW)
        declare(world, OLD)
        assert step(world, Verb.VACATE, new("b1"), "") == f"{new('b1')} left\n{new('b1')} released"
        assert new("b1") not in world.claims
        assert new("b1") not in standings(world)
        assert world.hosts[new("b1")].power is Power.OFF

    def test_goes_on_with_a_release_that_was_killed(self, world: World) -> None:
        bring_in(world, new("b1"), NEW)
        step(world, Verb.LEAVE, old("b1"), OLD)
        step(world, Verb.VACATE, old("b1"), "")
        assert (world.hosts[old("b1")].power, old("b1") in world.claims) == (Power.OFF, False)

    def test_leaves_what_is_declared(self, world: World) -> None:
        bring_in(world, new("b1"), NEW)
        world.changes.clear()
        assert step(world, Verb.VACATE, new("b1"), "") == f"{new('b1')} is declared: it stays"
        assert world.changes == []

    def test_leaves_what_another_stack_claimed(self, world: World) -> None:
        world.claims[old("b1")] = replace(world.claims[old("b1")], stack="other")
        world.changes.clear()
        assert "has nothing left: a claim of stack other" in step(world, Verb.VACATE, old("b1"), "")
        assert world.claims[old("b1")].stack == "other"


class TestRevert:
    """Of the image, in the middle of a turn."""

    def test_an_old_node_whose_machine_was_given_back_is_made_again(self, world: World) -> None:
        take_turn(world, "b1")
        declare(world, OLD)
        # The engine deleted its membership, and was killed before it knew of its machine.
        step(world, Verb.ENROL, old("b1"), OLD)
        step(world, Verb.JOIN, old("b1"), OLD)
        let_go(world, "b1", NEW)
        assert [n for n in world.nodes if n.startswith("b1")] == [old("b1")]
        assert world.broken == []

    def test_a_new_node_leaves_whichever_way_it_had_come(self, world: World) -> None:
        bring_in(world, new("b1"), NEW)
        declare(world, OLD)
        let_go(world, "b1", NEW)
        assert (new("b1") in world.nodes, standings(world)[old("b1")]) == (False, "in")


class TestRetire:
    """A host's mark is all its nodes'."""

    def test_marks_the_old_node_too(self, world: World) -> None:
        declare(world, NEW, retire=True)
        said = step(world, Verb.RETIRE)
        assert f"{old('b1')} retires: loses no volume by itself" in said
        assert world.claims[old("b1")].retiring
        step(world, Verb.LEAVE, old("b1"), OLD)  # though no other serves
        assert old("b1") not in world.nodes

    def test_takes_a_machine_along_that_never_came_in(self, world: World) -> None:
        declare(world, NEW, retire=True)
        world.boots = False
        with pytest.raises(NeverBooted):
            step(world, Verb.PROVISION, new("b1"), NEW)
        step(world, Verb.RETIRE)
        step(world, Verb.LEAVE, old("b1"), OLD)
        step(world, Verb.RELEASE, old("b1"), OLD)
        assert {world.hosts[n].power for n in (old("b1"), new("b1"))} == {Power.OFF}
        assert not {old("b1"), new("b1")} & set(world.claims)

    def test_gives_back_none_that_is_in_the_cluster(self, world: World) -> None:
        with pytest.raises(NotLeft):
            step(world, Verb.RELEASE, old("b1"), OLD)


class TestWhoIsKnown:
    """The program learns of every node that is to leave."""

    def test_by_the_roster_and_by_claims_that_never_enrolled(self, world: World) -> None:
        world.boots = False
        with pytest.raises(NeverBooted):
            step(world, Verb.PROVISION, new("b1"), NEW)
        entries = {n: e for n, e in roster(world).nodes.items() if n != new("b1")}
        world.document = roster(world).model_copy(update={"nodes": entries}).model_dump_json()
        declare(world, NEXT)
        said = step(world, Verb.ROSTER)
        assert f'"{new("b1")}": "out"' in said
        assert f'"{old("b1")}": "in"' in said
