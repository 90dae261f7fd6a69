"""Hosts through their management controllers, with sushy: it knows the vendors' quirks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from lifecycle.adapters.boot_store import BootStore
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.adapters.wire import CONNECT_S, shown
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.identity import SEVERAL
from lifecycle.ports import Controller, Pin, Power, Progress

if TYPE_CHECKING:
    from sushy import Sushy
    from sushy.resources.system.system import System

_QUIET = logging.NullHandler()
ROOT_PREFIX = "/redfish/v1/"
TRIES, TRY_DELAY_S = 4, 3
"""A controller that restarts its web server is back within ten seconds; the step's own wait covers longer ones."""
ANSWER_S = 60.0
"""Some controllers take most of a minute to assemble a system's resource after power-on."""


class RedfishMachines:
    """Fulfils `lifecycle.ports.Machines` for hosts with a management controller.

    credentials: by host, asked on the first call for it. store: publishes what a pin boots. try_delay_s:
    between two tries of one request.
    """

    def __init__(
        self, credentials: Callable[[str], BmcCredentials], store: BootStore, try_delay_s: float = TRY_DELAY_S
    ) -> None:
        self._credentials, self._store, self._try_delay_s = credentials, store, try_delay_s
        self._roots: dict[str, Sushy] = {}

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

    def install(self, host: str, pin: Pin) -> None:
        import sushy

        target = self._store.publish(pin)
        with self._system(host, pin.controller) as system:
            _boot_once(system, target.url)
            on = _power(host, pin.controller, system) is Power.ON
            system.reset_system(sushy.ResetType.FORCE_RESTART if on else sushy.ResetType.ON)

    def underway(self, host: str, pin: Pin) -> bool:
        """Never: an installation that was cut off begins anew."""
        return False

    def progress(self, host: str, pin: Pin) -> Progress:
        """What the machine itself reports goes first: a controller cannot tell the installer's system
        from the installed one. From the controller alone, only that nothing has started yet is sure."""
        import sushy

        seen = self._store.progress(pin)
        if seen in (Progress.INSTALLED, Progress.RUNNING):
            self._store.withdraw(host)  # it is on the disk: a controller that forgets `once` must not install again
        if seen is not Progress.UNKNOWN:
            return seen
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

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        import sushy

        self._store.withdraw(host)
        with self._system(host, controller) as system:
            disabled = sushy.BootSourceOverrideEnabled.DISABLED
            if system.boot.enabled is disabled:
                return
            try:
                system.set_system_boot_options(enabled=disabled)
            except sushy.exceptions.BadRequestError:  # some want a target with it: the disk is what we mean
                system.set_system_boot_options(sushy.BootSource.HDD, disabled)

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        with self._system(host, controller) as system:
            serial = system.json.get("SerialNumber")
            found = {"serial": serial.strip() if isinstance(serial, str) else "", "mac": SEVERAL.join(_macs(system))}
        return {key: value for key, value in found.items() if value}

    def close(self) -> None:
        """End the sessions: a controller has few, and some never end them by themselves. Asks once, never raises."""
        for root in self._roots.values():
            root._conn._server_side_retries = 1  # sushy has no other way to say "once"; its default is half a minute
            try:
                root._auth.close()
            except Exception:  # noqa: BLE001  # the step is over: what could not be ended times out by itself
                root._auth.reset_session_attrs()  # or sushy would try again when Python ends
        self._roots.clear()

    @contextmanager
    def _system(self, host: str, controller: Controller) -> Iterator[System]:
        """The host's system resource, read afresh. What sushy raises inside becomes a PortError, refused
        credentials NeedsAttention."""
        import sushy

        # Without a handler Python prints sushy's warnings, which quote what the controller says, on stderr.
        logging.getLogger("sushy").addHandler(_QUIET)
        where = _address(host, controller)
        try:
            root = self._roots.get(controller.url)
            if root is None:
                user = self._credentials(host)
                root = self._roots[controller.url] = sushy.Sushy(
                    f"{where.scheme}://{where.netloc}",
                    root_prefix=ROOT_PREFIX,
                    verify=controller.verify_tls,
                    connect_timeout=CONNECT_S,
                    auth=sushy.auth.SessionOrBasicAuth(user.username, user.password),
                    read_timeout=ANSWER_S,
                    server_side_retries=TRIES,
                    server_side_retries_delay=self._try_delay_s,
                )
            yield root.get_system(where.path.rstrip("/"))
        except sushy.exceptions.AccessError as error:  # asking again could lock the account
            raise NeedsAttention(
                _named(host, controller),
                f"HTTP {error.status_code}: the credentials are refused",
                "correct INGOT_BMC_USERNAME and INGOT_BMC_PASSWORD, or this host's entry in INGOT_CREDENTIALS_FILE",
            ) from error
        except sushy.exceptions.SushyError as error:
            raise PortError(
                _named(host, controller), f"{type(error).__name__}: {shown(str(error))}", _remedy(host)
            ) from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:  # a body that sushy cannot take apart
            raise PortError(
                _named(host, controller), f"an answer that is not Redfish ({type(error).__name__})", _remedy(host)
            ) from error


def _power(host: str, controller: Controller, system: System) -> Power:
    """OFF only when proven. A value that the standard does not know is an error that names it."""
    import sushy

    state = system.power_state
    if state is None:
        raise PortError(
            _named(host, controller),
            f"PowerState {system.json.get('PowerState')!r}",
            f"expected one of {sorted(s.value for s in sushy.PowerState)}; update the controller's firmware",
        )
    return Power.OFF if state is sushy.PowerState.OFF else Power.ON


def _boot_once(system: System, url: str) -> None:
    """UEFI HTTP boot from `url` where the controller takes an address, else PXE."""
    import sushy

    once, uefi = sushy.BootSourceOverrideEnabled.ONCE, sushy.BootSourceOverrideMode.UEFI
    if url and sushy.BootSource.UEFI_HTTP in system.get_allowed_system_boot_source_values():
        try:
            system.set_system_boot_options(sushy.BootSource.UEFI_HTTP, once, uefi, http_boot_uri=url)
            return
        except (sushy.exceptions.MissingAttributeError, sushy.exceptions.BadRequestError):
            pass  # it offers HTTP boot but takes no address: the network's boot service has to name it
    system.set_system_boot_options(sushy.BootSource.PXE, once, uefi)


def _macs(system: System) -> list[str]:
    """Of the host's own ports, as far as its controller tells them."""
    import sushy

    try:
        ports = system.ethernet_interfaces.get_members()
    except (sushy.exceptions.MissingAttributeError, sushy.exceptions.ResourceNotFoundError):
        return []
    told = (port.permanent_mac_address or port.mac_address for port in ports)
    return sorted({mac.lower() for mac in told if isinstance(mac, str) and mac})


def _address(host: str, controller: Controller) -> SplitResult:
    where = urlsplit(controller.url)
    if (
        where.scheme not in ("http", "https")
        or not where.path.startswith(ROOT_PREFIX)
        or where.username
        or where.password
    ):
        raise NeedsAttention(
            _named(host, controller),
            "an address of another form",
            f"write `https://<controller>{ROOT_PREFIX}Systems/<id>` into the stack file, without a user",
        )
    return where


def _named(host: str, controller: Controller) -> str:
    where = urlsplit(controller.url)
    return (
        f"BMC of {host} at {where.scheme}://{where.hostname or '?'}{f':{where.port}' if where.port else ''}{where.path}"
    )


def _remedy(host: str) -> str:
    return (
        f"check that the controller of {host} answers (its own web page), restart it if not, then run `pulumi up` again"
    )
