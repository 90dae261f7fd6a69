"""Machines on EC2 as the steps switch them: through the adapter that a real roll has, on the rack's account."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from lifecycle.adapters.ec2 import Ec2Machines
from lifecycle.adapters.ec2_api import Aws
from lifecycle.ports import Clock, Controller, Pin, Power, Progress
from rehearsal.aws.account import Account
from rehearsal.rack import instances
from rehearsal.rack.part import Part, Save
from rehearsal.rack.rack import Rack


@dataclass(frozen=True)
class Started:
    """What an instance starts with. Its boot is simulated, so nobody reads it; EC2 judges its form."""

    data: bytes
    stored: Mapping[str, bytes] = field(default_factory=dict)


class Reports:
    """The boot store, as far as instances have to do with it: what the rack's machines report."""

    def __init__(self, rack: Rack) -> None:
        self._rack = rack

    def put(self, files: Mapping[str, bytes]) -> None:
        """Nothing fetches it."""

    def forget(self, pin: Pin) -> None:
        """A new machine of the rack has reported nothing."""

    def progress(self, pin: Pin) -> Progress:
        return self._rack.world.hosts[pin.node].progress


class RackInstances(Part):
    """Fulfils `lifecycle.ports.Machines`. What it does to the account, the rack's hosts follow at once."""

    name = "machines"

    def __init__(
        self, rack: Rack, lane: str, save: Save, account: Account, clock: Clock, boot_s: Callable[[], float]
    ) -> None:
        super().__init__(rack, lane, save)
        self._account = account
        aws = Aws(lambda: account.session, attempts=1)
        self._machines = Ec2Machines(aws, rack.stack, _started, Reports(rack), clock, boot_s)

    @contextmanager
    def _asking(self, method: str, host: str, controller: Controller) -> Iterator[Ec2Machines]:
        with self._call(method, host):
            count = len(self._account.calls)
            try:
                yield self._machines
                self._rack.faults.call_done(f"{self.name}.{method}", host)
            finally:
                if len(self._account.calls) > count:
                    instances.mirror(self._rack, host, controller.url)
                    self._rack.settle()
                    self._save()

    def power(self, host: str, controller: Controller) -> Power:
        with self._asking("power", host, controller) as machines:
            return machines.power(host, controller)

    def power_off(self, host: str, controller: Controller) -> None:
        with self._asking("power_off", host, controller) as machines:
            machines.power_off(host, controller)

    def underway(self, host: str, pin: Pin) -> bool:
        with self._asking("underway", host, pin.controller) as machines:
            return machines.underway(host, pin)

    def install(self, host: str, pin: Pin) -> None:
        with self._asking("install", host, pin.controller) as machines:
            machines.install(host, pin)

    def progress(self, host: str, pin: Pin) -> Progress:
        with self._asking("progress", host, pin.controller) as machines:
            return machines.progress(host, pin)

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        with self._asking("clear_boot_override", host, controller) as machines:
            machines.clear_boot_override(host, controller)

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        with self._asking("identity", host, controller) as machines:
            return machines.identity(host, controller)


def _started(pin: Pin, zone: str) -> Started:
    return Started(f"{pin.node} {pin.generation} {zone}\n".encode())
