"""Talos: what its nodes boot. Fulfils components.boot.contract.System.

Talos installs itself: its kernel and initramfs come over the network, fetch the machine's configuration from
the node's one-time location, have the pinned installer write the OS disk, and restart from it. Kubernetes, its
container runtime and NVMe/TCP are built in.

A configuration is the cluster's secrets with these patches merged into it: `shared` for the pool, where the
program makes it and the state keeps it, `own` for the node, in the step that hands it over. Neither holds a
secret, and the digest covers both. docs/decisions/0083.md says how a machine is kept from what its disk held.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from components.boot import ipxe, kubeadm, layout, machine_config, talos_root
from components.boot.contract import Asked, BootConfigurationError, Publication
from components.boot.identity import host_id, host_nqn
from components.boot.immutability import Root
from components.boot.machine_config import (
    AdmissionPlugin,
    ApiServer,
    Cluster,
    Config,
    ControlPlane,
    Discovery,
    DiskSelector,
    Filesystem,
    Hostname,
    Install,
    Kernel,
    KernelModule,
    Kubelet,
    Machine,
    MachineFile,
    MirrorEndpoint,
    Network,
    Ntp,
    Provisioning,
    RegistryMirror,
    TimeSync,
    UserVolume,
)
from components.environment import Environment, Settings
from components.images.artifacts import INITRAMFS, KERNEL
from components.machines.contract import Own
from lifecycle import labels

OS: Final = "talos"
CONTRACT_MAX: Final = (1, 13)
"""Later ones have no machine.install, and pulumiverse-talos 0.8.1 does not know them."""
UNSET: Final = "/dev/disk/by-id/none-until-a-node-is-named"
"""The OS disk of a configuration that is no node's yet: a disk that is nowhere, so nothing is written."""
KUBELET: Final = "ghcr.io/siderolabs/kubelet"
HUGEPAGE_MIB: Final = 2
GENERATION: Final = "/var/lib/ingot/generation"
DATA_DISKS: Final = "/var/lib/ingot/data-disks"
NAMESPACES: Final = ("kube-flannel", "simplyblock")
"""Of the fleet's own charts, whose pods need the host. Talos exempts kube-system alone from its pod security."""
REQUIRED: Final = (
    "talos.platform=metal",
    "init_on_alloc=1",
    "slab_nomerge",
    "pti=on",
    "consoleblank=0",
    "nvme_core.io_timeout=4294967295",
    "printk.devkmsg=on",
    "selinux=1",
    "module.sig_enforce=1",
    "proc_mem.force_override=never",
)
"""The publisher's own kernel arguments: `DefaultArgs` in pkg/machinery/kernel of 1.13; 1.12 does without the last."""
HALT: Final = "talos.halt_if_installed=1"
"""A disk that holds Talos already decides what a machine is, not what it is told: then it must not start."""
VOLUME_NAME_MAX: Final = 34
"""Of a user volume's name: it becomes a partition's label, behind `u-`."""
CONTROL_PLANE: Final = "controlplane"
"""A machine type of Talos'; the other is `worker`."""


class PoolPatch(BaseModel, extra="forbid", frozen=True):
    """What the provider makes a pool's configuration of, beside the secrets. contract: as `v1.13`."""

    contract: str
    kubernetes: str
    machine_type: str
    patch: str


@dataclass(frozen=True)
class TalosPool:
    """Fulfils components.boot.contract.PoolBoot."""

    asked: Asked
    artifacts: tuple[str, ...] = (KERNEL, INITRAMFS)

    @property
    def machine_image(self) -> str:
        return ""

    def publication(self, own: Own, generation: str) -> Publication:
        store = self.asked.environment.store_url
        arguments = kernel_arguments(f"{store}/{layout.once(own.name)}", generation)
        release = self.asked.release
        return ipxe.publication(own.name, generation, release, store, arguments, {}, keeps=self.artifacts)

    def configuration(self, own: Own, generation: str) -> bytes:
        return machine_config.SEPARATOR.join((self.shared(), self.own(own, generation))).encode("ascii")

    def shared(self) -> str:
        """The patch that all nodes of the pool have in common."""
        return machine_config.stream([_shared(self.asked), *_settings(self.asked.environment.settings)])

    def patch(self) -> PoolPatch:
        """The same, with what else the pool's configuration is made of."""
        asked = self.asked
        return PoolPatch(
            contract=contract(asked.release.version),
            kubernetes=asked.kubernetes.version,
            machine_type=machine_type(asked.role),
            patch=self.shared(),
        )

    def own(self, own: Own, generation: str) -> str:
        """The patch that makes a pool's configuration this node's."""
        return machine_config.stream(_own(self.asked, own, generation))


