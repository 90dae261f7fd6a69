"""Hosts for the lab's nodes: what a machine does once its management controller lets it boot.

A host boots what the boot store points it to, reports how far it is, and joins once credentials that the API server
takes lie in its one-time location. It goes on by itself, whatever becomes of the step that told it to.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from components.boot import layout
from lab import fleet as make
from lab.fleet import Fleet
from lab.lab import Lab
from lifecycle.adapters.boot_store import BootStore, DirectoryBoot
from lifecycle.adapters.files import safe_name, write_atomically
from lifecycle.errors import LifecycleError
from lifecycle.ports import Controller, Pin, Power, Progress

LOOK_S = 0.2
"""Between two looks at a host's power and at what lies there for it."""

STOPPED = {"lab.ingot/kubelet": "stopped"}
"""What KWOK plays of a node whose machine is off."""

BOOT_URL = "https://boot.example"
"""The boot store, as the hosts see it. Nothing is fetched from there: it is a directory here."""


def published(pin: Pin) -> dict[str, bytes]:
    """All that a pin's host fetches."""
    return {layout.script(pin.generation, pin.node): b"#!ipxe\n"}


def boot_store(store: Path) -> BootStore:
    """The boot store of these hosts, as a step has it."""
    return DirectoryBoot(lambda: store, lambda: BOOT_URL, published)


@dataclass
class Host:
    """One machine. installs: how often an image was written to its disk. took: the credentials that it joined with."""

    mac: str
    on: bool = True
    joined: bool = True
    generation: str = ""
    installs: int = 1
    took: list[str] = field(default_factory=list)


class Hosts:
    """The machines by name, alive inside a `with` block. power: says what the controllers do. images: generation ->
    what its installer writes."""

    def __init__(
        self,
        lab: Lab,
        store: Path,
        hosts: Mapping[str, Host],
        power: Callable[[str], Power],
        images: Mapping[str, make.Image],
    ) -> None:
        self.hosts = dict(hosts)
        self.images = dict(images)
        self._lab, self._store, self._power = lab, store, power
        self._fleet = Fleet(lab.kubeconfig)
        self._tls = ssl.create_default_context(cafile=str(lab.layout.authority().pair.certificate))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Hosts:
        for folder in (layout.PROGRESS, layout.ONCE):
            (self._store / folder).mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _live(self) -> None:
        while not self._over.wait(LOOK_S):
            for name, host in self.hosts.items():
                try:
                    self._look(name, host)
                except (LifecycleError, httpx.HTTPError) as error:  # an API server that restarts: the next look comes
                    print(f"host {name}: {error}", file=sys.stderr)

    def _look(self, name: str, host: Host) -> None:
        if self._power(name) is Power.OFF:
            if host.on:
                self._goes_off(name, host)
        elif self._pointer(host).is_file() and not self._told(name).is_file():
            self._installs(name, host)
        elif not host.on:
            host.on = True  # from its disk
        elif not host.joined and host.generation:
            self._joins(name, host)

    def _goes_off(self, name: str, host: Host) -> None:
        host.on = host.joined = False
        node = make.node(name, "")
        if self._fleet.read(node) is not None:
            self._fleet.annotate(node, STOPPED)

    def _installs(self, name: str, host: Host) -> None:
        """What the network's one boot leads to. A power that went and came between two looks is seen by this."""
        if host.on:
            self._goes_off(name, host)
        host.on, host.installs = True, host.installs + 1
        host.generation = self._pointer(host).read_text(encoding="utf-8").rsplit("/", 2)[-2]
        said = json.dumps({"generation": host.generation, "state": "running"})
        write_atomically(self._told(name), said.encode(), 0o644)

    def _pointer(self, host: Host) -> Path:
        return self._store / "next" / f"{host.mac.replace(':', '-')}.ipxe"

    def _told(self, name: str) -> Path:
        return self._store / layout.progress(safe_name(name))

    def _joins(self, name: str, host: Host) -> None:
        """As kubeadm does: with the token that lies there, if the API server takes it."""
        try:
            token = json.loads((self._store / layout.once(safe_name(name))).read_text(encoding="utf-8"))["token"]
        except FileNotFoundError:
            return
        answer = httpx.get(
            f"https://{self._lab.layout.endpoint}/api",
            headers={"Authorization": f"Bearer {token}"},
            verify=self._tls,
            trust_env=False,
        )
        if answer.is_success:
            image = self.images[host.generation]
            self._fleet.create(make.node(name, f"10.2.0.{name[1:]}", image=image, install=host.installs))
            host.took.append(token)
            host.joined = True


class Switches:
    """Management controllers that obey at once. Fulfils `lifecycle.ports.Machines`."""

    def __init__(self, store: BootStore) -> None:
        self._store = store
        self._on: dict[str, bool] = {}

    def power(self, host: str, controller: Controller) -> Power:
        return Power.ON if self._on.get(host, True) else Power.OFF

    def power_off(self, host: str, controller: Controller) -> None:
        self._on[host] = False

    def prepare(self, host: str, pin: Pin) -> None:
        self._store.prepare(pin)

    def install(self, host: str, pin: Pin) -> None:
        self._store.publish(pin)
        self._on[host] = True

    def progress(self, host: str, pin: Pin) -> Progress:
        return self._store.progress(pin)

    def underway(self, host: str, pin: Pin) -> bool:
        return False

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        return {"serial": f"serial-{host}"}

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        self._store.withdraw(host)
