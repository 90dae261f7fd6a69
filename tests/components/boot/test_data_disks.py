"""Nothing that a machine is told, whatever runs on it, names a data disk where something is written, or could be.

Of every system, role, architecture and layout of disks. What the lifecycle makes of it is in
tests/rehearsal/test_data_disks.py, whether the programs keep to it in test_scripts.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from components.boot import eraser
from components.boot.contract import Publication
from components.boot.digest import BLANK
from components.boot.ignition import Ignition, parse
from components.boot.systems import SYSTEMS, pool_boot
from components.environment import Environment
from components.machines.contract import Own
from tests.components.boot.fleet import IMAGES, LAYOUTS, changed, fleet
from tests.components.boot.generated import LOCK
from tests.components.boot.test_systems import everything, texts

NAMED = (
    re.compile(r"(^|:)/etc/ingot/(data-disks|mounts)$"),
    re.compile(r"(^|:)/var/lib/ingot/data-disks$"),
)
"""The files that may name one: what must be left alone, and what is mounted and may be formatted while it is blank."""

ERASING = re.compile(
    r"\b(blkdiscard|cfdisk|coreos-installer|cryptsetup|dd|fdisk|flatcar-install|hdparm|mkfs(\.\w+)?|mkswap|nvme\s|parted|pvcreate"
    r"|sfdisk|sgdisk|shred|sg_format|truncate|wipefs|zpool)(?![\w.-])"
)
"""Programs that can take a disk's contents."""

ERASES: dict[str, tuple[str, ...]] = {
    # It looks, and says so; without --all it writes nothing (wipefs(8)).
    "ingot-guard": (r'found=\$\(wipefs --noheadings --output TYPE "\$disk" ',),
    "ingot-erase": (
        r'^blkdiscard --force "\$disk" \|\| echo ',
        r'^wipefs --all --force "\$part"$',
        r'^dd if=/dev/zero of="\$disk" bs=1M count=1 seek="\$at" ',
        r'^left=\$\(dd if="\$disk" ',
        r'^\[ -z "\$\(wipefs --noheadings "\$disk"\)" \] ',
    ),
    "ingot-install": (
        r"disk=\$\(readlink --canonicalize-existing",
        r'sed --quiet .*"\$\(command -v flatcar-install\)"',
        r'flatcar-install -d "\$disk" -f "\$image" -i "\$etc/installed\.ign"$',
    ),
}
"""Of our programs, the lines that may name one of these."""


@dataclass(frozen=True)
class Told:
    """One host, all that it is told, and what of that is published. texts: by where they are."""

    own: Own
    texts: dict[str, bytes]
    publication: Publication

    def ignitions(self) -> Iterator[Ignition]:
        return (parse(text) for text in self.texts.values() if text.startswith(b'{"ignition"'))


def hosts(os: str, architecture: str, layout: str) -> Iterator[Told]:
    document = fleet() | {"image": IMAGES[os][0] | {"architecture": architecture}}
    for at, value in LAYOUTS[layout].items():
        if os == "talos" and at == "settings":
            continue
        document = changed(document, at, value)
    stack = Environment.model_validate(document)
    for pool, name, _ in stack.hosts():
        boot, own = pool_boot(stack, LOCK, pool), stack.pools[pool].machines.own(name)
        found = everything(boot, own, BLANK)
        if SYSTEMS[os].live is not None:
            erases = eraser.publication(stack, LOCK, own, SYSTEMS)
            found |= {
                f"erasing {path}:{at}": text for path, data in erases.files.items() for at, text in texts(data).items()
            }
            assert not [a for a in erases.kernel_arguments for disk in (own.os_disk, *own.kept_disks) if disk in a]
        yield Told(own, found, boot.publication(own, BLANK))


@pytest.fixture(scope="module")
def told() -> list[Told]:
    """Every host of the matrix."""
    found = [
        told
        for os in SYSTEMS
        for architecture in ("x86_64", "aarch64")
        for layout in LAYOUTS
        for told in hosts(os, architecture, layout)
    ]
    assert len(found) == len(SYSTEMS) * 2 * len(LAYOUTS) * 6
    assert sum(bool(t.own.kept_disks) for t in found) > len(found) / 3
    return found


