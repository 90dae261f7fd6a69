"""An inventory becomes a block that a stack file takes, or every problem in it is told; no value of it ever is."""

from __future__ import annotations

import pytest
import yaml

from components.machines.bare_metal import BareMetal
from components.machines.inventory import Inventory, from_csv, from_scan
from lifecycle.hosts import Drive, Inspection
from lifecycle.ports import Power

HEAD = "name,bmc_url,mac,os_disk,fault_domain,data_disks,boot,verify_tls"
W1 = (
    "w1,https://BMC-w1.example:443/redfish/v1/Systems/1/,52-54-00-00-02-01,/dev/disk/by-id/nvme-OS_1,rack-a,"
    "/dev/disk/by-id/nvme-A_1 /dev/disk/by-id/nvme-B_1,virtual-media pxe,false"
)
W2 = "w2,https://bmc-w2.example/redfish/v1/Systems/1,52:54:00:00:02:02,/dev/disk/by-id/nvme-OS_2,rack-b,,,"
SECRET = "s3cret"


def of(*lines: str, head: str = HEAD) -> Inventory:
    return from_csv("\n".join([head, *lines]) + "\n")


class TestCsv:
    """Columns by name, several values with spaces between."""

    def test_becomes_hosts_that_a_stack_file_takes(self) -> None:
        made = of(W1.replace("52-54-00-00-02-01", "52:54:00:00:02:0A"), W2)
        assert made.problems == ()
        hosts = BareMetal.model_validate({"kind": "bare-metal", **yaml.safe_load(made.text())}).hosts
        assert list(hosts) == ["w1", "w2"]
        w1 = hosts["w1"]
        assert w1.bmc.url == "https://bmc-w1.example/redfish/v1/Systems/1"
        assert (w1.bmc.verify_tls, w1.mac, w1.boot) == (False, "52:54:00:00:02:0a", ("virtual-media", "pxe"))
        assert w1.data_disks == ("/dev/disk/by-id/nvme-A_1", "/dev/disk/by-id/nvme-B_1")
        assert hosts["w2"].boot == ("uefi-http", "pxe")

    def test_a_mac_address_stays_text(self) -> None:
        text = of(W2).text()
        assert "mac: '52:54:00:00:02:02'" in text or 'mac: "52:54:00:00:02:02"' in text

    def test_columns_may_come_in_any_order_and_the_optional_ones_not_at_all(self) -> None:
        head = "fault_domain,os_disk,mac,bmc_url,name"
        line = "rack-b,/dev/disk/by-id/nvme-OS_2,52:54:00:00:02:02,https://bmc-w2.example/redfish/v1/Systems/1,w2"
        assert of(line, head=f"\ufeff{head}").hosts == of(W2).hosts


class TestCsvProblems:
    """All at once, each with its line and column, and none with a value."""

    def test_of_many_lines(self) -> None:
        bad = f"W 3,https://u:{SECRET}@bmc-w3/redfish/v1/Systems/1,{SECRET},/dev/sda,,/dev/sdb,{SECRET},maybe"
        made = of(W2, bad, W2)
        told = [problem.partition(": expected")[0] for problem in made.problems]
        assert told == [
            "line 3, verify_tls",
            "line 3, name",
            "line 3, bmc_url",
            "line 3, mac",
            "line 3, boot",
            "line 3, os_disk",
            "line 3, data_disks",
            "line 3, fault_domain",
            "line 4, name",
        ]
        assert SECRET not in "\n".join(made.problems)

    @pytest.mark.parametrize(
        ("head", "text"),
        [
            ("name,bmc_url,mac,os_disk", "none called fault_domain"),
            (f"{HEAD},bmc_password", "found 1 more. Take them out; credentials belong into INGOT_CREDENTIALS_FILE"),
            (f"{HEAD},mac", "line 1: expected each column once"),
            ("", "expected the columns name, bmc_url, mac, os_disk, fault_domain"),
        ],
    )
    def test_of_the_columns(self, head: str, text: str) -> None:
        made = of(f"{W2},{SECRET}", head=head)
        assert text in "\n".join(made.problems)
        assert SECRET not in "\n".join(made.problems)
        assert not made.hosts

    @pytest.mark.parametrize(
        ("lines", "text"),
        [
            ((), "expected a line for each host, found none"),
            ((f"{W2},more",), "line 2: expected 8 cells, found more"),
            ((W2, W2.replace("w2,", "w3,", 1)), "w3, bmc_url: expected one of the host's own, found that of w2"),
            (('"w2', W2), "expected CSV"),
        ],
    )
    def test_of_the_table(self, lines: tuple[str, ...], text: str) -> None:
        assert text in "\n".join(of(*lines).problems)


DISK = Drive("Disk 1", "S4EV", "ACME 960", gib=894.2, bus="nvme")
URL = "https://192.0.2.10/redfish/v1/Systems/1"


class TestScan:
    """What a controller lists, and what a person has to decide."""

    def test_one_port_and_one_drive_leave_nothing_to_decide(self) -> None:
        told = Inspection(Power.ON, "ACME R1", name="W1.metal.example", macs=("52:54:00:00:02:01",), drives=(DISK,))
        made = from_scan([(URL, told)], "rack-a")
        assert made.problems == ()
        host = BareMetal.model_validate({"kind": "bare-metal", **yaml.safe_load(made.text())}).hosts["w1"]
        assert (host.bmc.url, host.os_disk) == (URL, "/dev/disk/by-id/nvme-ACME_960_S4EV")
        assert "# disk: /dev/disk/by-id/nvme-ACME_960_S4EV (894 GiB)" in made.text()

    def test_what_is_open_is_told_and_what_there_is_to_choose_from_shown(self) -> None:
        told = Inspection(Power.OFF, macs=("52:54:00:00:02:01", "52:54:00:00:02:02"), drives=(DISK, DISK))
        made = from_scan([(URL, told)])
        name = "192-0-2-10-1"
        assert [problem.partition(": expected")[0] for problem in made.problems] == [
            f"{name}, mac",
            f"{name}, os_disk",
            f"{name}, fault_domain",
        ]
        assert yaml.safe_load(made.text()) == {"hosts": {name: {"bmc": {"url": URL}}}}
        assert "# ports: 52:54:00:00:02:01, 52:54:00:00:02:02" in made.text()

    def test_two_hosts_of_one_name(self) -> None:
        told = Inspection(Power.ON, name="localhost")
        made = from_scan([(URL, told), (URL.replace(".10", ".11"), told)], "rack-a")
        assert list(made.hosts) == ["localhost", "192-0-2-11-1"]
