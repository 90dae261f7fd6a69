"""Whether declared hosts are what the stack file says, as far as their controllers can tell. Changes nothing.

What a controller does not tell is said, not guessed at: a controller that lists no drives proves none, and one that
lists some need not list all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import BootMethod, Pin, Power

NO_IDENTITY = re.compile(r"[0\-\s]*|none|n/?a|unknown|not specified|to be filled.*|default string", re.IGNORECASE)
"""What boards say whose maker never wrote a serial number or a UUID."""
SERIAL_MIN = 4
"""A shorter serial number is in too many names."""


@dataclass(frozen=True)
class Drive:
    """A disk, as a controller lists it. names: its durable names (NAA, EUI, NGUID, UUID). bus: `nvme`, `sata`, ..."""

    name: str
    serial: str
    model: str = ""
    names: tuple[str, ...] = ()
    gib: float = 0.0
    bus: str = ""


@dataclass(frozen=True)
class Inspection:
    """What a controller tells of its host. macs, drives: None where it lists none. ways: of each way to boot that was
    asked for, why it is not open, "" if it is."""

    power: Power
    model: str = ""
    serial: str = ""
    uuid: str = ""
    name: str = ""
    macs: tuple[str, ...] | None = None
    drives: tuple[Drive, ...] | None = None
    ways: Mapping[BootMethod, str] = field(default_factory=dict)


class Proof(StrEnum):
    """What was made of one declared fact."""

    PROVEN = "proven"
    UNPROVEN = "not proven"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One declared fact of a host. remedy: of what is wrong."""

    host: str
    what: str
    proof: Proof
    found: str
    remedy: str = ""


def judge(
    pins: Mapping[str, Pin], seen: Mapping[str, Inspection | PortError | NeedsAttention | None]
) -> tuple[Finding, ...]:
    """Every finding of every declared host, in file order. seen: by host, what its controller told, the error that it
    ended in, or None for a host that is switched by something else."""
    told = {host: s for host, s in seen.items() if isinstance(s, Inspection)}
    found: list[Finding] = []
    for host, pin in pins.items():
        met = seen.get(host)
        if isinstance(met, Inspection):
            found += _of_host(host, pin, met, told)
        elif met is None:
            scheme = pin.controller.url.partition(":")[0]
            found.append(Finding(host, "controller", Proof.UNPROVEN, f"switched by {scheme}, which is not asked"))
        else:
            found.append(Finding(host, "controller", Proof.WRONG, f"{met.what}: {met.found}", met.remedy))
    return tuple(found)


def _of_host(host: str, pin: Pin, told: Inspection, all_told: Mapping[str, Inspection]) -> Iterator[Finding]:
    about = ", ".join(part for part in (told.model, told.serial and f"serial number {told.serial}") if part)
    yield Finding(host, "controller", Proof.PROVEN, f"{about or 'it answers'}; power {told.power}")
    yield from _twice(host, told, all_told)
    yield _boot(host, pin, told)
    yield _mac(host, pin, told, all_told)
    for what, disks in (("OS disk", (pin.os_disk,)), ("data disk", pin.data_disks)):
        for disk in disks:
            yield _disk(host, what, disk, told, all_told)


def _twice(host: str, told: Inspection, all_told: Mapping[str, Inspection]) -> Iterator[Finding]:
    """One machine behind two addresses, such as a name and the address that it resolves to."""
    for other, theirs in all_told.items():
        same = next((a for a, b in ((told.uuid, theirs.uuid), (told.serial, theirs.serial)) if _names(a, b)), "")
        if other != host and same:
            fix = "correct `bmc.url` of one of them: replacing the one would power the other off"
            yield Finding(host, "machine", Proof.WRONG, f"the same one as {other}: {same}", fix)


def _names(one: str, other: str) -> bool:
    return one == other and not NO_IDENTITY.fullmatch(one)


