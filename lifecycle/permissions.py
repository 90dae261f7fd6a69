"""Every permission on the Kubernetes API that each of the three owners needs, and what for. Data, nothing else.

The preflight asks for these (lifecycle/preflight.py), the roles grant these (lifecycle/rbac.py), and the API
server's own audit log is held against them in the lab, both ways (tests/lab/test_permissions.py): what a step
asks for stands here, and what stands here is asked for. Not here is what Kubernetes lets every user: /readyz, the
kinds that there are, and reviews of one's own permissions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

NAMESPACE = "ingot-system"
"""Of the roster, the roll's Lease and the owners' ServiceAccounts."""
ROSTER, ROLL = "ingot-roster", "ingot-roll"
"""The ConfigMap and the Lease in it."""
TOKENS = "kube-system"
"""Where Kubernetes looks for bootstrap tokens."""
STORAGE = "(storage)"
"""Stands for the namespace of the storage driver, which a site may choose."""
STORAGE_GROUP, STORAGE_SECRET = "storage.simplyblock.io", "simplyblock-csi-secret-v2"
COORDINATION, POLICY, STORAGE_API = "coordination.k8s.io", "policy", "storage.k8s.io"

WATCHED = ("list", "watch")


class Owner(StrEnum):
    """Who a permission is for; each has a ServiceAccount, a group of certificates and a role of this name."""

    HOST_LIFECYCLE = "host-lifecycle"  # lifecycle/, for all but what storage itself is asked
    STORAGE_POLICY = "storage-policy"  # lifecycle/adapters/storage.py
    RECOVERY = "recovery"  # a person with a runbook

    @property
    def user(self) -> str:
        """Whom a minted certificate names."""
        return f"ingot-{self.value}"

    @property
    def group(self) -> str:
        """The certificate's only group, and the roles' name."""
        return f"ingot:{self.value}"


STEPS = (Owner.HOST_LIFECYCLE, Owner.STORAGE_POLICY)
"""Whose code a roll runs."""


@dataclass(frozen=True)
class Permission:
    """One verb on one resource.

    resource: with its subresource, as in `pods/eviction`. group: of the API, "" for the core. namespace: ""
    for all of them, or for a resource that has none. name: of the only object meant, "" for any.
    """

    owner: Owner
    verb: str
    resource: str
    group: str
    why: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        of = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {of}{named} in {self.namespace or 'all namespaces'}"


class Needed(Protocol):
    """A permission, whoever grants it; `str` names it."""

    @property
    def owner(self) -> Owner: ...

    @property
    def why(self) -> str: ...


@dataclass(frozen=True)
class Forbidden:
    """A permission that an identity does not have. who: it, as the far side knows it."""

    permission: Needed
    who: str


class Access(Protocol):
    """What the identities of a step may do in the cluster."""

    def forbidden(self) -> tuple[Forbidden, ...]:
        """Of all that a roll asks of the cluster, what they may not."""
        ...

    def grant(self) -> bool:
        """Make the owners' roles if the cluster has none of them yet and its authority is ours. Whether it did."""
        ...


@dataclass(frozen=True)
class _Rule:
    owner: Owner
    verbs: tuple[str, ...]
    resource: str
    group: str
    why: str
    namespace: str = ""
    name: str = ""


_HOST, _STORAGE, _RECOVERY = Owner.HOST_LIFECYCLE, Owner.STORAGE_POLICY, Owner.RECOVERY

