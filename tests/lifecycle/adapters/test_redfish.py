"""The Redfish adapter, with sushy in between, against a controller with sessions that answers as real ones do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.adapters.boot_store import BootStore, DirectoryBoot
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Controller, Power, Progress
from tests.lifecycle.adapters.pinned import pin_of
from tests.lifecycle.adapters.played_controller import PASSWORD, RESET, SESSIONS, SYSTEM, Played
from tests.lifecycle.adapters.wire_server import Asked, Reply, Wire, silent_port


@pytest.fixture
def played(wire: Wire) -> Played:
    return Played(wire)


@pytest.fixture
def controller(wire: Wire) -> Controller:
    return Controller(f"{wire.url}{SYSTEM}")


@pytest.fixture
def store(tmp_path: Path) -> BootStore:
    return DirectoryBoot(
        lambda: tmp_path, lambda: "https://boot.example", lambda pin: {"boot/0123456789abcdef/w1.ipxe": b"#!ipxe"}
    )


@pytest.fixture
def machines(store: BootStore, wire: Wire) -> Iterator[RedfishMachines]:
    made = RedfishMachines(lambda _: BmcCredentials("admin", PASSWORD), store, WallClock())
    yield made
    made.close()


class TestPower:
    """Off only when the controller says so."""

    @pytest.mark.parametrize(
        ("said", "power"), [("On", Power.ON), ("Off", Power.OFF), ("PoweringOff", Power.ON), ("Paused", Power.ON)]
    )
    def test_it_is_what_is_proven(
        self, played: Played, machines: RedfishMachines, controller: Controller, said: str, power: Power
    ) -> None:
        played.power = said
        assert machines.power("w1", controller) is power

    @pytest.mark.parametrize("said", ["Asleep", None])
    def test_a_state_nobody_knows_is_named(
        self, played: Played, machines: RedfishMachines, controller: Controller, said: Any
    ) -> None:
        played.power = said
        with pytest.raises(PortError, match=f"BMC of w1 .*PowerState {said!r}"):
            machines.power("w1", controller)

    def test_off_is_forced(self, played: Played, machines: RedfishMachines, controller: Controller) -> None:
        played.power = "On"
        machines.power_off("w1", controller)
        assert (played.resets, played.power) == (["ForceOff"], "Off")

    def test_off_twice_asks_for_nothing(
        self, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        machines.power_off("w1", controller)
        assert played.resets == []

    def test_a_refusal_because_it_went_off_meanwhile_is_no_error(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        played.power = "On"

        def meanwhile(asked: Asked) -> Reply:
            played.power = "Off"
            return Reply(409, {"error": {"message": "already off"}})

        wire.on("POST", RESET, meanwhile)
        machines.power_off("w1", controller)

    def test_a_refusal_for_another_reason_is_one(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        played.power = "On"
        wire.on("POST", RESET, Reply(409, {"error": {"message": "firmware update in progress"}}))
        with pytest.raises(PortError, match=r"BMC of w1 .*firmware update in progress"):
            machines.power_off("w1", controller)

    def test_one_session_serves_a_step_and_is_ended(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        for _ in range(3):
            machines.power("w1", controller)
        machines.close()
        machines.close()
        assert wire.lines().count(f"POST {SESSIONS}") == 1
        assert wire.lines().count(f"DELETE {SESSIONS}/1") == 1

    def test_a_session_that_cannot_be_ended_keeps_nobody_waiting(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        machines.power("w1", controller)
        wire.on("DELETE", f"{SESSIONS}/1", Reply(reset=True))
        machines.close()
        assert wire.lines().count(f"DELETE {SESSIONS}/1") == 1


class TestInstall:
    """One network boot into the installer, then power."""

    def test_http_boot_from_the_stores_loader(
        self, played: Played, machines: RedfishMachines, controller: Controller, tmp_path: Path
    ) -> None:
        (tmp_path / "ipxe.efi").write_bytes(b"MZ")
        machines.install("w1", pin_of("w1", controller))
        assert played.boot["BootSourceOverrideTarget"] == "UefiHttp"
        assert played.boot["BootSourceOverrideEnabled"] == "Once"
        assert played.boot["HttpBootUri"] == "https://boot.example/ipxe.efi"
        assert played.resets == ["On"]
        assert (tmp_path / "boot/0123456789abcdef/w1.ipxe").read_bytes() == b"#!ipxe"

    def test_pxe_where_the_store_has_no_loader(
        self, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        machines.install("w1", pin_of("w1", controller))
        assert played.boot["BootSourceOverrideTarget"] == "Pxe"

    @pytest.mark.parametrize("without", ["HttpBootUri", "UefiHttp"])
    def test_pxe_where_the_controller_takes_no_address(
        self, played: Played, machines: RedfishMachines, controller: Controller, tmp_path: Path, without: str
    ) -> None:
        (tmp_path / "ipxe.efi").write_bytes(b"MZ")
        played.boot.pop(without, None)
        if without == "UefiHttp":
            played.boot["BootSourceOverrideTarget@Redfish.AllowableValues"].remove(without)
        machines.install("w1", pin_of("w1", controller))
        assert played.boot["BootSourceOverrideTarget"] == "Pxe"

    def test_a_host_that_is_on_is_restarted(
        self, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        played.power = "On"
        machines.install("w1", pin_of("w1", controller))
        assert played.resets == ["ForceRestart"]

    def test_the_override_is_cleared_with_what_leads_to_the_installer(
        self, played: Played, machines: RedfishMachines, controller: Controller, tmp_path: Path
    ) -> None:
        machines.install("w1", pin_of("w1", controller))
        machines.clear_boot_override("w1", controller)
        machines.clear_boot_override("w1", controller)
        assert played.boot["BootSourceOverrideEnabled"] == "Disabled"
        assert len(played.patches) == 2
        assert list((tmp_path / "next").iterdir()) == []

    def test_a_controller_that_wants_a_target_with_it_gets_the_disk(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        def wants_target(asked: Asked) -> Reply:
            if "BootSourceOverrideTarget" not in asked.body["Boot"]:
                return Reply(400, "Missing the BootSourceOverrideTarget")
            return played.patched(asked)

        machines.install("w1", pin_of("w1", controller))
        wire.on("PATCH", SYSTEM, wants_target)
        machines.clear_boot_override("w1", controller)
        assert played.boot["BootSourceOverrideTarget"] == "Hdd"
        assert played.boot["BootSourceOverrideEnabled"] == "Disabled"


class TestProgress:
    """The machine's own report goes first; a controller alone never says that the installed system runs."""

    @pytest.mark.parametrize(
        ("power", "state", "progress"),
        [
            ("Off", None, Progress.NONE),
            ("On", "MemoryInitializationStarted", Progress.NONE),
            ("On", "OSBootStarted", Progress.UNKNOWN),
            ("On", "OSRunning", Progress.UNKNOWN),
            ("On", None, Progress.UNKNOWN),
        ],
    )
    def test_from_the_controller(
        self,
        played: Played,
        machines: RedfishMachines,
        controller: Controller,
        power: str,
        state: str | None,
        progress: Progress,
    ) -> None:
        played.power = power
        played.progress = {"LastState": state} if state else None
        assert machines.progress("w1", pin_of("w1", controller)) is progress

    def test_from_the_machine_without_asking_the_controller(
        self, wire: Wire, machines: RedfishMachines, controller: Controller, tmp_path: Path
    ) -> None:
        (tmp_path / "progress").mkdir()
        (tmp_path / "progress/w1").write_text('{"generation": "0123456789abcdef", "state": "installing"}')
        assert machines.progress("w1", pin_of("w1", controller)) is Progress.INSTALLING
        assert wire.asked == []

    def test_once_installed_no_network_boot_installs_again(
        self, played: Played, machines: RedfishMachines, controller: Controller, tmp_path: Path
    ) -> None:
        pin = pin_of("w1", controller)
        machines.install("w1", pin)
        (tmp_path / "progress").mkdir()
        (tmp_path / "progress/w1").write_text('{"generation": "0123456789abcdef", "state": "installed"}')
        assert machines.progress("w1", pin) is Progress.INSTALLED
        assert list((tmp_path / "next").iterdir()) == []


