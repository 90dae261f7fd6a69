"""SIGKILL at any step of a roll: the next up finishes it, and no law was ever broken."""

from __future__ import annotations

import signal

import pytest

from rehearsal.rack.faults import VICTIMS
from tests.rehearsal.fleet import NEW, NODES, Fleet

STEPS = 5 * len(NODES) + 1
"""leave, release, provision, enrol, join of each node, and the barrier."""


def kill_and_resume(fleet: Fleet, victim: str, step: int) -> None:
    ended = fleet.killed_up(NEW, victim, step)
    assert ended == (1 if victim == "engine" else -signal.SIGKILL), "the run did not end by the kill"
    resumed = fleet.up(NEW)
    assert resumed.error == ""
    resumed.assert_whole(NEW)
    assert [e["text"] for e in resumed.journal if "not reproducible" in e.get("text", "")] == []


class TestSample:
    """One of the sweep's cases, for every run of the tests."""

    def test_resumes(self, fleet: Fleet) -> None:
        kill_and_resume(fleet, "both", 21)


@pytest.mark.faults
class TestSweep:
    """Every step, every victim."""

    @pytest.mark.parametrize("step", range(1, STEPS + 1))
    @pytest.mark.parametrize("victim", VICTIMS)
    def test_resumes(self, fleet: Fleet, victim: str, step: int) -> None:
        kill_and_resume(fleet, victim, step)
