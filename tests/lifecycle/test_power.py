"""Power is off once it was seen off twice: a controller that is back before its host's power says off as well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lifecycle import fence, power
from lifecycle.commands import Verb
from lifecycle.errors import NeverPoweredOff
from lifecycle.ports import Power
from tests.lifecycle.fakes import FakeMachines, ports
from tests.lifecycle.fleets import fresh, pin, serving, step
from tests.lifecycle.world import World

ORDER = "power off w1"


@pytest.fixture
def world() -> World:
    return serving()


def comes_on(world: World, after_s: float) -> None:
    """The host is without power now, and its outlet is switched on so long after."""
    world.hosts["w1"].power = Power.OFF
    world.later(after_s, lambda: setattr(world.hosts["w1"], "power", Power.ON))


class TestAHostThatIsFoundOff:
    """Is looked at again."""

    def test_and_switched_off_if_it_comes_on(self) -> None:
        world = fresh()
        comes_on(world, power.STEADY_S - 1)
        power.off(ports(world), "w1", pin("w1").controller)
        assert world.changes == [ORDER]
        assert world.hosts["w1"].power is Power.OFF

    def test_longer_where_its_volumes_are_given_up(self, world: World) -> None:
        world.volumes["pv-0"].attached_to = ""
        world.maintenance.add("w1")
        comes_on(world, power.DARK_S - 1)
        fence.cut(ports(world), "w1", pin("w1").controller, "dead")
        assert ORDER in world.changes
        assert world.hosts["w1"].power is Power.OFF

    def test_and_left_alone_if_it_stays_off(self) -> None:
        world = fresh()
        start_s = world.now_s
        power.off(ports(world), "w1", pin("w1").controller)
        assert (world.changes, world.now_s - start_s) == ([], power.STEADY_S)


class Flapping(FakeMachines):
    """A controller that says off, then on again, and only then off for good."""

    said: tuple[Power, ...] = (Power.ON, Power.OFF, Power.ON, Power.OFF, Power.OFF)

    def power(self, host: str, controller: object) -> Power:
        first, *rest = self.said
        self.said = tuple(rest) or (first,)
        return first


class TestAHostThatIsSwitchedOff:
    """Is off once two looks in a row say so."""

    def test_not_at_the_first_look(self) -> None:
        world = fresh()
        machines = Flapping(world)
        power.off(replace(ports(world), machines=machines), "w1", pin("w1").controller)
        assert machines.said == (Power.OFF,)
        assert world.changes == [ORDER]

    def test_never_is_an_error(self) -> None:
        world = fresh()
        machines = Flapping(world)
        machines.said = (Power.ON, Power.OFF) * 200
        with pytest.raises(NeverPoweredOff, match="w1"):
            power.off(replace(ports(world), machines=machines), "w1", pin("w1").controller)

    def test_costs_a_roll_a_few_seconds(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        start_s = world.now_s
        step(world, Verb.RELEASE, "w1")
        assert world.now_s - start_s <= 2 * power.STEADY_S + 1
