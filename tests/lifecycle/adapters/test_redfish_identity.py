"""What a host is known by, as its controller tells it: serial number and MAC addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.adapters.boot_store import DirectoryBoot
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.errors import PortError
from lifecycle.ports import Controller
from tests.lifecycle.adapters.played_controller import PASSWORD, SYSTEM, Played
from tests.lifecycle.adapters.wire_server import Reply, Wire

PORTS = f"{SYSTEM}/EthernetInterfaces"


class Known(Played):
    """A controller that tells who its host is. ports: what each says of its address."""

    def __init__(self, wire: Wire, ports: tuple[dict[str, Any], ...] | None) -> None:
        super().__init__(wire)
        self.serial: object = "SN-4711"
        self.ports = ports
        members = [{"@odata.id": f"{PORTS}/{i}"} for i in range(len(ports or ()))]
        listed = {"@odata.id": PORTS, "Name": "ports", "Members": members}
        wire.on("GET", PORTS, self.with_session(lambda _: Reply(body=listed)))
        for i, port in enumerate(ports or ()):
            body = {"@odata.id": f"{PORTS}/{i}", "Id": str(i), "Name": "port", **port}
            wire.on("GET", f"{PORTS}/{i}", self.with_session(lambda _, body=body: Reply(body=body)))

    def system(self) -> dict[str, Any]:
        linked = {} if self.ports is None else {"EthernetInterfaces": {"@odata.id": PORTS}}
        return {**super().system(), "SerialNumber": self.serial, **linked}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[RedfishMachines]:
    store = DirectoryBoot(lambda: tmp_path, lambda: "https://boot.example", lambda _: {})
    made = RedfishMachines(lambda _: BmcCredentials("admin", PASSWORD), store, WallClock())
    yield made
    made.close()


class TestIdentity:
    """Only what is told; nothing is made up."""

    def test_serial_and_addresses(self, wire: Wire, machines: RedfishMachines) -> None:
        Known(wire, ({"MACAddress": "52:54:00:00:02:0B"}, {"PermanentMACAddress": "52:54:00:00:02:0A"}, {}))
        found = machines.identity("w1", Controller(f"{wire.url}{SYSTEM}"))
        assert found == {"serial": "SN-4711", "mac": "52:54:00:00:02:0a,52:54:00:00:02:0b"}

    def test_the_address_that_was_burnt_in_goes_first(self, wire: Wire, machines: RedfishMachines) -> None:
        Known(wire, ({"MACAddress": "02:00:00:00:00:01", "PermanentMACAddress": "52:54:00:00:02:0a"},))
        assert machines.identity("w1", Controller(f"{wire.url}{SYSTEM}"))["mac"] == "52:54:00:00:02:0a"

    @pytest.mark.parametrize("serial", [None, "", "  ", 7])
    def test_a_controller_that_tells_nothing(self, wire: Wire, machines: RedfishMachines, serial: object) -> None:
        Known(wire, None).serial = serial
        assert machines.identity("w1", Controller(f"{wire.url}{SYSTEM}")) == {}

    def test_ports_that_lead_nowhere_are_no_error(self, wire: Wire, machines: RedfishMachines) -> None:
        Known(wire, ())
        wire.on("GET", PORTS, Reply(404, {"error": {"message": "none"}}))
        assert machines.identity("w1", Controller(f"{wire.url}{SYSTEM}")) == {"serial": "SN-4711"}

    def test_a_controller_that_fails_half_way_is_one(self, wire: Wire, machines: RedfishMachines) -> None:
        Known(wire, ({"MACAddress": "52:54:00:00:02:0a"},))
        wire.on("GET", f"{PORTS}/0", Reply(503, {"error": {"message": "busy"}}))
        with pytest.raises(PortError, match="BMC of w1"):
            machines.identity("w1", Controller(f"{wire.url}{SYSTEM}"))
