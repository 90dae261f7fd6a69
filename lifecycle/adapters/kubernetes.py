"""The lifecycle's Kubernetes port, on a real API server: reads from watches, writes by requests.

What this step itself wrote is never read older than that: where the watch is behind, the object is asked for.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from lifecycle.adapters.kube_api import Json, KubeApi, path
from lifecycle.adapters.objects import (
    OUT_OF_SERVICE,
    PodSeen,
    entries,
    is_finished,
    is_newer,
    node_seen,
    out_of_service,
    pod_seen,
    sub,
    version_of,
)
from lifecycle.adapters.view import Source, View
from lifecycle.adapters.wire import Answer, retry_after_s
from lifecycle.errors import PortError
from lifecycle.permissions import TOKENS
from lifecycle.ports import Attachment, Budget, Clock, Eviction, Move, Node, Pod

TOKEN_ALPHABET = string.ascii_lowercase + string.digits
TOKEN_GROUP = "system:bootstrappers:kubeadm:default-node-token"
"""The group to which kubeadm's bindings let a joining kubelet ask for its certificate."""
MERGE_PATCH = "application/merge-patch+json"
TOKEN_TRIES = 3
"""Two of them in a row taken is one chance in 10^18; more means that the server lies."""
TAINT_TRIES = 10
"""A kubelet writes its node every few seconds, controllers now and then: ten losses in a row mean a loop somewhere."""
EVICTIONS = 10
"""Asked for at once: a node's pods are through in a few round trips, and the API server's own limits hold."""
NAMESPACE_ENDS = "NamespaceTerminating"
"""The cause by which an API server refuses whatever is made in a namespace that is being deleted."""
BUDGET_REFUSES = "DisruptionBudget"
"""The cause in a 429 by which a budget refuses (policy/v1's DisruptionBudgetCause). A 429 without it is of the API
server's own limits on requests, and says nothing of the pod."""
BUDGETS_OVERLAP = "more than one PodDisruptionBudget"
"""In the text of the 500 with which an API server refuses each eviction of such a pod: its only sign of it."""


