"""What runs on a lab: Node objects as an image's kubelet writes them, workloads, budgets, volumes.

Objects are plain data (functions), and `Fleet` puts them on the API server with the lifecycle's own transport.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig, path
from lifecycle.ports import Clock

Json = dict[str, Any]

DRIVER = "csi.simplyblock.io"
"""The storage driver that the lab's default StorageClass names; no driver runs, KWOK's stages play it."""

STORAGE_CLASS = "lab"

MANY = 10_000
"""More pods than any node of a lab gets: the scheduler spreads by number, not by what fits."""


@dataclass(frozen=True)
class Image:
    """What a node that runs an image says of itself (a Fedora CoreOS release, unless told otherwise)."""

    os_image: str = "Fedora CoreOS 44.20260621.3.1"
    kernel: str = "6.18.44-200.fc44.x86_64"
    container_runtime: str = "containerd://2.2.7"
    kubelet: str = "v1.36.3"


FEDORA_COREOS = Image()


def node(
    name: str,
    address: str,
    *,
    image: Image = FEDORA_COREOS,
    install: int = 1,
    boot: int = 1,
    labels: Mapping[str, str] | None = None,
    control_plane: bool = False,
) -> Json:
    """A Node as its kubelet registers it. install: a new one gives a new machine id. boot: a new one, a new boot id."""
    role = {"node-role.kubernetes.io/control-plane": ""} if control_plane else {}
    taints = [{"key": key, "effect": "NoSchedule"} for key in role]
    machine_id = _digest(name, "machine", install)
    resources = {"cpu": "64", "memory": "256Gi", "pods": str(MANY), "ephemeral-storage": "400Gi"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **role,
                **(labels or {}),
            },
            # As the kubelet of every CSI cluster: the controller manager attaches its volumes.
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"taints": taints},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "capacity": resources,
            "allocatable": resources,
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": image.os_image,
                "kernelVersion": image.kernel,
                "containerRuntimeVersion": image.container_runtime,
                "kubeletVersion": image.kubelet,
                "kubeProxyVersion": "",
                "machineID": machine_id,
                "systemUUID": _uuid(_digest(name, "system", install)),
                "bootID": _uuid(_digest(name, "boot", install, boot)),
            },
        },
    }


def worker(number: int, *, image: Image = FEDORA_COREOS, install: int = 1) -> Json:
    """The Node `w<number>`, in one of three racks."""
    return node(f"w{number}", _address(number), image=image, install=install, labels=_rack(number))


def deployment(name: str, replicas: int, *, claim: str = "", labels: Mapping[str, str] | None = None) -> Json:
    """Pods `app=<name>` without requests. claim: a PersistentVolumeClaim that each of them mounts."""
    selector = {"app": name, **(labels or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": selector}, "spec": pod_spec(claim=claim)},
        },
    }


def daemon_set(name: str) -> Json:
    """A pod `app=<name>` on every node, whatever its taints."""
    selector = {"app": name}
    spec = {**pod_spec(), "tolerations": [{"operator": "Exists"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": selector}, "spec": spec},
        },
    }


def pod(name: str, *, on: str = "", claim: str = "", annotations: Mapping[str, str] | None = None) -> Json:
    """A pod of nobody's. on: the only node that the scheduler may choose for it."""
    spec = {**pod_spec(claim=claim), **({"nodeSelector": {"kubernetes.io/hostname": on}} if on else {})}
    meta: Json = {"name": name, "labels": {"app": name}, "annotations": dict(annotations or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def pod_spec(*, claim: str = "") -> Json:
    """One container; no image of that name exists, and nothing pulls it."""
    container: Json = {"name": "app", "image": "registry.example/app:1"}
    spec: Json = {"containers": [container], "terminationGracePeriodSeconds": 30}
    if claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return spec


def budget(name: str, app: str, *, min_available: int) -> Json:
    """A PodDisruptionBudget over the pods `app=<app>`."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"minAvailable": min_available, "selector": {"matchLabels": {"app": app}}},
    }


def claim(name: str, *, storage_class: str = STORAGE_CLASS, gib: int = 1) -> Json:
    """A PersistentVolumeClaim of one writer."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": f"{gib}Gi"}},
        },
    }