def _boot(host: str, pin: Pin, told: Inspection) -> Finding:
    ways = {way: told.ways.get(way, "not looked at") for way in pin.boot}
    closed = "; ".join(f"{way}: {why}" for way, why in ways.items() if why)
    way = next((way for way, why in ways.items() if not why), None)
    if way is None:
        return Finding(host, "boot", Proof.WRONG, closed or "no way is named", "runbooks/bmc.md#boot")
    return Finding(host, "boot", Proof.PROVEN, f"{way}" + (f" ({closed})" if closed else ""))


def _mac(host: str, pin: Pin, told: Inspection, all_told: Mapping[str, Inspection]) -> Finding:
    if not told.macs:
        return Finding(host, "mac", Proof.UNPROVEN, f"{pin.mac}: its controller lists no ports")
    if pin.mac.lower() in told.macs:
        return Finding(host, "mac", Proof.PROVEN, pin.mac)
    for other, theirs in all_told.items():
        if pin.mac.lower() in (theirs.macs or ()):
            return Finding(host, "mac", Proof.WRONG, f"{pin.mac} is a port of {other}", "correct `mac` of this host")
    return Finding(host, "mac", Proof.UNPROVEN, f"{pin.mac} is none of {', '.join(told.macs)}")


def _disk(host: str, what: str, disk: str, told: Inspection, all_told: Mapping[str, Inspection]) -> Finding:
    name = PurePosixPath(disk).name
    if "/by-path/" in disk:
        return Finding(host, what, Proof.UNPROVEN, f"{name}: named by its path, which a controller does not know")
    if not told.drives:
        return Finding(host, what, Proof.UNPROVEN, f"{name}: its controller lists no drives")
    own = next((drive for drive in told.drives if is_disk(disk, drive)), None)
    if own is not None:
        return Finding(host, what, Proof.PROVEN, f"{name}: {own.name}" + (f", {own.gib:.0f} GiB" if own.gib else ""))
    for other, theirs in all_told.items():
        if any(is_disk(disk, drive) for drive in theirs.drives or ()):
            return Finding(host, what, Proof.WRONG, f"{name} is in {other}", "correct the disks of this host")
    listed = ", ".join(drive.serial or drive.name for drive in told.drives)
    return Finding(host, what, Proof.UNPROVEN, f"{name} is none of those that its controller lists: {listed}")


def is_disk(disk: str, drive: Drive) -> bool:
    """Whether a stable id under /dev/disk/by-id names this drive: as udev makes them, of model and serial number, or
    of a name for the whole world (systemd, rules.d/60-persistent-storage.rules)."""
    name = PurePosixPath(disk).name.lower()
    serial = re.sub(r"\s+", "_", drive.serial.strip()).lower()
    if len(serial) >= SERIAL_MIN and re.search(rf"[_-]{re.escape(serial)}(_\d+)?$", name):
        return True
    worldwide = re.fullmatch(r"(?:wwn-0x|nvme-eui\.|nvme-uuid\.|scsi-3)([0-9a-f-]+)", name)
    return worldwide is not None and _digits(worldwide[1]) in {_digits(known) for known in drive.names}


def _digits(name: str) -> str:
    """A name for the whole world without what says of which kind it is."""
    return re.sub(r"[^0-9a-f]", "", re.sub(r"^(naa|eui|nguid|uuid|0x)[.:]?", "", name.strip().lower()))


def stable_id(drive: Drive) -> str:
    """The path that udev most likely gives the drive, "" if what is told does not say. To be compared on the host."""
    serial, model = (re.sub(r"\s+", "_", text.strip()) for text in (drive.serial, drive.model))
    prefix = {"nvme": "nvme", "sata": "ata"}.get(drive.bus)
    if prefix and serial and model:
        return f"/dev/disk/by-id/{prefix}-{model}_{serial}"
    naa = next((_digits(name) for name in drive.names if len(_digits(name)) in (16, 32)), "")
    return f"/dev/disk/by-id/wwn-0x{naa}" if naa and drive.bus in ("sas", "sata") else ""
