"""The digest of what a machine boots. When it changes, the machine is replaced; nothing else replaces it.

It covers the pinned image and every byte that is published for the node, or configures it. Of secrets it
covers a version number each, so that a rotation can be rolled out while no secret leaves a trace.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from components.boot.contract import PoolBoot, covered
from components.boot.ignition import canonical_json
from components.machines.contract import Own, OwnMount

FORMAT: Final = 1
"""Of what is digested. Raising it replaces every machine of every fleet."""
GENERATION_DIGITS: Final = 16
"""Of the digest, in stored commands and URLs (lifecycle.commands.Step)."""
BLANK: Final = "0" * GENERATION_DIGITS
"""Stands for the generation in what is digested, which is the digest's own beginning."""
STAND_IN: Final = Own(
    name="node",
    os_disk="/dev/disk/by-id/os",
    data_disks=("/dev/disk/by-id/data-1", "/dev/disk/by-id/data-2"),
    fault_domain="domain",
    mounts=(OwnMount("mount", "/dev/disk/by-id/mount", "xfs"),),
)
"""The node for which what a pool shares is rendered once: rendering each node costs a fleet seconds."""

_SECRET_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


def shared_digest(boot: PoolBoot, secret_versions: Mapping[str, int] | None = None) -> str:
    """64 hexadecimal digits of what the nodes of a pool share: the pinned image, and every byte for STAND_IN
    under the generation BLANK, so every byte that is not a node's own. See `digest`.

    secret_versions: a number for each secret by name; raises ValueError for anything else, so that no
    secret is ever digested.
    """
    release, files = boot.asked.release, covered(boot, STAND_IN, BLANK)
    versions = dict(secret_versions or {})
    for name, version in versions.items():
        if not _SECRET_NAME.fullmatch(name) or type(version) is not int or version < 0:
            raise ValueError("secret_versions: expected names such as pki with a version number, found something else")
    content: dict[str, object] = {
        "format": FORMAT,
        "image": [release.os, release.version, release.architecture, release.os_image],
        "artifacts": {name: release.artifact(name).sha256 for name in boot.artifacts},
        "files": {path: hashlib.sha256(data).hexdigest() for path, data in files.items()},
        "secrets": versions,
    }
    if boot.machine_image:
        content["machine_image"] = boot.machine_image
    return hashlib.sha256(canonical_json(content)).hexdigest()


def digest(shared: str, own: Own) -> str:
    """64 hexadecimal digits of all that a node boots: the same for the same input on any machine.

    shared: the pool's shared_digest. A publication is a function of both and of nothing else, so two
    nodes have one digest only if they boot the same bytes.
    """
    mounts = [[m.name, m.disk, m.filesystem] for m in own.mounts]
    covered = [FORMAT, shared, own.name, own.os_disk, list(own.data_disks), own.fault_domain, mounts]
    return hashlib.sha256(canonical_json(covered)).hexdigest()


def generation(digest: str) -> str:
    """The generation of a digest: its first 16 digits."""
    return digest[:GENERATION_DIGITS]
