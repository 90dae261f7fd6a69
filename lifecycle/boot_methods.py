"""How a host is brought to boot what is published for it: to be installed, or to have its OS disk erased."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BootMethod(StrEnum):
    """How a host's firmware gets to its installer."""

    UEFI_HTTP = "uefi-http"  # from an address that its controller is given
    PXE = "pxe"  # from the address that the network's own boot service names
    VIRTUAL_MEDIA = "virtual-media"  # from an image that its controller plays a CD of


@dataclass(frozen=True)
class Erasure:
    """What it takes to erase the OS disk of a host that the stack file may have forgotten. data_disks: all that must
    be left alone."""

    os_disk: str
    data_disks: tuple[str, ...]
    mac: str
    boot: tuple[BootMethod, ...] = ()
