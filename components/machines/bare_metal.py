"""Machines that stand in racks: switched through Redfish, installed over the network.

Nothing of a host but what its boot configuration takes is an input of its machine: controller, MAC address and
the rest are read from the stack file when a step runs.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from components.fields import BootMethods, Closed, Domain, InOrder, Label, Mac, RedfishSystem, StableDisk
from components.machines.contract import Declared, Own, OwnMount, Place, Platform
from lifecycle.facts import Controller


class Bmc(Closed):
    """A host's management controller: the URL of its Redfish system. Credentials never stand here."""

    url: RedfishSystem
    """Ends in /redfish/v1/Systems/<id>."""
    verify_tls: bool = True
    """Whether the controller's certificate is verified."""


class Mount(Closed):
    """A disk of the host's own with a filesystem on it, for data that no storage driver keeps."""

    disk: StableDisk
    """Formatted while it is blank, and never again; an installation does not touch it."""
    filesystem: Literal["ext4", "xfs"] = "xfs"
    """What it is formatted with."""


class Host(Closed):
    """One bare-metal host. Its name is the node's name for life."""

    bmc: Bmc
    """Where its power is switched."""
    mac: Mac
    """Of the port that boots; quoted."""
    boot: BootMethods = ("uefi-http", "pxe")
    """The ways to its installer, each tried if those before it fail (docs/bare-metal.md)."""
    os_disk: StableDisk
    """Written by every installation."""
    data_disks: tuple[StableDisk, ...] = ()
    """Never written by an installation; the storage driver takes them raw."""
    mounts: dict[Label, Mount] = Field(default={})
    """Disks of the host's own by name, mounted at /var/mnt/<name>."""
    fault_domain: Domain
    """What fails together with the host, such as its rack."""
    retire: bool = False
    """The host leaves for good, and its volumes may be lost."""
    wipe_os_disk: bool = False
    """Whether its OS disk is erased once it has left for good; no other disk ever is."""

    @property
    def kept_disks(self) -> tuple[str, ...]:
        """All that an installation must leave alone."""
        return (*self.data_disks, *(mount.disk for mount in self.mounts.values()))


class BareMetal(Closed):
    """Machines that stand in racks, switched through Redfish."""

    kind: Literal["bare-metal"]
    """The kind of machine."""
    hosts: Annotated[dict[Label, Host], InOrder] = Field(min_length=1)
    """By name; they roll in the natural order of their names (w2 before w10)."""
    wipe_os_disk: bool = False
    """The same as for a host, for all of them."""

    doubles: ClassVar[bool] = False

    @property
    def platform(self) -> Platform:
        return "metal"

    def own(self, host: str) -> Own:
        """Fulfils components.machines.contract.Kind."""
        of = self.hosts[host]
        mounts = tuple(OwnMount(n, of.mounts[n].disk, of.mounts[n].filesystem) for n in sorted(of.mounts))
        # In which order disks are named means nothing, so it replaces nothing.
        return Own(host, of.os_disk, tuple(sorted(of.data_disks)), of.fault_domain, mounts)

    def declare(self, place: Place) -> Declared:
        """Fulfils components.machines.contract.Kind."""
        of = self.hosts[place.host]
        controller = Controller(of.bmc.url, of.bmc.verify_tls)
        return Declared(
            controller,
            of.fault_domain,
            of.mac,
            of.os_disk,
            of.kept_disks,
            boot=of.boot,
            wipe_os_disk=self.wipes(place.host),
        )

    def wipes(self, host: str) -> bool:
        """Fulfils components.machines.contract.Kind."""
        return self.wipe_os_disk or self.hosts[host].wipe_os_disk
