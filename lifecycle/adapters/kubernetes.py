"""The lifecycle's Kubernetes port, on a real API server."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lifecycle import labels
from lifecycle.adapters.kube_api import Json, KubeApi, path
from lifecycle.address import plain
from lifecycle.errors import PortError
from lifecycle.ports import Attachment, Budget, Clock, Eviction, Node, Pod

TOKEN_ALPHABET = string.ascii_lowercase + string.digits
TOKEN_GROUP = "system:bootstrappers:kubeadm:default-node-token"
"""The group to which kubeadm's bindings let a joining kubelet ask for its certificate."""
MERGE_PATCH = "application/merge-patch+json"
OUT_OF_SERVICE = labels.OUT_OF_SERVICE
"""With this taint the cluster deletes a dead node's pods by force and detaches their volumes at once."""
FINISHED = frozenset({"Succeeded", "Failed"})
"""Phases in which a pod holds neither a volume nor a place in a budget: a drain has nothing to do for it."""
TOKEN_TRIES = 3
"""Two of them in a row taken is one chance in 10^18; more means that the server lies."""


class ApiKubernetes:
    """Fulfils `lifecycle.ports.Kubernetes`.

    storage_namespaces: where the storage driver's own pods live; they leave after the volumes.
    """

    def __init__(self, api: KubeApi, clock: Clock, storage_namespaces: frozenset[str]) -> None:
        self._api, self._clock, self._storage_namespaces = api, clock, storage_namespaces
        self._uids: dict[tuple[str, str], str] = {}

    def answers(self) -> bool:
        return self._api.answers()

    # ------------------------------------------------------------ nodes

    def node(self, name: str) -> Node | None:
        found = self._api.get(f"node {name}", path("api", "v1", "nodes", name))
        return None if found is None else self._node(found)

    def nodes(self) -> tuple[Node, ...]:
        return tuple(self._node(item) for item in self._api.items("nodes", path("api", "v1", "nodes")))

    def control_plane_addresses(self) -> dict[str, str]:
        """Internal address -> node, of the control planes: where etcd's members listen."""
        query = {"labelSelector": "node-role.kubernetes.io/control-plane"}
        items = self._api.items("control planes", path("api", "v1", "nodes"), query)
        return {
            plain(str(a.get("address"))): self._name(item)
            for item in items
            for a in _list(item, "status", "addresses")
            if a.get("type") == "InternalIP" and a.get("address")
        }

    def set_unschedulable(self, name: str, value: bool) -> None:
        self._api.ask(
            f"node {name}, {'cordon' if value else 'uncordon'}",
            "PATCH",
            path("api", "v1", "nodes", name),
            body={"spec": {"unschedulable": value}},
            content_type=MERGE_PATCH,
        )

    def set_out_of_service(self, name: str, value: bool) -> None:
        """Replaces the whole list of taints, which a merge patch cannot do by halves, if nobody else wrote it
        meanwhile: else the server answers 409, a PortError, and the caller is run again."""
        where = path("api", "v1", "nodes", name)
        found = self._api.get(f"node {name}", where)
        if found is None or _out_of_service(found) == value:
            return
        taints = [t for t in _list(found, "spec", "taints") if t.get("key") != OUT_OF_SERVICE]
        if value:
            taints.append({"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"})
        version = _map(found, "metadata").get("resourceVersion")
        self._api.ask(
            f"node {name}, {'out of' if value else 'back in'} service",
            "PATCH",
            where,
            body={"metadata": {"resourceVersion": version}, "spec": {"taints": taints}},
            content_type=MERGE_PATCH,
        )

    def delete_node(self, name: str) -> None:
        self._api.ask(f"node {name}, delete", "DELETE", path("api", "v1", "nodes", name), final=frozenset({404}))

    def _node(self, item: Json) -> Node:
        info = _map(item, "status", "nodeInfo")
        ready = next((c for c in _list(item, "status", "conditions") if c.get("type") == "Ready"), {})
        return Node(
            name=self._name(item),
            ready=ready.get("status") == "True",
            unschedulable=bool(_map(item, "spec").get("unschedulable")),
            os_image=str(info.get("osImage", "")),
            kernel=str(info.get("kernelVersion", "")),
            kubelet=str(info.get("kubeletVersion", "")),
            machine_id=str(info.get("machineID", "")),
            boot_id=str(info.get("bootID", "")),
            volumes_in_use=frozenset(str(v) for v in _map(item, "status").get("volumesInUse") or []),
            volumes_attached=frozenset(str(v.get("name")) for v in _list(item, "status", "volumesAttached")),
            out_of_service=_out_of_service(item),
            labels={str(k): str(v) for k, v in _map(item, "metadata", "labels").items()},
            taints=frozenset(
                labels.taint(str(t.get("key", "")), str(t.get("value") or ""), str(t.get("effect", "")))
                for t in _list(item, "spec", "taints")
            ),
            ready_changed_s=_moment(ready.get("lastTransitionTime")),
        )

    # ------------------------------------------------------------ pods

    def pods_on(self, node: str) -> tuple[Pod, ...]:
        items = list(
            self._api.items(f"pods on {node}", path("api", "v1", "pods"), {"fieldSelector": f"spec.nodeName={node}"})
        )
        self._uids.update({(_key(item), node): str(_map(item, "metadata").get("uid", "")) for item in items})
        return tuple(self._pod(item) for item in items if not _finished(item))

    def unready_claimants(self) -> tuple[Pod, ...]:
        pods = (self._pod(item) for item in self._api.items("pods", path("api", "v1", "pods")) if not _finished(item))
        return tuple(pod for pod in pods if pod.claims and not pod.ready)

    def budgets(self) -> tuple[Budget, ...]:
        items = self._api.items("disruption budgets", path("apis", "policy", "v1", "poddisruptionbudgets"))
        return tuple(self._budget(item) for item in items)

    def evict(self, pod: Pod) -> Eviction:
        """Evicts the very pod that `pods_on` saw: one of the same name, started elsewhere since, is left alone."""
        where = path("api", "v1", "namespaces", pod.namespace, "pods", pod.name, "eviction")
        body: Json = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
        }
        uid = self._uids.get((pod.key, pod.node))
        if uid:
            body["deleteOptions"] = {"preconditions": {"uid": uid}}
        answer = self._api.ask(f"pod {pod.key}, evict", "POST", where, body=body, final=frozenset({404, 409, 429}))
        if answer.status == 404:
            return Eviction.GONE
        if answer.status == 409:
            return Eviction.GONE if "UID" in answer.text else Eviction.REFUSED
        return Eviction.REFUSED if answer.status == 429 else Eviction.GRANTED

    def delete_pod(self, pod: Pod) -> None:
        """The very pod that `pods_on` saw, as `evict` does. A finalizer may keep it; the caller looks again."""
        uid = self._uids.get((pod.key, pod.node))
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", **({"preconditions": {"uid": uid}} if uid else {})}
        where = path("api", "v1", "namespaces", pod.namespace, "pods", pod.name)
        self._api.ask(f"pod {pod.key}, delete", "DELETE", where, body=body, final=frozenset({404, 409}))

    def _pod(self, item: Json) -> Pod:
        meta, name = _map(item, "metadata"), self._name(item)
        owner = next((o for o in _list(item, "metadata", "ownerReferences") if o.get("controller")), {})
        claims = [
            v["persistentVolumeClaim"].get("claimName") if v.get("persistentVolumeClaim") else f"{name}-{v.get('name')}"
            for v in _list(item, "spec", "volumes")
            if v.get("persistentVolumeClaim") or v.get("ephemeral")
        ]
        namespace = str(meta.get("namespace", ""))
        return Pod(
            namespace=namespace,
            name=name,
            node=str(_map(item, "spec").get("nodeName") or ""),
            owner=str(owner.get("kind", "")),
            mirror="kubernetes.io/config.mirror" in _map(item, "metadata", "annotations"),
            storage_daemon=namespace in self._storage_namespaces,
            terminating=bool(meta.get("deletionTimestamp")),
            ready=any(
                c.get("type") == "Ready" and c.get("status") == "True" for c in _list(item, "status", "conditions")
            ),
            claims=tuple(str(claim) for claim in claims),
        )

    def _budget(self, item: Json) -> Budget:
        meta, status, name = _map(item, "metadata"), _map(item, "status"), self._name(item)
        namespace = str(meta.get("namespace", ""))
        # A status older than the budget says nothing of it: the eviction API refuses then, and so do we.
        current = int(status.get("observedGeneration") or 0) >= int(meta.get("generation") or 0)
        selector = _map(item, "spec").get("selector")
        pods: frozenset[str] = frozenset()
        if isinstance(selector, dict):
            query = {"labelSelector": _selector(selector)} if selector else {}
            found = self._api.items(
                f"pods of budget {namespace}/{name}", path("api", "v1", "namespaces", namespace, "pods"), query
            )
            pods = frozenset(_key(pod) for pod in found)
        return Budget(
            namespace=namespace,
            name=name,
            disruptions_allowed=int(status.get("disruptionsAllowed") or 0) if current else 0,
            expected_pods=int(status.get("expectedPods") or 0),
            desired_healthy=int(status.get("desiredHealthy") or 0),
            pods=pods,
        )

    # ------------------------------------------------------------ volumes

    def attachments_on(self, node: str) -> tuple[Attachment, ...]:
        kind = path("apis", "storage.k8s.io", "v1", "volumeattachments")
        held = [
            item for item in self._api.items("volume attachments", kind) if _map(item, "spec").get("nodeName") == node
        ]
        claims = self._claim_of_volume() if held else {}
        found = []
        for item in held:
            volume = str(_map(item, "spec", "source").get("persistentVolumeName") or "")
            attached = bool(_map(item, "status").get("attached"))
            found.append(Attachment(self._name(item), volume, claims.get(volume, ""), node, attached))
        return tuple(found)

    def claims_by_handle(self, driver: str) -> Mapping[str, str]:
        """Volume handle of each of the CSI driver's volumes -> `namespace/claim` ("" if unclaimed)."""
        volumes = (v for v in self._volumes() if _map(v, "spec", "csi").get("driver") == driver)
        return {str(_map(v, "spec", "csi").get("volumeHandle", "")): _claimed_by(v) for v in volumes}

    def secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """A Secret's data as it is stored (base64), or None if there is no such Secret."""
        where = path("api", "v1", "namespaces", namespace, "secrets", name)
        answer = self._api.ask(f"secret {namespace}/{name}", "GET", where, final=frozenset({404}), secret=True)
        if answer.status == 404:
            return None
        found = answer.document(self._api.named(f"secret {namespace}/{name}"), "see the API server's log")
        return {str(k): str(v) for k, v in _map(found, "data").items()}

    def _claim_of_volume(self) -> dict[str, str]:
        return {self._name(v): _claimed_by(v) for v in self._volumes()}

    def _volumes(self) -> list[Json]:
        return list(self._api.items("persistent volumes", path("api", "v1", "persistentvolumes")))

    # ------------------------------------------------------------ tokens

    def mint_token(self, ttl_s: float) -> str:
        expires = datetime.fromtimestamp(self._clock.now_s() + ttl_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for _ in range(TOKEN_TRIES):
            token_id, token_secret = _random(6), _random(16)
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "bootstrap.kubernetes.io/token",
                "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"},
                "stringData": {
                    "token-id": token_id,
                    "token-secret": token_secret,
                    "expiration": expires,
                    "usage-bootstrap-signing": "true",
                    "usage-bootstrap-authentication": "true",
                    "auth-extra-groups": TOKEN_GROUP,
                    "description": "ingot: one joining node",
                },
            }
            answer = self._api.ask(
                "bootstrap token in kube-system, create",
                "POST",
                path("api", "v1", "namespaces", "kube-system", "secrets"),
                body=body,
                final=frozenset({409}),
                secret=True,
            )
            if answer.ok:
                return f"{token_id}.{token_secret}"
        raise PortError(
            self._api.named("bootstrap token in kube-system"),
            f"{TOKEN_TRIES} fresh names taken",
            "see `kubectl -n kube-system get secrets`, then run `pulumi up` again",
        )

    def _name(self, item: Json) -> str:
        name = _map(item, "metadata").get("name")
        if not isinstance(name, str) or not name:
            raise PortError(
                self._api.named("an object"), "one without metadata.name", "check what answers at this address"
            )
        return name