class ApiKubernetes:
    """Fulfils `lifecycle.ports.Kubernetes`.

    storage_namespaces: where the storage driver's own pods live; they leave after the volumes. source: where
    the cluster is read from, else a view of its own.
    """

    def __init__(
        self, api: KubeApi, clock: Clock, storage_namespaces: frozenset[str], source: Source | None = None
    ) -> None:
        self._api, self._clock = api, clock
        self._source: Source = source or View(api, clock, storage_namespaces)
        self._storage_namespaces = storage_namespaces
        self._unproven: set[str] = set()
        self._written: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._daemon_sets: dict[str, bool] = {}

    def answers(self) -> bool:
        return self._api.answers()

    # ------------------------------------------------------------ nodes

    def node(self, name: str) -> Node | None:
        found, written = self._source.node(name), self._written.get(name, "")
        if not written or (found is not None and is_newer(found.version, written)):
            return None if found is None else found.node
        asked = self._api.get(f"node {name}", path("api", "v1", "nodes", name))
        return None if asked is None else node_seen(asked).node

    def nodes(self) -> tuple[Node, ...]:
        return self._source.nodes()

    def control_plane_addresses(self) -> Mapping[str, str]:
        """Internal address -> node, of the control planes: where etcd's members listen."""
        return self._source.control_planes()

    def set_unschedulable(self, name: str, value: bool) -> None:
        """Nothing is scheduled to a node that is gone, so there is nothing to do about one."""
        body = {"spec": {"unschedulable": value}}
        self._patch(name, "cordon" if value else "uncordon", body, final=frozenset({404}))
        (self._unproven.add if value else self._unproven.discard)(name)

    def set_out_of_service(self, name: str, value: bool) -> None:
        """Replaces the whole list of taints, which a merge patch cannot do by halves, unless somebody else wrote
        the node meanwhile: then it is read and written again. Raises PortError after TAINT_TRIES of that."""
        what = f"{'out of' if value else 'back in'} service"
        for _ in range(TAINT_TRIES):
            found = self._api.get(f"node {name}", path("api", "v1", "nodes", name))
            if found is None or out_of_service(found) == value:
                return
            taints = [t for t in entries(found, "spec", "taints") if t.get("key") != OUT_OF_SERVICE]
            if value:
                taints.append({"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"})
            body = {"metadata": {"resourceVersion": version_of(found)}, "spec": {"taints": taints}}
            if self._patch(name, what, body, final=frozenset({404, 409})):
                return
        raise PortError(
            self._api.named(f"node {name}, {what}"),
            f"another writer at each of {TAINT_TRIES} tries",
            "see who else writes its taints, then run `pulumi up` again",
        )

    def _patch(self, name: str, what: str, body: Json, final: frozenset[int] = frozenset()) -> bool:
        """Whether it was written; not so if the answer's status is in `final`."""
        where = path("api", "v1", "nodes", name)
        answer = self._api.ask(f"node {name}, {what}", "PATCH", where, body=body, content_type=MERGE_PATCH, final=final)
        if not answer.ok:
            return False
        self._written[name] = version_of(answer.document(self._api.named(f"node {name}"), "check what answers there"))
        return True

    def delete_node(self, name: str) -> None:
        self._api.ask(f"node {name}, delete", "DELETE", path("api", "v1", "nodes", name), final=frozenset({404}))
        self._written.pop(name, None)

    # ------------------------------------------------------------ pods

    def pods_on(self, node: str) -> tuple[Pod, ...]:
        seen = self._source.pods_on(node)
        if node in self._unproven:
            self._prove(node, frozenset(s.pod.uid for s in seen))
        return tuple(replace(s.pod, owner="") if self._orphaned(s) else s.pod for s in seen)

    def _prove(self, node: str, seen: frozenset[str]) -> None:
        """Return once the watch shows all pods that the API lists; from then on none can come that is drained.

        One that was bound just before this step's cordon is not seen while the watch is behind, and a drain
        without it would be done too soon. Raises PortError meanwhile: whoever waits looks again.
        """
        query = {"fieldSelector": f"spec.nodeName={node}"}
        items = self._api.items(f"pods on {node}", path("api", "v1", "pods"), query)
        there = [pod_seen(item, self._storage_namespaces).pod for item in items if not is_finished(item)]
        missing = sorted(pod.key for pod in there if pod.uid not in seen)
        if missing:
            what, remedy = self._api.named(f"watch of pods on {node}"), "run `pulumi up` again"
            raise PortError(what, f"nothing yet of {', '.join(missing)}, which it lists", remedy)
        self._unproven.discard(node)

    def _orphaned(self, seen: PodSeen) -> bool:
        """Whether the pod's DaemonSet is gone. The two watches are not in step, so what one of them has not
        seen is asked for, once."""
        if not seen.owner_uid:
            return False
        if seen.owner_uid not in self._daemon_sets:
            namespace, _, name = seen.owner_key.partition("/")
            where = path("apis", "apps", "v1", "namespaces", namespace, "daemonsets", name)
            found = self._api.get(f"daemon set {seen.owner_key}", where)
            self._daemon_sets[seen.owner_uid] = found is None or sub(found, "metadata").get("uid") != seen.owner_uid
        return self._daemon_sets[seen.owner_uid]

    def unready_claimants(self) -> tuple[Pod, ...]:
        return self._source.unready_claimants()

    def budgets(self, node: str = "") -> tuple[Budget, ...]:
        return self._source.budgets(node)

    def budgets_named(self, names: frozenset[str]) -> tuple[Budget, ...]:
        return self._source.budgets_named(names)

    def evict(self, pods: Sequence[Pod]) -> Mapping[str, Eviction | PortError]:
        """The very pods that `pods_on` saw: one of the same name, started elsewhere since, is left alone."""
        if len(pods) == 1:
            return {pods[0].key: self._answer(pods[0])}
        with ThreadPoolExecutor(max_workers=max(1, min(EVICTIONS, len(pods)))) as pool:
            asked = {pod.key: pool.submit(self._answer, pod) for pod in pods}
        return {key: answer.result() for key, answer in asked.items()}

    def _answer(self, pod: Pod) -> Eviction | PortError:
        try:
            return self._evict(pod)
        except PortError as failed:
            return failed

    def _evict(self, pod: Pod) -> Eviction:
        """Refused without asking while the server's own Retry-After says so."""
        if self._not_before.get(pod.uid or pod.key, 0.0) > self._clock.now_s():
            return Eviction.REFUSED
        where = path("api", "v1", "namespaces", pod.namespace, "pods", pod.name, "eviction")
        body: Json = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
        }
        if pod.uid:
            body["deleteOptions"] = {"preconditions": {"uid": pod.uid}}
        final = frozenset({403, 404, 409, 500})  # whoever drains asks again after a 500
        answer = self._api.ask(
            f"pod {pod.key}, evict",
            "POST",
            where,
            body=body,
            final=final,
            understood=lambda said: said.status == 429 and _has_cause(said, BUDGET_REFUSES),
        )
        if answer.status == 404:
            return Eviction.GONE
        if answer.status == 409:
            return Eviction.GONE if "UID" in answer.text else Eviction.REFUSED
        if answer.status == 403:
            self._namespace_ends(pod, answer)
        if answer.status == 500:
            if BUDGETS_OVERLAP not in answer.text:
                raise self._api.refused(f"pod {pod.key}, evict", answer)
            return Eviction.REFUSED
        if answer.status == 429:
            asked_s = retry_after_s(answer, self._clock)
            self._not_before[pod.uid or pod.key] = self._clock.now_s() + (asked_s or 0.0)
            return Eviction.REFUSED
        return Eviction.GRANTED

    def _namespace_ends(self, pod: Pod, answer: Answer) -> None:
        """Return if the pod goes with its namespace, which takes no eviction any more. Else raise PortError."""
        if not _has_cause(answer, NAMESPACE_ENDS):
            raise self._api.refused(f"pod {pod.key}, evict", answer)

    def delete_pod(self, pod: Pod) -> None:
        """The very pod that `pods_on` saw, as `evict` does. A finalizer may keep it; the caller looks again."""
        preconditions = {"preconditions": {"uid": pod.uid}} if pod.uid else {}
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", **preconditions}
        where = path("api", "v1", "namespaces", pod.namespace, "pods", pod.name)
        self._api.ask(f"pod {pod.key}, delete", "DELETE", where, body=body, final=frozenset({404, 409}))

    # ------------------------------------------------------------ volumes

    def attachments_on(self, node: str) -> tuple[Attachment, ...]:
        return self._source.attachments_on(node)

    def moves(self, node: str) -> tuple[Move, ...]:
        return self._source.moves(node)

    def claims_by_handle(self, driver: str) -> Mapping[str, str]:
        """Volume handle of each of the CSI driver's volumes -> `namespace/claim` ("" if unclaimed)."""
        return self._source.claims_by_handle(driver)

    def secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """A Secret's data as it is stored (base64), or None if there is no such Secret."""
        where = path("api", "v1", "namespaces", namespace, "secrets", name)
        answer = self._api.ask(f"secret {namespace}/{name}", "GET", where, final=frozenset({404}), secret=True)
        if answer.status == 404:
            return None
        found = answer.document(self._api.named(f"secret {namespace}/{name}"), "see the API server's log")
        return {str(k): str(v) for k, v in sub(found, "data").items()}

    # ------------------------------------------------------------ tokens

    def mint_token(self, ttl_s: float) -> str:
        expires = datetime.fromtimestamp(self._clock.now_s() + ttl_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for _ in range(TOKEN_TRIES):
            token_id, token_secret = _random(6), _random(16)
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "bootstrap.kubernetes.io/token",
                "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": TOKENS},
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
                path("api", "v1", "namespaces", TOKENS, "secrets"),
                body=body,
                final=frozenset({409}),
                secret=True,
            )
            if answer.ok:
                return f"{token_id}.{token_secret}"
        raise PortError(
            self._api.named("bootstrap token in kube-system"),
            f"{TOKEN_TRIES} fresh names taken",
            "see the API server's log, then run `pulumi up` again",
        )


def _has_cause(answer: Answer, reason: str) -> bool:
    """Whether a Kubernetes Status gives that cause."""
    try:
        said = json.loads(answer.text)
    except ValueError:
        return False
    return any(cause.get("reason") == reason for cause in entries(said, "details", "causes"))


def _random(length: int) -> str:
    return "".join(secrets.choice(TOKEN_ALPHABET) for _ in range(length))
