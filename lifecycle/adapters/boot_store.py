"""The boot store: what a host boots, published as objects; what its machine reports back, read from objects.

Paths are those of components/boot/layout.py. What is under `boot/` holds its own digest in its path, so it
is written once and never changed: what is made for a node, and what its image's publisher has, fetched once for all.
`next/<mac>.ipxe` alone changes: it leads the host's one network boot to the installer, and is taken away afterwards, so
that no later network boot by accident installs again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from lifecycle.adapters import layout
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.directory_objects import DirectoryObjects
from lifecycle.adapters.installer import Installer
from lifecycle.adapters.object_store import NEXT, Objects
from lifecycle.errors import NeedsAttention
from lifecycle.ports import Pin, Progress, Way

LOADER = "ipxe.efi"
"""The network boot program, put there with the boot store: it chains to `next/${mac:hexhyp}.ipxe` beside it."""
ISO = "ipxe.iso"
"""The same program as a bootable image, for a controller's virtual CD; put there likewise."""
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
STATES = {
    "installing": Progress.INSTALLING,
    "installed": Progress.INSTALLED,
    "running": Progress.RUNNING,
    "erasing": Progress.INSTALLING,
    "erased": Progress.ERASED,
}
"""What a machine reports -> the port's word for it. `failed` is an error, told by `progress`."""


@dataclass(frozen=True)
class BootTarget:
    """What a host boots once. url: an EFI program. iso: an image for a virtual CD. Each "" where the boot store has
    none: then the network's own boot service (PXE) names it."""

    url: str
    iso: str = ""


class BootStore(Protocol):
    """Both ends of the boot store, for whatever boots a host over the network."""

    def prepare(self, pin: Pin) -> None:
        """Have what the image's publisher has of it, and lead no host to it yet. Idempotent."""
        ...

    def publish(self, pin: Pin) -> BootTarget:
        """Make sure that everything the pin boots is there, forget earlier reports, point the host at it."""
        ...

    def target(self) -> BootTarget:
        """What there is to boot a host with, whichever it is. Publishes nothing."""
        ...

    def withdraw(self, host: str) -> None:
        """No network boot of `host` installs any more. Idempotent."""
        ...

    def progress(self, pin: Pin) -> Progress:
        """What the machine last reported for this generation; NONE before its first report, UNKNOWN where
        the boot store takes no reports, or the machine's system makes none.

        Raises NeedsAttention if the machine reports a failure, or something that is no report.
        """
        ...


def target(objects: Objects, url: str) -> BootTarget:
    """What there is to boot a host with, whichever it is. url: where machines fetch from."""
    return BootTarget(*(f"{url.rstrip('/')}/{name}" if objects.read(name) else "" for name in (LOADER, ISO)))


class StoredBoot:
    """Fulfils `BootStore`, on whatever keeps the objects.

    find: finds that; url: where machines fetch from; both asked on first use. contents: path -> bytes of all that is
    made for a pin's host. installer: what the host boots of the image's publisher; None where nothing really boots.
    All of these may raise NeedsAttention.
    """

    def __init__(
        self,
        find: Callable[[], Objects],
        url: Callable[[], str],
        contents: Callable[[Pin], Mapping[str, bytes]],
        installer: Callable[[Pin], Installer] | None = None,
    ) -> None:
        self._find, self._url, self._contents, self._installer = find, url, contents, installer

    @cached_property
    def _objects(self) -> Objects:
        return self._find()

    def prepare(self, pin: Pin) -> None:
        if self._installer is not None:
            self._installer(pin).keep_in(self._objects)

    def publish(self, pin: Pin) -> BootTarget:
        url, contents = self._url().rstrip("/"), self._contents(pin)
        if pin.boot_url not in {f"{url}/{path}" for path in contents}:
            raise NeedsAttention(
                f"boot store, for {pin.node}",
                f"no file for {pin.boot_url} among {sorted(contents)}",
                "use one checkout for stack file and step",
            )
        self.prepare(pin)
        for path, data in sorted(contents.items()):
            self._objects.write_once(path, data)
        self._objects.erase(layout.progress_of(pin))
        pointer = f"{NEXT}/{mac_of(pin).replace(':', '-')}.ipxe"
        self._objects.put(pointer, f"#!ipxe\nchain --replace {pin.boot_url}\n".encode())
        return self.target()

    def target(self) -> BootTarget:
        return target(self._objects, self._url())

    def withdraw(self, host: str) -> None:
        for pointer in self._objects.below(f"{NEXT}/"):
            stored = self._objects.read(pointer)
            if stored is not None and stored.data.decode(errors="replace").rstrip().endswith(f"/{host}.ipxe"):
                self._objects.erase(pointer)

    def progress(self, pin: Pin) -> Progress:
        return reported(self._objects, pin)


class DirectoryBoot(StoredBoot):
    """The same in a directory, asked for on first use; that may raise NeedsAttention. It keeps nothing of a
    publisher's."""

    def __init__(
        self, directory: Callable[[], Path], url: Callable[[], str], contents: Callable[[Pin], Mapping[str, bytes]]
    ) -> None:
        super().__init__(lambda: DirectoryObjects(directory(), WallClock()), url, contents)


def reported(objects: Objects, pin: Pin) -> Progress:
    """What a machine's last report says (`BootStore.progress`)."""
    if pin.way is Way.TALOS or not objects.takes_reports():
        return Progress.UNKNOWN
    path = layout.progress_of(pin)
    stored = objects.read(path)
    if stored is None:
        return Progress.NONE
    what = f"report {objects.where(path)}"
    try:
        report = json.loads(stored.data)
        generation, state = report["generation"], report["state"]
    except (ValueError, TypeError, KeyError):
        raise NeedsAttention(what, "something that is no report", _look(pin)) from None
    if generation != pin.generation:
        return Progress.NONE  # of the machine before
    if state not in STATES:
        raise NeedsAttention(what, f"state {state!r}, not one of {sorted(STATES)}", _look(pin))
    return STATES[state]


def mac_of(pin: Pin) -> str:
    """Of the port that boots, in small letters. Raises NeedsAttention if it is none."""
    mac = pin.mac.lower()
    if not MAC.fullmatch(mac):
        raise NeedsAttention(
            f"pin of {pin.node}", f"MAC address {pin.mac!r}", "write six pairs of hex digits with colons"
        )
    return mac


def _look(pin: Pin) -> str:
    return f"see the console of {pin.node}"
