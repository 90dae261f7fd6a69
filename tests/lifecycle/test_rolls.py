"""One run rolls a fleet; a step acts only while its run has the roll and its engine is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lifecycle.commands import Step, Verb
from lifecycle.errors import DrainBlocked, PortError
from lifecycle.ports import ClaimState, Roll, Run
from lifecycle.rolls import LEASE_S, RENEW_S, SKEW_S, Held, give_back
from lifecycle.stops import EngineGone, RollLost, RollTaken
from tests.lifecycle.fakes import FakeMachines, FakeRolls, FakeStorage, Tap, ports
from tests.lifecycle.fleets import bring_in, execute_with, fresh, pin, serving, standings, step
from tests.lifecycle.world import World

ELSEWHERE = Run("ci-17", "ci", "another machine", 99, 5.0)


@pytest.fixture
def world() -> World:
    return serving()


def roll(world: World) -> Roll:
    assert world.roll is not None
    return world.roll


def held_by(world: World, run: Run, renewed_s: float | None = None) -> None:
    """Another run has the roll, and its step ended at that moment (now, if none is given)."""
    world.roll = Roll(run, 3, world.now_s - 500, world.now_s if renewed_s is None else renewed_s)
    world.roll_version = 9


class TestTheFirstStep:
    """Takes the roll before it touches anything."""

    def test_takes_it(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        assert (roll(world).run, roll(world).generation) == (world.run, 0)

    def test_that_only_looks_does_not(self, world: World) -> None:
        step(world, Verb.ROSTER)
        assert world.roll is None

    def test_the_next_of_the_same_run_goes_on_with_it(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        step(world, Verb.RELEASE, "w1")
        assert (roll(world).generation, world.roll_version) == (0, 1)

    def test_before_there_is_a_cluster_there_is_none(self) -> None:
        world = fresh()
        step(world, Verb.PROVISION, "c1")
        assert world.roll is None
        step(world, Verb.ENROL, "c1")
        step(world, Verb.JOIN, "c1")
        bring_in(world, "c2")
        assert roll(world).run == world.run

    @pytest.mark.parametrize("verb", [Verb.LEAVE, Verb.RETIRE, Verb.GATE])
    def test_is_refused_while_another_run_is_known_to_live(self, world: World, verb: Verb) -> None:
        held_by(world, Run("run-z", "here", "here", 7, 1.0))
        began_s = world.now_s
        with pytest.raises(RollTaken, match=r"run run-z on here, pid 7 .*since 1970-01-01 00:08:20 UTC") as e:
            step(world, verb, "" if verb is not Verb.LEAVE else "w1")
        assert "Nothing was changed" in str(e.value)
        assert (world.changes, world.now_s) == ([], began_s)

    def test_is_refused_also_if_that_run_was_busy_elsewhere_for_long(self, world: World) -> None:
        held_by(world, Run("run-z", "here", "here", 7, 1.0), world.now_s - LEASE_S - SKEW_S - 1)
        with pytest.raises(RollTaken, match="run run-z on here, pid 7"):
            step(world, Verb.LEAVE, "w1")
        assert world.changes == []

    def test_is_refused_while_another_machines_run_renews_it(self, world: World) -> None:
        held_by(world, ELSEWHERE)
        world.renewing.add(ELSEWHERE.id)
        began_s = world.now_s
        with pytest.raises(RollTaken, match="run ci-17 on ci, pid 99"):
            step(world, Verb.LEAVE, "w1")
        assert world.changes == []
        assert world.now_s - began_s <= LEASE_S
        assert roll(world).run == ELSEWHERE


class TestARunThatEnded:
    """Is followed at once where that is known, else when its Lease has run out."""

    def test_on_this_machine(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        world.engine_ends("run-b")
        began_s = world.now_s
        step(world, Verb.RELEASE, "w1")
        assert (roll(world).run.id, roll(world).generation) == ("run-b", 1)
        assert world.now_s - began_s < LEASE_S

    def test_elsewhere_and_silent_since(self, world: World) -> None:
        held_by(world, ELSEWHERE)
        began_s = world.now_s
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert roll(world).generation == 4
        notes = [entry[2] for entry in world.journal if entry[1] == "note"]
        assert notes == ["takes the roll over from run ci-17 on ci, pid 99, silent for 60 s"]
        assert world.waits[0][2:] == (LEASE_S, True)
        assert world.waits[0][1] == "the roll"
        assert world.now_s - began_s >= LEASE_S

    def test_elsewhere_and_long_ago(self, world: World) -> None:
        held_by(world, ELSEWHERE, world.now_s - LEASE_S - SKEW_S - 1)
        step(world, Verb.LEAVE, "w1")
        assert "the roll" not in [what for _, what, _, _ in world.waits]

    def test_a_clock_that_is_behind_ends_no_lease(self, world: World) -> None:
        """The holder's clock is three minutes behind ours: by its own word the Lease ended long ago."""

        class Behind(FakeRolls):
            def read(self) -> tuple[Roll | None, str]:
                return Roll(ELSEWHERE, 3, 0, self.world.now_s - 180), "9"

        with pytest.raises(RollTaken, match="run ci-17 on ci"):
            execute_with(world, Verb.LEAVE, "w1", rolls=Tap(world, Behind(world)))
        assert world.changes == []

    def test_two_that_follow_at_once_do_not_both_get_it(self, world: World) -> None:
        class Overtaken(FakeRolls):
            def write(self, roll: Roll, version: str) -> bool:
                held_by(self.world, Run("run-z", "here", "here", 7, 1.0))
                return False

        with pytest.raises(RollTaken, match="run-z"):
            execute_with(world, Verb.LEAVE, "w1", rolls=Tap(world, Overtaken(world)))
        assert world.changes == []


