"""components/boot/eraser.py: what erases an OS disk, run on disks that are files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from components.boot import eraser, layout
from components.boot.contract import BootConfigurationError, Publication
from components.boot.ignition import inlined, parse
from components.boot.pin import eraser as pin_eraser
from components.boot.pin import pins, publish_eraser
from components.boot.systems import SYSTEMS
from components.environment import Environment
from components.images.lock import Lock
from components.machines.contract import Own
from lifecycle.ports import Claim, ClaimState, Erasure
from tests.components.boot.fleet import IMAGES

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
MIB = 1 << 20
LIVE = [name for name, system in SYSTEMS.items() if system.live is not None]
OWN = Own("w1", "/dev/disk/by-id/os", ("/dev/disk/by-id/data-1",), "")


def made(environment: Environment, lock: Lock, own: Own = OWN) -> Publication:
    return eraser.publication(environment, lock, own, SYSTEMS)


class TestPublication:
    """A live system that installs nothing."""

    @pytest.mark.parametrize("os", LIVE)
    def test_fetches_no_image_and_runs_no_installer(self, os: str, environment: Environments, lock: Locks) -> None:
        found = made(environment({"image": IMAGES[os][0]}), lock())
        (data,) = (data for path, data in found.files.items() if path.endswith(".ign"))
        configuration = parse(data)
        assert not [f.path for f in configuration.storage.files if f.contents and inlined(f.contents) is None]
        assert not [u for u in configuration.systemd.units if "install" in u.name]
        assert not [a for a in found.kernel_arguments if "inst" in a.split("=")[0]]
        unit = next(u for u in configuration.systemd.units if u.name == eraser.UNIT)
        assert "metal" not in found.keeps
        assert "pxe-kernel" in found.keeps
        assert "builds.example" not in b"".join(found.files.values()).decode()
        assert "SuccessAction=poweroff\n" in (unit.contents or "")
        assert "Restart=" not in (unit.contents or "")

    @pytest.mark.parametrize("os", LIVE)
    def test_changes_nothing_in_place(self, os: str, environment: Environments, lock: Locks) -> None:
        found = made(environment({"image": IMAGES[os][0]}), lock())
        assert SYSTEMS[os].mutations(found.files) == ()

    def test_is_named_by_what_it_is(self, environment: Environments, lock: Locks) -> None:
        stack = environment()
        one, other = made(stack, lock()), made(stack, lock(), replace(OWN, os_disk="/dev/disk/by-id/other"))
        assert one == made(stack, lock())
        assert one.generation != other.generation
        assert one.boot_url == layout.boot_url(stack.store_url, one.generation, "w1")

    def test_never_is_a_generation_that_is_installed(self, environment: Environments, lock: Locks) -> None:
        stack = environment()
        assert made(stack, lock()).generation not in {p.generation for p in pins(stack, lock()).values()}

    def test_takes_a_pools_image_where_the_fleets_cannot(self, environment: Environments, lock: Locks) -> None:
        stack = environment({"image": IMAGES["talos"][0], "pools/hci/image": IMAGES["flatcar"][0]})
        assert b"flatcar.first_boot" in b"".join(made(stack, lock()).files.values())

    def test_of_talos_alone_is_refused(self, environment: Environments, lock: Locks) -> None:
        with pytest.raises(BootConfigurationError, match="whose live system can erase a disk"):
            made(environment({"image": IMAGES["talos"][0]}), lock())


class TestPin:
    """Of a claim, whether the stack file names its host or not."""

    def claim(self, environment: Environment, lock: Lock) -> Claim:
        pin = pins(environment, lock)["w1"]
        return Claim("metal", "w9", "g1", ClaimState.LEFT, pin.controller, pin.pool, pin.role, pin.stores)

    def test_publishes_what_it_names(self, environment: Environments, lock: Locks) -> None:
        stack = environment()
        erasure = Erasure("/dev/disk/by-id/os", ("/dev/disk/by-id/data-1",), "52:54:00:00:00:09")
        pin = pin_eraser(stack, lock(), self.claim(stack, lock()), erasure)
        assert (pin.erases, pin.os_disk, pin.data_disks, pin.mac) == (
            True,
            erasure.os_disk,
            erasure.data_disks,
            erasure.mac,
        )
        found = publish_eraser(stack, lock(), pin)
        assert pin.boot_url in {f"{stack.store_url}/{path}" for path in found.files}

    def test_of_a_disk_that_holds_data_is_refused(self, environment: Environments, lock: Locks) -> None:
        stack = environment()
        erasure = Erasure("/dev/disk/by-id/a", ("/dev/disk/by-id/a",), "52:54:00:00:00:09")
        with pytest.raises(BootConfigurationError, match="among its data disks"):
            pin_eraser(stack, lock(), self.claim(stack, lock()), erasure)

    def test_asking_for_it_replaces_no_machine(self, environment: Environments, lock: Locks) -> None:
        before = {name: pin.generation for name, pin in pins(environment(), lock()).items()}
        after = pins(environment({"pools/hci/machines/wipe_os_disk": True}), lock())
        assert {name: pin.generation for name, pin in after.items()} == before
        assert {name for name, pin in after.items() if pin.wipe_os_disk} == {"w1", "w2", "w3"}
        one = pins(environment({"pools/hci/machines/hosts/w2/wipe_os_disk": True}), lock())
        assert {name for name, pin in one.items() if pin.wipe_os_disk} == {"w2"}


LSBLK = """\
#!/bin/bash
case "$*" in
  *TYPE*) cat "$STAND/type" ;;
  *MOUNTPOINTS*) cat "$STAND/mounted" ;;
  *NAME*) echo "${@: -1}" ;;
