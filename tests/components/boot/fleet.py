"""A small fleet to boot: three control planes, three storage workers, and what is pinned for them."""

from __future__ import annotations

import hashlib
from typing import Any

OLD, NEW = "44.20260101.3.0", "44.20260202.3.0"
FLATCAR_OLD, FLATCAR_NEW = "4593.2.3", "4593.2.4"
TALOS_OLD, TALOS_NEW = "v1.13.8", "v1.13.9"
SCHEMATIC = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
IMAGES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "fedora-coreos": ({"os": "fedora-coreos", "version": OLD}, {"os": "fedora-coreos", "version": NEW}),
    "flatcar": ({"os": "flatcar", "version": FLATCAR_OLD}, {"os": "flatcar", "version": FLATCAR_NEW}),
    "talos": (
        {"os": "talos", "version": TALOS_OLD, "schematic": SCHEMATIC},
        {"os": "talos", "version": TALOS_NEW, "schematic": SCHEMATIC},
    ),
}
"""System -> two of its images, as a stack file names them. A new system is one more line, and its pins below."""

LAYOUTS: dict[str, dict[str, Any]] = {
    "converged": {"storage/nodes": ["hci"]},
    "with storage on control planes": {"storage/nodes": ["control", "hci"]},
    "with storage elsewhere": {"storage/nodes": ["another"]},
    "with disks that are mounted": {
        "pools/hci/machines/hosts/w1/mounts": {
            "scratch": {"disk": "/dev/disk/by-id/nvme-S_1", "filesystem": "ext4"},
            "my-logs": {"disk": "/dev/disk/by-path/pci-0000:01:00.0-nvme-1"},
        },
        "settings": {"time_servers": ["ntp.example"], "registry_mirrors": {"docker.io": ["https://m.example/v2/d"]}},
    },
    "without data disks": {f"pools/hci/machines/hosts/w{i}/data_disks": [] for i in (1, 2, 3)},
}
"""Which nodes hold replicas, and on what."""


def host(name: str, number: int, *data_disks: str) -> dict[str, Any]:
    return {
        "bmc": {"url": f"https://bmc-{name}.example/redfish/v1/Systems/1"},
        "mac": f"52:54:00:00:00:{number:02x}",
        "os_disk": f"/dev/disk/by-id/nvme-OS_{name}",
        "data_disks": list(data_disks),
        "fault_domain": f"rack-{number % 3}",
    }


def fleet() -> dict[str, Any]:
    """A stack file's environment, as a document that a test may change."""
    by_id = "/dev/disk/by-id/nvme-"
    workers = {f"w{i}": host(f"w{i}", 16 + i, f"{by_id}A_{i}", f"{by_id}B_{i}") for i in (1, 2, 3)}
    return {
        "cluster": {"name": "metal", "kubernetes": "v1.36.3", "endpoint": "api.example"},
        "image": {"os": "fedora-coreos", "version": OLD},
        "boot_store": {"kind": "directory", "url": "https://boot.example", "directory": "/srv/boot"},
        "pools": {
            "control": {
                "role": "control-plane",
                "machines": {"kind": "bare-metal", "hosts": {f"c{i}": host(f"c{i}", i) for i in (1, 2, 3)}},
            },
            "hci": {
                "role": "worker",
                "machines": {"kind": "bare-metal", "hosts": workers},
                "rollout": {"canary": True, "soak_s": 120, "max_unavailable": 2},
            },
        },
        "storage": {
            "driver": {"kind": "simplyblock", "chart_version": "26.2.8", "cluster_id": "c-1", "pool_name": "p-1"},
            "nodes": ["hci"],
            "policies": {"fast": {}},
        },
    }


def pinned() -> dict[str, Any]:
    """A lock file with two releases and two versions of Kubernetes, each file with a digest of its own."""

    def artifact(name: str) -> dict[str, str]:
        url = f"https://builds.example/{name}"
        return {"url": url, "sha256": _digest(name), "signature": f"{url}.sig"}

    def image(os_image: str, version: str, architecture: str) -> dict[str, Any]:
        names = ("pxe-kernel", "pxe-initramfs", "pxe-rootfs", "metal", "metal-4k", "iso")
        return {
            "os_image": os_image.format(version),
            "artifacts": {name: artifact(f"{version}/{architecture}/{name}") for name in names},
            "amis": {"eu-central-1": "ami-0123456789abcdef0"},
        }

    def versions(os_image: str, *listed: str) -> dict[str, Any]:
        return {v: {a: image(os_image, v, a) for a in ("x86_64", "aarch64")} for v in listed}

    talos = versions("Talos ({})", TALOS_OLD, TALOS_NEW)
    programs = ("kubeadm", "kubelet", "kubectl", "crictl", "cni_plugins", "sysext")
    return {
        "images": {
            "fedora-coreos": versions("Fedora CoreOS {}", OLD, NEW),
            "flatcar": versions("Flatcar Container Linux by Kinvolk {} (Oklo)", FLATCAR_OLD, FLATCAR_NEW),
            "talos": {f"{v}+{SCHEMATIC}": _of_talos(v, found) for v, found in talos.items()},
        },
        "kubernetes": {
            v: {a: {p: artifact(f"{v}/{a}/{p}") for p in programs} for a in ("x86_64", "aarch64")}
            for v in ("v1.36.3", "v1.36.4")
        },
    }


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def kept(name: str) -> str:
    """Where the boot store keeps a file of `pinned`, named by version, architecture and artifact."""
    return f"https://boot.example/boot/sha256/{_digest(name)}/{name.rpartition('/')[2]}"


def _of_talos(version: str, found: dict[str, Any]) -> dict[str, Any]:
    installer = f"factory.example/metal-installer/{SCHEMATIC}:{version}@sha256:{sum(version.encode()):a>64x}"
    return {a: {**image, "schematic": SCHEMATIC, "installer": installer} for a, image in found.items()}


def changed(document: Any, at: str, value: Any) -> Any:
    """A copy of `document` with `value` at a path of keys and slashes; None takes the key away."""
    key, _, rest = at.partition("/")
    copied = dict(document)
    if rest:
        copied[key] = changed(copied.get(key, {}), rest, value)
    elif value is None:
        del copied[key]
    else:
        copied[key] = value
    return copied


def boot_script(title: str, base: str, arguments: str) -> list[str]:
    """The lines of an iPXE script in full. base: of the names of the release's artifacts."""
    return [
        "#!ipxe",
        f"# {title}",
        ":start",
        f"kernel {kept(f'{base}/pxe-kernel')} {arguments} || goto again",
        f"initrd --name main {kept(f'{base}/pxe-initramfs')} || goto again",
        "boot || goto again",
        ":again",
        "echo Could not start the installer; trying again in 10 s",
        "imgfree",
        "sleep 10",
        "goto start",
    ]
