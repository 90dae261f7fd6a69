"""Every kind of machine that there is keeps what the contract promises, and a kind that does not is found out."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from lifecycle.adapters.boot_store import DirectoryBoot
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.ports import Controller, Machines, Pin, Power, Progress
from rehearsal.rack.faults import Faults
from rehearsal.rack.ports import RackMachines
from rehearsal.rack.rack import Rack
from rehearsal.rack.world import Host, World
from tests.lifecycle.adapters import cloud as aws
from tests.lifecycle.adapters.pinned import pin_of
from tests.lifecycle.adapters.played_controller import PASSWORD, SYSTEM, Played
from tests.lifecycle.adapters.wire_server import Reply, Wire, serving
from tests.lifecycle.fakes import ports
from tests.lifecycle.fleets import fresh
from tests.lifecycle.machine_contract import CHECKS, Check, Trial

ORDERS = ("power", "power_off", "install", "progress", "identity", "clear_boot_override", "underway")


class OfTheFakes(Trial):
    """What the lifecycle's own tests run on."""

    def __init__(self) -> None:
        self.world = fresh()
        super().__init__(self.world.pins["w1"])

    def machines(self) -> Machines:
        return ports(self.world).machines

    def passes(self) -> None:
        self.world.run_until(self.world.now_s + 5)

    def runs(self, pin: Pin) -> None:
        """By itself, as time passes."""

    def reboot(self) -> None:
        """Nothing of it shows there."""

    def cut_off(self) -> None:
        self.world.failing.update({f"machines.{order}": LASTS for order in ORDERS})


LASTS = 1000
"""Calls: more than any check makes."""


class OfTheRack(Trial):
    """What rehearsals run on."""

    def __init__(self) -> None:
        disks = ("/dev/disk/by-id/data-1", "/dev/disk/by-id/data-2")
        super().__init__(replace(pin_of("w1"), data_disks=disks, stores=False))
        world = World(seed=1, hosts={"w1": Host(name="w1", fault_domain="a")})
        self.rack = Rack(world, pins={"w1": self.pin})

    def machines(self) -> Machines:
        return RackMachines(self.rack, "trial", lambda: None)

    def passes(self) -> None:
        self.rack.clock.step_begins("trial")
        self.rack.clock.park("trial", self.rack.now_s + 120, "")
        self.rack.clock.step_ends("trial")

    def runs(self, pin: Pin) -> None:
        """By itself, as time passes."""

    def reboot(self) -> None:
        self.rack.world.hosts["w1"].boots += 1

    def cut_off(self) -> None:
        self.rack.faults = Faults.of(("bmc-timeout:w1",))

    def boots_its_disk(self) -> bool:
        return not self.rack.world.hosts["w1"].boot_override

    def data(self) -> object:
        return dict(self.rack.world.hosts["w1"].markers)


class Numbered(Played):
    """A controller that tells its host's serial number."""

    def system(self) -> dict[str, Any]:
        return {**super().system(), "SerialNumber": "SN-4711"}


class OfRedfish(Trial):
    """The adapter with sushy, before a controller that is played over HTTP."""

    def __init__(self, wire: Wire, folder: Path) -> None:
        self.wire, self.played = wire, Numbered(wire)
        self.opened: list[RedfishMachines] = []
        self.folder = folder
        (folder / "progress").mkdir()
        files = {"boot/0123456789abcdef/w1.ipxe": b"#!ipxe"}
        self.store = DirectoryBoot(lambda: folder, lambda: "https://boot.example", lambda _: files)
        super().__init__(pin_of("w1", Controller(f"{wire.url}{SYSTEM}")))

    def machines(self) -> Machines:
        self.opened.append(RedfishMachines(lambda _: BmcCredentials("admin", PASSWORD), self.store, WallClock()))
        return self.opened[-1]

    def passes(self) -> None:
        """The played controller obeys at once."""

    def runs(self, pin: Pin) -> None:
        report = {"generation": pin.generation, "state": "running"}
        (self.folder / "progress/w1").write_text(json.dumps(report))

    def reboot(self) -> None:
        self.played.resets.append("by itself")

    def cut_off(self) -> None:
        self.wire.on("GET", SYSTEM, Reply(503, {"error": {"message": "busy"}}))

    def boots_its_disk(self) -> bool:
        return bool(self.played.boot["BootSourceOverrideEnabled"] == "Disabled")

    def close(self) -> None:
        for machines in self.opened:
            machines.close()


