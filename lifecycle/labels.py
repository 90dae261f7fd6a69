"""The labels and taints of a node that the fleet owns: the one list, for the boot configuration that gives
them to the kubelet and for the drift that looks whether they are still there. All others are somebody else's.
"""

from __future__ import annotations

from typing import Final

from lifecycle.facts import Role

ZONE: Final = "topology.kubernetes.io/zone"
"""The node's fault domain, which schedulers and CSI drivers go by."""

STORAGE: Final = "io.simplyblock.node-type"
STORAGE_PLANE: Final = "simplyblock-storage-plane"
"""By which simplyblock's operator finds the nodes that hold replicas."""

CONTROL_PLANE: Final = "node-role.kubernetes.io/control-plane"
NO_LOAD_BALANCER: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
"""kubeadm marks a control plane with these two labels, and with a taint named as the first one."""

OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
"""Set by a leave on a host whose power is proven off, and lifted again (lifecycle/fence.py)."""

LABELS: Final = frozenset({ZONE, STORAGE, CONTROL_PLANE, NO_LOAD_BALANCER})
TAINTS: Final = frozenset({CONTROL_PLANE, OUT_OF_SERVICE})
"""Keys that the fleet owns: a node has them as declared, or not at all."""


def registered(fault_domain: str, *, stores: bool) -> dict[str, str]:
    """What the kubelet registers with, from its boot configuration."""
    return {ZONE: fault_domain, **({STORAGE: STORAGE_PLANE} if stores else {})}


def labels(role: Role, fault_domain: str, *, stores: bool) -> dict[str, str]:
    """All labels of `LABELS` that a node of this kind has while it serves."""
    marked = {CONTROL_PLANE: "", NO_LOAD_BALANCER: ""} if role is Role.CONTROL_PLANE else {}
    return registered(fault_domain, stores=stores) | marked


def taints(role: Role) -> frozenset[str]:
    """All taints of `TAINTS` that a node of this kind has while it serves, written as `taint` writes them."""
    return frozenset({taint(CONTROL_PLANE, "", "NoSchedule")}) if role is Role.CONTROL_PLANE else frozenset()


def taint(key: str, value: str, effect: str) -> str:
    """`key=value:Effect`, or `key:Effect`, as kubectl writes a taint."""
    return f"{key}={value}:{effect}" if value else f"{key}:{effect}"


def taint_key(taint: str) -> str:
    """The key of a taint that `taint` wrote."""
    return taint.rpartition(":")[0].partition("=")[0]
