"""Flatcar Container Linux: what its nodes boot. Fulfils components.boot.contract.System.

Kubernetes arrives as one system extension of Flatcar's bakery (github.com/flatcar/sysext-bakery,
kubernetes.sysext/create.sh at 80959c1), checked by its pinned digest and laid over /usr when the machine
starts; containerd comes with the image, as an extension of its own. Nothing updates either: the image's
updater, its reboots and systemd-sysupdate are all switched off. docs/decisions/0082.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from components.boot import flatcar_installer, immutability, kubeadm, scripts, settings
from components.boot.contract import Asked, BootConfigurationError, Live, Publication
from components.boot.files import text_file
from components.boot.flatcar_installer import NO_UPDATES, PROGRAMS, UPDATERS
from components.boot.ignition import Directory, Dropin, File, Link, Unit, fetched
from components.boot.ignition_node import Installed, containerd, shared_files
from components.boot.immutability import Root
from components.boot.launched import LaunchedPool
from components.images.lock import Artifact
from components.machines.contract import Own

OS: Final = "flatcar"
ARCHITECTURES: Final = {"x86_64": "x86-64", "aarch64": "arm64"}
"""As the bakery names them (systemd's names)."""
ROOT: Final = Root(
    os=OS,
    read_only="/usr is dm-verity, and all that is the system is below it",
    writable=("/etc", "/home", "/opt", "/root", "/srv", "/var"),
    links={"/bin": "/usr/bin", "/lib": "/usr/lib", "/lib64": "/usr/lib64", "/sbin": "/usr/sbin"},
)
LIVE: Final = Live(
    programs=PROGRAMS,
    masked=UPDATERS,
    artifacts=flatcar_installer.LIVE_ARTIFACTS,
    arguments=lambda release, store, url: flatcar_installer.kernel_arguments(url),
)
PATH: Final = f"{PROGRAMS}:/usr/bin:/usr/sbin"
HUGEPAGE_KIB: Final = 2048

# What Flatcar's own has (coreos/sysext/containerd/usr/share/containerd/config.toml in github.com/flatcar/scripts
# at ab6d76d) beside what all systems' have, without what is containerd's default.
CONTAINERD: Final = """\
oom_score = -999
[plugins."io.containerd.grpc.v1.cri"]
  enable_selinux = true
"""
# Its unit reads /usr/share/containerd/config.toml unless it is told otherwise.
CONTAINERD_DROPIN: Final = "[Service]\nEnvironment=CONTAINERD_CONFIG=/etc/containerd/config.toml\n"

# The extension brings kubelet.service, and 10-kubeadm.conf beside it, which names kubeadm's files and copies the
# CNI plugins to /opt/cni/bin. The condition keeps it from crash-looping before kubeadm, which starts it, has
# configured it.
KUBELET_DROPIN: Final = """\
[Unit]
Requires=containerd.service
After=containerd.service
ConditionPathExists=/var/lib/kubelet/config.yaml
"""
# In place of the extension's drop-in of this name, which upholds the kubelet: systemd would start a unit whose
# condition fails again and again.
TARGET_DROPIN: Final = "[Unit]\nWants=kubelet.service\n"


@dataclass(frozen=True)
class FlatcarPool:
    """Fulfils components.boot.contract.PoolBoot."""

    installed: Installed
    artifacts: tuple[str, ...] = flatcar_installer.ARTIFACTS

    @property
    def machine_image(self) -> str:
        return ""

    @property
    def asked(self) -> Asked:
        return self.installed.asked

    def publication(self, own: Own, generation: str) -> Publication:
        return flatcar_installer.publication(self.installed, own, generation)

    def configuration(self, own: Own, generation: str) -> bytes:
        return self.installed.with_generation(own, generation).to_bytes()


@dataclass(frozen=True)
class Flatcar:
    """Fulfils components.boot.contract.System."""

    os: str = OS
    root: Root = ROOT
    live: Live = LIVE

    def mutations(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        return immutability.problems(self.root, files)

    def pool(self, asked: Asked) -> FlatcarPool | LaunchedPool:
        kubernetes = asked.kubernetes
        if kubernetes.sysext is None:
            problem = (
                f"expected {kubernetes} to be pinned with its system extension (sysext), which is how it gets onto "
                "Flatcar, found none; pin it from https://extensions.flatcar.org"
            )
            raise BootConfigurationError(str(asked.release), (problem,))
        extension, link = _extension(kubernetes.sysext, kubernetes.version, kubernetes.architecture)
        files = [*shared_files(asked, programs=PROGRAMS, containerd=containerd(CONTAINERD)), extension]
        files.append(text_file("/etc/flatcar/update.conf", NO_UPDATES, overwrite=True))
        files += settings.timesyncd(asked.environment.settings)
        if asked.stores:
            files.append(text_file("/etc/sysctl.d/90-hugepages.conf", _hugepages(asked)))
        installed = Installed(
            asked=asked,
            files=tuple(files),
            directories=tuple(Directory(path=path, mode=0o755) for path in (scripts.CNI, kubeadm.VOLUME_PLUGINS)),
            units=_units(),
            links=(link,),
        )
        return LaunchedPool(installed) if asked.platform == "aws" else FlatcarPool(installed)


def _extension(pinned: Artifact, version: str, architecture: str) -> tuple[File, Link]:
    # The link's name is what systemd-sysext calls it, and must be that of the extension-release file inside it.
    path = f"/opt/extensions/kubernetes/kubernetes-{version}-{ARCHITECTURES[architecture]}.raw"
    file = File(path=path, mode=0o644, contents=fetched(pinned.url, pinned.sha256))
    return file, Link(path="/etc/extensions/kubernetes.raw", target=path)


def _hugepages(asked: Asked) -> str:
    # Kernel arguments are in the OEM partition's grub.cfg here, and changing it costs a second reboot. systemd-sysctl
    # sets these early in boot, before memory is fragmented and before the kubelet counts it.
    pages = -(-asked.environment.storage.driver.hugepages_mib * 1024 // HUGEPAGE_KIB)
    return f"vm.nr_hugepages = {pages}\n"


def _units() -> tuple[Unit, ...]:
    def dropin(unit: str, name: str, contents: str) -> Unit:
        return Unit(name=unit, dropins=(Dropin(name=name, contents=contents),))

    updaters = (Unit(name=name, mask=True) for name in UPDATERS)
    return (
        dropin("containerd.service", "10-ingot.conf", CONTAINERD_DROPIN),
        Unit(name="ingot-join.service", enabled=True, contents=scripts.join_unit(PROGRAMS, path=PATH)),
        dropin("kubelet.service", "20-ingot.conf", KUBELET_DROPIN),
        dropin("multi-user.target", "10-kubelet-service.conf", TARGET_DROPIN),
        *updaters,
    )
