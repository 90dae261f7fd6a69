"""Each way to the installer, as a controller is asked for it; and what becomes of one that it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.adapters.boot_store import DirectoryBoot
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import BootMethod, Controller, Pin, Progress
from tests.lifecycle.adapters.pinned import pin_of
from tests.lifecycle.adapters.played_controller import PASSWORD, RESET, SYSTEM, Played
from tests.lifecycle.adapters.wire_server import Asked, Reply, Wire

HTTP, PXE, MEDIA = BootMethod.UEFI_HTTP, BootMethod.PXE, BootMethod.VIRTUAL_MEDIA
ISO = "https://boot.example/ipxe.iso"


@pytest.fixture
def played(wire: Wire) -> Played:
    made = Played(wire)
    made.boot["BootSourceOverrideTarget@Redfish.AllowableValues"].append("Cd")
    made.slots = {"USBStick": {}, "CD": {}}
    return made


@pytest.fixture
def controller(wire: Wire) -> Controller:
    return Controller(f"{wire.url}{SYSTEM}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A boot store with all that a host may boot."""
    (tmp_path / "ipxe.efi").write_bytes(b"MZ")
    (tmp_path / "ipxe.iso").write_bytes(b"CD001")
    return tmp_path


@pytest.fixture
def machines(folder: Path, wire: Wire) -> Iterator[RedfishMachines]:
    store = DirectoryBoot(
        lambda: folder, lambda: "https://boot.example", lambda pin: {"boot/0123456789abcdef/w1.ipxe": b"#!ipxe"}
    )
    made = RedfishMachines(lambda _: BmcCredentials("admin", PASSWORD), store, WallClock())
    yield made
    made.close()


def pin(controller: Controller, *boot: BootMethod) -> Pin:
    return replace(pin_of("w1", controller), boot=boot)


def refusing(played: Played, wire: Wire, *targets: str, status: int = 400) -> None:
    """The controller refuses these boot sources."""

    def patched(asked: Asked) -> Reply:
        target = asked.body["Boot"].get("BootSourceOverrideTarget")
        if target in targets:
            return Reply(status, {"error": {"message": f"no {target} today"}})
        return played.patched(asked)

    wire.on("PATCH", SYSTEM, patched)


