"""The installed system of one node, as an Ignition configuration, for every system that Ignition configures.

It names the data disks and never formats, partitions or mounts one (the storage driver takes them raw);
it opens no login unless the stack file asks for one; and it holds no secret: a machine's credentials reach
it at its one-time location when it joins. What only one system needs is that system's module's
(components/boot/fedora_coreos.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from components.boot import kubeadm, s3_scripts, scripts, settings
from components.boot.contract import Asked
from components.boot.files import (
    data_disks_file,
    environment_file,
    generation_file,
    json_file,
    program,
    text_file,
)
from components.boot.identity import host_id, host_nqn
from components.boot.ignition import Directory, File, Ignition, KernelArguments, Link, Storage, Systemd, Unit
from components.machines.contract import Own
from lifecycle import labels

FORWARDING: Final = "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\n"
FORWARDING_6: Final = "net.ipv6.conf.all.forwarding = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\n"
"""Only where pods have IPv6 addresses: a host that forwards ignores router advertisements."""
CRI: Final = """\
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = true
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
"""
NO_KERNEL_ARGUMENTS: Final = KernelArguments()
CRICTL: Final = f"runtime-endpoint: {kubeadm.SOCKET}\n"


@dataclass(frozen=True)
class Installed:
    """What the installed systems of a pool share, made once for all of them."""

    asked: Asked
    files: tuple[File, ...]
    directories: tuple[Directory, ...]
    units: tuple[Unit, ...]
    kernel_arguments: KernelArguments = NO_KERNEL_ARGUMENTS
    links: tuple[Link, ...] = ()

    def of_host(self, own: Own) -> Ignition:
        """The configuration of one host."""
        files = sorted([*self.files, *_own_files(self.asked, own)], key=lambda f: f.path)
        return Ignition(
            storage=Storage(
                files=tuple(files),
                directories=self.directories,
                links=self.links,
                filesystems=settings.filesystems(own),
            ),
            systemd=Systemd(units=(*self.units, *settings.mount_units(own))),
            passwd=settings.passwd(self.asked.environment.settings),
            kernel_arguments=self.kernel_arguments,
        )

    def with_generation(self, own: Own, generation: str) -> Ignition:
        """The same with the generation that it belongs to, so that a machine can say which one it runs.

        Apart from the rest, because the generation is the digest of all else.
        """
        configuration = self.of_host(own)
        files = sorted([*configuration.storage.files, generation_file(generation)], key=lambda f: f.path)
        storage = configuration.storage.model_copy(update={"files": tuple(files)})
        return configuration.model_copy(update={"storage": storage})


def containerd(own: str = "") -> str:
    """containerd's configuration. own: a system's own part of it, before what all have in common. containerd 2 reads
    this version and converts it."""
    return f"version = 2\n{own}{CRI}"


def shared_files(asked: Asked, *, programs: str, containerd: str) -> Iterator[File]:
    """Files that every node of a pool has, whichever system it runs. programs: the folder of ours.
    containerd: its configuration."""
    environment = asked.environment
    for name, text in s3_scripts.programs(environment).items():
        yield program(programs, name, text)
    yield text_file("/etc/modules-load.d/kubernetes.conf", "br_netfilter\noverlay\n")
    yield text_file("/etc/modules-load.d/nvme-tcp.conf", "nvme-tcp\n")
    if asked.stores:
        yield text_file("/etc/modules-load.d/simplyblock.conf", "nbd\nvfio_pci\n")
    forwarding = FORWARDING + (FORWARDING_6 if ":" in environment.cluster.pod_cidr else "")
    yield text_file("/etc/sysctl.d/90-kubernetes.conf", forwarding)
    yield text_file("/etc/containerd/config.toml", containerd, overwrite=True)
    yield text_file("/etc/crictl.yaml", CRICTL)
    yield from settings.registries(environment.settings)
    if asked.role == "control-plane":
        yield json_file(f"{scripts.KUBEADM}/cluster.json", kubeadm.cluster(environment.cluster))
        yield json_file(f"{scripts.KUBEADM}/kubelet.json", kubeadm.kubelet())


def _own_files(asked: Asked, own: Own) -> Iterator[File]:
    cluster, name = asked.environment.cluster.name, own.name
    control_plane = asked.role == "control-plane"
    registration = kubeadm.registration(name, labels.registered(own.fault_domain, stores=asked.stores))
    yield text_file("/etc/hostname", f"{name}\n", overwrite=True)
    yield text_file("/etc/nvme/hostid", f"{host_id(cluster, name)}\n", overwrite=True)
    yield text_file("/etc/nvme/hostnqn", f"{host_nqn(cluster, name)}\n", overwrite=True)
    yield environment_file(asked.environment, name, asked.role)
    yield data_disks_file(own)
    yield json_file(f"{scripts.KUBEADM}/join.json", kubeadm.join(registration, control_plane=control_plane))
    if control_plane:
        yield json_file(f"{scripts.KUBEADM}/init.json", kubeadm.init(registration))
