"""What a management controller tells of its host: ports, drives, ways to boot. Reads and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import sushy
from sushy import exceptions

from lifecycle.adapters import redfish_boot
from lifecycle.adapters.boot_store import BootTarget
from lifecycle.hosts import Drive, Inspection
from lifecycle.ports import BootMethod, Power

if TYPE_CHECKING:
    from sushy import Sushy
    from sushy.resources.system.system import System

T = TypeVar("T")
GIB = 1024**3


def read(system: System, power: Power, methods: Sequence[BootMethod], target: BootTarget) -> Inspection:
    """What it tells. power: as proven. Raises what sushy does of a controller that does not answer; what it merely
    does not have is left out."""
    macs = _if_any(lambda: tuple(_macs(system)))
    return Inspection(
        power=power,
        model=" ".join(part for part in (_text(system.manufacturer), _text(system.model)) if part),
        serial=_text(system.serial_number),
        uuid=_text(system.uuid).lower(),
        name=_text(system.hostname),
        macs=tuple(dict.fromkeys(macs)) if macs else None,
        drives=_if_any(lambda: tuple(_drives(system))) or None,
        ways={method: redfish_boot.offered(system, method, target) for method in methods},
    )


def systems(root: Sushy) -> list[str]:
    """The paths of all systems that a controller has."""
    return [str(path) for path in root.get_system_collection().members_identities]


def _if_any(ask: Callable[[], T]) -> T | None:
    """What it has, None if it has no such thing or fails over it; no error, since nothing depends on it."""
    try:
        return ask()
    except exceptions.ConnectionError:
        raise
    except exceptions.SushyError:
        return None


def _macs(system: System) -> Iterator[str]:
    for port in system.ethernet_interfaces.get_members():
        yield from (_text(mac).lower() for mac in (port.permanent_mac_address, port.mac_address) if _text(mac))


def _drives(system: System) -> Iterator[Drive]:
    for storage in system.storage.get_members():
        for drive in storage.drives:
            protocol = drive.protocol
            yield Drive(
                name=_text(drive.name) or _text(drive.identity),
                serial=_text(drive.serial_number),
                model=_text(drive.model),
                names=tuple(_text(known.durable_name) for known in drive.identifiers or () if known.durable_name),
                gib=(drive.capacity_bytes or 0) / GIB,
                bus=protocol.value.lower() if isinstance(protocol, sushy.Protocol) else "",
            )


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
