"""What the boot store publishes for a host that leaves for good and whose OS disk is to be erased.

The publisher's live system again, as for an installation; what runs in it erases the one disk that is named as the OS
disk, reports it and switches the machine off. It installs nothing, so no image is fetched and no configuration handed
on. The stack file may have forgotten the host by then: a fleet's own image serves, and the disks come from the host's
claim. docs/decisions/0097.md says what erasing means here, and what it does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from components.boot import ipxe, layout, scripts
from components.boot.contract import BootConfigurationError, Live, Publication, System
from components.boot.digest import BLANK, GENERATION_DIGITS
from components.boot.files import data_disks_file, environment_file, generation_file, program, text_file
from components.boot.ignition import Ignition, Storage, Systemd, Unit, canonical_json
from components.environment import Environment
from components.images.lock import Lock, Release
from components.machines.contract import Own
from components.releases import schematic_of

PROGRAM: Final = "ingot-erase"
UNIT: Final = "ingot-erase.service"

ERASE: Final = """\
#!/bin/bash
# Erases the disk that is named as the OS disk, and no other. Its host has left for good, and was asked for this.
set -euo pipefail
etc=${INGOT_ETC:-/etc/ingot}
name=$(cat "$etc/os-disk")
disk=$(readlink --canonicalize-existing "$name")
give_up() {
  echo "OS disk $name: expected $1, found $2" >&2
  exit 1
}
refuse() { give_up "$1" "$2; nothing was erased"; }
fact() { lsblk --noheadings --nodeps --output "$1" "$disk" | xargs; }
[ "$(fact TYPE)" = disk ] || refuse "a whole disk" "$(fact TYPE)"
while read -r kept; do
  if [ "$(readlink --canonicalize "$kept")" = "$disk" ]; then refuse "a disk of its own" "the data disk $kept"; fi
done < "$etc/data-disks"
used=$(lsblk --noheadings --output MOUNTPOINTS "$disk" | xargs)
[ -z "$used" ] || refuse "a disk that nothing uses" "it mounted at $used"

# Flash forgets what is discarded; a disk that cannot discard says so, and the rest is done all the same.
blkdiscard --force "$disk" || echo "OS disk $name: it does not discard" >&2
# What tells partitions and filesystems from noise, on the partitions first: their table is on the disk.
for part in $(lsblk --noheadings --raw --paths --output NAME "$disk" | tac); do
  wipefs --all --force "$part"
done
mib=$(($(blockdev --getsize64 "$disk") / 1048576))
for at in 0 $((mib - 1)); do
  dd if=/dev/zero of="$disk" bs=1M count=1 seek="$at" conv=fsync,notrunc status=none
done
blockdev --rereadpt "$disk" || true

# Proven by what is read back from the disk, not from memory.
blockdev --flushbufs "$disk"
for at in 0 $((mib - 1)); do
  left=$(dd if="$disk" bs=1M count=1 skip="$at" status=none | tr --delete '\\0' | wc --bytes)
  [ "$left" -eq 0 ] || give_up "zeros at $at MiB" "$left other bytes"
done
[ -z "$(wipefs --noheadings "$disk")" ] || give_up "no signature" "one that came back"
"""
"""`ingot-erase`."""


def configuration(live: Live, environment: Environment, own: Own, generation: str) -> Ignition:
    """What the live system is told."""
    files = (
        text_file(scripts.OS_DISK, f"{own.os_disk}\n"),
        data_disks_file(own),
        environment_file(environment, own.name, "eraser"),
        generation_file(generation),
        text_file(scripts.MOUNTS, ""),  # nothing is formatted here, so the guard has no such disk to look at
        program(live.programs, "ingot-guard", scripts.GUARD),
        program(live.programs, PROGRAM, ERASE),
        program(live.programs, "ingot-report", scripts.REPORT),
    )
    units = (
        Unit(name="ingot-guard.service", enabled=True, contents=scripts.guard_unit(live.programs, installer=UNIT)),
        Unit(name=UNIT, enabled=True, contents=unit(live.programs)),
        *(Unit(name=name, mask=True) for name in live.masked),
    )
    return Ignition(storage=Storage(files=tuple(sorted(files, key=lambda f: f.path))), systemd=Systemd(units=units))


def unit(programs: str) -> str:
    """The unit of `ingot-erase`. It runs once: what failed is for a person to look at. A report that does not get
    through leaves the machine off all the same, and the step that waits for it says so."""
    return f"""\
[Unit]
Description=Erase the OS disk
Wants=network-online.target
Requires=ingot-guard.service
After=network-online.target ingot-guard.service
SuccessAction=poweroff

[Service]
Type=oneshot
Environment=PATH={programs}:/usr/bin:/usr/sbin
ExecStartPre=-{programs}/ingot-report erasing
ExecStart={programs}/{PROGRAM}
ExecStartPost=-{programs}/ingot-report erased
ExecStopPost=-/bin/bash -c '[ "$SERVICE_RESULT" = success ] || exec {programs}/ingot-report failed'

[Install]
WantedBy=multi-user.target
"""


def publication(environment: Environment, lock: Lock, own: Own, systems: Mapping[str, System]) -> Publication:
    """Everything that the host `own` fetches to erase its OS disk. systems: by `image.os`.

    Its generation is the digest of all that. Raises UnknownRelease, and BootConfigurationError if no image of the
    stack file has a live system.
    """
    live, release = _live(environment, lock, own, systems)
    blank = _of(live, release, environment, own, BLANK)
    content = {path: hashlib.sha256(data).hexdigest() for path, data in blank.files.items()}
    generation = hashlib.sha256(canonical_json(["erase", str(release), content])).hexdigest()[:GENERATION_DIGITS]
    return _of(live, release, environment, own, generation)


def _live(environment: Environment, lock: Lock, own: Own, systems: Mapping[str, System]) -> tuple[Live, Release]:
    """Of the fleet's own image if it will do, else of a pool's."""
    for image in (environment.image, *(environment.image_of(pool) for pool in environment.pools.values())):
        system = systems.get(image.os)
        if system is not None and system.live is not None:
            return system.live, lock.release(image.os, image.version, image.architecture, schematic_of(image))
    problem = f"expected an image whose live system can erase a disk, found {environment.image.os} alone"
    raise BootConfigurationError(own.name, (problem,))


def _of(live: Live, release: Release, environment: Environment, own: Own, generation: str) -> Publication:
    store, at = environment.store_url, layout.installer(generation, own.name)
    made = configuration(live, environment, own, generation)
    arguments = live.arguments(release, store, f"{store}/{at}")
    title, files = f"Erases the OS disk of {own.name}.", {at: made.to_bytes()}
    return ipxe.publication(own.name, generation, release, store, arguments, files, keeps=live.artifacts, title=title)
