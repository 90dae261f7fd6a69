"""The operating systems that a pool may run; each fulfils components.boot.contract.System."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.boot.contract import BootConfigurationError, PoolBoot, System, ask
from components.boot.fedora_coreos import FedoraCoreOs
from components.boot.talos import Talos
from components.environment import Environment
from components.images.lock import Lock
from components.releases import schematic_of

SYSTEMS: Final[Mapping[str, System]] = {s.os: s for s in (FedoraCoreOs(), Talos())}
"""`image.os` -> what makes its boot configurations."""


def pool_boot(environment: Environment, lock: Lock, pool: str) -> PoolBoot:
    """What the nodes of a declared pool boot.

    Raises UnknownRelease if the stack file names what is not pinned, and BootConfigurationError if no
    boot configuration can be made of it.
    """
    image = environment.image_of(environment.pools[pool])
    release = lock.release(image.os, image.version, image.architecture, schematic_of(image))
    kubernetes = lock.kubernetes_release(environment.cluster.kubernetes, image.architecture)
    system = SYSTEMS.get(image.os)
    if system is None:
        problem = f"expected an image of {', '.join(sorted(SYSTEMS))}, found one of {image.os}"
        raise BootConfigurationError(f"pool {pool}", (problem,))
    return system.pool(ask(environment, pool, release, kubernetes))
