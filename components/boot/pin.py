"""Every declared node's pin, and what is published for it, from the stack file and the lock.

The program needs the digests to register machines, the steps need the pins to verify them, whoever
publishes needs the files: all three come from here, so that they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from components.boot import digest
from components.boot import eraser as eraser_of
from components.boot.contract import BootConfigurationError, PoolBoot, Publication
from components.boot.layout import boot_url
from components.boot.systems import SYSTEMS, pool_boot
from components.boot.talos import OS as TALOS
from components.boot.talos import PoolPatch, TalosPool
from components.boot.user_data import UserData
from components.environment import Drain, Environment, Pool
from components.images.lock import Lock, UnknownRelease
from components.machines.contract import Own, Place
from components.releases import schematic_of
from lifecycle import erase
from lifecycle.ports import (
    BootMethod,
    Claim,
    DrainPolicy,
    Erasure,
    OnTimeout,
    Pin,
    Role,
    Rollout,
    Way,
    Window,
)
from lifecycle.succession import host_of, may_be_of, node_name

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As the stack file names them; from 0, as Python counts them."""


def pins(
    environment: Environment, lock: Lock, secret_versions: Mapping[str, int] | None = None, *, stack: str = ""
) -> dict[str, Pin]:
    """The pin of every declared node by its name, in the order of the environment. stack: whose it is, for the kinds of
    machine that are found by it.

    Raises UnknownRelease if the stack file names what is not pinned, and BootConfigurationError if
    no boot configuration can be made of it.
    """
    pinned: dict[str, Pin] = {}
    for pool, declared in environment.pools.items():
        boot = pool_boot(environment, lock, pool)
        common = digest.shared_digest(boot, secret_versions)
        for name in declared.machines.hosts:
            found = _node_boot(declared, boot, common, name)
            place = Place(name, pool, environment, boot.asked.release, stack, found.own.name)
            pinned[found.own.name] = _pin(place, boot, found.generation)
    return pinned


def rollout(environment: Environment) -> Rollout:
    """When a roll of this environment stops by itself."""
    said = environment.rollout
    windows = (
        Window(tuple(sorted(DAYS.index(day) for day in set(w.days))), w.start, w.end, w.timezone) for w in said.windows
    )
    return Rollout(said.stop_after, tuple(windows))


def publish(
    environment: Environment, lock: Lock, node: str, secret_versions: Mapping[str, int] | None = None
) -> Publication:
    """What the boot store publishes for one declared node, under the generation that its pin names. Raises as
    `boot_of` does."""
    found = boot_of(environment, lock, node, secret_versions)
    return found.boot.publication(found.own, found.generation)


def user_data(environment: Environment, lock: Lock, node: str, zone: str) -> UserData:
    """What an instance of one declared node is launched with in a zone, which its configuration calls its fault
    domain: under the same generation in any of the host's zones. Raises as `boot_of` does."""
    found = boot_of(environment, lock, node)
    made = found.boot.publication(replace(found.own, fault_domain=zone), found.generation)
    return UserData(made.user_data, dict(made.files))


def eraser(environment: Environment, lock: Lock, claim: Claim, erasure: Erasure) -> Pin:
    """What a claimed host boots to erase its OS disk, which the stack file need not name any more. Raises as
    `components.boot.eraser.publication` does."""
    own = _erased(claim.node, erasure.os_disk, erasure.data_disks)
    made = eraser_of.publication(environment, lock, own, SYSTEMS)
    return erase.pin_of(claim, erasure, generation=made.generation, boot_url=made.boot_url)


def publish_eraser(environment: Environment, lock: Lock, pin: Pin) -> Publication:
    """What the boot store publishes for a pin that `eraser` made. Raises likewise."""
    return eraser_of.publication(environment, lock, _erased(pin.node, pin.os_disk, pin.data_disks), SYSTEMS)


def _erased(name: str, os_disk: str, data_disks: tuple[str, ...]) -> Own:
    if os_disk in data_disks:
        raise BootConfigurationError(name, (f"expected an OS disk of its own, found {os_disk} among its data disks",))
    return Own(name, os_disk, tuple(sorted(data_disks)), "")


@dataclass(frozen=True)
class NodeBoot:
    """What one node boots. own: under the node's name. generation: the one that its pin names; it is the digest of what
    the host boots, so that a name which holds it does not change it."""

    boot: PoolBoot
    own: Own
    generation: str


