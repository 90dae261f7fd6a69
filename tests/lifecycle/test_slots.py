"""Where a roll stops: between two nodes, never in the middle of one, and never before one that is out."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lifecycle import slots
from lifecycle.commands import Verb
from lifecycle.errors import BudgetFull
from lifecycle.pause import pause, resume
from lifecycle.ports import Limits, Power, Rollout, Window
from lifecycle.roster import Paused, Roster
from lifecycle.stops import RollPaused, RollStopped
from tests.lifecycle.fakes import ports
from tests.lifecycle.fleets import bring_in, pin, replace_machine, roster, serving, standings, step
from tests.lifecycle.world import World

MARK = Paused(by="ann@laptop", since_s=900.0, reason="the freeze")
NIGHT = Window((5,), "22:00", "04:00", "UTC")
"""The world's clock begins on a Thursday, 1970-01-01: the next one opens on Saturday."""


@pytest.fixture
def world() -> World:
    return serving()


def pause_it(world: World) -> str:
    return pause(ports(world), world.stack, MARK)


def resume_it(world: World) -> str:
    return resume(ports(world), world.stack)


def rolls(world: World, node: str) -> None:
    """The engine replaces the node."""
    replace_machine(world, node, "g1", "g2")


def wide(world: World) -> None:
    """Two nodes of the pool may be out at once, and nothing else stands in their way."""
    for name in ("w1", "w2", "w3", "w4"):
        world.pins[name] = pin(name, max_unavailable=2, fault_domain=name, stores=False)
        world.claims[name] = replace(world.claims[name], stores=False)
    entries = {n: e.model_copy(update={"fault_domain": n}) for n, e in roster(world).nodes.items()}
    world.document = Roster(serving=True, nodes=entries).model_dump_json()


class TestNodesThatAreOutByThemselves:
    """They may be Ready again at any moment, as after a power cut, so they take their turns like all others."""

    @pytest.fixture
    def dark(self, world: World) -> World:
        wide(world)
        world.volumes.clear()
        for name in ("w1", "w2", "w3"):
            world.pins[name] = replace(world.pins[name], max_unavailable=1)
            world.nodes[name] = replace(world.nodes[name], ready=False)
        return world

    def test_one_leaves_though_others_are_missing_too(self, dark: World) -> None:
        step(dark, Verb.LEAVE, "w1")
        assert standings(dark)["w1"] == "leaving"

    def test_the_next_waits_until_that_one_serves(self, dark: World) -> None:
        step(dark, Verb.LEAVE, "w1")
        for name in ("w2", "w3"):
            dark.nodes[name] = replace(dark.nodes[name], ready=True)
        dark.changes.clear()
        with pytest.raises(BudgetFull, match=r"w1 is out for .* \(pool hci may have 1 out\)"):
            step(dark, Verb.LEAVE, "w2")
        assert dark.changes == []

    def test_nor_does_it_leave_while_it_is_still_missing(self, dark: World) -> None:
        step(dark, Verb.LEAVE, "w1")
        with pytest.raises(BudgetFull, match=r"^node w2: .*found after 900 s: w1 is out"):
            step(dark, Verb.LEAVE, "w2")

    def test_it_waits_for_as_many_turns_as_there_are(self, dark: World) -> None:
        """The limit is for each: w1's turn ends within it, then w3's."""
        step(dark, Verb.LEAVE, "w1")
        began_s, limit_s = dark.now_s, dark.limits.slot_s

        def passes_on(now: Roster, done: str, to: str = "") -> None:
            entries = {n: e.model_copy(update={"slot_since_s": None}) if n == done else e for n, e in now.nodes.items()}
            if to:
                entries[to] = entries[to].model_copy(update={"slot_since_s": dark.now_s})
            dark.document = now.model_copy(update={"nodes": entries}).model_dump_json()

        dark.later(limit_s * 0.7, lambda: passes_on(roster(dark), "w1", "w3"))
        dark.later(limit_s * 1.4, lambda: passes_on(roster(dark), "w3"))
        step(dark, Verb.LEAVE, "w2")
        assert dark.now_s - began_s > limit_s
        assert standings(dark)["w2"] == "leaving"


