"""The roles are the table, in Kubernetes' words."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from lifecycle.permissions import NAMESPACE, Owner, Permission, permissions
from lifecycle.rbac import OURS, manifests

MADE = manifests("csi")


def of(kind: str, owner: Owner, namespace: str | None = None) -> list[dict[str, Any]]:
    found = [m for m in MADE if m["kind"] == kind and m["metadata"]["name"] in (owner.group, owner.value)]
    return [m for m in found if namespace is None or m["metadata"].get("namespace") == namespace]


def granted(owner: Owner) -> set[tuple[str, ...]]:
    """(namespace, group, resource, name, verb) of every role's every rule."""
    roles = [*of("ClusterRole", owner), *of("Role", owner)]
    return {
        (role["metadata"].get("namespace", ""), *one)
        for role in roles
        for rule in role["rules"]
        for one in itertools.product(
            rule["apiGroups"], rule["resources"], rule.get("resourceNames", [""]), rule["verbs"]
        )
    }


def expected(p: Permission) -> tuple[str, ...]:
    return (p.namespace if p.namespace in OURS else "", p.group, p.resource, p.name, p.verb)


class TestTheRoles:
    """Grant an owner what the table says, and no more."""

    @pytest.mark.parametrize("owner", Owner)
    def test_grant_the_table(self, owner: Owner) -> None:
        assert granted(owner) == {expected(p) for p in permissions(owner, "csi")}

    @pytest.mark.parametrize("owner", Owner)
    def test_have_no_wildcard(self, owner: Owner) -> None:
        assert not any("*" in one for one in granted(owner))

    @pytest.mark.parametrize("owner", Owner)
    def test_are_bound_to_the_owner_alone(self, owner: Owner) -> None:
        roles = [*of("ClusterRole", owner), *of("Role", owner)]
        bindings = [*of("ClusterRoleBinding", owner), *of("RoleBinding", owner)]
        assert len(bindings) == len(roles)
        for binding in bindings:
            subjects = [(s["kind"], s["name"], s.get("namespace", "")) for s in binding["subjects"]]
            assert subjects == [("ServiceAccount", owner.value, NAMESPACE), ("Group", owner.group, "")]
        assert len(of("ServiceAccount", owner, NAMESPACE)) == 1

    def test_are_made_after_their_namespace_and_the_lifecycles_last(self) -> None:
        assert (MADE[0]["kind"], MADE[0]["metadata"]["name"]) == ("Namespace", NAMESPACE)
        assert MADE[-1]["kind"] == "ClusterRole"
        assert MADE[-1]["metadata"]["name"] == "ingot:host-lifecycle"

    def test_name_no_object_for_create_which_has_none_yet(self) -> None:
        assert [str(p) for owner in Owner for p in permissions(owner, "csi") if p.verb == "create" and p.name] == []