_RULES = (
    _Rule(_HOST, (*WATCHED, "get"), "nodes", "", "to see who is Ready, cordoned and running what"),
    _Rule(_HOST, ("patch",), "nodes", "", "to cordon, to uncordon, and to taint a dead node out of service"),
    _Rule(_HOST, ("delete",), "nodes", "", "to take a node that left off the list"),
    _Rule(_HOST, WATCHED, "pods", "", "to see what runs on a node, and whose volumes are back"),
    _Rule(_HOST, ("create",), "pods/eviction", "", "to drain a node within its PodDisruptionBudgets"),
    _Rule(_HOST, ("delete",), "pods", "", "to drain by force where the stack file says so, and a cluster that retires"),
    _Rule(_HOST, WATCHED, "poddisruptionbudgets", POLICY, "to see what would block a drain"),
    _Rule(_HOST, (*WATCHED, "get"), "daemonsets", "apps", "to tell pods that come back by themselves"),
    _Rule(_HOST, WATCHED, "persistentvolumes", "", "to name the claims of volumes, and to find local ones"),
    _Rule(_HOST, WATCHED, "volumeattachments", STORAGE_API, "to see volumes detach and attach"),
    _Rule(_HOST, (*WATCHED, "get", "update"), "configmaps", "", "to keep the roster", NAMESPACE, ROSTER),
    _Rule(_HOST, ("create",), "configmaps", "", "to begin the roster", NAMESPACE),
    _Rule(_HOST, ("get", "update"), "leases", COORDINATION, "to have the roll", NAMESPACE, ROLL),
    _Rule(_HOST, ("create",), "leases", COORDINATION, "to have the first roll", NAMESPACE),
    _Rule(_HOST, ("create",), "secrets", "", "to give a joining machine its bootstrap token", TOKENS),
    _Rule(_STORAGE, ("get",), "secrets", "", "to find the storage control API", STORAGE, STORAGE_SECRET),
    _Rule(_STORAGE, ("list",), "storagenodes", STORAGE_GROUP, "to find a host's storage nodes", STORAGE),
    _Rule(_STORAGE, ("create", "get"), "storagenodeops", STORAGE_GROUP, "to move replicas off a host", STORAGE),
    _Rule(_RECOVERY, ("get", "list", "patch", "delete"), "nodes", "", "to look at a node, cordon, taint or delete it"),
    _Rule(_RECOVERY, ("get", "list"), "pods", "", "to see what holds a node up"),
    _Rule(_RECOVERY, ("create",), "pods/eviction", "", "to drain a node that nobody declared"),
    _Rule(_RECOVERY, ("get",), "daemonsets", "apps", "to drain a node that nobody declared"),
    _Rule(_RECOVERY, ("list",), "events", "", "to see why a pod or a node does not come up"),
    _Rule(_RECOVERY, ("get",), "leases", COORDINATION, "to see when a kubelet was last heard of", "kube-node-lease"),
    _Rule(_RECOVERY, ("list",), "resourceslices", "resource.k8s.io", "to describe a node, devices and all"),
    _Rule(_RECOVERY, ("list",), "poddisruptionbudgets", POLICY, "to see what blocks a drain"),
    _Rule(_RECOVERY, ("list",), "volumeattachments", STORAGE_API, "to see what is still attached"),
    _Rule(_RECOVERY, ("get", "create"), "namespaces", "", "to see why one does not end, and to restore the roster's"),
    _Rule(_RECOVERY, ("list",), "configmaps", "", "to see the roster", NAMESPACE),
    _Rule(_RECOVERY, ("get",), "configmaps", "", "to see the roster", NAMESPACE, ROSTER),
    _Rule(_RECOVERY, ("create",), "configmaps", "", "to restore the roster", NAMESPACE),
    _Rule(_RECOVERY, ("get", "delete"), "leases", COORDINATION, "to see who has the roll, and end it", NAMESPACE, ROLL),
    _Rule(_RECOVERY, ("get", "delete"), "storagenodeops", STORAGE_GROUP, "to start a failed removal again", STORAGE),
)


def permissions(owner: Owner, storage_namespace: str) -> tuple[Permission, ...]:
    """All that an owner needs, where the storage driver is in that namespace."""
    return tuple(_expanded(owner, storage_namespace))


def _expanded(owner: Owner, storage_namespace: str) -> Iterator[Permission]:
    for rule in _RULES:
        if rule.owner is owner:
            namespace = storage_namespace if rule.namespace == STORAGE else rule.namespace
            for verb in rule.verbs:
                yield Permission(owner, verb, rule.resource, rule.group, rule.why, namespace, rule.name)
