"""What every kind of machine fulfils, so that nothing above it asks which kind it rolls.

A kind is one module with the model of a pool's `machines` in it, which fulfils `Kind`, and its name in
`components.machines.Machines`. How its machines are switched while a step runs is an adapter's
(`lifecycle.machine_api.Machines`): the project's own are in lifecycle/adapters, any other kind brings its own
(`Switched`). docs/machines.md adds one as an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from components.images.lock import Release
from lifecycle.facts import Controller

if TYPE_CHECKING:  # it has every kind's model in it
    from components.environment import Environment
    from lifecycle.adapters.machines import Kit
    from lifecycle.ports import Machines

Platform = Literal["metal", "aws"]
"""How an image gets onto a machine, and what its first boot reads its configuration from. metal: an installer that
is booted over the network writes it. aws: the machine is launched from it, with user data."""


@dataclass(frozen=True)
class OwnMount:
    """A disk that is mounted at /var/mnt/<name>. disk: its stable id."""

    name: str
    disk: str
    filesystem: Literal["ext4", "xfs"]


@dataclass(frozen=True)
class Own:
    """All that a node's boot configuration takes from its host: whatever else the stack file says of the
    host (its controller, its MAC address) can change without a new installation.

    os_disk: "" where the image brings its own. data_disks: stable ids, or names where ids come later.
    """

    name: str
    os_disk: str
    data_disks: tuple[str, ...]
    fault_domain: str
    mounts: tuple[OwnMount, ...] = ()

    @property
    def kept_disks(self) -> tuple[str, ...]:
        """All that an installation must leave alone."""
        return (*self.data_disks, *(mount.disk for mount in self.mounts))


@dataclass(frozen=True)
class Declared:
    """What a pin says of a host because of the kind of its machine (lifecycle.facts.Pin has the same names).

    mac, os_disk, data_disks, boot: of a host that is installed over the network. disks_survive: what its storage
    disks hold is there after its machine was replaced. wipe_os_disk: as `Kind.wipes` says.
    """

    controller: Controller
    fault_domain: str
    mac: str = ""
    os_disk: str = ""
    data_disks: tuple[str, ...] = ()
    disks_survive: bool = True
    particulars: object = None
    boot: tuple[str, ...] = ()
    wipe_os_disk: bool = False


@dataclass(frozen=True)
class Place:
    """Where a host stands in its fleet. release: what it boots. stack: whose it is, as Pulumi has it. node: whose
    machine it is: the host's name, or that of one of its nodes, which have a machine each (lifecycle/succession.py).
    """

    host: str
    pool: str
    environment: Environment
    release: Release
    stack: str
    node: str


class Host(Protocol):
    """What every kind says of a host."""

    @property
    def retire(self) -> bool:
        """The host leaves for good, and its volumes may be lost."""
        ...


class Kind(Protocol):
    """The machines of one pool, as its stack file has them. Everything here is pure."""

    @property
    def kind(self) -> str:
        """As the stack file names it."""
        ...

    doubles: ClassVar[bool]
    """Whether a host's next machine can be made while its last one runs, which blue-green needs."""

    @property
    def platform(self) -> Platform: ...

    @property
    def hosts(self) -> Mapping[str, Host]:
        """By name, in the order in which they roll."""
        ...

    def own(self, host: str) -> Own:
        """What a host gives to its boot configuration. Whatever of it changes, the machine is replaced."""
        ...

    def wipes(self, host: str) -> bool:
        """Whether the host's OS disk is erased once it has left for good."""
        ...

    def declare(self, place: Place) -> Declared:
        """What the steps must know of a host. Two machines never share a controller's URL. None of it replaces
        anything."""
        ...


@runtime_checkable
class Switched(Protocol):
    """A kind that brings what switches its machines."""

    @staticmethod
    def adapters(kit: Kit) -> Mapping[str, Machines]:
        """By the scheme of its controllers' URLs, which no other kind has. Nothing is asked yet."""
        ...
