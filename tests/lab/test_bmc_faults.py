"""What a step does when a management controller fails, over real HTTPS: what its operator reads, and what became of
the host's power and its disks. Time is real and runs faster: the emulator's power follows after up to eleven seconds.
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

import pytest

from components.boot import layout
from lab import redfish
from lab.layout import HOST, Layout
from lab.proxy import Asked, Fault, When, undisturbed
from lab.redfish_front import SYSTEMS, ControllerFront
from lifecycle.adapters.boot_store import DirectoryBoot
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.files import write_atomically
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.boot import InstallerNeverRan
from lifecycle.commands import Step, Verb
from lifecycle.errors import ControllerUnreachable, NeedsAttention
from lifecycle.ports import BootMethod, ClaimState, Controller, Pin, Ports, Power
from lifecycle.run import execute
from tests.lab.controllers import controllers_alone
from tests.lab.eventually import eventually
from tests.lifecycle import fakes
from tests.lifecycle.adapters.wire_server import silent_port
from tests.lifecycle.fleets import claim, fresh, pin
from tests.lifecycle.world import World

pytestmark = pytest.mark.lab

FASTER = 12.0
"""A step's seconds in one of ours: the emulator's eleven are two minutes then."""
SHORT_S = 60.0
"""For a controller that will not come back within a test: five seconds of ours."""
LONG_S = 600.0
ANSWER_S = 20.0
"""Of ours, for one answer: none is late by itself, or its order would be given, and counted, twice."""
HASTY_S = 1.0
"""The same where answers never come."""
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


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    yield from controllers_alone(tmp_path_factory.mktemp("redfish"), 40)


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


@pytest.fixture
def bench(emulator: Layout, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    of = getattr(request.node, "callspec", None)
    fault = of.params.get("fault") if of else None
    never = isinstance(fault, Fault) and fault.when is When.NEVER
    answer_s = HASTY_S if never else ANSWER_S
    with ControllerFront(emulator) as front, bench_of(emulator, tmp_path, front, answer_s) as made:
        yield made


def named(bench: Bench) -> str:
    """How an error begins that names host, controller and last answer."""
    return f"{bench.world.pins[bench.host.node].controller.url} last said: "


class TestUndisturbed:
    """What the faults below are measured against."""

    @pytest.mark.parametrize(
        ("boot", "source"),
        [
            ((BootMethod.VIRTUAL_MEDIA,), "Cd"),
            ((BootMethod.UEFI_HTTP, BootMethod.PXE), "Pxe"),  # the emulator refuses the first
        ],
    )
    def test_a_host_that_runs_is_switched_off_and_installed(
        self, bench: Bench, boot: tuple[BootMethod, ...], source: str
    ) -> None:
        bench.declare(boot=boot)
        bench.provision()
        assert bench.host.started == ["ForceOff", "On"]
        assert bench.host.ordered == source
        assert bench.installed()
        eventually(lambda: bench.power() is Power.ON, "the power on")


class TestUnreachable:
    """Asked again until the limit; then host, address and last answer are named, and nothing was changed."""

    def test_connection_refused(self, bench: Bench) -> None:
        bench.limits(power_s=SHORT_S)
        bench.declare(f"https://{HOST}:{silent_port()}{SYSTEMS}1")
        with pytest.raises(ControllerUnreachable, match=r"Connection refused.*bmc\.md#silent") as halted:
            bench.provision()
        assert named(bench) in str(halted.value)
        assert f"node {bench.host.node}" in str(halted.value)
        assert bench.power() is Power.ON
        assert bench.untouched()

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (Fault(when=When.MIDST), "ConnectionError"),
            (Fault(), "ConnectionError"),
            (Fault(404), "not found"),
            (Fault(500), "returned code 500"),
            (Fault(409), "returned code 409"),
            (Fault(503), "returned code 503"),
            (Fault(when=When.NEVER), "timed out"),
        ],
    )
    def test_every_answer(self, bench: Bench, fault: Fault, said: str) -> None:
        bench.limits(power_s=SHORT_S)
        bench.front.rule = lambda asked: fault if asked.path.startswith(SYSTEMS) else None
        with pytest.raises(ControllerUnreachable, match=said) as halted:
            bench.provision()
        assert named(bench) in str(halted.value)
        assert bench.asked("GET") > 1
        assert bench.power() is Power.ON
        assert bench.untouched()

    @pytest.mark.parametrize(
        "fault", [Fault(when=When.MIDST), Fault(), Fault(404), Fault(500), Fault(503), Fault(when=When.NEVER)]
    )
    def test_for_a_while(self, bench: Bench, fault: Fault) -> None:
        bench.front.rule = lambda asked: fault if asked.path.startswith(SYSTEMS) and asked.turn < 2 else None
        bench.provision()
        assert bench.installed()


class TestRefused:
    """What asking again cannot help ends at once."""

    @pytest.mark.parametrize("status", [401, 403])
    def test_credentials(self, bench: Bench, status: int) -> None:
        bench.front.rule = lambda asked: Fault(status) if asked.path.startswith(SYSTEMS) else None
        with pytest.raises(NeedsAttention, match=f"BMC of {bench.host.node} at https.*HTTP {status}: the credentials"):
            bench.provision()
        assert bench.asked("GET") == 1  # a second time might lock the account
        assert bench.power() is Power.ON
        assert bench.untouched()

    def test_a_certificate_that_expired(self, emulator: Layout, tmp_path: Path) -> None:
        pair = emulator.bmc_authority().server("expired", HOST, expired=True)
        with ControllerFront(emulator, pair) as front, bench_of(emulator, tmp_path, front) as bench:
            with pytest.raises(NeedsAttention, match=r"certificate has expired.*bmc\.md#certificate"):
                bench.provision()
            assert front.exchanges == []  # no password was sent
            assert bench.power() is Power.ON
            assert bench.untouched()

    def test_a_boot_override_for_good(self, bench: Bench) -> None:
        bench.front.rule = lambda asked: Fault(400) if asked.method == "PATCH" else None
        bench.declare(boot=(BootMethod.UEFI_HTTP, BootMethod.PXE, BootMethod.VIRTUAL_MEDIA))
        with pytest.raises(NeedsAttention, match="uefi-http: HTTP 400; pxe: HTTP 400; virtual-media: HTTP 400"):
            bench.provision()
        assert bench.power() is Power.OFF
        assert bench.untouched()

    def test_a_boot_override_while_the_firmware_is_busy(self, bench: Bench) -> None:
        bench.front.rule = lambda asked: Fault(409) if asked.method == "PATCH" and asked.turn < 2 else None
        bench.provision()
        assert bench.installed()

    def test_power_off_while_the_firmware_is_busy(self, bench: Bench) -> None:
        bench.limits(power_s=SHORT_S)
        bench.front.rule = lambda asked: Fault(409) if asked.path.endswith("Reset") else None
        with pytest.raises(ControllerUnreachable, match=r"power off: .* last said: HTTPError.*409"):
            bench.provision()
        assert bench.power() is Power.ON
        assert bench.untouched()


class TestRetryAfter:
    """A controller that asks to be left alone is."""

    def test_is_honoured(self, bench: Bench) -> None:
        moments: list[float] = []

        def busy(asked: Asked) -> Fault | None:
            if not asked.path.startswith(SYSTEMS):
                return None
            moments.append(bench.clock.now_s())
            return Fault(503, retry_after_s=25) if asked.turn < 2 else None

        bench.front.rule = busy
        bench.provision()
        assert [b - a >= 25 for a, b in itertools.pairwise(moments[:3])] == [True, True]
        assert bench.installed()


class TestPowerThatLies:
    """For half a minute a controller says what was, or what never was."""

    def test_on_after_it_went_off(self, bench: Bench) -> None:
        off_s: list[float] = []
        written_s: list[float] = []

        def says(power: str) -> str:
            if power == "Off" and not off_s:
                off_s.append(bench.clock.now_s())
            return "On" if off_s and bench.clock.now_s() < off_s[0] + 30 else power

        def meets(asked: Asked) -> None:
            bench.host.meets(asked)
            if bench.host.os_disk == GENERATION and not written_s:
                written_s.append(bench.clock.now_s())

        bench.front.says, bench.front.carried_out = says, meets
        bench.provision()
        assert written_s[0] >= off_s[0] + 30  # not before the power was proven off
        assert bench.installed()

    def test_off_while_it_runs(self, bench: Bench) -> None:
        bench.limits(start_s=SHORT_S)
        bench.host.follows = frozenset()  # it runs, so the order to power on changes nothing
        bench.front.says = lambda power: "Off"
        with pytest.raises(InstallerNeverRan, match=r"pxe: no installer reported within 60 s.*bmc\.md#ignored"):
            bench.provision()
        assert bench.power() is Power.ON
        assert bench.untouched()


class TestOverrideThatIsIgnored:
    """The controller takes it and shows it, and the host boots its disk."""

    def test_the_next_way_is_tried(self, bench: Bench) -> None:
        bench.limits(start_s=SHORT_S)
        bench.host.follows = frozenset({"Pxe"})
        bench.declare(boot=(BootMethod.VIRTUAL_MEDIA, BootMethod.PXE))
        bench.provision()
        assert (bench.host.starts, bench.host.ordered) == (2, "Pxe")
        assert bench.installed()

    def test_power_that_comes_too_late_is_restarted_into_the_next(self, bench: Bench) -> None:
        bench.limits(start_s=SHORT_S)
        bench.host.follows = frozenset({"Pxe"})
        bench.declare(boot=(BootMethod.VIRTUAL_MEDIA, BootMethod.PXE))
        bench.front.says = lambda power: {"Cd": "Off", "Pxe": "On"}.get(bench.host.ordered, power)
        bench.provision()
        assert bench.host.started == ["ForceOff", "On", "ForceRestart"]
        assert bench.installed()

    def test_none_is_left(self, bench: Bench) -> None:
        bench.limits(start_s=SHORT_S)
        bench.host.follows = frozenset()
        bench.declare(boot=(BootMethod.VIRTUAL_MEDIA, BootMethod.PXE))
        with pytest.raises(InstallerNeverRan) as halted:
            bench.provision()
        assert halted.value.blocked == (
            "virtual-media: no installer reported within 60 s; pxe: no installer reported within 60 s"
        )
        assert bench.world.claims[bench.host.node].state is ClaimState.PROVISIONING
        assert bench.untouched()


class TestRelease:
    """The host is given back off, with the way to the installer closed."""

    def test_through_a_controller_that_is_busy(self, bench: Bench) -> None:
        node = bench.host.node
        held = claim(node, ClaimState.PROVISIONING, GENERATION)
        bench.world.claims[node] = replace(held, controller=bench.world.pins[node].controller)
        bench.front.rule = lambda asked: Fault(503, retry_after_s=1) if asked.turn == 0 else None
        assert bench.provision(Verb.RELEASE) == f"{node} released"
        bench.front.rule = undisturbed
        assert bench.power() is Power.OFF
        assert bench.untouched()
