"""Hosts without machines: each boots in a fixed time, and registers its Node once it has its credentials.

Fulfils what `lifecycle.ports` asks of machines and of a node's one-time location. The Node is new (machine id,
boot id), as after an installation; KWOK makes it Ready.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from lab.fleet import Fleet, worker
from lifecycle.adapters.delivery import DirectoryDelivery
from lifecycle.ports import Controller, Credentials, Pin, Power, Progress


@dataclass
class Host:
    """number: of the worker that it is. installs: how often it was written; the first time by whoever made the
    fleet. boots_s: when the system that was written last runs."""

    number: int
    installs: int = 1
    on: bool = True
    boots_s: float = 0.0


class PlayedHosts:
    """Fulfils `lifecycle.ports.Machines`, for many steps at once. boot_s: from power on to the system that runs."""

    def __init__(self, fleet: Fleet, hosts: Mapping[str, Host], boot_s: float) -> None:
        self._fleet, self._hosts, self._boot_s = fleet, hosts, boot_s
        self._lock = threading.Lock()

    def power(self, host: str, controller: Controller) -> Power:
        return Power.ON if self._hosts[host].on else Power.OFF

    def power_off(self, host: str, controller: Controller) -> None:
        self._hosts[host].on = False

    def prepare(self, host: str, pin: Pin) -> None:
        """A lab's hosts boot nothing of a publisher's."""

    def install(self, host: str, pin: Pin) -> None:
        with self._lock:
            found = self._hosts[host]
            found.on, found.installs, found.boots_s = True, found.installs + 1, self._fleet.clock.now_s() + self._boot_s

    def progress(self, host: str, pin: Pin) -> Progress:
        found = self._hosts[host]
        if not found.on:
            return Progress.NONE
        return Progress.RUNNING if self._fleet.clock.now_s() >= found.boots_s else Progress.INSTALLING

    def underway(self, host: str, pin: Pin) -> bool:
        return False

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        return {"serial": f"serial-{host}"}

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        """A lab's hosts have none."""

    def register(self, host: str) -> None:
        """Its kubelet's first word. One that is registered stays as it is."""
        found = self._hosts[host]
        self._fleet.create(worker(found.number, install=found.installs))


class PlayedDelivery:
    """Fulfils `lifecycle.ports.Delivery`: the host fetches what lies there at once."""

    def __init__(self, inner: DirectoryDelivery, hosts: PlayedHosts) -> None:
        self._inner, self._hosts = inner, hosts

    def deliver(self, node: str, credentials: Credentials) -> None:
        self._inner.deliver(node, credentials)
        self._hosts.register(node)

    def withdraw(self, node: str) -> None:
        self._inner.withdraw(node)
