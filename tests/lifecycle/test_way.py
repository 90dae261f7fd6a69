"""lifecycle/way.py: a Talos machine comes in with its whole configuration, and leaves no disk that would decide."""

from __future__ import annotations

import pytest

from lifecycle.commands import Step, Verb
from lifecycle.errors import PortError
from lifecycle.ports import ClaimState, Controller, Credentials, Power, Way
from lifecycle.run import execute
from lifecycle.way import begin, credentials, wipe
from tests.lifecycle.fakes import ports
from tests.lifecycle.fleets import claim, pin, serving
from tests.lifecycle.world import Host, World

BMC = Controller("https://bmc-w1.example")


class TestCredentials:
    """What is found at the one-time location: for Talos the configuration alone."""

    @pytest.mark.parametrize("init", [True, False])
    def test_of_talos(self, init: bool) -> None:
        world = serving()
        found = credentials(ports(world), pin("w1", way=Way.TALOS), init=init)
        assert found == Credentials(init=init, endpoint="k8s.example:6443", configuration="configuration of w1")

    def test_of_kubeadm(self) -> None:
        found = credentials(ports(serving()), pin("w1"), init=False)
        assert (found.configuration, found.pki) == ("", {"ca.crt": "PEM"})
        assert found.token


class TestBegin:
    """A cluster begins by a call to one machine, if that machine has such an API."""

    def test_talos_is_asked_and_kubeadm_is_not(self) -> None:
        world = serving()
        begin(ports(world), pin("c1"))
        assert world.changes == []
        begin(ports(world), pin("c1", way=Way.TALOS))
        assert world.changes == ["bootstrap c1"]

    def test_a_machine_that_is_not_up_yet_is_no_verdict(self) -> None:
        world = serving()
        world.mute_machines.add("c1")
        with pytest.raises(PortError, match="UNAVAILABLE"):
            begin(ports(world), pin("c1", way=Way.TALOS))


class TestFirstControlPlane:
    """It is handed its configuration, asked to begin, and on record as the one that did."""

    def test_begins_once_and_serves(self) -> None:
        world = World(pins={"c1": pin("c1", way=Way.TALOS, stores=False)})
        world.hosts["c1"] = Host(power=Power.OFF, joined=False)
        for verb in (Verb.PROVISION, Verb.ENROL, Verb.JOIN):
            execute(Step(verb, "metal", "c1", "g1"), ports(world))
        told = [c for c in world.changes if c.split()[0] in ("deliver", "bootstrap", "withdraw", "clear")]
        assert told == ["deliver c1 init", "bootstrap c1", "withdraw c1", "clear override c1"]
        assert world.initialised == "c1"
        assert world.claims["c1"].way is Way.TALOS


class TestWipe:
    """A disk that holds Talos would decide what the next machine is."""

    def world(self) -> World:
        world = serving()
        world.pins["w1"] = pin("w1", way=Way.TALOS)
        world.claims["w1"] = claim("w1", ClaimState.LEFT, machine_id="w1-m1", way=Way.TALOS)
        world.volumes.clear()
        return world

    def test_release_has_the_machine_erase_it_before_the_power_is_cut(self) -> None:
        world = self.world()
        execute(Step(Verb.RELEASE, "metal", "w1", "g1"), ports(world))
        assert [c for c in world.changes if c.endswith(" w1")] == ["wipe w1", "clear override w1"]
        assert world.hosts["w1"].power is Power.OFF

    def test_an_installation_over_a_machine_that_was_never_released_does_too(self) -> None:
        world = self.world()
        execute(Step(Verb.PROVISION, "metal", "w1", "g1"), ports(world))
        assert [c.split()[0] for c in world.changes if " w1" in c if not c.startswith("claim")] == ["wipe", "install"]

    def test_one_that_does_not_answer_is_noted_and_switched_off(self) -> None:
        world = self.world()
        world.mute_machines.add("w1")
        execute(Step(Verb.RELEASE, "metal", "w1", "g1"), ports(world))
        assert "power off w1" in world.changes
        assert any("its disk is not erased" in line[-1] for line in world.journal)

    def test_one_that_never_ends_is_noted_and_switched_off(self) -> None:
        world = self.world()
        world.wipes_for_ever = True
        execute(Step(Verb.RELEASE, "metal", "w1", "g1"), ports(world))
        assert "power off w1" in world.changes
        assert any("not proven erased" in line[-1] for line in world.journal)

    @pytest.mark.parametrize(("way", "power"), [(Way.KUBEADM, Power.ON), (Way.TALOS, Power.OFF)])
    def test_nothing_else_is_asked(self, way: Way, power: Power) -> None:
        world = self.world()
        world.hosts["w1"].power = power
        wipe(ports(world), "w1", BMC, way)
        assert world.changes == []
