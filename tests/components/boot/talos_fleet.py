"""The small fleet of conftest.py, on Talos, and what is pinned for it."""

from __future__ import annotations

from typing import Any

from components.boot.contract import Own
from components.boot.systems import pool_boot
from components.boot.talos import TalosPool
from components.environment import Environment
from components.images.lock import Lock
from tests.components.boot.conftest import changed, fleet, pinned

SCHEMATIC = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
VERSION, NEXT = "v1.13.8", "v1.13.9"
GENERATION = "0123456789abcdef"


def image(version: str = VERSION, **more: str) -> dict[str, str]:
    """A stack file's image."""
    return {"os": "talos", "version": version, "schematic": SCHEMATIC, **more}


def environment(changes: dict[str, Any] | None = None) -> Environment:
    """The fleet on Talos with changes, each a path such as `pools/hci/role` and its value."""
    made = changed(fleet(), "image", image())
    for at, value in (changes or {}).items():
        made = changed(made, at, value)
    return Environment.model_validate(made)


def release(version: str, architecture: str) -> dict[str, Any]:
    """What is pinned of a release for one architecture."""
    names = ("pxe-kernel", "pxe-initramfs", "metal", "iso")
    return {
        "os_image": f"Talos ({version})",
        "schematic": SCHEMATIC,
        "installer": f"factory.example/metal-installer/{SCHEMATIC}:{version}@sha256:{sum(version.encode()):064x}",
        "artifacts": {
            name: {
                "url": f"https://factory.example/image/{SCHEMATIC}/{version}/{name}-{architecture}",
                "sha256": f"{sum(f'{version}{name}{architecture}'.encode()) * 7919:064x}",
            }
            for name in names
        },
    }


def lock(changes: dict[str, Any] | None = None) -> Lock:
    """What is pinned: conftest.py's, and two releases of Talos."""
    releases = {
        f"{version}+{SCHEMATIC}": {a: release(version, a) for a in ("x86_64", "aarch64")} for version in (VERSION, NEXT)
    }
    made = changed(pinned(), "images/talos", releases)
    for at, value in (changes or {}).items():
        made = changed(made, at, value)
    return Lock.model_validate(made)


def boot(of: Environment, pool: str = "hci", pins: Lock | None = None) -> TalosPool:
    """What a pool of it boots."""
    made = pool_boot(of, pins or lock(), pool)
    assert isinstance(made, TalosPool)
    return made


def own(of: Environment, node: str = "w1") -> Own:
    """One of its nodes."""
    pool = of.pool_of(node)
    assert pool is not None
    return Own.of(node, of.pools[pool].machines.hosts[node])
