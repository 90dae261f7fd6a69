"""A matchbox that is there already: a profile and a group for each host that is to install.

What it reads is documented at https://matchbox.psdn.io/matchbox/#data: `groups/<id>.json`, which select a machine by
its MAC address and name a profile; `profiles/<id>.json`, with kernel, initrd and arguments; `ignition/`. It reads them
anew for each request. All else is served as it is, from its assets: there machines find what `boot_store.StoredBoot`
would publish, the installer's kernel and initrd, verified, and their credentials. Records are beside `groups`, where
matchbox looks for nothing.

A profile holds its generation in its name and is written once. A group alone changes: it leads the host's one network
boot to the installer, and is taken away afterwards, so that no later one by accident installs again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from lifecycle.adapters import layout
from lifecycle.adapters.boot_store import BootTarget, mac_of, reported, target
from lifecycle.adapters.directory_objects import DirectoryObjects
from lifecycle.adapters.installer import Installer
from lifecycle.errors import NeedsAttention
from lifecycle.ports import Pin, Progress

INITRD = "main"
"""What the installer's kernel is told that its initramfs is called (components/boot/ipxe.py)."""


class MatchboxBoot:
    """Fulfils `boot_store.BootStore`.

    data, assets: what keeps its -data-path and its -assets-path. url: finds where machines reach the assets.
    contents: path -> bytes of all that a pin's host fetches. installer: what starts it. These may raise
    NeedsAttention.
    """

    def __init__(
        self,
        data: DirectoryObjects,
        assets: DirectoryObjects,
        url: Callable[[], str],
        contents: Callable[[Pin], Mapping[str, bytes]],
        installer: Callable[[Pin], Installer],
    ) -> None:
        self._data, self._assets, self._find = data, assets, url
        self._contents, self._installer = contents, installer

    @cached_property
    def _url(self) -> str:
        return self._find().rstrip("/")

    def prepare(self, pin: Pin) -> None:
        self._installer(pin).keep_in(self._assets)

    def publish(self, pin: Pin) -> BootTarget:
        group = {"id": _id(pin.node), "name": f"ingot: installs {pin.node}", "profile": _profile_id(pin)}
        self._refuse_rival(pin)
        self.prepare(pin)
        contents = self._contents(pin)
        for path, data in sorted(contents.items()):
            self._assets.write_once(path, data)
        ignition = next((data for path, data in sorted(contents.items()) if path.endswith(".ign")), None)
        if ignition is not None:
            self._data.write_once(f"ignition/{_profile_id(pin)}.ign", ignition)
        profile = self._profile(pin, self._installer(pin), ignition is not None)
        self._data.write_once(f"profiles/{_profile_id(pin)}.json", _json(profile))
        self._assets.erase(layout.progress_of(pin))
        self._data.put(f"groups/{_id(pin.node)}.json", _json({**group, "selector": {"mac": mac_of(pin)}}))
        return self.target()

    def target(self) -> BootTarget:
        return target(self._assets, self._url)

    def withdraw(self, host: str) -> None:
        self._data.erase(f"groups/{_id(host)}.json")

    def progress(self, pin: Pin) -> Progress:
        return reported(self._assets, pin)

    def _profile(self, pin: Pin, installer: Installer, ignition: bool) -> dict[str, Any]:
        return {
            "id": _profile_id(pin),
            "name": f"ingot: {pin.os_image} on {pin.node}",
            "boot": {
                "kernel": f"{self._url}/{installer.kernel.path}",
                "initrd": [f"--name {INITRD} {self._url}/{installer.initrd.path}"],
                "args": list(installer.arguments),
            },
            **({"ignition_id": f"{_profile_id(pin)}.ign"} if ignition else {}),
        }

    def _refuse_rival(self, pin: Pin) -> None:
        """Of two groups that select one machine, matchbox takes either; which, nothing here decides."""
        own = f"groups/{_id(pin.node)}.json"
        for path in self._data.below("groups/"):
            stored = self._data.read(path)
            if path != own and stored is not None and _selects(stored.data, mac_of(pin)):
                raise NeedsAttention(
                    f"matchbox group {self._data.where(path)}",
                    f"one that selects {mac_of(pin)}, the machine of {pin.node}, too",
                    "runbooks/boot-store.md#matchbox: take its selector out, or the group away; nothing was changed",
                )


def _selects(data: bytes, mac: str) -> bool:
    try:
        said = json.loads(data).get("selector", {}).get("mac", "")
    except (ValueError, AttributeError):
        return False  # matchbox leaves out what it cannot read, too
    return isinstance(said, str) and said.lower().replace("-", ":") == mac


def _id(host: str) -> str:
    """Names of hosts are DNS labels, so it is a file's name as it is."""
    return f"ingot-{host}"


def _profile_id(pin: Pin) -> str:
    return f"{_id(pin.node)}-{pin.generation}"


def _json(found: dict[str, Any]) -> bytes:
    return (json.dumps(found, indent=2, sort_keys=True) + "\n").encode()
