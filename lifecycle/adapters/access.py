"""What the step's identities may do, asked of the API server itself, and the roles that let them.

Each permission is a SelfSubjectAccessReview: one answer of every authorizer that the cluster has. A rules review
is one request a namespace, but only RBAC can list its rules (a webhook cannot, and the answer is then
incomplete), and it does not tell what holds in one namespace from what holds in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from lifecycle import rbac
from lifecycle.adapters.kube_api import Json, KubeApi, path
from lifecycle.adapters.objects import sub
from lifecycle.permissions import Forbidden, Owner, Permission, permissions

AT_ONCE = 10
"""Reviews under way at one time: all of a roll's are through in three or four round trips."""
MANAGER = "ingot"
"""By whom the API server knows these objects' fields."""
APPLY = "application/apply-patch+yaml"
"""Server-side apply. Its body is YAML, which JSON is."""
COLLECTIONS = {
    "Namespace": ("api/v1", "namespaces"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    **{
        kind: (f"apis/{rbac.RBAC}/v1", f"{kind.lower()}s")
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    },
}
"""Kind -> its API, and the plural in paths."""
REMEDY = "see the API server's log, then run `pulumi up` again"


class ApiAccess:
    """Fulfils `lifecycle.permissions.Access`.

    apis: of each owner whose code runs. administrator: a connection that may do everything, or None where the
    cluster's authority is somebody else's; asked only to make the roles.
    """

    def __init__(
        self,
        apis: Mapping[Owner, KubeApi],
        administrator: Callable[[], KubeApi] | None,
        storage_namespace: str,
    ) -> None:
        self._apis, self._administrator, self._namespace = apis, administrator, storage_namespace

    def forbidden(self) -> tuple[Forbidden, ...]:
        asked = [(api, p) for owner, api in self._apis.items() for p in permissions(owner, self._namespace)]
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            allowed = list(pool.map(lambda one: may(*one), asked))
        missing = [one for one, fine in zip(asked, allowed, strict=True) if not fine]
        who = {owner: whoami(self._apis[owner]) for owner in {p.owner for _, p in missing}}
        return tuple(Forbidden(p, who[p.owner]) for _, p in missing)

    def grant(self) -> bool:
        if self._administrator is None:
            return False
        objects, administrator = rbac.manifests(self._namespace), self._administrator()
        if administrator.get("roles of the owners", where(objects[-1])) is not None:
            return False
        apply(administrator, objects)
        return True


def may(api: KubeApi, p: Permission) -> bool:
    """Whether the identity of `api` has the permission. Raises PortError."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes(p)},
    }
    reviews = path("apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews")
    answer = api.ask(f"permission to {p}", "POST", reviews, body=body)
    return sub(answer.document(api.named(f"permission to {p}"), REMEDY), "status").get("allowed") is True


def attributes(p: Permission) -> Json:
    """As a review has them."""
    resource, _, subresource = p.resource.partition("/")
    return {
        "verb": p.verb,
        "group": p.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": p.namespace,
        "name": p.name,
    }


def whoami(api: KubeApi) -> str:
    """The identity of `api` in words: `user NAME (groups A, B)`. Raises PortError."""
    reviews = path("apis", "authentication.k8s.io", "v1", "selfsubjectreviews")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = api.ask("who is asking", "POST", reviews, body=body)
    found = sub(answer.document(api.named("who is asking"), REMEDY), "status", "userInfo")
    groups = ", ".join(str(group) for group in found.get("groups") or [])
    return f"user {found.get('username')} (groups {groups or 'none'})"


def apply(administrator: KubeApi, objects: Iterable[Json]) -> None:
    """Bring the objects to what they are to be, one after another; fields that others set go back. Raises
    PortError."""
    for item in objects:
        administrator.ask(
            f"{item['kind']} {item['metadata']['name']}, apply",
            "PATCH",
            where(item),
            query={"fieldManager": MANAGER, "force": "true"},
            body=item,
            content_type=APPLY,
        )


def where(item: Json) -> str:
    """The path of an object of lifecycle.rbac."""
    meta, (api, plural) = item["metadata"], COLLECTIONS[item["kind"]]
    within = ("namespaces", meta["namespace"]) if meta.get("namespace") else ()
    return path(*api.split("/"), *within, plural, meta["name"])
