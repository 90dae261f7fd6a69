"""The small fleet of fleet.py, on Talos, and what is pinned for it."""

from __future__ import annotations

from typing import Any

from components.boot.systems import pool_boot
from components.boot.talos import TalosPool
from components.environment import Environment
from components.images.lock import Lock
from components.machines.contract import Own
from tests.components.boot.fleet import IMAGES, SCHEMATIC, TALOS_NEW, TALOS_OLD, changed, fleet, pinned

VERSION, NEXT = TALOS_OLD, TALOS_NEW
GENERATION = "0123456789abcdef"


def image(version: str = VERSION, **more: str) -> dict[str, str]:
    """A stack file's image."""
    return {**IMAGES["talos"][0], "version": version, **more}


def environment(changes: dict[str, Any] | None = None) -> Environment:
    """The fleet on Talos with changes, each a path such as `pools/hci/role` and its value."""
    made = changed(fleet(), "image", image())
    for at, value in (changes or {}).items():
        made = changed(made, at, value)
    return Environment.model_validate(made)


def release(version: str) -> dict[str, Any]:
    """What could be pinned of another release, by architecture."""
    known = pinned()["images"]["talos"][f"{VERSION}+{SCHEMATIC}"]
    return {
        a: {
            **facts,
            "os_image": f"Talos ({version})",
            "installer": f"factory.example/metal-installer/{SCHEMATIC}:{version}@sha256:{'e' * 64}",
        }
        for a, facts in known.items()
    }


def lock(changes: dict[str, Any] | None = None) -> Lock:
    """What is pinned, with changes as for `environment`."""
    made = pinned()
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
    return of.pools[pool].machines.own(node)
