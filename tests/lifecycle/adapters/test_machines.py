"""Which adapter switches a machine."""

from __future__ import annotations

import pytest

from lifecycle.adapters.machines import MachinesByScheme
from lifecycle.errors import NeedsAttention
from lifecycle.ports import Controller, Power
from tests.lifecycle.fakes import FakeMachines
from tests.lifecycle.fleets import serving
from tests.lifecycle.world import World


@pytest.fixture
def worlds() -> dict[str, World]:
    return {"https": serving(), "ec2": serving()}


def test_the_scheme_of_its_address_decides(worlds: dict[str, World]) -> None:
    machines = MachinesByScheme({scheme: FakeMachines(world) for scheme, world in worlds.items()})
    for world in worlds.values():
        world.hosts["w1"].power = Power.OFF
    worlds["ec2"].hosts["w1"].power = Power.ON
    assert machines.power("w1", Controller("ec2://eu-central-1/metal/w1")) is Power.ON
    assert machines.power("w1", Controller("https://bmc-w1.example/redfish/v1/Systems/1")) is Power.OFF


def test_another_is_named_with_what_there_is(worlds: dict[str, World]) -> None:
    machines = MachinesByScheme({scheme: FakeMachines(world) for scheme, world in worlds.items()})
    with pytest.raises(NeedsAttention, match="none of ec2, https"):
        machines.power("w1", Controller("ipmi://bmc-w1.example"))


def test_kinds_that_bring_their_own_are_looked_for_once_and_only_if_asked(worlds: dict[str, World]) -> None:
    looked: list[str] = []

    def others() -> dict[str, FakeMachines]:
        looked.append("looked")
        return {"ipmi": FakeMachines(worlds["ec2"])}

    machines = MachinesByScheme({"https": FakeMachines(worlds["https"])}, others)
    machines.power("w1", Controller("https://bmc-w1.example/redfish/v1/Systems/1"))
    assert looked == []
    for _ in range(2):
        assert machines.power("w1", Controller("ipmi://bmc-w1.example/")) is Power.ON
    assert looked == ["looked"]
    with pytest.raises(NeedsAttention, match="none of https, ipmi"):
        machines.power("w1", Controller("ssh://w1"))
