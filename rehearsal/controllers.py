"""The rack's hosts behind a Redfish emulator: steps switch them by the adapter of real hosts, over HTTPS.

The emulator is OpenStack's (sushy-tools), served from this process; what it does to a system's power happens to the
rack's host, on virtual time. What a host boots is what lies in a real boot store, a folder: a host that starts with
its boot override set goes where `next/<mac>.ipxe` leads, as its firmware would, and reports as its system would.
"""

from __future__ import annotations

import json
import ssl
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bcrypt
from werkzeug.serving import WSGIRequestHandler, make_server

from components.boot.pin import eraser, publish, publish_eraser
from components.environment import Environment
from lifecycle import erase
from lifecycle.adapters.boot_store import DirectoryBoot
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.ports import Claim, Controller, Erasure, Machines, Pin, Power, Progress
from rehearsal.rack import hosts, outage
from rehearsal.rack.part import Part, Save
from rehearsal.rack.ports import RackClock
from rehearsal.rack.rack import Rack
from rehearsal.session import Session, pinned

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what it is made of
    from sushy_tools.emulator import main as emulator
    from sushy_tools.emulator.resources.systems.fakedriver import FakeDriver

HOST = "127.0.0.1"
USERNAME, PASSWORD = "rack", "rack"
SYSTEMS = uuid.uuid5(uuid.NAMESPACE_URL, "ingot:rack:redfish")
NETWORK = frozenset({"Pxe", "Cd", "UefiHttp"})
"""Boot devices from which the emulator's systems come to the boot store."""
STATES = {
    Progress.INSTALLING: "installing",
    Progress.INSTALLED: "installed",
    Progress.RUNNING: "running",
    Progress.ERASED: "erased",
}
"""What a machine PUTs to the boot store."""


@dataclass(frozen=True)
class Tls:
    """Files in PEM: the emulator's certificate and key, and the authority that signed it."""

    certificate: Path
    key: Path
    authority: Path


