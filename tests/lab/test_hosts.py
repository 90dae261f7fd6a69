"""`ingot hosts` against real controllers over HTTPS: the table, the exit code, and nothing that was changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.hosts import NOT_AS_DECLARED, app
from lab import redfish
from lab.layout import HOST, Layout
from lab.redfish_front import SYSTEMS, ControllerFront
from tests.lab.controllers import controllers_alone
from tests.lab.site import mac
from tests.lifecycle.adapters.wire_server import silent_port

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[2]
DISK = "/dev/disk/by-id/nvme-C123_1234570"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    yield from controllers_alone(tmp_path_factory.mktemp("redfish"), 9)


@dataclass
class Project:
    """A checkout whose stack file names the emulator's systems, and whoever runs `ingot hosts` in it."""

    folder: Path
    front: ControllerFront
    hosts: dict[str, dict[str, Any]]
    document: dict[str, Any]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        path = self.folder / "stacks/Pulumi.metal.yaml"
        path.write_text(yaml.safe_dump(self.document), encoding="utf-8")
        done = CliRunner().invoke(app, list(arguments))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    def findings(self) -> tuple[int, dict[tuple[str, str], tuple[str, str]]]:
        code, out, _ = self.run("check", "metal", "--json", "--limit", "60")
        found = json.loads(out)["findings"]
        return code, {(f["host"], f["what"]): (f["proof"], f["found"]) for f in found}


@pytest.fixture
def project(emulator: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "Pulumi.yaml").write_text((PROJECT / "Pulumi.yaml").read_text())
    (tmp_path / "stacks/images.lock.json").write_text((PROJECT / "stacks/images.lock.json").read_text())
    document = yaml.safe_load((PROJECT / "stacks/Pulumi.metal.yaml").read_text())
    environment = document["config"]["ingot:environment"]
    environment["boot_store"]["directory"] = str(tmp_path / "store")
    hosts = {n: h for pool in environment["pools"].values() for n, h in pool["machines"]["hosts"].items()}
    monkeypatch.chdir(tmp_path)
    for name in ("INGOT_CREDENTIALS_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INGOT_BMC_USERNAME", redfish.USERNAME)
    monkeypatch.setenv("INGOT_BMC_PASSWORD", redfish.PASSWORD)
    monkeypatch.setenv("INGOT_BMC_CA_FILE", str(emulator.bmc_authority().pair.certificate))
    with ControllerFront(emulator) as front:
        for number, host in enumerate(hosts.values(), 1):
            host["bmc"]["url"], host["mac"] = front.system_url(number), mac(number)
        yield Project(tmp_path, front, hosts, document)


class TestCheck:
    """Every controller is asked, and none is changed."""

    def test_what_is_as_declared(self, project: Project) -> None:
        project.hosts["w1"]["os_disk"] = DISK
        code, found = project.findings()
        assert code == 0
        for host in project.hosts:
            assert found[host, "controller"] == ("proven", "Sushy Emulator; power on")
            assert found[host, "mac"] == ("proven", project.hosts[host]["mac"])
            assert found[host, "boot"] == ("proven", "pxe (uefi-http: the boot store has no ipxe.efi)")
        assert found["w1", "OS disk"] == ("proven", "nvme-C123_1234570: Disk 1, 100 GiB")
        assert found["cp1", "OS disk"][0] == "not proven"
        assert {e.asked.method for e in project.front.exchanges} == {"GET"}

    def test_what_is_not_is_named_beside_the_rest(self, project: Project) -> None:
        port = silent_port()
        project.hosts["w2"]["bmc"]["url"] = f"https://{HOST}:{port}{SYSTEMS}1"
        project.hosts["w3"]["boot"] = ["uefi-http"]
        project.hosts["w4"]["mac"], project.hosts["w5"]["mac"] = mac(8), mac(7)
        code, found = project.findings()
        assert code == NOT_AS_DECLARED
        proof, text = found["w2", "controller"]
        assert (proof, f"BMC of w2 at https://{HOST}:{port}" in text, "Connection refused" in text) == (
            "wrong",
            True,
            True,
        )
        assert found["w3", "boot"] == ("wrong", "uefi-http: the boot store has no ipxe.efi")
        assert found["w4", "mac"] == ("wrong", f"{mac(8)} is a port of w5")
        assert found["w1", "controller"][0] == "proven"

    def test_one_machine_behind_two_addresses(self, project: Project, emulator: Layout) -> None:
        project.hosts["w2"]["bmc"]["url"] = redfish.system_url(emulator, 4)  # w1's, not by way of the front
        code, found = project.findings()
        assert code == NOT_AS_DECLARED
        assert found["w1", "machine"][1].startswith("the same one as w2: ")

    def test_a_wrong_password_is_not_shown(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INGOT_BMC_PASSWORD", "s3cret")
        code, out, err = project.run("check", "metal")
        assert code == NOT_AS_DECLARED
        assert "the credentials are refused" in " ".join(out.split())
        assert "s3cret" not in out + err


class TestScan:
    """What controllers list becomes a block, and what a person has to decide is told."""

    def test_of_all_systems_of_one_controller(self, project: Project) -> None:
        code, out, err = project.run("import", f"{HOST}:{project.front.port}", "--fault-domain", "rack-a")
        hosts = yaml.safe_load(out)["hosts"]
        assert (code, err) == (0, "")
        assert {h["mac"] for h in hosts.values()} == {mac(number) for number in range(1, 10)}
        assert {h["os_disk"] for h in hosts.values()} == {DISK}
        assert {h["bmc"]["url"] for h in hosts.values()} == {project.front.system_url(n) for n in range(1, 10)}
        assert {e.asked.method for e in project.front.exchanges} == {"GET"}

    def test_an_address_that_is_silent_is_named_beside_the_rest(self, project: Project) -> None:
        silent = f"{HOST}:{silent_port()}"
        code, out, err = project.run("import", silent, f"{HOST}:{project.front.port}", "--limit", "30")
        assert code == 1
        assert len(yaml.safe_load(out)["hosts"]) == 9
        assert f"BMC of {silent}" in err
        assert err.count("fault_domain: expected") == 9
