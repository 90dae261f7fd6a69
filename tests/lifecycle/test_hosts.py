"""What can be proven of declared hosts, what cannot, and what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lifecycle.errors import NeedsAttention, PortError
from lifecycle.hosts import Drive, Finding, Inspection, Proof, is_disk, judge, stable_id
from lifecycle.ports import BootMethod, Controller, Pin, Power
from tests.lifecycle.fleets import pin

HTTP, PXE = BootMethod.UEFI_HTTP, BootMethod.PXE
OS, DATA = "/dev/disk/by-id/nvme-ACME_960_S4EVNX01", "/dev/disk/by-id/nvme-ACME_3840_S4EVNX02"
DRIVES = (Drive("Disk 0", "S4EVNX01", "ACME 960", gib=894), Drive("Disk 1", "S4EVNX02", "ACME 3840"))


def declared(node: str = "w1", **changes: object) -> Pin:
    return pin(node, boot=(HTTP, PXE), **{"os_disk": OS, "data_disks": (DATA,), **changes})


def told(**changes: object) -> Inspection:
    whole = Inspection(
        Power.ON,
        model="ACME R1",
        serial="CZ001",
        uuid="5e1f0a4e-0001",
        macs=(declared().mac, "02:00:00:00:99:99"),
        drives=DRIVES,
        ways={HTTP: "", PXE: ""},
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # a bag of fields, checked by what uses them


def of(what: str, found: tuple[Finding, ...], host: str = "w1") -> tuple[Proof, str]:
    [one] = [f for f in found if (f.host, f.what) == (host, what)]
    return one.proof, one.found


class TestWhole:
    """A host that is as declared."""

    def test_is_proven_in_all(self) -> None:
        found = judge({"w1": declared()}, {"w1": told()})
        assert {f.proof for f in found} == {Proof.PROVEN}
        assert [f.what for f in found] == ["controller", "boot", "mac", "OS disk", "data disk"]
        assert of("controller", found)[1] == "ACME R1, serial number CZ001; power on"
        assert of("OS disk", found)[1] == "nvme-ACME_960_S4EVNX01: Disk 0, 894 GiB"


class TestController:
    """One that cannot be asked is wrong, and said in its own words."""

    @pytest.mark.parametrize("kind", [PortError, NeedsAttention])
    def test_the_error_is_the_finding(self, kind: type[PortError | NeedsAttention]) -> None:
        [found] = judge({"w1": declared()}, {"w1": kind("BMC of w1 at https://x", "HTTP 401", "correct it")})
        assert found == Finding("w1", "controller", Proof.WRONG, "BMC of w1 at https://x: HTTP 401", "correct it")

    def test_another_kind_of_machine_is_not_asked(self) -> None:
        there = declared(controller=Controller("ec2://eu-central-1/c/w1"))
        [found] = judge({"w1": there}, {"w1": None})
        assert (found.proof, found.found) == (Proof.UNPROVEN, "switched by ec2, which is not asked")


class TestMachine:
    """Two hosts that are one machine, whatever their controllers are called."""

    @pytest.mark.parametrize("same", [{"serial": ""}, {"uuid": ""}])
    def test_by_what_it_says_of_itself(self, same: dict[str, str]) -> None:
        pins = {"w1": declared(), "w2": declared("w2")}
        found = judge(pins, {"w1": told(**same), "w2": told(**same)})
        assert of("machine", found)[0] is Proof.WRONG
        assert "the same one as w1" in of("machine", found, "w2")[1]

    @pytest.mark.parametrize(
        "nothing", ["", "0", "None", "To be filled by O.E.M.", "00000000-0000-0000-0000-000000000000"]
    )
    def test_what_no_maker_wrote_says_nothing(self, nothing: str) -> None:
        pins = {"w1": declared(), "w2": declared("w2")}
        found = judge(pins, dict.fromkeys(pins, told(serial=nothing, uuid=nothing)))
        assert not [f for f in found if f.what == "machine"]


class TestBoot:
    """One open way is enough; why the others are not is told with it."""

    def test_the_first_that_is_open(self) -> None:
        found = judge({"w1": declared()}, {"w1": told(ways={HTTP: "no ipxe.efi", PXE: ""})})
        assert of("boot", found) == (Proof.PROVEN, "pxe (uefi-http: no ipxe.efi)")

    def test_none(self) -> None:
        found = judge({"w1": declared()}, {"w1": told(ways={HTTP: "no ipxe.efi", PXE: "not offered"})})
        assert of("boot", found) == (Proof.WRONG, "uefi-http: no ipxe.efi; pxe: not offered")


class TestMac:
    """Of a port that the controller lists."""

    def test_none_listed(self) -> None:
        assert of("mac", judge({"w1": declared()}, {"w1": told(macs=None)}))[0] is Proof.UNPROVEN

    def test_not_among_those_listed_is_no_proof_of_the_opposite(self) -> None:
        found = judge({"w1": declared()}, {"w1": told(macs=("02:00:00:00:99:99",))})
        assert of("mac", found) == (Proof.UNPROVEN, f"{declared().mac} is none of 02:00:00:00:99:99")

    def test_of_another_host(self) -> None:
        pins = {"w1": declared(), "w2": declared("w2")}
        seen = {"w1": told(macs=(pins["w2"].mac,)), "w2": told(macs=(pins["w1"].mac,), serial="2", uuid="2")}
        assert of("mac", judge(pins, seen)) == (Proof.WRONG, f"{pins['w1'].mac} is a port of w2")


class TestDisks:
    """By serial number, or by a name for the whole world."""

    @pytest.mark.parametrize(
        ("disk", "drive", "same"),
        [
            (OS, Drive("0", "S4EVNX01"), True),
            (f"{OS}_1", Drive("0", "S4EVNX01"), True),  # with its namespace, as newer udev makes it
            (OS, Drive("0", " s4evnx01 "), True),
            (OS, Drive("0", "S4EVNX0"), False),
            (OS, Drive("0", "X01"), False),
            ("/dev/disk/by-id/ata-ACME_1-2_3_ZX_81", Drive("0", "ZX 81"), True),
            ("/dev/disk/by-id/wwn-0x5000c500a1b2c3d4", Drive("0", "", names=("naa.5000C500A1B2C3D4",)), True),
            ("/dev/disk/by-id/scsi-35000c500a1b2c3d4", Drive("0", "", names=("5000c500a1b2c3d4",)), True),
            ("/dev/disk/by-id/nvme-eui.0025385b11b2c3d4", Drive("0", "", names=("eui.0025385B11B2C3D4",)), True),
            ("/dev/disk/by-id/nvme-eui.0025385b11b2c3d4", Drive("0", "", names=("00-25-38-5B-11-B2-C3-D5",)), False),
        ],
    )
    def test_which_names_which(self, disk: str, drive: Drive, same: bool) -> None:
        assert is_disk(disk, drive) is same

    def test_of_another_host(self) -> None:
        pins = {"w1": declared(), "w2": declared("w2")}
        seen = {"w1": told(drives=DRIVES[1:]), "w2": told(drives=DRIVES[:1], serial="2", uuid="2")}
        found = judge(pins, seen)
        assert of("OS disk", found) == (Proof.WRONG, "nvme-ACME_960_S4EVNX01 is in w2")

    @pytest.mark.parametrize(
        ("drives", "text"),
        [
            (None, "its controller lists no drives"),
            (DRIVES[1:], "is none of those that its controller lists: S4EVNX02"),
        ],
    )
    def test_what_is_not_listed_is_not_proven(self, drives: tuple[Drive, ...] | None, text: str) -> None:
        proof, found = of("OS disk", judge({"w1": declared()}, {"w1": told(drives=drives)}))
        assert proof is Proof.UNPROVEN
        assert text in found

    def test_a_path_says_nothing_to_a_controller(self) -> None:
        there = declared(os_disk="/dev/disk/by-path/pci-0000:01:00.0-nvme-1")
        assert of("OS disk", judge({"w1": there}, {"w1": told()}))[0] is Proof.UNPROVEN


class TestStableId:
    """The name that udev most likely gives a drive."""

    @pytest.mark.parametrize(
        ("drive", "path"),
        [
            (Drive("0", "S4EVNX01", "ACME 960", bus="nvme"), OS),
            (Drive("0", "ZX81", "ACME HD", bus="sata"), "/dev/disk/by-id/ata-ACME_HD_ZX81"),
            (Drive("0", "ZX81", "ACME", ("5000C500A1B2C3D4",), bus="sas"), "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4"),
            (Drive("0", "ZX81", "ACME"), ""),
            (Drive("0", "", "ACME", bus="nvme"), ""),
        ],
    )
    def test_of_what_is_told(self, drive: Drive, path: str) -> None:
        assert stable_id(drive) == path
        assert not path or is_disk(path, drive)
