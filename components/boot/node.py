"""The installed system of one node, as an Ignition configuration for Fedora CoreOS.

A pure function of the stack file and of what is pinned. It says nothing of the pool's name, the roll
or its limits, so none of these ever replaces a machine; it names the data disks and never formats,
partitions or mounts one (the storage driver takes them raw); it opens no login; and it holds no secret:
a machine's credentials reach it at its one-time location when it joins.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

from components.boot import kubeadm, layout, scripts
from components.boot.ignition import (
    Directory,
    File,
    Ignition,
    KernelArguments,
    Resource,
    Storage,
    Systemd,
    Unit,
    canonical_json,
    fetched,
    inline,
)
from components.environment import Environment, Host, Pool
from components.images.fedora_coreos import OS
from components.images.lock import KubernetesRelease, Release
from lifecycle import labels

NAMES: Final = uuid.UUID("5f0c1b6e-6a0b-5d0e-9c53-3f0d3a1c7e42")
"""Namespace of the identities below. Changing it would give every node of every fleet a new one."""

HUGEPAGE_MIB: Final = 2

NO_UPDATES: Final = "[updates]\nenabled = false\n"
FORWARDING: Final = "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\n"
FORWARDING_6: Final = "net.ipv6.conf.all.forwarding = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\n"
"""Only where pods have IPv6 addresses: a host that forwards ignores router advertisements."""
CONTAINERD: Final = """\
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
"""
CRICTL: Final = f"runtime-endpoint: {kubeadm.SOCKET}\n"


class BootConfigurationError(Exception):
    """No boot configuration can be made. problems: one line each, never empty."""

    def __init__(self, what: str, problems: tuple[str, ...]) -> None:
        self.what, self.problems = what, problems
        super().__init__("\n".join([f"boot configuration of {what}:", *(f"  {p}" for p in problems)]))


@dataclass(frozen=True)
class Own:
    """All that a node's boot configuration takes from its host: whatever else the stack file says of the
    host (its controller, its MAC address) can change without a new installation."""

    name: str
    os_disk: str
    data_disks: tuple[str, ...]
    fault_domain: str

    @classmethod
    def of(cls, name: str, host: Host) -> Self:
        """Of a declared host."""
        return cls(name, host.os_disk, host.data_disks, host.fault_domain)


@dataclass(frozen=True)
class Shared:
    """What the nodes of a pool share, made once for all of them. role: as in the stack file."""

    environment: Environment
    role: str
    stores: bool
    release: Release
    files: tuple[File, ...]
    directories: tuple[Directory, ...]
    units: tuple[Unit, ...]
    kernel_arguments: KernelArguments


def node_configuration(
    environment: Environment, pool: str, host: str, release: Release, kubernetes: KubernetesRelease
) -> Ignition:
    """The installed system of `host`, a member of `pool`.

    release, kubernetes: what the stack file names, as pinned. Raises BootConfigurationError, with all
    that is wrong, if the stack file does not name these or has no such host.
    """
    found = environment.pools.get(pool)
    if found is None or host not in found.machines.hosts:
        where = f"hosts of pool {pool}" if found else "pools"
        names = ", ".join(found.machines.hosts if found else environment.pools)
        problem = f"expected one of the {where}: {names}. Name the host as the stack file does"
        raise BootConfigurationError(f"{pool}/{host}", (problem,))
    return of_host(shared(environment, pool, release, kubernetes), Own.of(host, found.machines.hosts[host]))


def shared(environment: Environment, pool: str, release: Release, kubernetes: KubernetesRelease) -> Shared:
    """What `node_configuration` makes for every host of the pool alike. Raises BootConfigurationError."""
    of = environment.pools[pool]
    if problems := tuple(_mismatches(environment, of, release, kubernetes)):
        raise BootConfigurationError(f"pool {pool}", problems)
    stores = environment.stores(pool)
    return Shared(
        environment=environment,
        role=of.role,
        stores=stores,
        release=release,
        files=tuple(_shared_files(environment, of, kubernetes, stores=stores)),
        directories=tuple(Directory(path=path, mode=0o755) for path in (scripts.CNI, kubeadm.VOLUME_PLUGINS)),
        units=_units(),
        kernel_arguments=_kernel_arguments(environment) if stores else KernelArguments(),
    )


def of_host(pool: Shared, own: Own) -> Ignition:
    """The configuration of one host, from what its pool shares."""
    files = sorted([*pool.files, *_own_files(pool, own)], key=lambda f: f.path)
    return Ignition(
        storage=Storage(files=tuple(files), directories=pool.directories),
        systemd=Systemd(units=pool.units),
        kernel_arguments=pool.kernel_arguments,
    )


def with_generation(configuration: Ignition, generation: str) -> Ignition:
    """The configuration with the generation it belongs to, so that a machine can say which one it runs.

    Apart from the rest, because the generation is the digest of all else.
    """
    files = sorted([*configuration.storage.files, generation_file(generation)], key=lambda f: f.path)
    return configuration.model_copy(
        update={"storage": configuration.storage.model_copy(update={"files": tuple(files)})}
    )


def generation_file(generation: str) -> File:
    """The file that says which generation a machine boots."""
    return _text(scripts.GENERATION, generation + "\n")


def host_id(cluster: str, node: str) -> str:
    """The node's NVMe host id: the same after every replacement, and another for every node."""
    return str(uuid.uuid5(NAMES, f"{cluster}/{node}"))


