"""What the boot store publishes for one node of Fedora CoreOS: the live system that installs the pinned image.

The live system runs from memory. It fetches the pinned image from the boot store, checks its digest (Ignition) and the
publisher's signature (coreos-installer), writes it to the one disk named as the OS disk, and reboots.
No other disk is ever named to the installer. Nothing is published that switches a check off.
docs/decisions/0013.md says why it is done this way.
"""

from __future__ import annotations

from typing import Final

from components.boot import ipxe, layout, scripts
from components.boot.contract import BootConfigurationError, Publication
from components.boot.files import data_disks_file, environment_file, generation_file, mounts_file, program
from components.boot.ignition import (
    Dropin,
    File,
    Ignition,
    Resource,
    Storage,
    Systemd,
    Unit,
    canonical_json,
    fetched,
    inline,
)
from components.boot.ignition_node import Installed
from components.images.artifacts import INITRAMFS, KERNEL, METAL, ROOTFS
from components.machines.contract import Own

LIVE_ARTIFACTS: Final = (KERNEL, INITRAMFS, ROOTFS)
"""What starts the live system."""
ARTIFACTS: Final = (*LIVE_ARTIFACTS, METAL)
"""What an installation boots and writes."""
IMAGE: Final = "/var/lib/ingot/metal.raw.xz"
INSTALLED: Final = "/etc/ingot/installed.ign"
INSTALLER: Final = "coreos-installer.service"
SETTINGS: Final = "/etc/coreos/installer.d/10-ingot.yaml"


def publication(pool: Installed, own: Own, generation: str) -> Publication:
    """Everything that a host of `pool` fetches from the boot store to become the node `own`.

    generation: what digest.digest begins with. Raises BootConfigurationError if the image cannot be
    verified, or a value would mean more than itself on a kernel command line.
    """
    release, store, at = (
        pool.asked.release,
        pool.asked.environment.store_url,
        layout.installer(generation, own.name),
    )
    live = live_configuration(pool, own, pool.with_generation(own, generation), generation)
    rootfs_url = ipxe.kept_url(store, release, ROOTFS)
    arguments = kernel_arguments(rootfs_url=rootfs_url, ignition_url=f"{store}/{at}", os_disk=own.os_disk)
    files = {at: live.to_bytes()}
    return ipxe.publication(own.name, generation, release, store, arguments, files, keeps=ARTIFACTS)


def kernel_arguments(*, rootfs_url: str, ignition_url: str, os_disk: str) -> tuple[str, ...]:
    """Of the live system. `coreos.inst.ignition_url` is not among them: it would switch the check of the
    installed configuration off, so that one is inside the live system's."""
    return (*live_arguments(rootfs_url, ignition_url), f"coreos.inst.install_dev={os_disk}")


def live_arguments(rootfs_url: str, ignition_url: str) -> tuple[str, ...]:
    """Of a live system that installs nothing."""
    return (
        f"initrd={ipxe.INITRD}",
        f"coreos.live.rootfs_url={rootfs_url}",
        "ignition.firstboot",
        "ignition.platform.id=metal",
        f"ignition.config.url={ignition_url}",
    )


def live_configuration(pool: Installed, own: Own, installed: Ignition, generation: str) -> Ignition:
    """The live system's own configuration: the image, checked by digest; the installed system's
    configuration; how to install them; and the guard that keeps the installer from a data
    disk, and the first boot from formatting one that holds something."""
    release, store = pool.asked.release, pool.asked.environment.store_url
    metal = release.artifact(METAL)
    if metal.signature is None:
        problem = f"expected a signature of {METAL}, found none; pin {release} again from the publisher's metadata"
        raise BootConfigurationError(own.name, (problem,))
    settings = canonical_json({"ignition-file": INSTALLED, "image-file": IMAGE})
    files = (
        File(path=IMAGE, mode=0o600, contents=fetched(f"{store}/{layout.kept(metal)}", metal.sha256)),
        # coreos-installer looks for it beside the image, and accepts only the publisher's keys, which
        # came with the live system: the signature needs no digest.
        File(path=f"{IMAGE}.sig", mode=0o600, contents=Resource(source=f"{store}/{layout.kept_signature(metal)}")),
        File(path=INSTALLED, mode=0o600, contents=inline(installed.to_bytes())),
        File(path=SETTINGS, mode=0o644, contents=inline(settings)),
        File(path=scripts.OS_DISK, mode=0o644, contents=inline(f"{own.os_disk}\n")),
        data_disks_file(own),
        environment_file(pool.asked.environment, own.name, "installer"),
        generation_file(generation),
        mounts_file(own),
        program(scripts.PROGRAMS, "ingot-guard", scripts.GUARD),
        program(scripts.PROGRAMS, "ingot-report", scripts.REPORT),
    )
    guard = scripts.guard_unit(scripts.PROGRAMS, installer=INSTALLER)
    dropin = Dropin(name="10-ingot.conf", contents=scripts.INSTALLER_DROPIN)
    units = (
        Unit(name=INSTALLER, dropins=(dropin,)),
        Unit(name="ingot-guard.service", enabled=True, contents=guard),
    )
    return Ignition(
        storage=Storage(files=tuple(sorted(files, key=lambda f: f.path))),
        systemd=Systemd(units=units),
    )
