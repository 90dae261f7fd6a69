"""EC2's adapters put together from what a step has. Loads nothing of AWS's SDK before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lifecycle.adapters.ec2 import Ec2Machines
from lifecycle.adapters.ec2_access import AwsAccount
from lifecycle.adapters.ec2_api import Aws
from lifecycle.adapters.ec2_launch import UserData
from lifecycle.adapters.ec2_store import InstanceStore
from lifecycle.adapters.pins import StackFilePins
from lifecycle.adapters.place import Bucket
from lifecycle.adapters.s3_access import SitesBucket
from lifecycle.adapters.stores import Stores
from lifecycle.cloud import Cloud
from lifecycle.ec2 import Instance
from lifecycle.errors import NeedsAttention
from lifecycle.permissions import Forbidden
from lifecycle.ports import Clock, Pin

Launches = Callable[[Path, str, Pin, str], UserData]
"""(project root, stack, pin, zone) -> what an instance of the pin's host starts with there."""


def machines(aws: Aws, pins: StackFilePins, stores: Stores, launches: Launches | None, clock: Clock) -> Ec2Machines:
    """The machines of the stack file's hosts on EC2. launches: for those that are launched."""
    user_data = launches or _nothing
    return Ec2Machines(
        aws,
        stack_tag(pins.stack),
        lambda pin, zone: user_data(pins.root, pins.stack, pin, zone),
        InstanceStore(stores.served),
        clock,
        lambda: pins.limits().boot_s,
    )


def account(aws: Aws, pins: StackFilePins) -> Cloud:
    """The account that they are in; of a fleet in racks, the one that its bucket is in, if it has one."""
    found = AwsAccount(aws, stack_tag(pins.stack), lambda: tuple(pins.stack_file.pins.values()), lambda: _bucket(pins))
    return _Account(pins, found, SitesBucket(aws, lambda: _place(pins)))


class _Account:
    """Fulfils `lifecycle.cloud.Cloud` by whichever the stack file asks for, which is read when it is needed."""

    def __init__(self, pins: StackFilePins, instances: Cloud, bucket: Cloud) -> None:
        self._pins, self._instances, self._bucket = pins, instances, bucket

    def forbidden(self) -> tuple[Forbidden, ...]:
        return self._one.forbidden()

    def machines(self) -> Mapping[str, tuple[str, ...]]:
        return self._one.machines()

    @property
    def _one(self) -> Cloud:
        on_aws = any(isinstance(pin.particulars, Instance) for pin in self._pins.stack_file.pins.values())
        return self._instances if on_aws else self._bucket


def stack_tag(stack: str) -> str:
    """A stack's name as tags have it: `org/project/stack` is one way to say `stack`."""
    return stack.rsplit("/", 1)[-1]


def _bucket(pins: StackFilePins) -> tuple[str, str] | None:
    place = _place(pins)
    return None if place is None else (place.name, place.region)


def _place(pins: StackFilePins) -> Bucket | None:
    place = pins.stack_file.boot_store
    return place if isinstance(place, Bucket) else None


def _nothing(root: Path, stack: str, pin: Pin, zone: str) -> UserData:
    raise NeedsAttention(f"user data of {pin.node}", "nobody who makes it", "report this line")
