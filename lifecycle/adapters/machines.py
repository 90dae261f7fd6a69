"""Every kind of machine, each switched by the adapter that its controller's URL asks for."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from lifecycle.errors import NeedsAttention
from lifecycle.ports import Controller, Machines, Pin, Power, Progress


class MachinesByScheme:
    """Fulfils `lifecycle.ports.Machines`. adapters: by the scheme of a controller's URL."""

    def __init__(self, adapters: Mapping[str, Machines]) -> None:
        self._adapters = adapters

    def power(self, host: str, controller: Controller) -> Power:
        return self._of(host, controller).power(host, controller)

    def power_off(self, host: str, controller: Controller) -> None:
        self._of(host, controller).power_off(host, controller)

    def underway(self, host: str, pin: Pin) -> bool:
        return self._of(host, pin.controller).underway(host, pin)

    def install(self, host: str, pin: Pin) -> str | None:
        return self._of(host, pin.controller).install(host, pin)

    def progress(self, host: str, pin: Pin) -> Progress:
        return self._of(host, pin.controller).progress(host, pin)

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        self._of(host, controller).clear_boot_override(host, controller)

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        return self._of(host, controller).identity(host, controller)

    def _of(self, host: str, controller: Controller) -> Machines:
        adapter = self._adapters.get(urlsplit(controller.url).scheme)
        if adapter is None:
            raise NeedsAttention(
                f"controller of {host}, {controller.url}",
                f"a scheme that is none of {', '.join(sorted(self._adapters))}",
                "correct its address in the stack file, or add the kind of machine (docs/machines.md)",
            )
        return adapter
