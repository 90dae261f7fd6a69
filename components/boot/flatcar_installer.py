"""What the boot store publishes for one node of Flatcar: the live system that installs the pinned image.

The live system runs from memory. Ignition fetches the pinned image from the boot store and checks its digest;
`ingot-install` checks the publisher's signature and hands the image to `flatcar-install`, with the one disk that is
named as the OS disk and the installed system's configuration; then the machine reboots.

What `flatcar-install` does (bin/flatcar-install in github.com/flatcar/init at 3298243): `-d` the disk, `-i` the
configuration, which it copies to the partition labelled OEM as config.ign, where the first boot reads it. It
checks a signature only of what it downloads itself, and no digest ever; `-f`, a local image, is "unverified" in
its own words. So both are checked before it runs. docs/decisions/0082.md says why it is done this way.
"""

from __future__ import annotations

from typing import Final

from components.boot import ipxe, layout, scripts
from components.boot.contract import BootConfigurationError, Publication
from components.boot.files import data_disks_file, environment_file, generation_file, mounts_file, program, text_file
from components.boot.ignition import File, Ignition, Resource, Storage, Systemd, Unit, fetched, inline
from components.boot.ignition_node import Installed
from components.images.artifacts import INITRAMFS, KERNEL, METAL
from components.images.publishers import FLATCAR
from components.machines.contract import Own

LIVE_ARTIFACTS: Final = (KERNEL, INITRAMFS)
"""What starts the live system, which brings its root file system in its initramfs."""
ARTIFACTS: Final = (*LIVE_ARTIFACTS, METAL)
"""What an installation boots and writes."""
PROGRAMS: Final = "/opt/bin"
"""/usr/local is part of /usr, which is read-only."""
IMAGE: Final = "/var/lib/ingot/flatcar_production_image.bin.bz2"
"""flatcar-install decompresses what ends in .bz2."""
INSTALLED: Final = "/etc/ingot/installed.ign"
SIGNING_KEY_FILE: Final = "/etc/ingot/signing-key"
SIGNING_KEY: Final = FLATCAR.keys[""]
"""The publisher's primary key; what signs are its subkeys, which change every year."""
INSTALLER: Final = "ingot-install.service"
NO_UPDATES: Final = "SERVER=disabled\n"
UPDATERS: Final = (
    "locksmithd.service",
    "systemd-sysupdate.service",
    "systemd-sysupdate.timer",
    "update-engine.service",
)
"""Masked: what would fetch another image or extension, or reboot into one. A fresh image counts as booted
successfully from the start (build_library/disk_util in github.com/flatcar/scripts), so nothing has to say so."""

INSTALL: Final = r"""#!/bin/bash
# Writes the image to the OS disk. Before this runs, Ignition has checked the image's digest, and ingot-guard the disk.
set -euo pipefail
etc=${INGOT_ETC:-/etc/ingot}
image=${INGOT_IMAGE:-/var/lib/ingot/flatcar_production_image.bin.bz2}
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT

# The publisher's keys came with the live system, inside the publisher's installer. Wherever they came from: only a
# signature that leads to the pinned key counts. They are read as a keyring, not imported: GnuPG needs no agent then.
export GNUPGHOME=$work
begin='-----BEGIN PGP PUBLIC KEY BLOCK-----' end='-----END PGP PUBLIC KEY BLOCK-----'
sed --quiet "s/^.*$begin/$begin/; /^$begin/,/^$end/p" "$(command -v flatcar-install)" |
  gpg --batch --quiet --dearmor > "$work/keys.gpg"
gpg --batch --no-autostart --no-default-keyring --keyring "$work/keys.gpg" --trust-model always \
  --status-file "$work/status" --verify "$image.sig" "$image"
key=$(cat "$etc/signing-key")
if ! grep --quiet "^\[GNUPG:\] VALIDSIG .* $key\$" "$work/status"; then
  echo "$image: expected a signature of $key, found none" >&2
  exit 1
fi
# GnuPG calls a signature of a revoked key valid too, and succeeds.
if grep --quiet '^\[GNUPG:\] REVKEYSIG ' "$work/status"; then
  echo "$image: expected a signature of a key that is not revoked, found one that is, of $key" >&2
  exit 1
fi

# flatcar-install looks for the partition that takes the configuration at every device whose name begins like the
# disk's: also at /dev/sdaa1 where the disk is /dev/sda.
disk=$(readlink --canonicalize-existing "$(cat "$etc/os-disk")")
fact() { lsblk --noheadings --nodeps --output "$1" "$2"; }
for device in "$disk"?*; do
  if [ -e "$device" ] && [ "$(fact LABEL "$device")" = OEM ] && [ "$(fact PKNAME "$device")" != "${disk##*/}" ]; then
    echo "$device: expected no partition labelled OEM beside those of the OS disk $disk, found one" >&2
    exit 1
  fi
done

flatcar-install -d "$disk" -f "$image" -i "$etc/installed.ign"
sync
"""
"""`ingot-install`: the live system's way to the OS disk."""

