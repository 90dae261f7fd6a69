"""The owners' ServiceAccounts and roles as Kubernetes objects, made from lifecycle/permissions.py alone. Pure.

A role is bound to its ServiceAccount, for whoever runs steps with a token, and to a group of the same rights,
which the certificates name that a step mints for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lifecycle.permissions import NAMESPACE, TOKENS, Owner, Permission, permissions

Json = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
LABELS = {"app.kubernetes.io/managed-by": "ingot"}
OURS = (NAMESPACE, TOKENS)
"""Namespaces that are there from the first minute. Any other is made later, by the chart that it belongs to, so
what is needed in it is granted in all: only ever one Secret by its name, and the storage operator's own kinds."""


def manifests(storage_namespace: str) -> list[Json]:
    """Everything, in the order in which it must be made. The last one stands for all: once it is there, so are
    the others."""
    return manifests_of({owner: permissions(owner, storage_namespace) for owner in Owner})


def manifests_of(granted: Mapping[Owner, Sequence[Permission]]) -> list[Json]:
    """The same, for other permissions than the table's."""
    made: list[Json] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": LABELS}}]
    made += [_object("v1", "ServiceAccount", owner.value, NAMESPACE) for owner in granted]
    bindings, roles = [], []
    for owner, all_of_it in granted.items():
        for namespace in OURS:
            within = [p for p in all_of_it if p.namespace == namespace]
            if within:
                roles.append(_role(owner, within, namespace))
                bindings.append(_binding(owner, namespace))
        roles.append(_role(owner, [p for p in all_of_it if p.namespace not in OURS]))
        bindings.append(_binding(owner))
    roles.sort(key=lambda role: role["metadata"]["name"] == Owner.HOST_LIFECYCLE.group)
    return made + bindings + roles


def _role(owner: Owner, granted: Iterable[Permission], namespace: str = "") -> Json:
    role = _object(f"{RBAC}/v1", "Role" if namespace else "ClusterRole", owner.group, namespace)
    return {**role, "rules": _rules(granted)}


def _rules(granted: Iterable[Permission]) -> list[Json]:
    """One rule for each resource and name, in the order of the table."""
    verbs: dict[tuple[str, str, str], list[str]] = {}
    for p in granted:
        verbs.setdefault((p.group, p.resource, p.name), []).append(p.verb)
    return [
        {"apiGroups": [group], "resources": [resource], **({"resourceNames": [name]} if name else {}), "verbs": said}
        for (group, resource, name), said in verbs.items()
    ]


def _binding(owner: Owner, namespace: str = "") -> Json:
    kind = "Role" if namespace else "ClusterRole"
    return {
        **_object(f"{RBAC}/v1", f"{kind}Binding", owner.group, namespace),
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": owner.group},
        "subjects": [
            {"kind": "ServiceAccount", "name": owner.value, "namespace": NAMESPACE},
            {"apiGroup": RBAC, "kind": "Group", "name": owner.group},
        ],
    }


def _object(version: str, kind: str, name: str, namespace: str) -> Json:
    meta: Json = {"name": name, "labels": LABELS}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": version, "kind": kind, "metadata": meta}
