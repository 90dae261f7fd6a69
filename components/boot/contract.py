"""What every operating system fulfils, so that nothing else asks which one a machine boots.

A system is one module with a `System` in it, its image's model in components/releases.py, and one line
in components/boot/systems.py. What it makes is a pure function of the stack file and of what is pinned;
it holds no secret, and says nothing of the pool's name, the roll or its limits, so none of these ever
replaces a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from components.boot import layout
from components.boot.immutability import Root
from components.environment import Environment, Host, Pool
from components.images.lock import KubernetesRelease, Release


class BootConfigurationError(Exception):
    """No boot configuration can be made. problems: one line each, never empty."""

    def __init__(self, what: str, problems: tuple[str, ...]) -> None:
        self.what, self.problems = what, problems
        super().__init__("\n".join([f"boot configuration of {what}:", *(f"  {p}" for p in problems)]))


@dataclass(frozen=True)
class OwnMount:
    """A disk that is mounted at /var/mnt/<name>. disk: its stable id."""

    name: str
    disk: str
    filesystem: Literal["ext4", "xfs"]


@dataclass(frozen=True)
class Own:
    """All that a node's boot configuration takes from its host: whatever else the stack file says of the
    host (its controller, its MAC address) can change without a new installation."""

    name: str
    os_disk: str
    data_disks: tuple[str, ...]
    fault_domain: str
    mounts: tuple[OwnMount, ...] = ()

    @property
    def kept_disks(self) -> tuple[str, ...]:
        """All that an installation must leave alone."""
        return (*self.data_disks, *(mount.disk for mount in self.mounts))

    @classmethod
    def of(cls, name: str, host: Host) -> Self:
        """Of a declared host."""
        mounts = tuple(OwnMount(n, host.mounts[n].disk, host.mounts[n].filesystem) for n in sorted(host.mounts))
        # In which order they are named means nothing, so it replaces nothing.
        return cls(name, host.os_disk, tuple(sorted(host.data_disks)), host.fault_domain, mounts)


@dataclass(frozen=True)
class Asked:
    """What a pool's nodes are to be: the stack file, and what it names, as pinned.

    role: as in the stack file. stores: whether the nodes hold replicas.
    """

    environment: Environment
    role: str
    stores: bool
    release: Release
    kubernetes: KubernetesRelease


@dataclass(frozen=True)
class Publication:
    """What is published for one node. files: path in the boot store -> bytes. kernel_arguments: of the live system.

    boot_url: where the boot override leads.
    """

    node: str
    generation: str
    boot_url: str
    kernel_arguments: tuple[str, ...]
    files: Mapping[str, bytes]


class PoolBoot(Protocol):
    """What the nodes of a pool boot. What they share is made once: rendering each anew costs a fleet seconds.

    A node's generation is the digest of all else, so everything here takes it as an argument.
    """

    @property
    def asked(self) -> Asked: ...

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Names of the release's artifacts that a bare-metal installation boots or writes: their digests
        are covered by the node's. A new AMI replaces no metal."""
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
    that must not start. arguments: of its kernel, by the release and the URL of its configuration."""

    programs: str
    masked: tuple[str, ...]
    arguments: Callable[[Release, str], tuple[str, ...]]


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
    return Asked(environment, of.role, environment.stores(pool), release, kubernetes)


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
    for name, host in pool.machines.hosts.items():
        if host.os_disk in host.kept_disks:
            yield f"host {name}: expected an OS disk of its own, found {host.os_disk} among its data disks"
    if not layout.PLAIN.fullmatch(environment.boot_store.url):
        yield f"boot_store.url: expected no quotes, backslashes or $ in it, found {environment.boot_store.url!r}"