def host_nqn(cluster: str, node: str) -> str:
    """The node's NVMe host qualified name, from its host id."""
    return f"nqn.2014-08.org.nvmexpress:uuid:{host_id(cluster, node)}"


def environment_file(environment: Environment, node: str, role: str) -> File:
    """What the programs in components/boot/scripts.py read. Every value is of a form that shells leave alone."""
    values = {
        "INGOT_ENDPOINT": kubeadm.endpoint(environment.cluster),
        "INGOT_NODE": node,
        "INGOT_ROLE": role,
        "INGOT_STORE": environment.boot_store.url,
    }
    return _text(scripts.ENVIRONMENT, "".join(f"{key}='{value}'\n" for key, value in values.items()))


def data_disks_file(own: Own) -> File:
    """The disks that nothing but the storage driver may touch, one stable id a line."""
    return _text(scripts.DATA_DISKS, "".join(f"{disk}\n" for disk in own.data_disks))


def program(name: str, text: str) -> File:
    """A program of ours."""
    return File(path=f"{scripts.PROGRAMS}/{name}", mode=0o755, contents=inline(text))


def _mismatches(environment: Environment, pool: Pool, release: Release, kubernetes: KubernetesRelease) -> Iterator[str]:
    image = environment.image_of(pool)
    if (release.os, release.version, release.architecture) != (image.os, image.version, image.architecture):
        yield f"expected the image of its pool, {image.os} {image.version} ({image.architecture}), found {release}"
    if release.os != OS:
        yield f"expected {OS}, the one system configured here, found {release.os}"
    if kubernetes.version != environment.cluster.kubernetes:
        yield f"expected Kubernetes {environment.cluster.kubernetes}, found {kubernetes}"
    if kubernetes.architecture != release.architecture:
        yield f"expected Kubernetes for {release.architecture}, found {kubernetes}"
    for name, host in pool.machines.hosts.items():
        if host.os_disk in host.data_disks:
            yield f"host {name}: expected an OS disk of its own, found {host.os_disk} among its data disks"
    if not layout.PLAIN.fullmatch(environment.boot_store.url):
        yield f"boot_store.url: expected no quotes, backslashes or $ in it, found {environment.boot_store.url!r}"


