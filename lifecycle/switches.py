"""What a step has to know of what switches a machine, told by the scheme of its controller's URL.

Everything else about a kind of machine is its adapter's (lifecycle.adapters.machines).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from lifecycle.ec2 import SCHEME as EC2
from lifecycle.errors import ControllerUnreachable, NeverPoweredOff
from lifecycle.ports import Controller


class CloudSilent(ControllerUnreachable):
    """The cloud's API does not do what a step asks of it."""

    expected = "EC2 to do as it is told"
    remedy = "runbooks/aws.md#silent, then run `pulumi up` again"


class NeverTerminated(NeverPoweredOff):
    """The cloud took the order and the instance is still there, or still holds its volumes."""

    expected = "proof that its instance is terminated"
    remedy = "runbooks/aws.md#terminated, then run `pulumi up` again"


@dataclass(frozen=True)
class Switch:
    """Of one kind. name: for a person. keeps_disk: a machine that is given back has the disk it ran from still;
    else that is gone with it. silent, never_off: raised where it does not answer, or the power stays on.
    """

    name: str
    keeps_disk: bool = True
    silent: type[ControllerUnreachable] = ControllerUnreachable
    never_off: type[NeverPoweredOff] = NeverPoweredOff


METAL = Switch("the management controller")
CLOUD = Switch("EC2", keeps_disk=False, silent=CloudSilent, never_off=NeverTerminated)
OTHER = Switch("its controller")
_BY_SCHEME = {"http": METAL, "https": METAL, EC2: CLOUD}


def of(controller: Controller) -> Switch:
    """What switches the machine behind `controller`."""
    return _BY_SCHEME.get(urlsplit(controller.url).scheme, OTHER)