def losing(world: World, call: str) -> dict[str, Any]:
    """Ports under which another run takes the roll over just before that call."""
    other = Roll(ELSEWHERE, 8, world.now_s, world.now_s)

    def lose() -> None:
        world.roll, world.roll_version = other, world.roll_version + 1

    class Machines(FakeMachines):
        def power(self, host: str, controller: Any) -> Any:
            if call == "power":
                lose()
            return super().power(host, controller)

    class Storage(FakeStorage):
        def can_lose(self, node: str) -> Any:
            if call == "storage":
                lose()
            return super().can_lose(node)

    return {"machines": Tap(world, Machines(world)), "storage": Tap(world, Storage(world))}


class TestALostRoll:
    """Nothing that cannot be taken back is done for a run that does not have it."""

    def test_stops_a_leave_before_the_cordon(self, world: World) -> None:
        with pytest.raises(RollLost, match=r"run ci-17 on ci.*nothing further was done.*roll.md#lost"):
            execute_with(world, Verb.LEAVE, "w1", **losing(world, "storage"))
        assert world.changes == []

    def test_stops_a_release_before_the_power_is_cut(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        world.changes.clear()
        with pytest.raises(RollLost):
            execute_with(world, Verb.RELEASE, "w1", **losing(world, "power"))
        assert world.changes == []

    def test_stops_an_install(self, world: World) -> None:
        world.pins["w1"] = pin("w1", "g2")
        step(world, Verb.LEAVE, "w1")
        step(world, Verb.RELEASE, "w1")
        installed = world.hosts["w1"].machine
        with pytest.raises(RollLost):
            execute_with(world, Verb.PROVISION, "w1", "g2", **losing(world, "power"))
        assert world.hosts["w1"].machine == installed

    def test_that_a_renewal_found_stops_the_next_wait(self, world: World) -> None:
        renewals: list[Callable[[], None]] = []

        class Kept(FakeRolls):
            def keep(self, renew: Callable[[], None], every_s: float) -> Any:
                renewals.append(renew)
                return super().keep(renew, every_s)

        key = "apps/db-2"
        world.pods[key] = replace(world.pods[key], ready=False)  # the budget of its fellows refuses

        def found_out() -> None:
            held_by(world, ELSEWHERE)
            renewals[0]()

        world.later(50, found_out)
        with pytest.raises(RollLost):
            execute_with(world, Verb.LEAVE, "w1", rolls=Tap(world, Kept(world)))
        assert world.now_s < 1000 + 2 * LEASE_S

    def test_a_lease_that_somebody_deleted_is_lost(self, world: World) -> None:
        def deleted() -> None:
            world.roll = None

        world.later(3, deleted)
        with pytest.raises(RollLost, match="no Lease, which somebody deleted"):
            step(world, Verb.LEAVE, "w1")
        assert "maintenance w1" not in world.changes


class TestAnEngineThatIsGone:
    """Its child does nothing further: nobody would know of it."""

    def test_stops_a_drain(self, world: World) -> None:
        key = "apps/db-2"
        world.pods[key] = replace(world.pods[key], ready=False)  # the budget of its fellows refuses
        world.later(100, lambda: world.ended.add(world.run.id))
        with pytest.raises(EngineGone, match=r"run run-a on here, pid 1 ended; nothing further.*roll.md#engine"):
            step(world, Verb.LEAVE, "w1")
        assert world.changes == ["cordon w1"]
        assert world.now_s < 1000 + 100 + 2 * RENEW_S

    def test_and_the_next_run_goes_on(self, world: World) -> None:
        self.test_stops_a_drain(world)
        world.engine_ends("run-b")
        world.pods["apps/db-2"] = replace(world.pods["apps/db-2"], ready=True)
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert world.broken == []

    def test_does_not_renew_its_lease(self, world: World) -> None:
        """Who waits for it, on another machine, would wait for as long as the orphan does."""
        held = Held(Step(Verb.LEAVE, "metal", "w1", "g1"), ports(world))
        held.begin("w1")
        world.now_s += RENEW_S
        held.renew()
        assert world.roll_version == 2
        world.now_s += RENEW_S
        world.ended.add(world.run.id)
        held.renew()
        assert world.roll_version == 2

    def test_begins_nothing(self, world: World) -> None:
        world.ended.add(world.run.id)
        with pytest.raises(EngineGone):
            step(world, Verb.LEAVE, "w1")
        assert world.changes == []


class TestAClockThatIsSet:
    """Decides nothing: neither who has the roll, nor whether its Lease is renewed."""

    AN_HOUR_S = 3600.0

    def test_ahead_takes_no_live_roll_of_another_machine(self, world: World) -> None:
        class Ahead(FakeRolls):
            """Every moment that another runner wrote looks an hour old."""

            def read(self) -> tuple[Roll | None, str]:
                roll, version = super().read()
                assert roll is not None
                return replace(roll, renewed_s=roll.renewed_s - TestAClockThatIsSet.AN_HOUR_S), version

        held_by(world, ELSEWHERE)
        world.renewing.add(ELSEWHERE.id)
        with pytest.raises(RollTaken, match="run ci-17 on ci"):
            execute_with(world, Verb.LEAVE, "w1", rolls=Tap(world, Ahead(world)))
        assert world.changes == []
        assert roll(world).run == ELSEWHERE

    def test_ahead_takes_no_roll_of_a_run_that_is_known_to_live(self, world: World) -> None:
        held_by(world, Run("run-z", "here", "here", 7, 1.0), world.now_s - self.AN_HOUR_S)
        with pytest.raises(RollTaken, match="run-z"):
            step(world, Verb.LEAVE, "w1")
        assert world.changes == []

    def test_back_renews_what_was_renewed_before(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        world.roll = replace(roll(world), renewed_s=world.now_s + self.AN_HOUR_S)
        step(world, Verb.RELEASE, "w1")
        assert roll(world).renewed_s <= world.now_s


class TestGivenBack:
    """A run that ended by itself keeps nobody waiting."""

    def test_is_followed_at_once_from_another_machine(self, world: World) -> None:
        """Whatever the clocks: by its mark, not by its age."""
        world.now_s = 100.0
        held_by(world, ELSEWHERE)
        assert give_back(FakeRolls(world), ELSEWHERE.pid, ELSEWHERE.place)
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert "the roll" not in [what for _, what, _, _ in world.waits]
        assert roll(world).generation == 4

    @pytest.mark.parametrize("other", [(98, "another machine"), (99, "here"), (0, "")], ids=str)
    def test_is_another_runs_never(self, world: World, other: tuple[int, str]) -> None:
        held_by(world, ELSEWHERE)
        before = roll(world)
        assert not give_back(FakeRolls(world), *other)
        assert roll(world) == before

    def test_is_no_named_runs(self, world: World) -> None:
        held_by(world, Run("build-17", "ci"))
        assert not give_back(FakeRolls(world), 99, "another machine")

    def test_is_none(self, world: World) -> None:
        assert not give_back(FakeRolls(world), 1, "here")


class TestRenewing:
    """Cheap: one read at a check; one write in RENEW_S, whichever of the run's steps makes it."""

    def test_a_check_writes_only_what_is_due(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        assert world.roll_version == 1  # the fake's thread renews; no check had to

    def test_a_check_renews_what_is_old(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        world.now_s += RENEW_S
        step(world, Verb.RELEASE, "w1")
        assert world.roll_version == 2


class TestASilentApi:
    """The Lease is in the cluster: what can bring that back goes by the claims, and a leave does not go on."""

    def test_a_machine_is_given_back(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        world.api_up = False
        assert step(world, Verb.RELEASE, "w1") == "w1 released"

    def test_a_leave_halts(self, world: World) -> None:
        class Silent(FakeRolls):
            def read(self) -> tuple[Roll | None, str]:
                raise PortError("Kubernetes API", "503", "see runbooks/api.md")

        with pytest.raises(PortError, match="503"):
            execute_with(world, Verb.LEAVE, "w1", rolls=Tap(world, Silent(world)))
        assert world.changes == []

    def test_a_cluster_that_retires_ends_though_its_api_goes_with_it(self, world: World) -> None:
        for name in world.pins:
            world.pins[name] = pin(name, retire=True)
        step(world, Verb.RETIRE)
        world.engine_ends("run-b")
        for name in ("w4", "w3", "w2", "w1", "c3", "c2", "c1"):
            step(world, Verb.LEAVE, name)
            step(world, Verb.RELEASE, name)
        assert {c.state for c in world.claims.values()} == {ClaimState.LEFT}


class TestAHaltedStep:
    """Is marked, so that lanes that stop do not wait for the end of its turn."""

    def test_of_a_leave(self, world: World) -> None:
        world.limits = replace(world.limits, drain_s=20)
        world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], terminating=True)
        with pytest.raises(DrainBlocked):
            step(world, Verb.LEAVE, "w1")
        assert '"halted":true' in world.document
        world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], terminating=False)
        step(world, Verb.LEAVE, "w1")
        assert '"halted":true' not in world.document
        assert standings(world)["w1"] == "leaving"