def _shared_files(
    environment: Environment, pool: Pool, kubernetes: KubernetesRelease, *, stores: bool
) -> Iterator[File]:
    for name, artifact in (
        ("kubeadm", kubernetes.kubeadm),
        ("kubectl", kubernetes.kubectl),
        ("kubelet", kubernetes.kubelet),
    ):
        contents = fetched(artifact.url, artifact.sha256)
        yield File(path=f"{scripts.PROGRAMS}/{name}", mode=0o755, contents=contents)
    for name, artifact in (("cni-plugins.tgz", kubernetes.cni_plugins), ("crictl.tar.gz", kubernetes.crictl)):
        yield File(path=f"{scripts.ARCHIVES}/{name}", mode=0o644, contents=fetched(artifact.url, artifact.sha256))
    yield program("ingot-join", scripts.JOIN)
    yield program("ingot-report", scripts.REPORT)
    yield _text("/etc/zincati/config.d/90-disable-auto-updates.toml", NO_UPDATES)
    yield _text("/etc/modules-load.d/kubernetes.conf", "br_netfilter\noverlay\n")
    yield _text("/etc/modules-load.d/nvme-tcp.conf", "nvme-tcp\n")
    if stores:
        yield _text("/etc/modules-load.d/simplyblock.conf", "nbd\nvfio_pci\n")
    forwarding = FORWARDING + (FORWARDING_6 if ":" in environment.cluster.pod_cidr else "")
    yield _text("/etc/sysctl.d/90-kubernetes.conf", forwarding)
    yield _text("/etc/containerd/config.toml", CONTAINERD, overwrite=True)
    yield _text("/etc/crictl.yaml", CRICTL)
    if pool.role == "control-plane":
        yield _json(f"{scripts.KUBEADM}/cluster.json", kubeadm.cluster(environment.cluster))
        yield _json(f"{scripts.KUBEADM}/kubelet.json", kubeadm.kubelet())


def _own_files(pool: Shared, own: Own) -> Iterator[File]:
    cluster, name = pool.environment.cluster.name, own.name
    control_plane = pool.role == "control-plane"
    registration = kubeadm.registration(name, labels.registered(own.fault_domain, stores=pool.stores))
    yield _text("/etc/hostname", f"{name}\n", overwrite=True)
    yield _text("/etc/nvme/hostid", f"{host_id(cluster, name)}\n", overwrite=True)
    yield _text("/etc/nvme/hostnqn", f"{host_nqn(cluster, name)}\n", overwrite=True)
    yield environment_file(pool.environment, name, pool.role)
    yield data_disks_file(own)
    yield _json(f"{scripts.KUBEADM}/join.json", kubeadm.join(registration, control_plane=control_plane))
    if control_plane:
        yield _json(f"{scripts.KUBEADM}/init.json", kubeadm.init(registration))


def _units() -> tuple[Unit, ...]:
    return (
        Unit(name="containerd.service", enabled=True),
        Unit(name="ingot-join.service", enabled=True, contents=scripts.JOIN_UNIT),
        Unit(name="ingot-unpack.service", enabled=True, contents=scripts.UNPACK_UNIT),
        Unit(name="kubelet.service", enabled=True, contents=scripts.KUBELET_UNIT),
    )


def _kernel_arguments(environment: Environment) -> KernelArguments:
    # Reserved at boot, before memory is fragmented and before the kubelet counts it. The size comes
    # first: the kernel reads the arguments in order.
    pages = -(-environment.storage.driver.hugepages_mib // HUGEPAGE_MIB)
    return KernelArguments(should_exist=(f"hugepagesz={HUGEPAGE_MIB}M", f"hugepages={pages}"))


def _text(path: str, text: str, *, overwrite: bool | None = None) -> File:
    return _file(path, inline(text), overwrite)


def _json(path: str, document: dict[str, Any]) -> File:
    return _file(path, inline(canonical_json(document)), None)


def _file(path: str, contents: Resource, overwrite: bool | None) -> File:
    return File(path=path, mode=0o644, contents=contents, overwrite=overwrite)
