"""The example stack, its hosts switched through Redfish over HTTPS: from empty to rolled to destroyed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.certificates import Authority
from lifecycle.ports import ClaimState
from rehearsal.controllers import Tls, controllers, system_id
from rehearsal.session import Options, Session, open_session, use_engine
from tests.rehearsal.fleet import NEW, NODES, OLD, metal
from tools.engine import ensure

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    use_engine(ensure().path)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    authority = Authority(tmp_path / "tls", "bmc-ca")
    pair = authority.server("bmc", "127.0.0.1", "localhost")
    return Tls(pair.certificate, pair.key, authority.pair.certificate)


def run(folder: Path, tls: Tls, version: str, data: dict[str, Any], verb: str = "up") -> tuple[Session, list[str]]:
    with open_session("metal", Options(version=version, data=data), folder / "rack") as session:
        place = folder / f"{verb}-{len(list(folder.iterdir()))}"
        with controllers(session, place, tls) as asked:
            getattr(session, verb)()
        return session, asked


def retired() -> dict[str, Any]:
    data = metal()
    data["cluster"]["retire"] = True
    data["pools"]["workers"]["machines"]["wipe_os_disk"] = True
    return data


class TestTheMetalStack:
    """Every power, boot and look at a host is a request that an emulator of Redfish understood."""

    def test_from_empty_to_rolled_to_destroyed(self, tmp_path: Path, tls: Tls) -> None:
        up, asked = run(tmp_path, tls, OLD, metal())
        world = up.rack.world
        assert {n: k.os_image for n, k in world.nodes.items()} == dict.fromkeys(NODES, f"Fedora CoreOS {OLD}")
        resets = "POST /redfish/v1/Systems/{}/Actions/ComputerSystem.Reset"
        for name in NODES:
            assert asked.count(resets.format(system_id(name))) == 1, name
            assert f"PATCH /redfish/v1/Systems/{system_id(name)}" in asked

        rolled, asked = run(tmp_path, tls, NEW, metal())
        world = rolled.rack.world
        assert {n: k.os_image for n, k in world.nodes.items()} == dict.fromkeys(NODES, f"Fedora CoreOS {NEW}")
        assert {h.installs for h in world.hosts.values()} == {2}
        for name in NODES:
            assert asked.count(resets.format(system_id(name))) == 2, name  # off, and on into the installer
        markers = {n: h.markers for n, h in world.hosts.items()}
        assert all(held == f"{n} data" for n, disks in markers.items() for held in disks.values())

        run(tmp_path, tls, NEW, retired())
        gone, asked = run(tmp_path, tls, NEW, retired(), "destroy")
        world = gone.rack.world
        assert {h.power for h in world.hosts.values()} == {"off"}
        assert {c.state for c in world.claims.values()} == {ClaimState.LEFT}
        assert {n: h.markers for n, h in world.hosts.items()} == markers
        assert sorted(n for n, h in world.hosts.items() if h.holds is None) == [n for n in NODES if n.startswith("w")]
        assert [e for e in gone.rack.journal.entries if e["kind"] == "law"] == []
