"""A host, its management controller over real HTTPS, and a step that wants to install it. Time is real and runs faster:
the emulator's power follows after up to eleven seconds.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from components.boot import layout
from lab import redfish
from lab.layout import HOST, Layout
from lab.proxy import Asked
from lab.redfish_front import SYSTEMS, ControllerFront
from lifecycle.adapters.boot_store import DirectoryBoot
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.files import write_atomically
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.commands import Step, Verb
from lifecycle.ports import BootMethod, Controller, Pin, Ports, Power
from lifecycle.run import execute
from tests.lifecycle import fakes
from tests.lifecycle.fleets import fresh, pin
from tests.lifecycle.world import World

FASTER = 12.0
"""A step's seconds in one of ours: the emulator's eleven are two minutes then."""
SHORT_S = 60.0
"""For a controller that will not come back within a test: five seconds of ours."""
LONG_S = 600.0
ANSWER_S = 20.0
"""Of ours, for one answer: none is late by itself, or its order would be given, and counted, twice."""
HASTY_S = 1.0
"""The same where an answer may never come."""
GENERATION = "0123456789abcdef"
STARTS = ("On", "ForceRestart")


class FastClock(WallClock):
    """Fulfils `lifecycle.ports.Clock`, faster than the wall."""

    def now_s(self) -> float:
        return super().now_s() * FASTER

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / FASTER)


class Quiet(SimpleHTTPRequestHandler):
    """Serves the boot store, without a word."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@dataclass
class Host:
    """A machine behind a controller: what is on its disks. follows: the boot sources that its firmware takes an
    override for."""

    node: str
    store: Path
    follows: frozenset[str] = frozenset({"Pxe", "Cd"})
    os_disk: str = "the node before it"
    data_disk: str = "volumes"
    ordered: str = ""
    started: list[str] = field(default_factory=list)
    """What its controller was told of its power, in turn."""

    @property
    def starts(self) -> int:
        """How often it was told to boot: a host whose power came late is restarted."""
        return sum(1 for kind in self.started if kind in STARTS)

    def meets(self, asked: Asked) -> None:
        """What its controller was told, and carried out."""
        if asked.method == "PATCH":
            self.ordered = json.loads(asked.body)["Boot"].get("BootSourceOverrideTarget", self.ordered)
        if asked.path.endswith("ComputerSystem.Reset"):
            kind = json.loads(asked.body)["ResetType"]
            self.started.append(kind)
            if kind in STARTS and self.ordered in self.follows:
                self._install()

    def _install(self) -> None:
        [pointer] = (self.store / "next").glob("*.ipxe")
        self.os_disk = pointer.read_text(encoding="utf-8").rsplit("/", 2)[-2]
        said = json.dumps({"generation": self.os_disk, "state": "running"})
        write_atomically(self.store / layout.progress(self.node), said.encode(), 0o644)


@dataclass
class Bench:
    """One host, its controller, and a step that wants to install it."""

    front: ControllerFront
    store_url: str
    system: int
    host: Host
    world: World
    machines: RedfishMachines
    watching: RedfishMachines
    truth: Controller
    clock: FastClock

    def provision(self, verb: Verb = Verb.PROVISION) -> str:
        return execute(Step(verb, self.world.stack, self.host.node, GENERATION), self.ports())

    def ports(self) -> Ports:
        return replace(fakes.ports(self.world), clock=self.clock, machines=self.machines)

    def declare(self, url: str = "", boot: tuple[BootMethod, ...] = (BootMethod.PXE,)) -> Pin:
        node = self.host.node
        made = pin(
            node,
            GENERATION,
            controller=Controller(url or self.front.system_url(self.system)),
            boot_url=f"{self.store_url}/boot/{GENERATION}/{node}.ipxe",
            boot=boot,
        )
        self.world.pins[node] = made
        return made

    def limits(self, power_s: float = LONG_S, start_s: float = LONG_S) -> None:
        self.world.limits = replace(self.world.limits, power_s=power_s, start_s=start_s)

    def power(self) -> Power:
        """As the controller knows it, without anything in between."""
        return self.watching.power(self.host.node, self.truth)

    def untouched(self) -> bool:
        """No disk of the host was written."""
        return (self.host.os_disk, self.host.data_disk) == ("the node before it", "volumes")

    def installed(self) -> bool:
        """Its OS disk was, and no other."""
        return (self.host.os_disk, self.host.data_disk) == (GENERATION, "volumes")

    def asked(self, method: str, ending: str = "") -> int:
        """How often a controller was asked this."""
        asked = [e.asked for e in self.front.exchanges]
        return sum(1 for a in asked if a.method == method and a.path.startswith(SYSTEMS) and a.path.endswith(ending))


_systems = itertools.count(1)


@contextmanager
def bench_of(emulator: Layout, store: Path, front: ControllerFront, answer_s: float = ANSWER_S) -> Iterator[Bench]:
    number = next(_systems)
    server = ThreadingHTTPServer((HOST, 0), partial(Quiet, directory=str(store)))  # controllers fetch images from it
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://{HOST}:{server.server_address[1]}"
    node, clock = f"w{number}", FastClock()
    for name in ("ipxe.efi", "ipxe.iso"):
        (store / name).write_bytes(b"MZ")
    (store / layout.PROGRESS).mkdir()
    boot_store = DirectoryBoot(lambda: store, lambda: url, lambda p: {layout.script(p.generation, p.node): b"#!ipxe"})
    user = BmcCredentials(redfish.USERNAME, redfish.PASSWORD)
    authority = str(emulator.bmc_authority().pair.certificate)
    machines, watching = (
        RedfishMachines(lambda _: user, boot_store, clock, authority=authority, answer_s=limit_s)
        for limit_s in (answer_s, None)
    )
    host, world = Host(node, store), fresh()
    front.carried_out = host.meets
    truth = Controller(redfish.system_url(emulator, number))
    made = Bench(front, url, number, host, world, machines, watching, truth, clock)
    made.limits()
    made.declare()
    try:
        yield made
    finally:
        machines.close()
        watching.close()
        server.shutdown()
        server.server_close()