def boot_of(
    environment: Environment, lock: Lock, node: str, secret_versions: Mapping[str, int] | None = None
) -> NodeBoot:
    """What one declared node boots; `node` may be the name of its host.

    Raises BootConfigurationError if the stack file does not name the node; otherwise as `pins`.
    """
    for pool, name, _ in environment.hosts():
        declared = environment.pools[pool]
        if name == node or (declared.rollout.names_nodes and may_be_of(name, node)):
            boot = pool_boot(environment, lock, pool)
            found = _node_boot(declared, boot, digest.shared_digest(boot, secret_versions), name)
            if node in (name, found.own.name):
                return found
    names = ", ".join(name for _, name, _ in environment.hosts())
    problem = f"expected a host of the stack file, found none of this name; it has {names}"
    raise BootConfigurationError(node, (problem,))


def _node_boot(pool: Pool, boot: PoolBoot, common: str, host: str) -> NodeBoot:
    """common: the pool's shared digest."""
    own = pool.machines.own(host)
    generation = digest.generation(digest.digest(common, own))
    node = node_name(host, generation) if pool.rollout.names_nodes else host
    return NodeBoot(boot, replace(own, name=node), generation)


def boots(environment: Environment, lock: Lock) -> list[NodeBoot]:
    """What each declared node boots, in the order of the environment. Raises as `pins` does."""
    found: list[NodeBoot] = []
    for pool, declared in environment.pools.items():
        boot = pool_boot(environment, lock, pool)
        common = digest.shared_digest(boot)
        found += (_node_boot(declared, boot, common, host) for host in declared.machines.hosts)
    return found


def pool_patches(environment: Environment, lock: Lock) -> dict[str, PoolPatch]:
    """Of each pool that runs Talos, what the provider makes its configuration of. Raises as `pins` does."""
    of_talos = [pool for pool, declared in environment.pools.items() if environment.image_of(declared).os == TALOS]
    boots = {pool: pool_boot(environment, lock, pool) for pool in of_talos}
    return {pool: boot.patch() for pool, boot in boots.items() if isinstance(boot, TalosPool)}


def node_patch(environment: Environment, lock: Lock, pin: Pin) -> tuple[str, str]:
    """The patch of a pin's pool, with which the state's configuration was made, and the one that makes it the
    node's. For a pin that `pins` made of the same files; raises as `pins` does."""
    boot = pool_boot(environment, lock, pin.pool)
    if not isinstance(boot, TalosPool):
        problem = f"expected a pool of Talos, found one of {boot.asked.release.os}"
        raise BootConfigurationError(pin.node, (problem,))
    own = replace(environment.pools[pin.pool].machines.own(host_of(pin)), name=pin.node)
    return boot.shared(), boot.own(own, pin.generation)


def unknown_releases(environment: Environment, lock: Lock) -> tuple[UnknownRelease, ...]:
    """Every release that the stack file names and the lock does not pin."""
    found: dict[str, UnknownRelease] = {}
    for pool in environment.pools.values():
        image = environment.image_of(pool)
        try:
            lock.release(image.os, image.version, image.architecture, schematic_of(image))
        except UnknownRelease as unknown:
            found.setdefault(unknown.what, unknown)
        try:
            lock.kubernetes_release(environment.cluster.kubernetes, image.architecture)
        except UnknownRelease as unknown:
            found.setdefault(unknown.what, unknown)
    return tuple(found.values())


def _pin(place: Place, boot: PoolBoot, generation: str) -> Pin:
    asked, name, pool, environment = boot.asked, place.host, place.pool, place.environment
    rollout, machines = environment.pools[pool].rollout, environment.pools[pool].machines
    hosts, declared = machines.hosts, machines.declare(place)
    canary = rollout.canary and name == next(iter(hosts))
    return Pin(
        node=place.node,
        pool=pool,
        role=Role(asked.role),
        generation=generation,
        os_image=asked.release.os_image,
        kubelet=environment.cluster.kubernetes,
        boot_url="" if boot.machine_image else boot_url(environment.store_url, generation, place.node),
        controller=declared.controller,
        mac=declared.mac,
        os_disk=declared.os_disk,
        data_disks=declared.data_disks,
        fault_domain=declared.fault_domain,
        max_unavailable=rollout.max_unavailable,
        stores=asked.stores,
        soak_s=rollout.soak_s if canary else 0,
        retire=environment.retires(pool, name),
        drain_timeout=OnTimeout(rollout.on_timeout.drain),
        detach_timeout=OnTimeout(rollout.on_timeout.detach),
        architecture=asked.release.architecture,
        kernel=asked.release.kernel or "",
        drain=_drain(rollout.drain),
        way=Way.TALOS if isinstance(boot, TalosPool) else Way.KUBEADM,
        host=name if place.node != name else "",
        particulars=declared.particulars,
        disks_survive=declared.disks_survive,
        boot=tuple(map(BootMethod, declared.boot)),
        wipe_os_disk=declared.wipe_os_disk,
    )


def _drain(said: Drain) -> DrainPolicy:
    return DrainPolicy(said.empty_dir == "delete", said.unmanaged == "delete", said.local_volumes == "evict")
