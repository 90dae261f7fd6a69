"""Hosts through their management controllers, with sushy: it knows the vendors' quirks.

What imports sushy is imported when a controller is first asked: many steps ask none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lifecycle.adapters.boot_store import BootStore
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.identity import SEVERAL
from lifecycle.ports import BootMethod, Clock, Controller, Pin, Power, Progress

if TYPE_CHECKING:
    from sushy.resources.system.system import System

    from lifecycle.adapters.redfish_session import Sessions
    from lifecycle.hosts import Inspection


class RedfishMachines:
    """Fulfils `lifecycle.ports.Machines` for hosts with a management controller.

    credentials: by host, asked on the first call for it. store: publishes what a pin boots. authority: a file of
    certificates that controllers' are verified by, instead of the well-known ones. answer_s, call_s: for one answer,
    and for all of one call; None for what real controllers need. Every request is sent once, so callers ask again.
    """

    def __init__(
        self,
        credentials: Callable[[str], BmcCredentials],
        store: BootStore,
        clock: Clock,
        *,
        authority: str = "",
        answer_s: float | None = None,
        call_s: float | None = None,
    ) -> None:
        self._credentials, self._store, self._clock = credentials, store, clock
        self._authority, self._answer_s, self._call_s = authority, answer_s, call_s
        self._opened: Sessions | None = None
        self._ejected: set[str] = set()

    def power(self, host: str, controller: Controller) -> Power:
        with self._system(host, controller) as system:
            return _power(host, controller, system)

    def power_off(self, host: str, controller: Controller) -> None:
        import sushy

        with self._system(host, controller) as system:
            if _power(host, controller, system) is Power.OFF:
                return
            try:
                system.reset_system(sushy.ResetType.FORCE_OFF)
            except sushy.exceptions.HTTPError:
                system.refresh(force=True)  # some refuse what is already so
                if _power(host, controller, system) is not Power.OFF:
                    raise

    def prepare(self, host: str, pin: Pin) -> None:
        self._store.prepare(pin)

    def install(self, host: str, pin: Pin) -> str | None:
        target = self._store.publish(pin)
        self._ejected.discard(host)
        with self._system(host, pin.controller) as system:
            from lifecycle.adapters import redfish_boot
            from lifecycle.adapters.redfish_session import named

            took = redfish_boot.order(system, named(host, pin.controller), pin.boot, target)
            system.refresh(force=True)  # the order took a while, and a host that runs does not boot anew by `On`
            redfish_boot.start(system, on=_power(host, pin.controller, system) is Power.ON)
        return took if pin.boot else None

    def underway(self, host: str, pin: Pin) -> bool:
        """Never: an installation that was cut off begins anew."""
        return False

    def progress(self, host: str, pin: Pin) -> Progress:
        """What the machine itself reports goes first: a controller cannot tell the installer's system
        from the installed one. From the controller alone, only that nothing has started yet is sure."""
        seen = self._store.progress(pin)
        if seen in (Progress.INSTALLED, Progress.RUNNING):
            self._store.withdraw(host)  # it is on the disk: a controller that forgets `once` must not install again
            self._eject(host, pin)
        if seen is Progress.NONE:
            return self._before_report(host, pin.controller)
        if seen is not Progress.UNKNOWN:
            return seen
        import sushy

        with self._system(host, pin.controller) as system:
            if _power(host, pin.controller, system) is Power.OFF:
                return Progress.NONE
            state = system.boot_progress.last_state if system.boot_progress else None
            started = (
                None,
                sushy.BootProgressStates.OS_BOOT_STARTED,
                sushy.BootProgressStates.OS_RUNNING,
                sushy.BootProgressStates.OEM,
            )
            return Progress.UNKNOWN if state in started else Progress.NONE

    def _before_report(self, host: str, controller: Controller) -> Progress:
        """Of a machine that has not reported, whether its controller shows that it booted something else. One that
        does not answer tells nothing."""
        with suppress(PortError, NeedsAttention), self._system(host, controller) as system:
            from lifecycle.adapters import redfish_boot

            if _power(host, controller, system) is Power.ON and redfish_boot.ignored(system):
                return Progress.ELSEWHERE
        return Progress.NONE

    def _eject(self, host: str, pin: Pin) -> None:
        """Once; what fails now is done by `clear_boot_override`."""
        if BootMethod.VIRTUAL_MEDIA not in pin.boot or host in self._ejected:
            return
        with suppress(PortError, NeedsAttention), self._system(host, pin.controller) as system:
            from lifecycle.adapters import redfish_boot

            redfish_boot.eject(system)
            self._ejected.add(host)

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        self._store.withdraw(host)
        with self._system(host, controller) as system:
            from lifecycle.adapters import redfish_boot

            redfish_boot.cancel(system)

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        with self._system(host, controller) as system:
            serial = system.json.get("SerialNumber")
            found = {"serial": serial.strip() if isinstance(serial, str) else "", "mac": SEVERAL.join(_macs(system))}
        return {key: value for key, value in found.items() if value}

    def inspect(self, host: str, pin: Pin) -> Inspection:
        """What the controller tells of its host. Changes nothing."""
        target = self._store.target()
        with self._system(host, pin.controller) as system:
            from lifecycle.adapters import redfish_inventory

            power = _power(host, pin.controller, system)
            return redfish_inventory.read(system, power, pin.boot, target)

    def scan(self, address: str, controller: Controller) -> dict[str, Inspection]:
        """What each system of a controller tells, by path. address: whose credentials are asked for."""
        from lifecycle.adapters import redfish_inventory
        from lifecycle.adapters.boot_store import BootTarget

        found: dict[str, Inspection] = {}
        with self._sessions().root(address, controller) as root:
            for path in redfish_inventory.systems(root):
                system = root.get_system(path)
                power = _power(address, controller, system)
                found[path] = redfish_inventory.read(system, power, (), BootTarget(""))
        return found

    def close(self) -> None:
        """End the sessions. Asks once, never raises."""
        if self._opened is not None:
            self._opened.close()

    @contextmanager
    def _system(self, host: str, controller: Controller) -> Iterator[System]:
        """Raises as `Sessions.system` does."""
        with self._sessions().system(host, controller) as system:
            yield system

    def _sessions(self) -> Sessions:
        from lifecycle.adapters.redfish_session import ANSWER_S, CALL_S, Sessions

        if self._opened is None:
            answer_s, call_s = self._answer_s or ANSWER_S, self._call_s or CALL_S
            self._opened = Sessions(self._credentials, self._clock, self._authority, answer_s, call_s)
        return self._opened


def _power(host: str, controller: Controller, system: System) -> Power:
    """OFF only when proven. A value that the standard does not know is an error that names it."""
    import sushy

    from lifecycle.adapters.redfish_session import named

    state = system.power_state
    if state is None:
        raise PortError(
            named(host, controller),
            f"PowerState {system.json.get('PowerState')!r}",
            f"expected one of {sorted(s.value for s in sushy.PowerState)}; update the controller's firmware",
        )
    return Power.OFF if state is sushy.PowerState.OFF else Power.ON


def _macs(system: System) -> list[str]:
    """Of the host's own ports, as far as its controller tells them."""
    import sushy

    try:
        ports = system.ethernet_interfaces.get_members()
    except (sushy.exceptions.MissingAttributeError, sushy.exceptions.ResourceNotFoundError):
        return []
    told = (port.permanent_mac_address or port.mac_address for port in ports)
    return sorted({mac.lower() for mac in told if isinstance(mac, str) and mac})
