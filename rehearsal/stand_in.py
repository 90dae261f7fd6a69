"""Stand-ins for systems of which nothing is pinned yet, so that a stack can be rehearsed before it boots anything.

A stand-in has the form of a pin and no content: URLs that lead nowhere, digests of nothing that exists. It is
in no tracked file, and the steps of a real `pulumi up` look releases up in stacks/images.lock.json alone, so no
machine can ever be given one. Whoever rehearses with one is told, and what to pin.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from components.boot.pin import unknown_releases
from components.environment import Environment
from components.images.lock import Lock, key, parse
from components.releases import schematic_of

HOST: Final = "https://stand-in.example"
ARTIFACTS: Final = ("pxe-kernel", "pxe-initramfs", "pxe-rootfs", "metal", "metal-4k", "iso")
EXTENDED: Final = "flatcar"
"""The system that gets Kubernetes as an extension (components/boot/flatcar.py)."""
OS_IMAGES: Final = {
    "fedora-coreos": "Fedora CoreOS {}",
    "flatcar": "Flatcar Container Linux by Kinvolk {} (Stand-in)",
    "talos": "Talos ({})",
}
"""What a node of each system reports in `status.nodeInfo.osImage`; Flatcar's code name is its publisher's to say."""


def next_revision(version: str) -> str:
    """What a roll from a release that is not pinned leads to: the one whose last number is greater by one."""
    head, _, last = version.rpartition(".")
    return f"{head}.{int(last) + 1}"


def completed(environment: Environment, lock: Lock) -> tuple[Lock, tuple[str, ...]]:
    """The lock with a stand-in for each image of the stack file for whose system and architecture nothing is
    pinned, and for its next revision; and what they stand for, a line each. Where something is pinned, a release
    that is not is a mistake, and stays one. Kubernetes' releases are pinned and have none, but for the system
    extension that Flatcar alone needs."""
    pinned = {(r.os, r.architecture) for r in lock.releases()}
    unknown = {u.what for u in unknown_releases(environment, lock)}
    document: dict[str, Any] = lock.model_dump(mode="json", exclude_none=True)
    told: list[str] = []
    for pool in environment.pools.values():
        image = environment.image_of(pool)
        schematic = schematic_of(image)
        name = f"{image.os} {key(image.version, schematic)} ({image.architecture})"
        if f"image {name}" not in unknown or (image.os, image.architecture) in pinned:
            continue
        line = (
            f"{name} is not pinned: rehearsed with a stand-in. Remedy: before anything boots it, pin it: "
            f"ingot image pin {image.os} {image.version}"
        )
        told += [] if line in told else [line]
        versions = document["images"].setdefault(image.os, {})
        for version in (image.version, next_revision(image.version)):
            found = _release(image.os, version, schematic)
            versions.setdefault(key(version, schematic), {}).setdefault(image.architecture, found)
        kubernetes = document["kubernetes"].get(environment.cluster.kubernetes, {}).get(image.architecture)
        if image.os == EXTENDED and kubernetes is not None and "sysext" not in kubernetes:
            kubernetes["sysext"] = _artifact(f"{HOST}/{image.os}/{environment.cluster.kubernetes}/sysext")
            told.append(
                f"the system extension of kubernetes {environment.cluster.kubernetes} ({image.architecture}) is not "
                "pinned: rehearsed with a stand-in. Remedy: docs/decisions/0082.md says where it is from"
            )
    return (parse(Lock.model_validate(document).to_bytes(), "stand-ins") if told else lock), tuple(told)


def _release(os: str, version: str, schematic: str | None) -> dict[str, Any]:
    artifacts = {name: _artifact(f"{HOST}/{os}/{version}/{name}") for name in ARTIFACTS}
    release = {"os_image": OS_IMAGES[os].format(version), "artifacts": artifacts}
    if schematic is None:
        return release
    installer = f"{HOST.removeprefix('https://')}/metal-installer/{schematic}:{version}"
    digest = hashlib.sha256(installer.encode()).hexdigest()
    return {**release, "schematic": schematic, "installer": f"{installer}@sha256:{digest}"}


def _artifact(url: str) -> dict[str, str]:
    return {"url": url, "signature": f"{url}.sig", "sha256": hashlib.sha256(url.encode()).hexdigest()}