def _map(item: Any, *keys: str) -> Json:
    """The object at `keys`, {} where anything on the way is missing or null."""
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    return item if isinstance(item, dict) else {}


def _list(item: Json, *keys: str) -> list[Json]:
    found = _map(item, *keys[:-1]).get(keys[-1])
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _moment(told: object) -> float | None:
    """Seconds since 1970 of an RFC 3339 moment; None for what is none."""
    try:
        at = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo else None


def _out_of_service(item: Json) -> bool:
    return any(t.get("key") == OUT_OF_SERVICE for t in _list(item, "spec", "taints"))


def _finished(item: Json) -> bool:
    return _map(item, "status").get("phase") in FINISHED


def _key(item: Json) -> str:
    meta = _map(item, "metadata")
    return f"{meta.get('namespace', '')}/{meta.get('name', '')}"


def _claimed_by(volume: Json) -> str:
    claim = _map(volume, "spec", "claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _selector(selector: Json) -> str:
    """A LabelSelector as the query string writes it."""
    parts = [f"{key}={value}" for key, value in sorted(_map(selector, "matchLabels").items())]
    for term in _list(selector, "matchExpressions"):
        key, operator, values = term.get("key"), term.get("operator"), ",".join(term.get("values") or [])
        written = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": f"{key}",
            "DoesNotExist": f"!{key}",
        }
        if operator not in written:
            raise PortError(
                "a PodDisruptionBudget's selector", f"operator {operator!r}", f"expected one of {sorted(written)}"
            )
        parts.append(written[str(operator)])
    return ",".join(parts)


def _random(length: int) -> str:
    return "".join(secrets.choice(TOKEN_ALPHABET) for _ in range(length))
