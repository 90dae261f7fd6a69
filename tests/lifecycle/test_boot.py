"""A host gets to its installer by one of its ways, or the roll halts and says what became of each."""

from __future__ import annotations

import pytest

from lifecycle.boot import ELSEWHERE_S, InstallerNeverRan
from lifecycle.commands import Verb
from lifecycle.errors import ControllerUnreachable, NeverBooted
from lifecycle.ports import BootMethod, ClaimState, Power, Progress
from tests.lifecycle.fleets import fresh, pin, step
from tests.lifecycle.world import World

HTTP, PXE, MEDIA = BootMethod.UEFI_HTTP, BootMethod.PXE, BootMethod.VIRTUAL_MEDIA


@pytest.fixture
def world() -> World:
    made = fresh()
    made.pins["w1"] = pin("w1", boot=(HTTP, PXE, MEDIA))
    return made


def provision(world: World) -> str:
    return step(world, Verb.PROVISION, "w1", "g1")


def orders(world: World) -> list[str]:
    return [change for change in world.changes if not change.startswith("claim")]


class TestWays:
    """Tried in the order given, each with the power off before it."""

    def test_the_first_that_leads_there_is_the_last_that_is_tried(self, world: World) -> None:
        provision(world)
        assert orders(world) == ["install w1 g1 by uefi-http"]

    def test_one_that_leads_nowhere_is_given_up_for_the_next(self, world: World) -> None:
        world.ignored = {HTTP: Progress.NONE}
        began_s = world.now_s
        provision(world)
        assert orders(world) == ["install w1 g1 by uefi-http", "power off w1", "install w1 g1 by pxe"]
        assert world.now_s - began_s > world.limits.start_s
        assert world.claims["w1"].installed

    def test_one_that_the_controller_shows_to_be_ignored_is_given_up_earlier(self, world: World) -> None:
        world.ignored = {HTTP: Progress.ELSEWHERE}
        began_s = world.now_s
        provision(world)
        assert orders(world)[-1] == "install w1 g1 by pxe"
        assert world.now_s - began_s < world.limits.start_s + ELSEWHERE_S

    def test_an_installer_that_reported_is_never_given_up_for_another_way(self, world: World) -> None:
        world.ignored = {HTTP: Progress.INSTALLING}
        with pytest.raises(NeverBooted, match="after 1800 s: installing on"):
            provision(world)
        assert orders(world) == ["install w1 g1 by uefi-http"]


class TestInstallerNeverRan:
    """When no way is left."""

    def test_names_what_became_of_each(self, world: World) -> None:
        world.ignored = {HTTP: Progress.NONE, PXE: Progress.ELSEWHERE, MEDIA: Progress.NONE}
        with pytest.raises(InstallerNeverRan, match=r"bmc\.md#ignored") as halted:
            provision(world)
        assert halted.value.blocked == (
            "uefi-http: no installer reported within 900 s; "
            "pxe: the controller still holds the boot override, and the host booted something else; "
            "virtual-media: no installer reported within 900 s"
        )
        assert world.claims["w1"].state is ClaimState.PROVISIONING
        assert not world.claims["w1"].installed

    def test_takes_no_longer_than_each_way_may(self, world: World) -> None:
        world.ignored = {HTTP: Progress.NONE, PXE: Progress.NONE, MEDIA: Progress.NONE}
        began_s = world.now_s
        with pytest.raises(InstallerNeverRan):
            provision(world)
        assert world.now_s - began_s < 3 * (world.limits.start_s + world.limits.power_s)

    def test_the_next_up_begins_with_the_first_way_again(self, world: World) -> None:
        world.ignored = dict.fromkeys((HTTP, PXE, MEDIA), Progress.NONE)
        with pytest.raises(InstallerNeverRan):
            provision(world)
        world.ignored, world.changes[:] = {}, []
        assert provision(world) == "w1 provisioned with generation g1"
        assert orders(world) == ["power off w1", "install w1 g1 by uefi-http"]

    def test_a_controller_that_hangs_between_two_ways_is_named(self, world: World) -> None:
        world.ignored = {HTTP: Progress.NONE}
        world.later(world.limits.start_s / 2, lambda: world.failing.update({"machines.power": 999}))
        with pytest.raises(ControllerUnreachable, match=r"https://bmc-w1\.example last said: 503 from the fake"):
            provision(world)
        assert world.hosts["w1"].power is Power.ON
        assert orders(world) == ["install w1 g1 by uefi-http"]


class TestPatience:
    """What a controller shows has to stay so for a while."""

    def test_an_override_that_is_taken_away_late_is_none_that_is_ignored(self, world: World) -> None:
        world.ignored = {HTTP: Progress.ELSEWHERE}
        world.later(ELSEWHERE_S - 60, lambda: reports(world, Progress.INSTALLING))
        world.later(ELSEWHERE_S + 60, lambda: reports(world, Progress.RUNNING))
        provision(world)
        assert orders(world) == ["install w1 g1 by uefi-http"]

    def test_what_it_shows_now_and_then_is_not_added_up(self, world: World) -> None:
        world.ignored = {HTTP: Progress.ELSEWHERE}
        for after_s in range(100, 800, 100):  # it starts its firmware again and again
            world.later(after_s, lambda: reports(world, Progress.NONE))
            world.later(after_s + 65, lambda: reports(world, Progress.ELSEWHERE))
        world.later(820, lambda: reports(world, Progress.RUNNING))
        provision(world)
        assert orders(world) == ["install w1 g1 by uefi-http"]


def reports(world: World, progress: Progress) -> None:
    world.hosts["w1"].progress = progress
