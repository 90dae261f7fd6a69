"""The OS disk of a host that leaves for good is erased where the stack file asks for it, and no other disk ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lifecycle.commands import Verb
from lifecycle.erase import NeverErased, asked
from lifecycle.errors import NeedsAttention
from lifecycle.ports import BootMethod, ClaimState, Power, Progress, Way
from tests.lifecycle.fleets import pin, serving, step
from tests.lifecycle.world import Killed, World

OS_DISK, DATA_DISKS = "/dev/disk/by-id/os-w1", ("/dev/disk/by-id/data-1", "/dev/disk/by-id/data-2")
ERASED = [f"w1 {OS_DISK}"]


def retiring(**changes: Any) -> World:
    """w1 was marked to leave for good by an up, with its disk to be erased, and has left."""
    world = serving()
    fields: dict[str, Any] = {"retire": True, "wipe_os_disk": True, "os_disk": OS_DISK, "data_disks": DATA_DISKS}
    world.pins["w1"] = pin("w1", **{**fields, **changes})
    step(world, Verb.RETIRE)
    step(world, Verb.LEAVE, "w1")
    return world


class TestErases:
    """Proven by the host's report and by its power, which it switches off itself."""

    def test_a_host_that_leaves_for_good(self) -> None:
        world = retiring()
        assert step(world, Verb.RELEASE, "w1") == "w1 released"
        assert world.erased == ERASED
        assert world.hosts["w1"].power is Power.OFF
        assert world.broken == []

    def test_one_that_the_stack_file_names_no_more(self) -> None:
        """Its claim kept what it takes since the up that retired it."""
        world = retiring(boot=(BootMethod.PXE,))
        del world.pins["w1"]
        step(world, Verb.RELEASE, "w1")
        assert world.erased == ERASED
        assert "install w1 eraser by pxe" in world.changes

    def test_by_the_power_alone_where_no_reports_are_taken(self) -> None:
        world = retiring()
        world.erasing = (Progress.UNKNOWN, Power.OFF)
        assert step(world, Verb.RELEASE, "w1") == "w1 released"

    def test_once(self) -> None:
        """The engine may run a delete again."""
        world = retiring()
        step(world, Verb.RELEASE, "w1")
        step(world, Verb.RELEASE, "w1")
        assert world.erased == ERASED


class TestErasesNothing:
    """Of a host that stays, or of which nobody asked it."""

    def test_on_a_replacement(self) -> None:
        world = serving()
        world.pins["w1"] = pin("w1", "g2", wipe_os_disk=True)
        step(world, Verb.LEAVE, "w1")
        step(world, Verb.RELEASE, "w1")
        assert (world.erased, [c for c in world.changes if "eraser" in c]) == ([], [])

    def test_unless_it_is_asked(self) -> None:
        world = retiring(wipe_os_disk=False)
        step(world, Verb.RELEASE, "w1")
        assert world.erased == []

    def test_that_was_asked_and_is_not_any_more(self) -> None:
        world = retiring()
        world.pins["w1"] = replace(world.pins["w1"], wipe_os_disk=False)
        step(world, Verb.RELEASE, "w1")
        assert world.erased == []

    def test_of_talos_which_erases_its_disk_itself(self) -> None:
        world = retiring()
        world.claims["w1"] = replace(world.claims["w1"], way=Way.TALOS)
        step(world, Verb.RELEASE, "w1")
        assert world.erased == []

    def test_after_the_machine_went_to_another_host(self) -> None:
        world = retiring()
        world.claims["other"] = replace(world.claims["w1"], stack="theirs", node="other", state=ClaimState.JOINED)
        step(world, Verb.RELEASE, "w1")
        assert world.erased == []


class TestHalts:
    """Naming the host and its disk; the next run does it again."""

    @pytest.mark.parametrize(
        "erasing", [(), (Progress.INSTALLING,), (Progress.INSTALLING, Progress.ERASED)], ids=["silent", "stuck", "on"]
    )
    def test_at_its_deadline(self, erasing: tuple[Progress, ...]) -> None:
        world = retiring()
        world.erasing = erasing
        with pytest.raises(NeverErased, match=r"node w1: .*runbooks/boot\.md#erase") as halted:
            step(world, Verb.RELEASE, "w1")
        assert OS_DISK in str(halted.value)
        world.hosts["w1"].progress = Progress.NONE
        world.erasing = (Progress.ERASED, Power.OFF)
        assert step(world, Verb.RELEASE, "w1") == "w1 released"
        assert world.erased[-1:] == ERASED

    def test_at_its_failure_and_tries_again(self) -> None:
        world = retiring()
        world.failed.add("w1")
        with pytest.raises(NeedsAttention, match="report of w1"):
            step(world, Verb.RELEASE, "w1")
        assert "install w1 eraser" in world.changes
        world.failed.clear()
        assert step(world, Verb.RELEASE, "w1") == "w1 released"


class TestKilled:
    """At any of its calls: the next run ends it."""

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_at_each_call(self, after: bool) -> None:
        calls = retiring()
        begun = calls.calls
        step(calls, Verb.RELEASE, "w1")
        for kill_at in range(begun + 1, calls.calls + 1):
            world = retiring()
            assert world.calls == begun
            world.kill_at, world.kill_after = kill_at, after
            with pytest.raises(Killed):
                step(world, Verb.RELEASE, "w1")
            world.kill_at, world.dead = 0, False
            step(world, Verb.RELEASE, "w1")
            assert world.erased[-1:] == ERASED
            assert (world.hosts["w1"].power, world.claims["w1"].state) == (Power.OFF, ClaimState.LEFT)
            assert world.broken == []


class TestAsked:
    """What a claim keeps."""

    def test_only_of_a_host_whose_disk_is_to_be_erased(self) -> None:
        assert asked(None) is None
        assert asked(pin("w1")) is None
        kept = asked(pin("w1", wipe_os_disk=True, os_disk=OS_DISK, data_disks=DATA_DISKS))
        assert kept is not None
        assert (kept.os_disk, kept.data_disks, kept.mac) == (OS_DISK, DATA_DISKS, pin("w1").mac)
