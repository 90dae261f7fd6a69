"""Retirement is said, listed, and only then skips the availability gates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lifecycle.commands import Verb
from lifecycle.errors import BudgetFull, ClaimChanged, ClusterSilent, EtcdNotSafe, PortError
from lifecycle.ports import Claim, ClaimState
from tests.lifecycle.fakes import FakeRecords, Tap
from tests.lifecycle.fleets import CONTROL_PLANES, WORKERS, execute_with, pin, roster, serving, standings, step
from tests.lifecycle.world import World


@pytest.fixture
def world() -> World:
    return serving()


def say(world: World, *nodes: str) -> str:
    """The stack file retires exactly `nodes`, and an up applies it."""
    world.pins = {n: pin(n, retire=n in nodes) for n in world.pins}
    return step(world, Verb.RETIRE)


def marked(world: World) -> list[str]:
    entries, claims = roster(world).nodes, world.claims
    assert {n for n, e in entries.items() if e.retiring} == {n for n, c in claims.items() if c.retiring}
    return sorted(n for n, e in entries.items() if e.retiring)


class TestRetire:
    """Copies the stack file's marks and says what would be lost."""

    def test_marks_roster_and_claims(self, world: World) -> None:
        assert say(world, "w1") == "w1 retires: loses no volume by itself"
        assert marked(world) == ["w1"]

    def test_lists_the_volumes_that_go_with_it(self, world: World) -> None:
        world.volumes["pv-0"].replicas = {"w1": True, "w2": False}
        assert say(world, "w1") == "w1 retires: loses apps/data-db-0"

    def test_says_so_of_a_whole_cluster(self, world: World) -> None:
        lines = say(world, *world.pins).splitlines()
        assert lines[-1] == "the whole cluster retires: every volume on it is lost"
        assert len(lines) == 8

    def test_clears_marks_that_are_no_longer_declared(self, world: World) -> None:
        say(world, "w1", "w2")
        say(world, "w2")
        assert marked(world) == ["w2"]
        assert say(world) == "nothing retires any more"
        assert say(world) == "nothing retires"
        assert marked(world) == []

    def test_keeps_the_mark_of_a_host_that_was_taken_out_of_the_file(self, world: World) -> None:
        say(world, "w1")
        del world.pins["w1"]
        assert step(world, Verb.RETIRE) == "nothing retires"
        assert marked(world) == ["w1"]

    def test_does_nothing_before_the_cluster_exists(self, world: World) -> None:
        world.initialised, world.api_up = None, False
        assert say(world, "w1") == "nothing to retire: the cluster was never initialised"
        assert world.changes == []

    def test_marks_nothing_whose_losses_are_unknown(self, world: World) -> None:
        world.storage_there = False
        with pytest.raises(PortError):
            say(world, "w1")
        assert marked(world) == []

    def test_a_claim_that_others_keep_changing(self, world: World) -> None:
        class Busy(FakeRecords):
            def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
                return False

        world.pins["w1"] = pin("w1", retire=True)
        with pytest.raises(ClaimChanged):
            execute_with(world, Verb.RETIRE, "", "", records=Tap(world, Busy(world)))


class TestARetiringNodeLeaves:
    """Without availability gates; for good."""

    def test_past_redundancy_and_budget(self, world: World) -> None:
        say(world, "w1")
        world.volumes["pv-2"].replicas["w4"] = False
        step_out = step(world, Verb.LEAVE, "w1")
        assert step_out == "w1 left"
        assert [c for c in world.changes if c.startswith(("moved", "delete", "maint"))] == [
            "moved pv-0 to w3",
            "delete node w1",
        ]
        assert standings(world)["w1"] == "out"

    def test_is_not_missed_by_its_budget(self, world: World) -> None:
        say(world, "w1")
        step(world, Verb.LEAVE, "w1")
        assert step(world, Verb.LEAVE, "w2") == "w2 left"

    def test_never_past_etcds_majority(self, world: World) -> None:
        say(world, "c2")
        world.members["c3"] = replace(world.members["c3"], healthy=False)
        with pytest.raises(EtcdNotSafe):
            step(world, Verb.LEAVE, "c2")
        assert "cordon c2" not in world.changes

    def test_one_host_does_not_leave_past_a_silent_api(self, world: World) -> None:
        say(world, "c2")
        world.api_up = False
        with pytest.raises(ClusterSilent):
            step(world, Verb.LEAVE, "c2")
        assert world.claims["c2"].state is ClaimState.JOINED

    def test_unsaid_a_destroy_stops_at_its_budget(self, world: World) -> None:
        step(world, Verb.LEAVE, "w4")
        with pytest.raises(BudgetFull, match="retire: true"):
            step(world, Verb.LEAVE, "w3")


class TestAClusterRetires:
    """A destroy ends, down to the last control plane and past it."""

    def test_every_node_leaves_and_is_released(self, world: World) -> None:
        say(world, *world.pins)
        for node in reversed((*CONTROL_PLANES, *WORKERS)):
            assert step(world, Verb.LEAVE, node) == f"{node} left"
            assert step(world, Verb.RELEASE, node) == f"{node} released"
        assert {c.state for c in world.claims.values()} == {ClaimState.LEFT}
        assert not [b for b in world.broken if "attached" in b]
        assert [c for c in world.changes if c.startswith("delete pod")] != []  # past the budgets, drained all the same

    def test_past_budgets_that_overlap(self, world: World) -> None:
        world.budgets["db-0"] = 0
        say(world, *world.pins)
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert "delete pod apps/db-0" in world.changes

    def test_nodes_left_behind_by_a_cluster_that_is_gone(self, world: World) -> None:
        say(world, *world.pins)
        world.api_up = False
        before_s = world.now_s
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert world.now_s == before_s

    def test_without_a_stack_file(self, world: World) -> None:
        say(world, *world.pins)
        world.api_up, world.pins = False, {}
        assert step(world, Verb.LEAVE, "w1") == "w1 left"

    def test_not_while_one_of_it_stays(self, world: World) -> None:
        say(world, *[n for n in world.pins if n != "c1"])
        world.api_up = False
        with pytest.raises(ClusterSilent):
            step(world, Verb.LEAVE, "w1")
