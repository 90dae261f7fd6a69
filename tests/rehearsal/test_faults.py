"""What breaks in the middle of a roll halts it, is named, and is forgotten once its cause is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.rehearsal.fleet import NEW, OLD, Fleet, Outcome


@dataclass(frozen=True)
class Case:
    """fault: a spec. named: what the error must contain. halted: the node at which the roll stops."""

    fault: str
    named: tuple[str, ...]
    halted: str


CASES = [Case("bmc-timeout:w2", ("w2", "https://bmc-w2.metal.example", "no answer"), "w2")]
"""For every run of the tests, beside those of test_laws.py."""

MORE_CASES = [
    Case("never-joins:w2", ("w2", "regist"), "w2"),
    Case("pdb-never-allows:postgres", ("postgres",), ""),
    Case("never-ready:web", ("default/web allows none", "4 healthy, 4 wanted", "runbooks/join.md#budgets"), ""),
    Case("storage-degraded:w2", ("w2", "replicas in sync"), "w2"),
    Case("never-boots:w2", ("w2", "boot"), "w2"),
    Case("never-joins:cp2", ("cp2", "regist"), "cp2"),
    Case("fails:machines.install:w3", ("w3",), "w3"),
    Case("fails:storage.begin_maintenance:w1", ("w1",), "w1"),
    Case("fails:etcd.remove:cp1", ("cp1",), "cp1"),
]
"""For the full sweep."""

CALLS = ["storage.end_maintenance:w1"]
MORE_CALLS = [
    "kubernetes.set_unschedulable:w1",
    "kubernetes.evict:w1",
    "kubernetes.attachments_on:w1",
    "etcd.move_leader:cp2",
    "records.put_claim:w1",
    "delivery.deliver:w1",
    "machines.power_off:w1",
]


def swept(more: list[Any]) -> list[Any]:
    """The same, for the full sweep only."""
    return [pytest.param(item, marks=pytest.mark.faults) for item in more]


def assert_halted(outcome: Outcome, case: Case) -> None:
    assert outcome.error, "the roll went on"
    for word in case.named:
        assert word in outcome.error
    assert "Remedy" in outcome.error
    assert "Traceback" not in outcome.error
    assert outcome.broken == []
    left = outcome.nodes_asked("leave")
    if case.halted:
        assert left[-1] == case.halted, "the roll went past the node that halted"


class TestHaltsAndGoesOn:
    """The error names what blocks; without its cause the next up finishes the roll."""

    @pytest.mark.parametrize("case", [*CASES, *swept(MORE_CASES)], ids=lambda c: c.fault)
    def test_case(self, fleet: Fleet, case: Case) -> None:
        assert_halted(fleet.up(NEW, case.fault), case)
        resumed = fleet.up(NEW)
        assert resumed.error == ""
        resumed.assert_whole(NEW)

    @pytest.mark.faults
    def test_a_node_with_another_image_is_replaced_on_demand(self, fleet: Fleet) -> None:
        assert_halted(fleet.up(NEW, "wrong-image:w2"), Case("", ("w2", NEW, "39.20240101.3.0", "--replace"), "w2"))
        resumed = fleet.up(NEW, replace=("w2",))
        assert resumed.error == ""
        assert resumed.nodes_asked("leave")[0] == "w2"
        resumed.assert_whole(NEW)

    @pytest.mark.faults
    def test_a_volume_that_does_not_detach(self, fleet: Fleet) -> None:
        holder = _a_holder(fleet)
        halted = fleet.up(NEW, f"volume-stuck:{holder}")
        assert_halted(halted, Case("", (holder, "pv-"), holder))
        assert halted.nodes_asked("release")[-1:] != [holder], "its machine was taken with a volume attached"
        resumed = fleet.up(NEW)
        assert resumed.error == ""
        resumed.assert_whole(NEW)


def _a_holder(fleet: Fleet) -> str:
    """A worker that has a volume attached when its turn comes: pods move as the roll goes on, so it is
    the first one in the order of the roll."""
    world = fleet.preview(OLD).world
    return min(v.attached_to for v in world.volumes.values() if v.attached_to)


class TestPortFailsOnce:
    """A call that fails is tried again by the next up, whichever it was; nothing is lost meanwhile."""

    @pytest.mark.parametrize("call", [*CALLS, *swept(MORE_CALLS)])
    def test_resumes(self, fleet: Fleet, call: str) -> None:
        fleet.up(NEW, f"fails:{call}:1")
        resumed = fleet.up(NEW)
        assert resumed.error == ""
        resumed.assert_whole(NEW)


class TestRevert:
    """After a halt, the old image again: heals the halted node first, rolls back only what was replaced."""

    def test_rolls_back_only_what_was_replaced(self, fleet: Fleet) -> None:
        halted = fleet.up(NEW, "never-joins:w2")
        assert halted.nodes_asked("leave") == ["cp1", "cp2", "cp3", "w1", "w2"]
        back = fleet.up(OLD)
        assert back.error == ""
        assert back.nodes_asked("provision") == ["w2", "cp1", "cp2", "cp3", "w1"]
        back.assert_whole(OLD)


class TestContinueOnError:
    """The engine's flag, given by mistake, takes no second node."""

    @pytest.mark.faults
    def test_no_other_node_leaves(self, fleet: Fleet) -> None:
        halted = fleet.up(NEW, "never-joins:w2", continue_on_error=True)
        assert halted.error
        assert halted.broken == []
        assert halted.nodes_asked("release")[-1] == "w2"
        assert not {"w3", "w4", "w5", "w6"} & set(halted.nodes_asked("release"))
        resumed = fleet.up(NEW)
        assert resumed.error == ""
        resumed.assert_whole(NEW)