class TestStopAfter:
    """So many nodes a run; the next run counts anew."""

    def test_stops_at_a_boundary_and_the_next_up_goes_on(self, world: World) -> None:
        world.rollout = Rollout(stop_after=2)
        rolls(world, "w1")
        rolls(world, "w2")
        world.changes.clear()
        with pytest.raises(RollStopped, match=r"2 replaced by this run, as many as rollout.stop_after") as e:
            rolls(world, "w3")
        assert "Nothing was changed" in str(e.value)
        assert (world.changes, standings(world)["w3"], e.value.next_s) == ([], "in", None)
        world.engine_ends("run-b")
        rolls(world, "w3")
        assert roster(world).taken == ("w3",)
        assert world.broken == []

    def test_a_leave_run_again_counts_once(self, world: World) -> None:
        world.rollout = Rollout(stop_after=1)
        for _ in range(2):
            step(world, Verb.LEAVE, "w1")
        assert roster(world).taken == ("w1",)

    def test_a_slot_given_back_does_not_count(self, world: World) -> None:
        world.rollout, world.limits = Rollout(stop_after=1), replace(world.limits, gate_s=10)
        world.volumes["pv-2"].replicas["w4"] = False
        with pytest.raises(Exception, match="pv-2"):
            step(world, Verb.LEAVE, "w1")
        assert roster(world).taken == ()
        world.volumes["pv-2"].replicas["w4"] = True
        rolls(world, "w1")

    def test_a_host_that_is_dead_is_healed_beyond_it(self, world: World) -> None:
        world.rollout = Rollout(stop_after=1)
        rolls(world, "w1")
        world.nodes["w2"] = replace(world.nodes["w2"], ready=False)
        world.hosts["w2"].power = Power.OFF
        step(world, Verb.LEAVE, "w2")
        assert standings(world)["w2"] == "leaving"

    def test_one_that_retires_leaves_beyond_it(self, world: World) -> None:
        world.rollout = Rollout(stop_after=1)
        rolls(world, "w1")
        world.pins["w4"] = pin("w4", retire=True)
        step(world, Verb.RETIRE)
        assert step(world, Verb.LEAVE, "w4") == "w4 left"


class TestWindows:
    """Outside of them no node leaves; one that is out comes in at any time."""

    def test_outside_it_stops_and_says_when_it_opens(self, world: World) -> None:
        world.rollout = Rollout(windows=(NIGHT,))
        with pytest.raises(RollStopped, match=r"the next opens at 1970-01-03 22:00:00 UTC.*run `pulumi up` again") as e:
            step(world, Verb.LEAVE, "w1")
        assert e.value.next_s == datetime(1970, 1, 3, 22, tzinfo=UTC).timestamp()
        assert world.changes == []

    def test_inside_it_goes_on(self, world: World) -> None:
        world.rollout = Rollout(windows=(NIGHT,))
        world.now_s = datetime(1970, 1, 4, 3, 59, tzinfo=UTC).timestamp()
        rolls(world, "w1")
        assert world.now_s > datetime(1970, 1, 4, 4, tzinfo=UTC).timestamp(), "it was finished after the window closed"
        with pytest.raises(RollStopped, match="1 replaced by this run, and no window"):
            rolls(world, "w2")

    def test_that_closes_while_a_node_waits_for_its_slot(self, world: World) -> None:
        world.rollout = Rollout(windows=(NIGHT,))
        world.now_s = datetime(1970, 1, 4, 3, 55, tzinfo=UTC).timestamp()
        step(world, Verb.LEAVE, "w1")
        with pytest.raises(RollStopped):
            step(world, Verb.LEAVE, "w2")