@dataclass(frozen=True)
class Talos:
    """Fulfils components.boot.contract.System."""

    os: str = OS
    root: Root = talos_root.ROOT
    live: None = None

    def mutations(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        return talos_root.problems(files)

    def pool(self, asked: Asked) -> TalosPool:
        if problems := tuple(_problems(asked)):
            raise BootConfigurationError(str(asked.release), problems)
        return TalosPool(asked)


def kernel_arguments(configuration_url: str, generation: str) -> tuple[str, ...]:
    """Of the system that installs. configuration_url: where a GET is answered once the node may come in; Talos asks
    again and again until then. generation: for whoever looks at the console, Talos ignores it."""
    return (
        f"initrd={ipxe.INITRD}",
        *REQUIRED,
        HALT,
        f"ingot.generation={generation}",
        f"talos.config={configuration_url}",
    )


def machine_type(role: str) -> str:
    """The role, as Talos says it."""
    return CONTROL_PLANE if role == "control-plane" else "worker"


def contract(version: str) -> str:
    """The version contract of a release: its major and minor number, as `v1.13`."""
    return version.rpartition(".")[0]


def _problems(asked: Asked) -> Iterator[str]:
    release = asked.release
    major, minor = (int(number) for number in re.findall(r"[0-9]+", release.version)[:2])
    if (major, minor) > CONTRACT_MAX:
        yield f"expected Talos {CONTRACT_MAX[0]}.{CONTRACT_MAX[1]} at most, found {release.version}"
    if asked.platform != "metal":
        yield (
            "expected machines of kind bare-metal, found another: Talos takes its whole configuration, secrets and "
            "all, at its one-time location, and on EC2 it would read it from user data, which everybody may read who "
            "may describe instances; Fedora CoreOS and Flatcar run there"
        )
    if release.installer is None:
        yield f"expected an installer by digest, found none; pin {release} again from the image factory"
    for pool in asked.environment.pools.values():
        for own in map(pool.machines.own, pool.machines.hosts):
            for mount in own.mounts:
                if len(mount.name) > VOLUME_NAME_MAX:
                    found = f"names of mounts of {VOLUME_NAME_MAX} characters at most, found {mount.name}"
                    yield f"host {own.name}: expected {found}"


def _shared(asked: Asked) -> Config:
    environment, storing = asked.environment, asked.stores
    control_plane = asked.role == "control-plane"
    pages = -(-environment.storage.driver.hugepages_mib // HUGEPAGE_MIB)
    modules = tuple(KernelModule(name=name) for name in ("nbd", "vfio_pci"))
    return Config(
        machine=Machine(
            cert_sans=(environment.cluster.endpoint,) if control_plane else None,
            install=Install(disk=UNSET, image=asked.release.installer, wipe=True),
            kernel=Kernel(modules=modules) if storing else None,
            kubelet=Kubelet(image=f"{KUBELET}:{asked.kubernetes.version}"),
            # Set before the kubelet starts, which counts them once.
            sysctls={"vm.nr_hugepages": str(pages)} if storing else None,
        ),
        cluster=Cluster(
            # As the provider has it already: said here too, so that the digest covers what a machine is told.
            control_plane=ControlPlane(endpoint=f"https://{kubeadm.endpoint(environment.cluster)}"),
            network=_network(environment),
            # Members find each other through the API alone, like kubeadm's; no machine asks a service outside.
            discovery=Discovery(enabled=False),
            api_server=ApiServer(admission_control=(_pod_security(),)) if control_plane else None,
        ),
    )


def _settings(settings: Settings) -> Iterator[machine_config.Document]:
    if settings.time_servers:
        yield TimeSync(ntp=Ntp(servers=settings.time_servers))
    for registry, mirrors in sorted(settings.registry_mirrors.items()):
        endpoints = tuple(
            MirrorEndpoint(url=mirror, override_path=True if mirror.removeprefix("https://").count("/") else None)
            for mirror in mirrors
        )
        yield RegistryMirror(name=registry, endpoints=endpoints)


def _network(environment: Environment) -> Network:
    cluster = environment.cluster
    return Network(pod_subnets=(cluster.pod_cidr,), service_subnets=(cluster.service_cidr,))


def _pod_security() -> AdmissionPlugin:
    return AdmissionPlugin(name="PodSecurity", configuration={"exemptions": {"namespaces": list(NAMESPACES)}})


def _own(asked: Asked, own: Own, generation: str) -> Iterator[machine_config.Document]:
    cluster, name = asked.environment.cluster.name, own.name
    registered = labels.registered(own.fault_domain, stores=asked.stores)
    # On the kubelet's command line, so that they are there from the node's first moment: Talos itself would set
    # its nodeLabels later, and CSI drivers read the topology once, when they register.
    told = ",".join(f"{key}={registered[key]}" for key in sorted(registered))
    files = (
        _file(DATA_DISKS, "".join(f"{disk}\n" for disk in own.kept_disks), "create"),
        _file(GENERATION, f"{generation}\n", "create"),
        _file(talos_root.HOST_ID, f"{host_id(cluster, name)}\n", "overwrite"),
        _file(talos_root.HOST_NQN, f"{host_nqn(cluster, name)}\n", "overwrite"),
    )
    yield Config(
        machine=Machine(
            cert_sans=(name,),
            files=files,
            install=Install(disk=own.os_disk),
            kubelet=Kubelet(extra_args={"node-labels": told}),
        )
    )
    yield Hostname(hostname=name)
    for mount in own.mounts:
        yield UserVolume(
            name=mount.name,
            provisioning=Provisioning(disk_selector=DiskSelector(match=f'"{mount.disk}" in disk.symlinks')),
            filesystem=Filesystem(type=mount.filesystem),
        )


def _file(path: str, content: str, op: str) -> MachineFile:
    return MachineFile.model_validate({"path": path, "content": content, "permissions": 0o644, "op": op})
