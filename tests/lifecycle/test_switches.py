"""What a person reads names what switches the machine in question."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lifecycle import switches
from lifecycle.commands import Verb
from lifecycle.errors import ControllerUnreachable, NeverPoweredOff
from lifecycle.ports import Claim, ClaimState, Controller, Power, Way
from lifecycle.switches import CloudSilent, NeverTerminated
from tests.lifecycle.fakes import FakeMachines
from tests.lifecycle.fleets import claim, execute_with, fresh, step
from tests.lifecycle.world import World

INSTANCE = Controller("ec2://eu-central-1/blue/w1")


class Lasting(FakeMachines):
    """An instance that never ends."""

    def power_off(self, host: str, controller: Controller) -> None:
        return


@pytest.fixture
def world() -> World:
    made = fresh()
    made.pins["w1"] = replace(made.pins["w1"], controller=INSTANCE)
    return made


def left(of: World, **changes: object) -> Claim:
    return replace(claim("w1", ClaimState.LEFT), controller=of.pins["w1"].controller, **changes)  # type: ignore[arg-type]


class TestACloud:
    """Has no management controller, no power and no disk that stays."""

    def test_that_is_silent(self, world: World) -> None:
        world.failing["machines.power"] = 99
        with pytest.raises(CloudSilent) as silent:
            step(world, Verb.PROVISION, "w1")
        said = str(silent.value)
        assert "expected EC2 to do as it is told" in said
        assert f"{INSTANCE.url} last said: 503 from the fake" in said
        assert "runbooks/aws.md#silent" in said
        notes = [entry[-1] for entry in world.journal if entry[:2] == ("w1", "note")]
        assert notes[0] == "power state: EC2 failed, asking again in 1 s"
        assert not any("management controller" in text for text in notes)

    def test_whose_instance_does_not_end(self, world: World) -> None:
        world.hosts["w1"].power = Power.ON
        with pytest.raises(NeverTerminated, match=r"expected proof that its instance is terminated.*aws.md#terminated"):
            execute_with(world, Verb.PROVISION, "w1", machines=Lasting(world))

    def test_keeps_no_disk_that_talos_would_have_to_erase(self, world: World) -> None:
        world.pins["w1"] = replace(world.pins["w1"], way=Way.TALOS)
        world.hosts["w1"].power = Power.ON
        world.claims["w1"] = left(world, way=Way.TALOS)
        step(world, Verb.RELEASE, "w1")
        assert world.hosts["w1"].power is Power.OFF
        assert not any("erase" in entry[-1] for entry in world.journal)
        assert not any("wipe" in change for change in world.changes)


class TestMetal:
    """Is spoken of as before."""

    def test_that_is_silent(self) -> None:
        world = fresh()
        world.failing["machines.power"] = 99
        with pytest.raises(ControllerUnreachable, match=r"its management controller.*runbooks/bmc.md#silent") as silent:
            step(world, Verb.PROVISION, "w1")
        assert type(silent.value) is ControllerUnreachable
        notes = [entry[-1] for entry in world.journal if entry[1] == "note"]
        assert notes[0] == "power state: the management controller failed, asking again in 1 s"

    def test_that_stays_on(self) -> None:
        world = fresh()
        world.hosts["w1"].power = Power.ON
        with pytest.raises(NeverPoweredOff) as on:
            execute_with(world, Verb.PROVISION, "w1", machines=Lasting(world))
        assert type(on.value) is NeverPoweredOff

    def test_a_kind_that_nobody_here_knows_has_a_controller(self) -> None:
        assert switches.of(Controller("hovercraft://h1")).name == "its controller"