class TestOrder:
    """The first way that can be ordered is taken, and named."""

    @pytest.mark.parametrize(
        ("boot", "took", "target"),
        [((HTTP, PXE), HTTP, "UefiHttp"), ((PXE, HTTP), PXE, "Pxe"), ((MEDIA, HTTP), MEDIA, "Cd")],
    )
    def test_as_the_stack_file_says(
        self,
        played: Played,
        machines: RedfishMachines,
        controller: Controller,
        boot: tuple[BootMethod, ...],
        took: BootMethod,
        target: str,
    ) -> None:
        assert machines.install("w1", pin(controller, *boot)) == took
        assert (played.boot["BootSourceOverrideTarget"], played.boot["BootSourceOverrideEnabled"]) == (target, "Once")
        assert played.power == "On"

    def test_what_it_refuses_is_passed_over(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        refusing(played, wire, "UefiHttp", status=500)
        assert machines.install("w1", pin(controller, HTTP, PXE)) == PXE

    def test_what_it_does_not_offer_is_passed_over(
        self, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        played.boot["BootSourceOverrideTarget@Redfish.AllowableValues"] = ["Cd", "Hdd"]
        assert machines.install("w1", pin(controller, HTTP, PXE, MEDIA)) == MEDIA

    def test_when_none_is_left_each_answer_is_told_and_the_host_stays_off(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller, folder: Path
    ) -> None:
        (folder / "ipxe.efi").unlink()
        refusing(played, wire, "Pxe")
        played.slots = {}
        with pytest.raises(NeedsAttention, match=r"BMC of w1 at http://127\.0\.0\.1:\d+/redfish") as refused:
            machines.install("w1", pin(controller, HTTP, PXE, MEDIA))
        assert refused.value.found == (
            "no way to its installer: uefi-http: the boot store has no ipxe.efi; pxe: HTTP 400 no Pxe today; "
            "virtual-media: the controller has no virtual CD"
        )
        assert (played.power, played.resets) == ("Off", [])

    def test_one_that_may_come_back_is_worth_asking_again(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        refusing(played, wire, "UefiHttp", "Pxe", status=409)
        with pytest.raises(PortError, match="uefi-http: HTTP 409 no UefiHttp today; pxe: HTTP 409"):
            machines.install("w1", pin(controller, HTTP, PXE))
        assert played.power == "Off"

    def test_a_busy_controller_says_nothing_about_a_way(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        refusing(played, wire, "UefiHttp", status=503)
        with pytest.raises(PortError, match="503"):
            machines.install("w1", pin(controller, HTTP, PXE))
        assert played.boot["BootSourceOverrideTarget"] == "None"


class TestVirtualMedia:
    """The store's image in the first free CD, and out again."""

    def test_goes_in_and_comes_out_with_the_override(
        self, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        machines.install("w1", pin(controller, MEDIA))
        assert played.slots["CD"] == {"Image": ISO, "Inserted": True}
        assert played.slots["USBStick"] == {}
        machines.clear_boot_override("w1", controller)
        assert played.slots["CD"] == {}
        assert played.boot["BootSourceOverrideEnabled"] == "Disabled"

    def test_comes_out_once_the_machine_reports_that_it_is_installed(
        self, played: Played, machines: RedfishMachines, controller: Controller, folder: Path
    ) -> None:
        machines.install("w1", pin(controller, MEDIA))
        (folder / "progress").mkdir()
        (folder / "progress/w1").write_text('{"generation": "0123456789abcdef", "state": "installed"}')
        assert machines.progress("w1", pin(controller, MEDIA)) is Progress.INSTALLED
        assert played.slots["CD"] == {}

    def test_an_image_of_somebody_else_stays(
        self, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        other = {"Image": "https://files.example/rescue.iso", "Inserted": True}
        played.slots["CD"] = dict(other)
        with pytest.raises(NeedsAttention, match=r"CD holds https://files\.example/rescue\.iso"):
            machines.install("w1", pin(controller, MEDIA))
        machines.clear_boot_override("w1", controller)
        assert played.slots["CD"] == other

    def test_one_that_cannot_be_booted_from_is_taken_out_again(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        refusing(played, wire, "Cd")
        assert machines.install("w1", pin(controller, MEDIA, PXE)) == PXE
        assert played.slots["CD"] == {}

    def test_a_second_order_begins_with_a_fresh_image(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        for _ in range(2):
            machines.install("w1", pin(controller, MEDIA))
        assert [line.rsplit("/", 1)[-1] for line in wire.lines() if "/CD/" in line] == ["Insert", "Eject", "Insert"]

    def test_without_an_image_in_the_store_the_controller_is_not_asked_for_it(
        self, played: Played, machines: RedfishMachines, controller: Controller, folder: Path
    ) -> None:
        (folder / "ipxe.iso").unlink()
        with pytest.raises(NeedsAttention, match=r"virtual-media: the boot store has no ipxe\.iso"):
            machines.install("w1", pin(controller, MEDIA))


class TestStart:
    """A power state that lags behind does not keep the host from starting."""

    def test_a_host_that_is_off_and_told_to_be_on(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        def reset(asked: Asked) -> Reply:
            if asked.body["ResetType"] == "ForceRestart":
                return Reply(409, {"error": {"message": "it is off"}})
            return played.reset(asked)

        played.power = "On"
        wire.on("POST", RESET, reset)
        machines.install("w1", pin(controller, PXE))
        assert played.resets == ["On"]

    def test_one_that_refuses_all_is_an_error(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        wire.on("POST", RESET, Reply(409, {"error": {"message": "in the middle of an update"}}))
        with pytest.raises(PortError, match="in the middle of an update"):
            machines.install("w1", pin(controller, PXE))


class TestIgnored:
    """Seen where the host boots something and the one-time override still stands."""

    @pytest.mark.parametrize(
        ("enabled", "state", "progress"),
        [
            ("Once", "OSRunning", Progress.ELSEWHERE),
            ("Once", "OSBootStarted", Progress.ELSEWHERE),
            ("Once", "MemoryInitializationStarted", Progress.NONE),
            ("Disabled", "OSRunning", Progress.NONE),
            ("Continuous", "OSRunning", Progress.NONE),
            ("Once", None, Progress.NONE),
        ],
    )
    def test_by_the_controller(
        self,
        played: Played,
        machines: RedfishMachines,
        controller: Controller,
        folder: Path,
        enabled: str,
        state: str | None,
        progress: Progress,
    ) -> None:
        (folder / "progress").mkdir()
        machines.install("w1", pin(controller, PXE))
        played.boot["BootSourceOverrideEnabled"] = enabled
        played.progress = {"LastState": state} if state else None
        assert machines.progress("w1", pin(controller, PXE)) is progress

    def test_a_controller_that_does_not_answer_tells_nothing(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller, folder: Path
    ) -> None:
        (folder / "progress").mkdir()
        wire.on("GET", SYSTEM, Reply(500))
        assert machines.progress("w1", pin(controller, PXE)) is Progress.NONE
