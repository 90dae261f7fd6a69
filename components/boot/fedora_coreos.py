"""Fedora CoreOS: what its nodes boot. Fulfils components.boot.contract.System.

Kubernetes arrives as programs from its official release host, each checked by its pinned digest, below
/usr/local (which is /var/usrlocal here); containerd comes with the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from components.boot import coreos_installer, immutability, ipxe, kubeadm, scripts, settings
from components.boot.contract import Asked, Live, Publication
from components.boot.files import text_file
from components.boot.ignition import Directory, File, KernelArguments, Unit, fetched
from components.boot.ignition_node import NO_KERNEL_ARGUMENTS, Installed, containerd, shared_files
from components.boot.immutability import Root
from components.boot.launched import LaunchedPool
from components.images.artifacts import ROOTFS
from components.images.fedora_coreos import OS
from components.images.lock import KubernetesRelease
from components.machines.contract import Own

ROOT: Final = Root(
    os=OS,
    read_only="the root is composefs",
    writable=("/etc", "/var"),
    links={
        "/home": "/var/home",
        "/mnt": "/var/mnt",
        "/opt": "/var/opt",
        "/root": "/var/roothome",
        "/srv": "/var/srv",
        "/usr/local": "/var/usrlocal",
    },
)
LIVE: Final = Live(
    programs=scripts.PROGRAMS,
    masked=(),
    artifacts=coreos_installer.LIVE_ARTIFACTS,
    arguments=lambda release, store, url: coreos_installer.live_arguments(ipxe.kept_url(store, release, ROOTFS), url),
)
HUGEPAGE_MIB: Final = 2
PATH: Final = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin"
NO_UPDATES: Final = "[updates]\nenabled = false\n"


@dataclass(frozen=True)
class FedoraCoreOsPool:
    """Fulfils components.boot.contract.PoolBoot."""

    installed: Installed
    artifacts: tuple[str, ...] = coreos_installer.ARTIFACTS

    @property
    def machine_image(self) -> str:
        return ""

    @property
    def asked(self) -> Asked:
        return self.installed.asked

    def publication(self, own: Own, generation: str) -> Publication:
        return coreos_installer.publication(self.installed, own, generation)

    def configuration(self, own: Own, generation: str) -> bytes:
        return self.installed.with_generation(own, generation).to_bytes()


@dataclass(frozen=True)
class FedoraCoreOs:
    """Fulfils components.boot.contract.System."""

    os: str = OS
    root: Root = ROOT
    live: Live = LIVE

    def mutations(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        return immutability.problems(self.root, files)

    def pool(self, asked: Asked) -> FedoraCoreOsPool | LaunchedPool:
        files = [
            *shared_files(asked, programs=scripts.PROGRAMS, containerd=containerd()),
            *_kubernetes(asked.kubernetes),
        ]
        files += settings.chrony(asked.environment.settings)
        files.append(text_file("/etc/zincati/config.d/90-disable-auto-updates.toml", NO_UPDATES))
        installed = Installed(
            asked=asked,
            files=tuple(files),
            directories=tuple(Directory(path=path, mode=0o755) for path in (scripts.CNI, kubeadm.VOLUME_PLUGINS)),
            units=_units(),
            kernel_arguments=_kernel_arguments(asked) if asked.stores else NO_KERNEL_ARGUMENTS,
        )
        return LaunchedPool(installed) if asked.platform == "aws" else FedoraCoreOsPool(installed)


def _kubernetes(release: KubernetesRelease) -> Iterator[File]:
    for name, artifact in (("kubeadm", release.kubeadm), ("kubectl", release.kubectl), ("kubelet", release.kubelet)):
        contents = fetched(artifact.url, artifact.sha256)
        yield File(path=f"{scripts.PROGRAMS}/{name}", mode=0o755, contents=contents)
    for name, artifact in (("cni-plugins.tgz", release.cni_plugins), ("crictl.tar.gz", release.crictl)):
        yield File(path=f"{scripts.ARCHIVES}/{name}", mode=0o644, contents=fetched(artifact.url, artifact.sha256))


def _units() -> tuple[Unit, ...]:
    join = scripts.join_unit(scripts.PROGRAMS, path=PATH, after=("ingot-unpack.service",))
    return (
        Unit(name="containerd.service", enabled=True),
        Unit(name="ingot-join.service", enabled=True, contents=join),
        Unit(name="ingot-unpack.service", enabled=True, contents=scripts.UNPACK_UNIT),
        Unit(name="kubelet.service", enabled=True, contents=scripts.KUBELET_UNIT),
    )


def _kernel_arguments(asked: Asked) -> KernelArguments:
    # Reserved at boot, before memory is fragmented and before the kubelet counts it. The size comes
    # first: the kernel reads the arguments in order.
    pages = -(-asked.environment.storage.driver.hugepages_mib // HUGEPAGE_MIB)
    return KernelArguments(should_exist=(f"hugepagesz={HUGEPAGE_MIB}M", f"hugepages={pages}"))