@contextmanager
def controllers(session: Session, folder: Path, tls: Tls) -> Iterator[list[str]]:
    """While inside, the session's steps switch their hosts over HTTPS. folder: for the boot store and the emulator's
    files. Yields what was asked of the emulator so far: `METHOD path`, in order."""
    store, asked = folder / "store", []
    (store / "progress").mkdir(parents=True)
    driver = _Driver.made(session.rack, store, session.save, folder / "state")
    users = folder / "users"
    users.write_text(f"{USERNAME}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=4)).decode()}\n")
    guarded = emulator.RedfishAuthMiddleware(emulator.app.wsgi_app, str(users))

    def served(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return guarded(environ, start)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    with _systems(driver):
        server = make_server(HOST, 0, served, threaded=True, ssl_context=context, request_handler=_Silent)
        thread = threading.Thread(target=server.serve_forever, name="rack-redfish", daemon=True)
        thread.start()
        steps = _Steps(session, store, f"https://{HOST}:{server.server_port}", tls.authority)
        before = session.rack.eraser
        session.rack.machines, session.rack.eraser = steps.machines, steps.eraser
        try:
            yield asked
        finally:
            session.rack.machines, session.rack.eraser = None, before
            steps.close()
            server.shutdown()
            thread.join(30)
            server.server_close()


class _Silent(WSGIRequestHandler):
    """A rehearsal's own output is what a user reads."""

    def log(self, type: str, message: str, *args: Any) -> None:
        return


@contextmanager
def _systems(driver: _Driver) -> Iterator[None]:
    """The emulator keeps its driver for good, once it made one; this one is its driver for a while."""
    kind = type(emulator.app)
    emulator.app.__class__ = type("RackEmulator", (kind,), {"systems": property(lambda app: driver)})
    try:
        yield
    finally:
        emulator.app.__class__ = kind


def system_id(host: str) -> str:
    """The id of a host's system."""
    return str(uuid.uuid5(SYSTEMS, host))


class _Driver(FakeDriver):  # type: ignore[misc]  # sushy-tools has no types
    """The emulator's systems, whose power is that of the rack's hosts."""

    rack: Rack
    store: Path
    save: Save

    @classmethod
    def made(cls, rack: Rack, store: Path, save: Save, state: Path) -> _Driver:
        state.mkdir()
        systems = [
            {
                "uuid": system_id(name),
                "name": name,
                "power_state": "Off",
                "external_notifier": False,
                "nics": [],
            }
            for name in rack.world.hosts
        ]
        config = {**emulator.app.config, "SUSHY_EMULATOR_FAKE_SYSTEMS": systems, "SUSHY_EMULATOR_STATE_DIR": str(state)}
        driver: _Driver = cls.initialize(config, emulator.app.logger)()
        driver.rack, driver.store, driver.save = rack, store, save
        return driver

    def get_power_state(self, identity: str) -> str:
        host = self.rack.world.hosts[self._get(identity)["name"]]
        with self.rack.clock.lock:
            return host.power.capitalize()

    def set_power_state(self, identity: str, state: str) -> None:
        system = self._get(identity)
        host = self.rack.world.hosts[system["name"]]
        with self.rack.clock.lock:
            if state in ("ForceOff", "GracefulShutdown"):
                hosts.power_off(self.rack, host)
            else:
                pin = self._pointed_to(host.name) if system.get("boot_device") in NETWORK else None
                self._update(system, boot_device="Hdd")  # the override was for one boot
                if pin is not None:
                    hosts.install(self.rack, host, pin)
                elif host.power == "off":
                    outage.start(self.rack, host)
            self.rack.settle()
            self.save()

    def _pointed_to(self, name: str) -> Pin | None:
        """What the boot store leads the host's network boot to."""
        pin, claim = self.rack.pins.get(name), self.rack.world.claims.get(name)
        for pointer in (self.store / "next").glob("*.ipxe"):
            url = pointer.read_text(encoding="utf-8").split()[-1]
            if pin is not None and url == pin.boot_url:
                return pin
            if url.endswith(f"/{name}.ipxe") and claim is not None:
                erasure = erase.asked(pin) or claim.erase
                return self.rack.eraser(claim, erasure) if erasure is not None else None
        return None


class _Steps:
    """What the steps of a session switch hosts by, one adapter a lane."""

    def __init__(self, session: Session, store: Path, url: str, authority: Path) -> None:
        self._session, self._store, self._url, self._authority = session, store, url, authority
        self._opened: dict[str, RedfishMachines] = {}

    def machines(self, lane: str, save: Save) -> Machines:
        if lane not in self._opened:
            store = DirectoryBoot(lambda: self._store, self._boot_url, self._contents)
            self._opened[lane] = RedfishMachines(
                lambda host: BmcCredentials(USERNAME, PASSWORD),
                store,
                RackClock(self._session.rack, lane),
                authority=str(self._authority),
            )
        return _RedfishHosts(self._session.rack, lane, save, self._opened[lane], self._store, self._url)

    def eraser(self, claim: Claim, erasure: Erasure) -> Pin:
        environment = self._session.environment
        return eraser(environment, pinned(environment), claim, erasure)

    def close(self) -> None:
        for machines in self._opened.values():
            machines.close()

    def _boot_url(self) -> str:
        return self._session.environment.store_url

    def _contents(self, pin: Pin) -> Mapping[str, bytes]:
        environment: Environment = self._session.environment
        lock = pinned(environment)
        return (publish_eraser(environment, lock, pin) if pin.erases else publish(environment, lock, pin.node)).files


class _RedfishHosts(Part):
    """The adapter of real hosts, pointed at the emulator. Fulfils `lifecycle.ports.Machines`."""

    name = "machines"

    def __init__(self, rack: Rack, lane: str, save: Save, inner: RedfishMachines, store: Path, url: str) -> None:
        super().__init__(rack, lane, save)
        self._inner, self._store, self._url = inner, store, url

    def power(self, host: str, controller: Controller) -> Power:
        return self._inner.power(host, self._at("power", host, controller))

    def power_off(self, host: str, controller: Controller) -> None:
        self._inner.power_off(host, self._at("power_off", host, controller))

    def underway(self, host: str, pin: Pin) -> bool:
        return self._inner.underway(host, pin)

    def prepare(self, host: str, pin: Pin) -> None:
        self._inner.prepare(host, pin)

    def install(self, host: str, pin: Pin) -> str | None:
        return self._inner.install(host, replace(pin, controller=self._at("install", host, pin.controller)))

    def progress(self, host: str, pin: Pin) -> Progress:
        there = self._at("progress", host, pin.controller)
        self._report(host, pin)
        return self._inner.progress(host, replace(pin, controller=there))

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        self._inner.clear_boot_override(host, self._at("clear_boot_override", host, controller))

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        return self._inner.identity(host, self._at("identity", host, controller))

    def _at(self, method: str, host: str, controller: Controller) -> Controller:
        """The host's system at the emulator. The call is counted, and fails if a fault says so; the clock's lock is
        not held while it is made, since the emulator takes it."""
        with self._call(method, host):
            return replace(controller, url=f"{self._url}/redfish/v1/Systems/{system_id(host)}", verify_tls=True)

    def _report(self, host: str, pin: Pin) -> None:
        """What the host's system has put into the boot store by now."""
        with self._rack.clock.lock:
            state = STATES.get(self._rack.world.hosts[host].progress)
        if state is not None:
            report = json.dumps({"generation": pin.generation, "state": state})
            (self._store / "progress" / host).write_text(report, encoding="utf-8")
