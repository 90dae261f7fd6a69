"""Every kind of machine, each switched by the adapter that its controller's URL asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from lifecycle.adapters.boot_store import BootStore
from lifecycle.errors import NeedsAttention
from lifecycle.ports import Clock, Controller, Machines, Pin, Power, Progress


@dataclass(frozen=True)
class Kit:
    """What a kind that brings its own adapter makes it of. store: publishes what a pin boots and hears what its machine
    reports; it is asked for nothing before the first order. environment: the variables that the step has, in which
    credentials are."""

    store: BootStore
    clock: Clock
    environment: Mapping[str, str]


Adapters = Callable[[Kit], Mapping[str, Machines]]
"""By the scheme of a controller's URL, what switches the machines behind it."""


class MachinesByScheme:
    """Fulfils `lifecycle.ports.Machines`. adapters: by the scheme of a controller's URL. others: of kinds that bring
    their own; looked for once a controller is of none of these."""

    def __init__(self, adapters: Mapping[str, Machines], others: Callable[[], Mapping[str, Machines]] = dict) -> None:
        self._adapters, self._find_others = adapters, others

    @cached_property
    def _others(self) -> Mapping[str, Machines]:
        return self._find_others()

    def power(self, host: str, controller: Controller) -> Power:
        return self._of(host, controller).power(host, controller)

    def power_off(self, host: str, controller: Controller) -> None:
        self._of(host, controller).power_off(host, controller)

    def underway(self, host: str, pin: Pin) -> bool:
        return self._of(host, pin.controller).underway(host, pin)

    def prepare(self, host: str, pin: Pin) -> None:
        self._of(host, pin.controller).prepare(host, pin)

    def install(self, host: str, pin: Pin) -> str | None:
        return self._of(host, pin.controller).install(host, pin)

    def progress(self, host: str, pin: Pin) -> Progress:
        return self._of(host, pin.controller).progress(host, pin)

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        self._of(host, controller).clear_boot_override(host, controller)

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        return self._of(host, controller).identity(host, controller)

    def _of(self, host: str, controller: Controller) -> Machines:
        scheme = urlsplit(controller.url).scheme
        adapter = self._adapters.get(scheme) or self._others.get(scheme)
        if adapter is None:
            raise NeedsAttention(
                f"controller of {host}, {controller.url}",
                f"a scheme that is none of {', '.join(sorted({*self._adapters, *self._others}))}",
                "correct its address in the stack file, or add the kind of machine (docs/machines.md)",
            )
        return adapter