class TestADataDisk:
    """Is named to what leaves it alone, and to nothing else."""

    def test_is_in_no_other_text(self, told: list[Told]) -> None:
        for host in told:
            for at, text in host.texts.items():
                for disk in host.own.data_disks:
                    bare = text if not text.startswith(b'{"ignition"') else b""
                    assert disk.encode() not in bare or any(p.search(at) for p in NAMED), (host.own.name, at)

    def test_is_no_kernel_argument(self, told: list[Told]) -> None:
        for host in told:
            script = b"".join(data for path, data in host.publication.files.items() if path.endswith(".ipxe")).decode()
            for disk in host.own.kept_disks:
                assert disk not in script
                assert not any(disk in argument for argument in host.publication.kernel_arguments)

    def test_is_never_partitioned_or_wiped_by_ignition(self, told: list[Told]) -> None:
        """One that the stack file mounts is formatted while it is blank (components/boot/settings.py), by no option
        that would take what is there."""
        seen = 0
        for host in told:
            mounts = {mount.disk for mount in host.own.mounts}
            for made in host.ignitions():
                seen += 1
                assert made.storage.disks == ()
                assert {f.device for f in made.storage.filesystems} <= mounts
                for filesystem in made.storage.filesystems:
                    assert not filesystem.wipe_filesystem
                    assert filesystem.options == ()
                paths = [node.path for node in (*made.storage.files, *made.storage.links, *made.storage.directories)]
                assert not [path for path in paths if path.startswith("/dev")]
        assert seen

    def test_is_named_to_talos_as_a_volume_alone(self, told: list[Told]) -> None:
        """A user volume takes a disk that is blank, or holds that very volume; `machine.disks` would partition one."""
        seen = 0
        for host in told:
            for document in documents(host):
                seen += 1
                machine = document.get("machine", {})
                assert not machine.keys() & {"disks", "systemDiskEncryption"}
                if document.get("kind") == "UserVolumeConfig":
                    match = document["provisioning"]["diskSelector"]["match"]
                    assert match in {f'"{mount.disk}" in disk.symlinks' for mount in host.own.mounts}
                else:
                    assert not any(disk in json.dumps(document) for disk in host.own.kept_disks)
        assert seen


def documents(host: Told) -> Iterator[dict[str, Any]]:
    """Of a Talos configuration, without its files."""
    for at, text in host.texts.items():
        if at == "configuration:" and text.startswith(b"["):
            yield from json.loads(text)


class TestWhatIsWritten:
    """Is the OS disk of the host, by its stable id, whoever writes."""

    def test_is_what_the_installer_is_told(self, told: list[Told]) -> None:
        for host in told:
            argument = [a for a in host.publication.kernel_arguments if a.startswith("coreos.inst.install_dev=")]
            files = [text.decode() for at, text in host.texts.items() if at.endswith(":/etc/ingot/os-disk")]
            disks = [d["machine"]["install"]["disk"] for d in documents(host) if "install" in d.get("machine", {})]
            named = {a.partition("=")[2] for a in argument} | {text.rstrip("\n") for text in files}
            # The pool's part of a Talos configuration names a disk that is nowhere, the node's own comes over it.
            named |= set(disks[-1:])
            assert named == {host.own.os_disk}, host.own.name

    def test_is_in_no_program_of_ours_but_these_lines(self, told: list[Told]) -> None:
        """Any other use of a program that can take a disk's contents is looked at before it is let in here."""
        seen = set()
        for host in told:
            for at, text in host.texts.items():
                if text.startswith((b'{"ignition"', b"[", b"{", b"#!ipxe", b"-----BEGIN")):
                    continue
                program = at.rpartition("/")[2]
                for line in text.decode().splitlines():
                    code = line.strip()
                    if code.startswith("#") or not ERASING.search(code):
                        continue
                    seen.add(program)
                    allowed = ERASES.get(program, ())
                    assert any(re.search(pattern, code) for pattern in allowed), f"{at}: {code}"
        assert seen == {"ingot-erase", "ingot-guard", "ingot-install"}

    def test_is_in_no_unit(self, told: list[Told]) -> None:
        for host in told:
            for made in host.ignitions():
                for unit in made.systemd.units:
                    for text in (unit.contents or "", *(dropin.contents or "" for dropin in unit.dropins)):
                        commands = [line for line in text.splitlines() if line.startswith(("Exec", "What"))]
                        assert not [c for c in commands if ERASING.search(c)], unit.name
                        for disk in host.own.kept_disks:
                            assert disk not in text or unit.name.endswith(".mount"), unit.name


class TestAfterThePowerWasCut:
    """A machine that has joined starts from its own disk: nothing that runs then asks the boot store."""

    def test_nothing_needs_the_boot_store(self, told: list[Told]) -> None:
        seen = 0
        for host in told:
            installed = host.texts.get("configuration:", b"")
            if not installed.startswith(b'{"ignition"'):
                continue
            asking = {
                at.rpartition("/")[2]
                for at, text in host.texts.items()
                if at.startswith("configuration:/") and b"INGOT_STORE/" in text
            }
            assert asking == {"ingot-join", "ingot-report"}
            for unit in parse(installed).systemd.units:
                if any(f"/{name}" in (unit.contents or "") for name in asking):
                    seen += 1
                    assert "ConditionPathExists=!/etc/kubernetes/kubelet.conf\n" in (unit.contents or "")
        assert seen
