"""The operating systems that a pool may run; each fulfils components.boot.contract.System."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.boot.contract import BootConfigurationError, PoolBoot, System, ask, covered
from components.boot.digest import BLANK, STAND_IN
from components.boot.fedora_coreos import FedoraCoreOs
from components.boot.flatcar import Flatcar
from components.boot.talos import Talos
from components.environment import Environment
from components.images.lock import Lock
from components.releases import schematic_of

SYSTEMS: Final[Mapping[str, System]] = {s.os: s for s in (FedoraCoreOs(), Flatcar(), Talos())}
"""`image.os` -> what makes its boot configurations."""


def pool_boot(environment: Environment, lock: Lock, pool: str, systems: Mapping[str, System] = SYSTEMS) -> PoolBoot:
    """What the nodes of a declared pool boot. systems: by `image.os`.

    Raises UnknownRelease if the stack file names what is not pinned, and BootConfigurationError if no
    boot configuration can be made of it, or it would change the system in place: a preview comes through here
    before anything is registered.
    """
    image = environment.image_of(environment.pools[pool])
    release = lock.release(image.os, image.version, image.architecture, schematic_of(image))
    kubernetes = lock.kubernetes_release(environment.cluster.kubernetes, image.architecture)
    system = systems.get(image.os)
    if system is None:
        problem = f"expected an image of {', '.join(sorted(systems))}, found one of {image.os}"
        raise BootConfigurationError(f"pool {pool}", (problem,))
    boot = system.pool(ask(environment, pool, release, kubernetes))
    if changes := system.mutations(covered(boot, STAND_IN, BLANK)):
        raise BootConfigurationError(f"pool {pool}", changes)
    return boot
