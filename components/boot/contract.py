"""What every operating system fulfils, so that nothing else asks which one a machine boots.

A system is one module with a `System` in it, its image's model in components/releases.py, and one line
in components/boot/systems.py. What it makes is a pure function of the stack file and of what is pinned;
it holds no secret, and says nothing of the pool's name, the roll or its limits, so none of these ever
replaces a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from components.boot import layout
from components.boot.immutability import Root
from components.environment import Environment, Pool
from components.images.lock import KubernetesRelease, Release
from components.machines.contract import Own, Platform


class BootConfigurationError(Exception):
    """No boot configuration can be made. problems: one line each, never empty."""

    def __init__(self, what: str, problems: tuple[str, ...]) -> None:
        self.what, self.problems = what, problems
        super().__init__("\n".join([f"boot configuration of {what}:", *(f"  {p}" for p in problems)]))


@dataclass(frozen=True)
class Asked:
    """What a pool's nodes are to be: the stack file, and what it names, as pinned.

    role: as in the stack file. stores: whether the nodes hold replicas. platform: how the image gets onto them.
    """

    environment: Environment
    role: str
    stores: bool
    release: Release
    kubernetes: KubernetesRelease
    platform: Platform = "metal"


@dataclass(frozen=True)
class Publication:
    """What is published for one node. files: path in the boot store -> bytes. kernel_arguments: of the live system.

    boot_url: where the boot override leads; "" where there is none. release: what it boots. keeps: names of the
    release's artifacts that the boot store keeps for it (layout.kept), and its disk image's signature.
    user_data: what an instance is launched with.
    """

    node: str
    generation: str
    boot_url: str
    kernel_arguments: tuple[str, ...]
    files: Mapping[str, bytes]
    release: Release
    keeps: tuple[str, ...] = ()
    user_data: bytes = b""


class PoolBoot(Protocol):
    """What the nodes of a pool boot. What they share is made once: rendering each anew costs a fleet seconds.

    A node's generation is the digest of all else, so everything here takes it as an argument.
    """

    @property
    def asked(self) -> Asked: ...

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Names of the release's artifacts that an installation boots or writes: their digests are covered by
        the node's."""
        ...

    @property
    def machine_image(self) -> str:
        """What a machine is launched from, such as its region's AMI; "" where it is installed. Covered likewise: a
        new AMI replaces no metal, and no installer's file an instance."""
        ...

    def publication(self, own: Own, generation: str) -> Publication:
        """Everything that the host fetches from the boot store to become the node `own`. Raises
        BootConfigurationError if the image cannot be verified, or a value would mean more than itself
        where it is written."""
        ...

    def configuration(self, own: Own, generation: str) -> bytes:
        """The installed system's configuration, as its first boot reads it, without secrets."""
        ...


@dataclass(frozen=True)
class Live:
    """A system that runs from memory alone, which Ignition configures. programs: the folder of ours. masked: units
    that must not start. artifacts: names of those of the release that start it. arguments: of its kernel, by the
    release, the boot store's URL and the one of its configuration."""

    programs: str
    masked: tuple[str, ...]
    artifacts: tuple[str, ...]
    arguments: Callable[[Release, str, str], tuple[str, ...]]


class System(Protocol):
    """One operating system. os: as the stack file and the lock name it. root: what of it may be written. live: what
    can erase the disk of a host that leaves for good; None where the installed system does that itself."""

    @property
    def os(self) -> str: ...

    @property
    def root(self) -> Root: ...

    @property
    def live(self) -> Live | None: ...

    def mutations(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Whatever in `files` (see `covered`) would change the system in place, or fetches what is not pinned:
        a line each, with where it is and the rule (components/boot/immutability.py)."""
        ...

    def pool(self, asked: Asked) -> PoolBoot:
        """What the nodes of a pool boot. Raises BootConfigurationError with all that is wrong."""
        ...


def ask(environment: Environment, pool: str, release: Release, kubernetes: KubernetesRelease) -> Asked:
    """Put together what a pool's nodes are to be. pool: declared in the environment.

    release, kubernetes: what the stack file names, as pinned. Raises BootConfigurationError, with all that
    is wrong, if it does not name these.
    """
    of = environment.pools[pool]
    if problems := tuple(_mismatches(environment, of, release, kubernetes)):
        raise BootConfigurationError(f"pool {pool}", problems)
    return Asked(environment, of.role, environment.stores(pool), release, kubernetes, of.machines.platform)


def covered(boot: PoolBoot, own: Own, generation: str) -> Mapping[str, bytes]:
    """Every byte that decides what the host becomes, by name: what is published, and what it configures."""
    published = boot.publication(own, generation).files
    return {**published, "configuration": boot.configuration(own, generation)}


def _mismatches(environment: Environment, pool: Pool, release: Release, kubernetes: KubernetesRelease) -> Iterator[str]:
    image = environment.image_of(pool)
    if (release.os, release.version, release.architecture) != (image.os, image.version, image.architecture):
        yield f"expected the image of its pool, {image.os} {image.version} ({image.architecture}), found {release}"
    if kubernetes.version != environment.cluster.kubernetes:
        yield f"expected Kubernetes {environment.cluster.kubernetes}, found {kubernetes}"
    if kubernetes.architecture != release.architecture:
        yield f"expected Kubernetes for {release.architecture}, found {kubernetes}"
    if pool.machines.platform == "aws" and environment.region not in release.amis:
        known = ", ".join(sorted(release.amis)) or "none"
        yield f"expected an AMI of {release} in aws.region {environment.region}, found those of {known}"
    for own in map(pool.machines.own, pool.machines.hosts):
        if own.os_disk in own.kept_disks:
            yield f"host {own.name}: expected an OS disk of its own, found {own.os_disk} among its data disks"
    if not layout.PLAIN.fullmatch(environment.store_url):
        yield f"boot_store.url: expected no quotes, backslashes or $ in it, found {environment.store_url!r}"