# A report that does not get through never stops an installation: hence the `-`.
INSTALL_UNIT: Final = f"""\
[Unit]
Description=Install the pinned image on the OS disk
Wants=network-online.target
Requires=ingot-guard.service
After=network-online.target ingot-guard.service
StartLimitIntervalSec=0
SuccessAction=reboot

[Service]
Type=oneshot
Environment=PATH={PROGRAMS}:/usr/bin:/usr/sbin
ExecStartPre=-{PROGRAMS}/ingot-report installing
ExecStart={PROGRAMS}/ingot-install
ExecStartPost=-{PROGRAMS}/ingot-report installed
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
"""


def publication(pool: Installed, own: Own, generation: str) -> Publication:
    """Everything that a host of `pool` fetches from the boot store to become the node `own`.

    generation: what digest.digest begins with. Raises BootConfigurationError if the image cannot be
    verified, or a value would mean more than itself on a kernel command line.
    """
    store, at = pool.asked.environment.store_url, layout.installer(generation, own.name)
    live = live_configuration(pool, own, pool.with_generation(own, generation), generation)
    arguments = kernel_arguments(f"{store}/{at}")
    files = {at: live.to_bytes()}
    return ipxe.publication(own.name, generation, pool.asked.release, store, arguments, files, keeps=ARTIFACTS)


def kernel_arguments(ignition_url: str) -> tuple[str, ...]:
    """Of the live system ("Booting via iPXE", github.com/flatcar/flatcar-website at 2075ef3). Without `root=` it
    runs from memory."""
    return (f"initrd={ipxe.INITRD}", "flatcar.first_boot=1", f"ignition.config.url={ignition_url}")


def live_configuration(pool: Installed, own: Own, installed: Ignition, generation: str) -> Ignition:
    """The live system's own configuration: the image, checked by digest; the installed system's
    configuration; how to install them; and the guard that keeps the installer from a data
    disk, and the first boot from formatting one that holds something."""
    release, store = pool.asked.release, pool.asked.environment.store_url
    metal = release.artifact(METAL)
    if metal.signature is None:
        problem = f"expected a signature of {METAL}, found none; pin {release} again from the publisher's files"
        raise BootConfigurationError(own.name, (problem,))
    files = (
        File(path=IMAGE, mode=0o600, contents=fetched(f"{store}/{layout.kept(metal)}", metal.sha256)),
        # Only the publisher's keys count, so the signature needs no digest.
        File(path=f"{IMAGE}.sig", mode=0o600, contents=Resource(source=f"{store}/{layout.kept_signature(metal)}")),
        File(path=INSTALLED, mode=0o600, contents=inline(installed.to_bytes())),
        text_file(SIGNING_KEY_FILE, f"{SIGNING_KEY}\n"),
        text_file(scripts.OS_DISK, f"{own.os_disk}\n"),
        text_file("/etc/flatcar/update.conf", NO_UPDATES, overwrite=True),
        data_disks_file(own),
        environment_file(pool.asked.environment, own.name, "installer"),
        generation_file(generation),
        mounts_file(own),
        program(PROGRAMS, "ingot-guard", scripts.GUARD),
        program(PROGRAMS, "ingot-install", INSTALL),
        program(PROGRAMS, "ingot-report", scripts.REPORT),
    )
    guard = scripts.guard_unit(PROGRAMS, installer=INSTALLER)
    units = (
        Unit(name="ingot-guard.service", enabled=True, contents=guard),
        Unit(name=INSTALLER, enabled=True, contents=INSTALL_UNIT),
        *(Unit(name=name, mask=True) for name in UPDATERS),
    )
    return Ignition(
        storage=Storage(files=tuple(sorted(files, key=lambda f: f.path))),
        systemd=Systemd(units=units),
    )
