"""The stack file's `settings`, and the disks that a host mounts, for systems that Ignition configures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from components.boot.files import text_file
from components.boot.ignition import File, Filesystem, Passwd, Unit, User
from components.environment import Settings
from components.machines.contract import Own, OwnMount

LOGIN: Final = "core"
"""The user that both systems' images have for this."""
MOUNTS: Final = "/var/mnt"
CERTS: Final = "/etc/containerd/certs.d"
"""What containerd is told to look for registries in; one folder a registry (containerd 2, "Registry Configuration")."""
SERVERS: Final = {"docker.io": "https://registry-1.docker.io"}
"""Registries that answer under another name than their images bear."""

CHRONY: Final = """\
driftfile /var/lib/chrony/drift
makestep 1.0 3
rtcsync
leapsectz right/UTC
logdir /var/log/chrony
"""
"""chrony.conf(5), as Fedora CoreOS' own but for its servers and what DHCP names."""


def passwd(settings: Settings) -> Passwd:
    """The login, if the stack file asks for one; there is never a password."""
    keys = tuple(sorted(settings.ssh_authorized_keys))  # their order means nothing
    return Passwd(users=(User(name=LOGIN, ssh_authorized_keys=keys),) if keys else ())


def chrony(settings: Settings) -> Iterator[File]:
    """Time from the servers that are named, for systems with chrony; the image's own where none is."""
    servers = "".join(f"server {server} iburst\n" for server in settings.time_servers)
    if servers:
        yield text_file("/etc/chrony.conf", servers + CHRONY, overwrite=True)


def timesyncd(settings: Settings) -> Iterator[File]:
    """The same for systems with systemd-timesyncd (timesyncd.conf(5)); no fallback beside what is named."""
    servers = " ".join(settings.time_servers)
    if servers:
        text = f"[Time]\nNTP={servers}\nFallbackNTP=\n"
        yield text_file("/etc/systemd/timesyncd.conf.d/10-ingot.conf", text)


def registries(settings: Settings) -> Iterator[File]:
    """containerd's mirrors, a file a registry. A mirror with a path of its own is asked below that path."""
    for registry, mirrors in sorted(settings.registry_mirrors.items()):
        lines = [f'server = "{SERVERS.get(registry, f"https://{registry}")}"']
        for mirror in mirrors:
            lines += ["", f'[host."{mirror}"]', '  capabilities = ["pull", "resolve"]']
            lines += ["  override_path = true"] if mirror.removeprefix("https://").count("/") else []
        yield text_file(f"{CERTS}/{registry}/hosts.toml", "\n".join([*lines, ""]))


def filesystems(own: Own) -> tuple[Filesystem, ...]:
    """The host's own disks. Ignition takes the filesystem that is there if it is of this kind, and fails the boot if it
    is of another (coreos.github.io/ignition/operator-notes, "Filesystem-Reuse Semantics"). Where it finds none it makes
    one, whatever else is on the disk (it looks for the TYPE of a superblock alone: blkid.c of 2.24): ingot-guard has
    seen before that nothing is (components/boot/scripts.py)."""
    return tuple(
        Filesystem(device=m.disk, format=m.filesystem, path=f"{MOUNTS}/{m.name}", wipe_filesystem=False)
        for m in own.mounts
    )


def mount_units(own: Own) -> tuple[Unit, ...]:
    """What mounts them at every boot. Without its disks a machine does not serve: the kubelet waits for them."""
    return tuple(
        Unit(name=f"{escaped(f'{MOUNTS}/{m.name}')}.mount", enabled=True, contents=_mount_unit(m)) for m in own.mounts
    )


def escaped(path: str) -> str:
    """A path as systemd writes it in a unit's name (systemd.unit(5), "String Escaping for Inclusion in Unit Names")."""
    kept = path.strip("/")
    found = "".join("-" if c == "/" else c if re.match(r"[A-Za-z0-9:_.]", c) else _hex(c) for c in kept)
    return f"\\x2e{found[1:]}" if found.startswith(".") else found


def _hex(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def _mount_unit(mount: OwnMount) -> str:
    check = f"systemd-fsck@{escaped(mount.disk)}.service"
    return f"""\
[Unit]
Description=Disk {mount.name} of this host
Requires={check}
After={check}
Before=kubelet.service

[Mount]
What={mount.disk}
Where={MOUNTS}/{mount.name}
Type={mount.filesystem}
Options=noatime

[Install]
RequiredBy=kubelet.service
"""