class TestPause:
    """From any terminal; a node that is out is finished, no further one leaves."""

    def test_no_further_node_leaves(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        assert pause_it(world) == (
            "metal paused by ann@laptop since 1970-01-01 00:15:00 UTC: the freeze; "
            "w1 on the way out or in: finished first"
        )
        step(world, Verb.RELEASE, "w1")
        bring_in(world, "w1")
        assert standings(world)["w1"] == "in"
        with pytest.raises(RollPaused, match=r"paused by ann@laptop since .*: the freeze.*pause STACK --resume"):
            step(world, Verb.LEAVE, "w2")
        assert resume_it(world).startswith("metal may go on (it paused by ann@laptop")
        rolls(world, "w2")
        assert world.broken == []

    def test_holds_for_the_next_run_too(self, world: World) -> None:
        pause_it(world)
        world.engine_ends("run-b")
        with pytest.raises(RollPaused):
            step(world, Verb.LEAVE, "w1")

    def test_a_leave_that_holds_its_slot_goes_on(self, world: World) -> None:
        slots.take_slot(ports(world), world.claims["w1"], world.pins["w1"])
        pause_it(world)
        assert step(world, Verb.LEAVE, "w1") == "w1 left"

    def test_a_host_that_is_dead_is_healed(self, world: World) -> None:
        pause_it(world)
        world.nodes["w2"] = replace(world.nodes["w2"], ready=False)
        world.hosts["w2"].power = Power.OFF
        step(world, Verb.LEAVE, "w2")
        step(world, Verb.RELEASE, "w2")
        bring_in(world, "w2")
        assert standings(world)["w2"] == "in"

    def test_even_one_that_retires_stays(self, world: World) -> None:
        world.pins["w4"] = pin("w4", retire=True)
        step(world, Verb.RETIRE)
        pause_it(world)
        with pytest.raises(RollPaused):
            step(world, Verb.LEAVE, "w4")

    def test_comes_before_a_full_budget(self, world: World) -> None:
        """Nobody waits for a slot that he may not take."""
        world.nodes["w2"] = replace(world.nodes["w2"], ready=False)
        pause_it(world)
        began_s = world.now_s
        with pytest.raises(RollPaused):
            step(world, Verb.LEAVE, "w1")
        assert world.now_s == began_s


class TestOtherLanes:
    """The engine ends every lane when one says stop, so that one waits until the others' nodes are in."""

    def test_are_finished_first(self, world: World) -> None:
        wide(world)
        step(world, Verb.LEAVE, "w1")
        pause_it(world)
        ends_s = world.now_s + 300
        at = ports(world)

        def comes_in() -> None:
            entries = dict(roster(world).nodes)
            entries["w1"] = entries["w1"].model_copy(update={"slot_since_s": None})
            world.document = roster(world).model_copy(update={"nodes": entries}).model_dump_json()

        world.later(300, comes_in)
        with pytest.raises(RollPaused):
            slots.take_slot(at, world.claims["w2"], world.pins["w2"])
        assert world.now_s >= ends_s

    def test_that_halted_are_not_waited_for(self, world: World) -> None:
        wide(world)
        slots.take_slot(ports(world), world.claims["w1"], world.pins["w1"])
        slots.mark_halted(ports(world), "w1")
        pause_it(world)
        began_s = world.now_s
        with pytest.raises(RollPaused):
            slots.take_slot(ports(world), world.claims["w2"], world.pins["w2"])
        assert world.now_s == began_s

    def test_nor_longer_than_their_deadlines(self, world: World) -> None:
        wide(world)
        slots.take_slot(ports(world), world.claims["w1"], world.pins["w1"])
        pause_it(world)
        began_s = world.now_s
        with pytest.raises(RollPaused):
            slots.take_slot(ports(world), world.claims["w2"], world.pins["w2"])
        assert world.now_s - began_s == slots.turn_s(Limits())


class TestARace:
    """Ten leaves ask for one slot at one moment."""

    @pytest.mark.parametrize("limits", [Rollout(), Rollout(stop_after=1)], ids=["budget", "stop_after"])
    def test_one_gets_it(self, limits: Rollout) -> None:
        world = serving()
        world.rollout = limits
        names = [f"x{i}" for i in range(10)]
        for name in names:
            world.pins[name] = pin(name, stores=False, pool="race", max_unavailable=10 if limits.stop_after else 1)
            world.claims[name] = replace(world.claims["w1"], node=name, pool="race", stores=False)
            world.nodes[name] = replace(world.nodes["w1"], name=name)
        got: list[str] = []

        class Racing:
            """Between this one's read and its write, the next asks too."""

            def __init__(self, left: list[str]) -> None:
                self._store, self._left = ports(world).roster, left

            def read(self) -> tuple[str, str]:
                found = self._store.read()
                if self._left:
                    ask(self._left.pop(), self._left)
                return found

            def write(self, document: str, version: str) -> bool:
                return self._store.write(document, version)

            def turn(self) -> AbstractContextManager[None]:
                return nullcontext()

        def ask(name: str, left: list[str]) -> None:
            at = replace(ports(world), roster=Racing(left))
            world.limits = replace(world.limits, slot_s=10)
            try:
                slots.take_slot(at, world.claims[name], world.pins[name])
                got.append(name)
            except (BudgetFull, RollStopped):
                return

        ask(names[0], names[1:])
        assert len(got) == 1
        assert [n for n, s in standings(world).items() if s == "leaving"] == got


class TestARevert:
    """The image goes back while the roll is paused: nothing is touched, then only what was replaced rolls back."""

    def test_while_paused(self, world: World) -> None:
        rolls(world, "w1")
        pause_it(world)
        world.changes.clear()
        world.pins["w1"] = pin("w1", "g1")
        with pytest.raises(RollPaused):
            step(world, Verb.LEAVE, "w1", "g2")
        assert world.changes == []
        resume_it(world)
        replace_machine(world, "w1", "g2", "g1")
        assert {n.os_image for n in world.nodes.values()} == {"OS g1"}
        assert world.broken == []
