"""The roster is the law: who may leave, whatever the engine asks for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from lifecycle import roster, slots
from lifecycle.commands import Verb
from lifecycle.errors import BudgetFull, RosterContended, RosterUnreadable, StorageTurnTaken
from lifecycle.ports import ClaimState, Ports, Role
from lifecycle.roster import Entry, Roster, Standing
from lifecycle.waiting import Blocked
from tests.lifecycle import fleets
from tests.lifecycle.fakes import FakeRosterStore, Tap, ports
from tests.lifecycle.fleets import claim, pin, serving, standings, step
from tests.lifecycle.world import World

IN, OUT = Standing.IN, Standing.OUT


def entry(
    standing: Standing = IN, pool: str = "hci", domain: str = "", role: Role = Role.WORKER, **more: object
) -> Entry:
    fields = {"pool": pool, "role": role, "generation": "g1", "fault_domain": domain, "standing": standing, **more}
    return Entry.model_validate(fields)


def may(node: str, nodes: dict[str, Entry], max_unavailable: int = 1, declared: str = "w1 w2 w3 c1 c2") -> set[str]:
    """Who keeps `node` from leaving."""
    out = roster.out_nodes(Roster(nodes=nodes), node, set(declared.split()), set())
    return set(roster.blockers(nodes[node], out, max_unavailable))


class TestWhoMayLeave:
    """Pure: the rules of a slot."""

    def test_while_all_are_in(self) -> None:
        assert may("w1", {"w1": entry(), "w2": entry()}) == set()

    def test_not_while_the_budget_is_spent(self) -> None:
        assert may("w1", {"w1": entry(), "w2": entry(OUT)}) == {"w2"}

    def test_while_the_budget_allows_one_more(self) -> None:
        assert may("w1", {"w1": entry(), "w2": entry(OUT)}, max_unavailable=2) == set()

    def test_not_while_another_leaves(self) -> None:
        assert may("w1", {"w1": entry(), "w2": entry(slot_since_s=5.0)}) == {"w2"}

    def test_another_pool_has_its_own_budget(self) -> None:
        assert may("w1", {"w1": entry(), "w2": entry(OUT, pool="gpu")}) == set()

    def test_not_while_its_fault_domain_is_short(self) -> None:
        nodes = {"w1": entry(domain="a"), "w2": entry(OUT, pool="gpu", domain="a")}
        assert may("w1", nodes) == {"w2"}

    @pytest.mark.parametrize(("leaves", "is_out"), [("c1", "w1"), ("w1", "c1"), ("c1", "c2")])
    def test_a_control_plane_leaves_alone(self, leaves: str, is_out: str) -> None:
        roles = {"c1": Role.CONTROL_PLANE, "c2": Role.CONTROL_PLANE, "w1": Role.WORKER}
        nodes = {n: entry(OUT if n == is_out else IN, pool=n, role=r) for n, r in roles.items()}
        assert may(leaves, nodes, max_unavailable=9) == {is_out}

    def test_what_the_stack_file_forgot_is_missed_by_nobody_once_it_left(self) -> None:
        assert may("w1", {"w1": entry(), "gone": entry(OUT)}) == set()

    def test_what_the_stack_file_forgot_counts_while_it_leaves(self) -> None:
        assert may("w1", {"w1": entry(), "gone": entry(slot_since_s=1.0)}) == {"gone"}

    def test_what_never_served_again_and_was_given_up_holds_no_slot(self) -> None:
        """It left to come back, and did not: nothing but its own leave, which comes last, would free the slot."""
        assert may("w1", {"w1": entry(), "gone": entry(OUT, slot_since_s=1.0)}) == set()

    def test_retiring_nodes_need_no_budget(self) -> None:
        assert may("w1", {"w1": entry(retiring=True), "w2": entry(OUT)}) == set()
        assert may("w2", {"w1": entry(OUT, retiring=True), "w2": entry()}) == set()

    def test_retiring_control_planes_still_leave_one_at_a_time(self) -> None:
        plane = {"role": Role.CONTROL_PLANE, "retiring": True}
        assert may("c1", {"c1": entry(**plane), "c2": entry(slot_since_s=1.0, **plane)}) == {"c2"}  # type: ignore[arg-type]

    def test_an_entry_of_a_newer_checkout_is_kept(self) -> None:
        text = '{"nodes": {"w1": {"pool": "p", "role": "worker", "generation": "g", "fault_domain": "", "wing": 7}}}'
        assert '"wing":7' in roster.serves(roster.parse(text, "w1"), "w1").model_dump_json()


class TestEnrolling:
    """Declared means out, unless it is in with this very generation."""

    def test_new(self) -> None:
        assert roster.enrolled(Roster(), pin("w1")).nodes["w1"].standing is OUT

    def test_in_with_this_generation_stays_in(self) -> None:
        listed = roster.serves(roster.enrolled(Roster(), pin("w1")), "w1")
        assert roster.enrolled(listed, pin("w1")) is listed

    def test_in_with_another_generation_is_out(self) -> None:
        listed = roster.serves(roster.enrolled(Roster(), pin("w1")), "w1")
        assert roster.enrolled(listed, pin("w1", "g2")).nodes["w1"].standing is OUT

    @pytest.mark.parametrize("retires", [False, True])
    def test_a_slot_is_kept_and_the_mark_is_the_stack_files(self, retires: bool) -> None:
        nodes = {"w1": entry(OUT, slot_since_s=3.0, retiring=not retires)}
        now = roster.enrolled(Roster(nodes=nodes), pin("w1", "g2", retire=retires)).nodes["w1"]
        assert (now.slot_since_s, now.retiring, now.generation) == (3.0, retires, "g2")


class TestTakingASlot:
    """By compare-and-swap, so that two that ask at once do not both get it."""

    def take(self, world: World, node: str, at: Ports | None = None) -> None:
        slots.take_slot(at or ports(world), claim(node, ClaimState.JOINED), world.pins[node])

    def test_holds_it(self) -> None:
        world = serving()
        self.take(world, "w1")
        assert standings(world)["w1"] == "leaving"
        self.take(world, "w1")  # an earlier run's slot is its own

    def test_fails_with_who_holds_it_and_since_when(self) -> None:
        world = serving()
        self.take(world, "w2")
        with pytest.raises(BudgetFull, match=r"w2 is out for 900 s \(pool hci may have 1 out\).*slots.md#full") as e:
            self.take(world, "w1")
        assert e.value.names == ("w2",)
        assert "Nothing was changed." in str(e.value)

    def test_of_the_pool_that_declares_them_now(self) -> None:
        world = serving()
        self.take(world, "w1")
        world.pins |= {n: pin(n, pool="renamed") for n in ("w1", "w2")}
        roster.update(ports(world), "w1", lambda now: roster.enrolled(now, world.pins["w1"]))
        with pytest.raises(BudgetFull, match=r"w1 is out .*pool renamed may have 1 out"):
            self.take(world, "w2")

    def test_waits_until_it_is_free(self) -> None:
        world = serving()
        self.take(world, "w2")
        other = ports(world)

        def back() -> None:
            roster.update(other, "w2", lambda r: roster.serves(r, "w2"))

        world.later(50, back)
        self.take(world, "w1")
        assert standings(world)["w1"] == "leaving"

    def test_a_node_that_is_out_needs_no_further_one(self) -> None:
        world = serving()
        self.take(world, "w2")
        at = ports(world)
        roster.update(at, "w1", lambda r: roster.left(r, "w1", returns=True))
        self.take(world, "w1")

    def test_a_node_that_does_not_serve_counts_as_out(self) -> None:
        world = serving()
        world.nodes["w2"] = fleets.replace_node(world.nodes["w2"], ready=False)
        with pytest.raises(BudgetFull, match="w2 is not serving"):
            self.take(world, "w1")

    def test_an_unlisted_node_that_joined_is_taken_to_serve(self) -> None:
        world = serving()
        world.document = world.document.replace('"w1"', '"x1"')
        self.take(world, "w2")
        with pytest.raises(BudgetFull, match="w2"):
            self.take(world, "w1")

    def test_another_writer_in_between_is_read_again(self) -> None:
        world = serving()
        at = between(world, lambda clean: self.take(world, "w2", clean), times=1)
        with pytest.raises(BudgetFull, match="w2"):
            self.take(world, "w1", at)
        assert standings(world)["w1"] == "in"

    def test_endless_writers_end_it(self) -> None:
        world = serving()
        at = between(world, lambda clean: _touch(world), times=10_000)
        with pytest.raises(RosterContended, match=f"another writer at each of {roster.TRIES} tries"):
            self.take(world, "w1", at)

    def test_a_change_is_made_once_where_nobody_came_between(self) -> None:
        world, made = serving(), []

        def leaves(now: Roster) -> Roster:
            made.append(now)
            return roster.left(now, "w1", returns=True)

        roster.update(ports(world), "w1", leaves)
        assert len(made) == 1

    def test_only_a_change_takes_a_turn(self) -> None:
        class Turns(FakeRosterStore):
            taken = 0

            def turn(self) -> AbstractContextManager[None]:
                self.taken += 1
                return super().turn()

        world = serving()
        turns = Turns(world)
        at = fleets.with_roster(ports(world), turns)
        roster.update(at, "w1", lambda now: Blocked("not yet"))
        roster.update(at, "w1", lambda now: now)
        assert turns.taken == 0
        roster.update(at, "w1", lambda now: roster.left(now, "w1", returns=True))
        assert turns.taken == 1


def _touch(world: World) -> None:
    world.version += 1


def between(world: World, other: Callable[[Ports], None], times: int) -> Ports:
    """Ports whose roster lets `other` act between a read and the write that follows it."""
    clean, left = ports(world), [times]

    class Interleaved(FakeRosterStore):
        def write(self, document: str, version: str) -> bool:
            if left[0]:
                left[0] -= 1
                other(clean)
            return super().write(document, version)

    return fleets.with_roster(ports(world), Tap(world, Interleaved(world)))


class TestStorageTurn:
    """One node at a time is taken out of storage."""

    def test_is_taken_over_by_its_own_next_run(self) -> None:
        world = serving()
        roster.take_storage_turn(ports(world), "w1")
        roster.take_storage_turn(ports(world), "w1")
        with pytest.raises(StorageTurnTaken, match="w1 is being taken out"):
            roster.take_storage_turn(ports(world), "w2")
        roster.end_storage_turn(ports(world), "w1")
        roster.take_storage_turn(ports(world), "w2")

    def test_ends_when_the_node_serves_again(self) -> None:
        assert roster.serves(Roster(storage_turn="w1"), "w1").storage_turn == ""
        assert roster.serves(Roster(storage_turn="w1"), "w2").storage_turn == "w1"


class TestTheDocument:
    """It outlives the checkout that wrote it."""

    def test_that_nobody_wrote(self) -> None:
        with pytest.raises(RosterUnreadable, match=r"at nodes: Input should be.*roster.md#unreadable"):
            roster.parse('{"nodes": 3}', "w1")

    def test_none_yet(self) -> None:
        assert roster.parse("", "w1") == Roster()


class TestTheRosterVerb:
    """Tells the program who is in; never fails."""

    def test_in_words(self) -> None:
        world = serving()
        slots.take_slot(ports(world), claim("w2", ClaimState.JOINED), world.pins["w2"])
        world.nodes["w3"] = fleets.replace_node(world.nodes["w3"], ready=False)
        assert step(world, Verb.ROSTER) == (
            '{"answered": true, "nodes": {"c1": "in", "c2": "in", "c3": "in", '
            '"w1": "in", "w2": "out", "w3": "out", "w4": "in"}}'
        )

    @pytest.mark.parametrize("trouble", ["api", "document", "uninitialised", "port"])
    def test_without_an_answer(self, trouble: str) -> None:
        world = serving()
        world.api_up = trouble != "api"
        world.document = "{" if trouble == "document" else world.document
        world.initialised = None if trouble == "uninitialised" else "c1"
        world.failing["roster.read"] = int(trouble == "port")
        assert step(world, Verb.ROSTER) == '{"answered": false, "nodes": {}}'