esac
"""
BLOCKDEV = """\
#!/bin/bash
if [ "$1" = --getsize64 ]; then stat --dereference --format %s "$2"; fi
"""
needs_wipefs = pytest.mark.skipif(shutil.which("wipefs") is None, reason="wipefs is not installed")


class Machine:
    """Two disks of a few MiB that hold something from end to end, as files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("bin", "etc", "dev"):
            (root / folder).mkdir()
        for disk in ("sda", "sdb"):
            (root / "dev" / disk).write_bytes(b"D" * 4 * MIB)
        (root / "os").symlink_to(root / "dev" / "sda")
        (root / "data").symlink_to(root / "dev" / "sdb")
        (root / "etc" / "os-disk").write_text(f"{root}/os\n")
        (root / "etc" / "data-disks").write_text(f"{root}/data\n")
        (root / "type").write_text("disk\n")
        (root / "mounted").write_text("\n")
        programs = {
            "lsblk": LSBLK,
            "blockdev": BLOCKDEV,
            "blkdiscard": '#!/bin/bash\necho "$@" >> "$STAND/discarded"\nexit 1\n',
            "erase": eraser.ERASE,
        }
        for name, text in programs.items():
            (root / "bin" / name).write_text(text)
            (root / "bin" / name).chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin"
        variables = {"PATH": path, "STAND": str(self.root), "INGOT_ETC": str(self.root / "etc")}
        argv = [str(self.root / "bin" / "erase")]
        return subprocess.run(argv, env=variables, capture_output=True, text=True, check=False, timeout=60)

    def disk(self, name: str) -> bytes:
        return (self.root / "dev" / name).read_bytes()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@needs_wipefs
class TestErase:
    """The OS disk, and no other."""

    def test_its_first_and_last_mib_and_all_it_can_discard(self, machine: Machine) -> None:
        done = machine.run()
        assert done.returncode == 0, done.stderr
        erased = machine.disk("sda")
        assert (erased[:MIB], erased[-MIB:], len(erased)) == (bytes(MIB), bytes(MIB), 4 * MIB)
        assert (machine.root / "discarded").read_text() == f"--force {machine.root}/dev/sda\n"
        assert machine.disk("sdb") == b"D" * 4 * MIB

    def test_again_is_no_failure(self, machine: Machine) -> None:
        assert [machine.run().returncode for _ in range(2)] == [0, 0]

    @pytest.mark.parametrize(
        ("file", "text", "said"),
        [
            ("etc/data-disks", "{root}/data\n{root}/dev/sda\n", "expected a disk of its own, found the data disk"),
            ("type", "part\n", "expected a whole disk, found part"),
            ("mounted", "/sysroot\n", "it mounted at /sysroot"),
        ],
    )
    def test_refuses(self, file: str, text: str, said: str, machine: Machine) -> None:
        (machine.root / file).write_text(text.format(root=machine.root))
        done = machine.run()
        assert done.returncode != 0
        assert said in done.stderr
        assert "nothing was erased" in done.stderr
        assert (machine.disk("sda"), machine.disk("sdb")) == (b"D" * 4 * MIB, b"D" * 4 * MIB)
        assert not (machine.root / "discarded").exists()

    def test_a_disk_that_is_not_there_is_a_failure(self, machine: Machine) -> None:
        (machine.root / "etc" / "os-disk").write_text(f"{machine.root}/none\n")
        assert machine.run().returncode != 0

    def test_a_write_that_did_not_take_is_a_failure(self, machine: Machine) -> None:
        (machine.root / "bin" / "dd").write_text(
            '#!/bin/bash\ncase "$*" in if=/dev/zero*) ;; *) exec /bin/dd "$@" ;; esac\n'
        )
        (machine.root / "bin" / "dd").chmod(0o755)
        done = machine.run()
        assert done.returncode != 0
        assert "expected zeros at 0 MiB" in done.stderr


class TestReports:
    """What the boot store takes for a report."""

    def test_are_words_that_it_knows(self) -> None:
        from lifecycle.adapters.boot_store import STATES

        said = {
            line.rpartition(" ")[2].rstrip("'") for line in eraser.unit("/p").splitlines() if "ingot-report" in line
        }
        assert said - {"failed"} <= STATES.keys()
        assert json.dumps(sorted(said)) == '["erased", "erasing", "failed"]'