def storage_class(name: str = STORAGE_CLASS, *, driver: str = DRIVER) -> Json:
    """A StorageClass whose volumes are made once a pod that mounts them is scheduled."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": driver,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def attachment(name: str, volume: str, node_name: str, *, driver: str = DRIVER) -> Json:
    """A VolumeAttachment as the controller manager writes it."""
    spec = {"attacher": driver, "nodeName": node_name, "source": {"persistentVolumeName": volume}}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name}, "spec": spec}


class Fleet:
    """Puts objects on one API server."""

    def __init__(self, kubeconfig: Path, clock: Clock | None = None) -> None:
        self.clock = clock or WallClock()
        self.api = KubeApi(lambda: from_kubeconfig(kubeconfig), self.clock)

    def create(self, item: Json, namespace: str = "default") -> None:
        """Create an object; one of its name that is there stays as it is. Raises PortError."""
        meta = item["metadata"]
        what = f"{item['kind']} {meta['name']}, create"
        self.api.ask(what, "POST", _collection(item, namespace), body=item, final=frozenset({409}))

    def delete(self, item: Json, namespace: str = "default") -> None:
        """Delete an object; none of its name is well. Raises PortError."""
        where = f"{_collection(item, namespace)}/{item['metadata']['name']}"
        what = f"{item['kind']} {item['metadata']['name']}, delete"
        self.api.ask(what, "DELETE", where, final=frozenset({404}))

    def read(self, item: Json, namespace: str = "default") -> Json | None:
        """The object as it is now, None if there is none. Raises PortError."""
        meta = item["metadata"]
        return self.api.get(f"{item['kind']} {meta['name']}", f"{_collection(item, namespace)}/{meta['name']}")

    def annotate(self, item: Json, annotations: Mapping[str, str | None], namespace: str = "default") -> None:
        """Set annotations, or remove those whose value is None. Raises PortError."""
        meta = item["metadata"]
        self.api.ask(
            f"{item['kind']} {meta['name']}, annotate",
            "PATCH",
            f"{_collection(item, namespace)}/{meta['name']}",
            body={"metadata": {"annotations": dict(annotations)}},
            content_type="application/merge-patch+json",
        )

    def cordon(self, name: str, value: bool = True) -> None:
        """Take a node out of scheduling, or back in. What it has mounted then only shrinks. Raises PortError."""
        self.api.ask(
            f"node {name}, cordon",
            "PATCH",
            path("api", "v1", "nodes", name),
            body={"spec": {"unschedulable": value}},
            content_type="application/merge-patch+json",
        )

    def set_volumes_in_use(self, name: str, volumes: Iterable[str]) -> None:
        """Write `volumesInUse` of a node's status, which a kubelet does and KWOK does not. Raises PortError."""
        self.api.ask(
            f"node {name}, volumes in use",
            "PATCH",
            path("api", "v1", "nodes", name, "status"),
            body={"status": {"volumesInUse": sorted(volumes)}},
            content_type="application/merge-patch+json",
        )

    def create_nodes(self, workers: int, control_planes: Iterable[str] = (), *, image: Image = FEDORA_COREOS) -> None:
        """Workers `w1` onwards in three racks, and a control plane `cp1` onwards at each of the addresses."""
        for number, address in enumerate(control_planes, 1):
            self.create(node(f"cp{number}", address, image=image, labels=_rack(number), control_plane=True))
        for number in range(1, workers + 1):
            self.create(worker(number, image=image))
        self.create(storage_class())


_PLURALS = {
    "Node": "nodes",
    "Pod": "pods",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Namespace": "namespaces",
    "StorageClass": "storageclasses",
    "VolumeAttachment": "volumeattachments",
    "Deployment": "deployments",
    "DaemonSet": "daemonsets",
    "PodDisruptionBudget": "poddisruptionbudgets",
}

_WITHOUT_NAMESPACE = frozenset({"Node", "PersistentVolume", "Namespace", "StorageClass", "VolumeAttachment"})


def _collection(item: Json, namespace: str) -> str:
    group, _, version = str(item["apiVersion"]).rpartition("/")
    parts = ["apis", group, version] if group else ["api", version]
    kind = str(item["kind"])
    parts += [] if kind in _WITHOUT_NAMESPACE else ["namespaces", namespace]
    return path(*parts, _PLURALS[kind])


def _rack(number: int) -> dict[str, str]:
    return {"topology.kubernetes.io/zone": f"rack-{'abc'[(number - 1) % 3]}"}


def _address(number: int) -> str:
    """Of worker `number`: up to 65,000 of them in 10.1.0.0/16."""
    return f"10.1.{number // 256}.{number % 256}"


def _digest(*parts: object) -> str:
    """32 hexadecimal digits, as a machine id has."""
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:32]


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
