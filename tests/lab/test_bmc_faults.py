"""What a step does when a management controller fails, over real HTTPS: what its operator reads, and what became of
the host's power and its disks. Time is real and runs faster: the emulator's power follows after up to eleven seconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.layout import HOST, Layout
from lab.proxy import Asked, Fault, When, undisturbed
from lab.redfish_front import SYSTEMS, ControllerFront
from lifecycle.boot import InstallerNeverRan
from lifecycle.commands import Verb
from lifecycle.errors import ControllerUnreachable, NeedsAttention
from lifecycle.ports import BootMethod, ClaimState, Power
from tests.lab.controller_bench import GENERATION, HASTY_S, SHORT_S, Bench, bench_of
from tests.lab.controllers import controllers_alone
from tests.lab.eventually import eventually
from tests.lifecycle.adapters.wire_server import silent_port
from tests.lifecycle.fleets import claim

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    yield from controllers_alone(tmp_path_factory.mktemp("redfish"), 40)


@pytest.fixture
def bench(emulator: Layout, tmp_path: Path) -> Iterator[Bench]:
    with ControllerFront(emulator) as front, bench_of(emulator, tmp_path, front) as made:
        yield made


@pytest.fixture
def hasty(emulator: Layout, tmp_path: Path) -> Iterator[Bench]:
    """For controllers that never answer. No test of it counts orders: one that is late is given twice."""
    with ControllerFront(emulator) as front, bench_of(emulator, tmp_path, front, HASTY_S) as made:
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
    def test_every_answer(self, hasty: Bench, fault: Fault, said: str) -> None:
        hasty.limits(power_s=SHORT_S)
        hasty.front.rule = lambda asked: fault if asked.path.startswith(SYSTEMS) else None
        with pytest.raises(ControllerUnreachable, match=said) as halted:
            hasty.provision()
        assert named(hasty) in str(halted.value)
        assert hasty.asked("GET") > 1
        assert hasty.power() is Power.ON
        assert hasty.untouched()

    @pytest.mark.parametrize(
        "fault", [Fault(when=When.MIDST), Fault(), Fault(404), Fault(500), Fault(503), Fault(when=When.NEVER)]
    )
    def test_for_a_while(self, hasty: Bench, fault: Fault) -> None:
        hasty.front.rule = lambda asked: fault if asked.path.startswith(SYSTEMS) and asked.turn < 2 else None
        hasty.provision()
        assert hasty.installed()


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
