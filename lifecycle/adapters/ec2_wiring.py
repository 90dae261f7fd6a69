"""EC2's adapters put together from what a step has. Loads nothing of AWS's SDK before it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lifecycle.adapters.ec2 import Ec2Machines
from lifecycle.adapters.ec2_access import AwsAccount
from lifecycle.adapters.ec2_api import Aws
from lifecycle.adapters.ec2_launch import UserData
from lifecycle.adapters.ec2_store import InstanceStore
from lifecycle.adapters.pins import StackFilePins
from lifecycle.adapters.place import Bucket
from lifecycle.adapters.stores import Stores
from lifecycle.errors import NeedsAttention
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


def account(aws: Aws, pins: StackFilePins) -> AwsAccount:
    """The account that they are in."""
    return AwsAccount(aws, stack_tag(pins.stack), lambda: tuple(pins.stack_file.pins.values()), lambda: _bucket(pins))


def stack_tag(stack: str) -> str:
    """A stack's name as tags have it: `org/project/stack` is one way to say `stack`."""
    return stack.rsplit("/", 1)[-1]


def _bucket(pins: StackFilePins) -> tuple[str, str] | None:
    place = pins.stack_file.boot_store
    return (place.name, place.region) if isinstance(place, Bucket) else None


def _nothing(root: Path, stack: str, pin: Pin, zone: str) -> UserData:
    raise NeedsAttention(f"user data of {pin.node}", "nobody who makes it", "report this line")
