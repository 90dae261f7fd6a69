"""Machines on EC2 as the steps switch them: through the adapters that a real roll has, on the rack's account.

Their boot alone is simulated: what they would report is what the rack knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from lifecycle.adapters.ec2 import Ec2Machines
from lifecycle.adapters.ec2_access import AwsAccount
from lifecycle.adapters.ec2_api import Aws
from lifecycle.adapters.ec2_store import InstanceStore
from lifecycle.adapters.place import Bucket
from lifecycle.adapters.s3_objects import S3Objects
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.permissions import Forbidden
from lifecycle.ports import Clock, Controller, Pin, Power, Progress
from rehearsal.rack import instances
from rehearsal.rack.on_aws import OnAws
from rehearsal.rack.part import Part, Save
from rehearsal.rack.rack import Rack


class Unwaiting:
    """A clock for what is called with the rack's lock held: whoever would wait fails instead, and the step tries again
    when it holds nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now_s(self) -> float:
        return self._clock.now_s()

    def sleep(self, seconds: float) -> None:
        raise PortError("the rack's AWS", "an answer that asks to wait", "run again")

    def wait(self, about: str, until_s: float) -> None:
        self.sleep(until_s)


class RackStore(InstanceStore):
    """The boot store's bucket; what machines report is the rack's to say."""

    def __init__(self, rack: Rack, aws: OnAws, clock: Clock) -> None:
        super().__init__(lambda: self._bucket(aws, clock))
        self._rack = rack

    def _bucket(self, aws: OnAws, clock: Clock) -> S3Objects:
        if aws.bucket is None:
            raise NeedsAttention("boot store", "no bucket", "machines on AWS boot from a bucket: write one")
        name, region = aws.bucket
        return S3Objects(Bucket(name, region), clock, lambda where: aws.account.client("s3", where.region))

    def progress(self, pin: Pin) -> Progress:
        return self._rack.world.hosts[pin.node].progress


class RackInstances(Part):
    """Fulfils `lifecycle.ports.Machines`. What it does to the account, the rack's hosts follow at once."""

    name = "machines"

    def __init__(
        self, rack: Rack, lane: str, save: Save, aws: OnAws, clock: Clock, boot_s: Callable[[], float]
    ) -> None:
        super().__init__(rack, lane, save)
        self._account, unwaiting = aws.account, Unwaiting(clock)
        api, store = Aws(lambda: aws.account.session, attempts=1), RackStore(rack, aws, unwaiting)
        self._machines = Ec2Machines(api, aws.stack, aws.user_data, store, unwaiting, boot_s)

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

    def prepare(self, host: str, pin: Pin) -> None:
        with self._asking("prepare", host, pin.controller) as machines:
            machines.prepare(host, pin)

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


class RackCloud(Part):
    """Fulfils `lifecycle.cloud.Cloud`, asked of the rack's account as a real one is."""

    name = "cloud"

    def __init__(self, rack: Rack, lane: str, save: Save, aws: OnAws) -> None:
        super().__init__(rack, lane, save)
        api = Aws(lambda: aws.account.session, attempts=1)
        self._cloud = AwsAccount(api, aws.stack, lambda: tuple(rack.pins.values()), lambda: aws.bucket)

    def forbidden(self) -> tuple[Forbidden, ...]:
        with self._call("forbidden"):
            return self._cloud.forbidden()

    def machines(self) -> Mapping[str, tuple[str, ...]]:
        with self._call("machines"):
            return self._cloud.machines()