class OfEc2(Trial):
    """The adapter with boto3, before an account of moto's."""

    new_machine = True

    def __init__(self) -> None:
        self.cloud = aws.Cloud()
        zone, names = aws.ZONES[0], ("data-1", "data-2")
        self.cloud.address("w1", zone)
        self.volumes = [self.cloud.volume("w1", name, zone) for name in names]
        super().__init__(aws.pin(zones=(zone,), fixed_address=True, volumes=names))

    def machines(self) -> Machines:
        return aws.machines(self.cloud, aws.FakeClock(time.time()))

    def passes(self) -> None:
        """moto does all at once."""

    def runs(self, pin: Pin) -> None:
        self.cloud.store.reports["w1"] = Progress.RUNNING

    def reboot(self) -> None:
        self.cloud.see.reboot_instances(InstanceIds=[one["InstanceId"] for one in self.cloud.instances()])

    def cut_off(self) -> None:
        for call in ("DescribeInstances", "TerminateInstances", "RunInstances"):
            self.cloud.fails(call, "Unavailable", times=LASTS, status=503)

    def alive(self) -> int:
        return len(self.cloud.instances())

    def data(self) -> object:
        (one,) = self.cloud.instances()
        return [v for v in self.volumes if self.cloud.attached(v) == one["InstanceId"]]


@contextmanager
def fakes(_: Path) -> Iterator[Trial]:
    yield OfTheFakes()


@contextmanager
def rack(_: Path) -> Iterator[Trial]:
    trial = OfTheRack()
    yield trial
    trial.rack.clock.close()


@contextmanager
def redfish(folder: Path) -> Iterator[Trial]:
    with serving() as wire:
        trial = OfRedfish(wire, folder)
        yield trial
        trial.close()


@contextmanager
def ec2(_: Path) -> Iterator[Trial]:
    with mock_aws():
        yield OfEc2()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", [fakes, rack, redfish, ec2], ids=lambda kind: kind.__name__)
class TestEveryKind:
    """The promises of docs/machines.md, each on each kind."""

    def test_keeps(self, kind: Callable[[Path], Any], check: Check, tmp_path: Path) -> None:
        with kind(tmp_path) as trial:
            check(trial)


class Liar(OfTheFakes):
    """Says what it likes in one answer. lie: of the port's method, what it does instead."""

    def __init__(self, method: str, lie: Callable[[Machines, tuple[Any, ...]], object]) -> None:
        super().__init__()
        self.method, self.lie = method, lie

    def machines(self) -> Machines:
        honest, method, lie = super().machines(), self.method, self.lie

        class Lying:
            def __getattr__(self, name: str) -> object:
                return (lambda *args: lie(honest, args)) if name == method else getattr(honest, name)

        return Lying()  # type: ignore[return-value]  # all of the port, but for one method


COUNT = itertools.count()


def a_new_one(machines: Machines, args: tuple[Any, ...]) -> object:
    return {"serial": f"{args[0]}-{next(COUNT)}"}


class TestTheChecksSee:
    """A kind that breaks a promise fails the check that is about it."""

    @pytest.mark.parametrize(
        ("method", "lie", "check"),
        [
            ("power", lambda m, args: Power.OFF, "a_machine_that_runs_is_on_whoever_asks"),
            ("power", lambda m, args: Power.ON, "an_empty_host_is_off"),
            ("power_off", lambda m, args: None, "power_off_is_proven"),
            ("identity", lambda m, args: {}, "identity_is_plain_and_not_empty"),
            ("identity", a_new_one, "identity_stays_over_a_reboot"),
            ("identity", a_new_one, "identity_after_a_replacement_is_the_machines"),
            ("prepare", lambda m, args: m.install(*args), "preparing_the_next_touches_no_machine"),
            ("underway", lambda m, args: True, "nothing_is_under_way_before_it_was_asked_for"),
            ("progress", lambda m, args: Progress.RUNNING, "progress_before_an_installation_is_no_success"),
            ("power_off", lambda m, args: None, "silence_is_an_error_that_says_what_to_do"),
        ],
    )
    def test_a_lie(self, method: str, lie: Callable[[Machines, tuple[Any, ...]], object], check: str) -> None:
        (found,) = [c for c in CHECKS if c.__name__ == check]
        with pytest.raises(AssertionError):
            found(Liar(method, lie))