class TestHostileWire:
    """Every failure names host and address, and never the password."""

    def test_nobody_listens(self, machines: RedfishMachines) -> None:
        port = silent_port()
        with pytest.raises(PortError, match=rf"BMC of w1 at http://127\.0\.0\.1:{port}.*ConnectionError"):
            machines.power("w1", Controller(f"http://127.0.0.1:{port}{SYSTEM}"))

    def test_refused_credentials_are_not_tried_again(
        self, wire: Wire, played: Played, store: BootStore, controller: Controller, caplog: pytest.LogCaptureFixture
    ) -> None:
        wrong = RedfishMachines(lambda _: BmcCredentials("admin", "wr0ng"), store, WallClock())
        with (
            caplog.at_level(logging.DEBUG),
            pytest.raises(NeedsAttention, match=r"BMC of w1 .*refused.*CREDENTIALS") as caught,
        ):
            wrong.power("w1", controller)
        assert "wr0ng" not in str(caught.value)
        assert wire.lines().count(f"POST {SESSIONS}") == 1

    def test_a_reset_connection_is_left_to_whoever_asks_again(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        machines.power("w1", controller)
        wire.on("GET", SYSTEM, Reply(reset=True), Reply(body=played.system()))
        with pytest.raises(PortError, match=r"BMC of w1 .*ConnectionError"):
            machines.power("w1", controller)
        assert wire.lines().count(f"GET {SYSTEM}") == 2
        assert machines.power("w1", controller) is Power.OFF

    def test_a_controller_that_stays_busy_is_an_error(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        wire.on("GET", SYSTEM, Reply(503, {"error": {"message": "the service is starting"}}))
        with pytest.raises(PortError, match=r"BMC of w1 .*the service is starting"):
            machines.power("w1", controller)

    @pytest.mark.parametrize("body", ["<html>iBMC</html>", "[]", "{}", '{"Id": 7}'])
    def test_garbage(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller, body: str
    ) -> None:
        wire.on("GET", SYSTEM, Reply(body=body))
        with pytest.raises(PortError, match="BMC of w1"):
            machines.power("w1", controller)

    def test_an_expired_session_is_renewed(
        self, wire: Wire, played: Played, machines: RedfishMachines, controller: Controller
    ) -> None:
        machines.power("w1", controller)
        wire.on("GET", SYSTEM, Reply(401, {"error": {"message": "expired"}}), Reply(body=played.system()))
        assert machines.power("w1", controller) is Power.OFF
        assert wire.lines().count(f"POST {SESSIONS}") == 2

    @pytest.mark.parametrize("url", ["bmc-w1", "http://h/other", f"http://u:{PASSWORD}@h{SYSTEM}"])
    def test_an_address_of_another_form(self, machines: RedfishMachines, url: str) -> None:
        with pytest.raises(NeedsAttention, match=r"BMC of w1 .*Systems/<id>") as caught:
            machines.power("w1", Controller(url))
        assert PASSWORD not in str(caught.value)
