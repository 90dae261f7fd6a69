"""kubeadm's configuration as far as it is known before a machine boots: everything but the secrets.

Written as JSON, which kubeadm reads as YAML. The first control plane uses init, cluster and kubelet;
every other machine uses join, and gets the rest from the cluster.
"""

from __future__ import annotations

from typing import Any, Final

from components.environment import Cluster
from lifecycle.address import authority

API: Final = "kubeadm.k8s.io/v1beta4"
SOCKET: Final = "unix:///run/containerd/containerd.sock"
# /usr is read-only: the default directory below it cannot be made.
VOLUME_PLUGINS: Final = "/opt/libexec/kubernetes/kubelet-plugins/volume/exec"


def endpoint(cluster: Cluster) -> str:
    """Where the API answers, whichever machine serves it: host and port, an IPv6 address in brackets."""
    return authority(cluster.endpoint, cluster.endpoint_port)


def init(registration: dict[str, Any]) -> dict[str, Any]:
    """For `kubeadm init`. The certificates come with the credentials, so none are uploaded."""
    return {"apiVersion": API, "kind": "InitConfiguration", "nodeRegistration": registration}


def join(registration: dict[str, Any], *, control_plane: bool) -> dict[str, Any]:
    """For `kubeadm join`; the discovery is added from the credentials."""
    document = {"apiVersion": API, "kind": "JoinConfiguration", "nodeRegistration": registration}
    return document | ({"controlPlane": {}} if control_plane else {})


def cluster(wanted: Cluster) -> dict[str, Any]:
    """The cluster itself: read by init, kept in the cluster from then on."""
    return {
        "apiVersion": API,
        "kind": "ClusterConfiguration",
        "clusterName": wanted.name,
        "kubernetesVersion": wanted.kubernetes,
        "controlPlaneEndpoint": endpoint(wanted),
        "networking": {"podSubnet": wanted.pod_cidr, "serviceSubnet": wanted.service_cidr},
        "controllerManager": {"extraArgs": [{"name": "flex-volume-plugin-dir", "value": VOLUME_PLUGINS}]},
    }


def kubelet() -> dict[str, Any]:
    """The kubelet's settings, for every node of the cluster."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "volumePluginDir": VOLUME_PLUGINS,
    }


def registration(node: str, labels: dict[str, str]) -> dict[str, Any]:
    """How a node registers. Its labels are there from its first moment: a re-imaged node is a new Node
    object, and CSI drivers read the topology once, when they register."""
    value = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
    return {
        "name": node,
        "criSocket": SOCKET,
        "kubeletExtraArgs": [{"name": "node-labels", "value": value}],
    }
