"""The storage contract on simplyblock: its control API, and one custom resource to move replicas away.

The API's address and secret are found when a step needs them: INGOT_STORAGE_URL and
INGOT_STORAGE_SECRET, else the Secret that the CSI driver itself reads. What the API cannot tell is not
guessed: see docs/decisions/0033 (paths are judged from the storage side).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lifecycle import permissions
from lifecycle.adapters.kube_api import KubeApi, path
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.wire import HttpJson
from lifecycle.errors import PortError
from lifecycle.ports import Clock, Verdict

DRIVER = "csi.simplyblock.io"
SECRET, SECRET_KEY = permissions.STORAGE_SECRET, "secret.json"
REMEDY = "see `sbctl cluster status` and the log of the storage control plane"
GROUP, VERSION = permissions.STORAGE_GROUP, "v1alpha1"
SHUTDOWN_LIMIT_S = 300.0
"""A graceful shutdown flushes and hands its volumes over; minutes on a busy node."""
RESTART_LIMIT_S = 900.0
"""The node's agent starts with the kubelet and takes up its devices first."""
RESTART_EVERY_S = 60.0
"""A restart asked for before the agent answers is dropped silently, so it is asked for again."""
NODE_STATES = frozenset(
    {
        "online",
        "offline",
        "suspended",
        "in_shutdown",
        "removed",
        "in_restart",
        "in_creation",
        "unreachable",
        "schedulable",
        "down",
    }
)
STOPPED = frozenset({"offline", "unreachable", "down", "removed"})
"""States in which a storage node serves nothing, so that its machine may be switched off."""


AT_REST = frozenset({"online", "removed", "in_creation"})
"""States in which a restart is not ours to ask for: it serves, it is gone, or the operator still makes it."""


@dataclass(frozen=True)
class Control:
    """Where the control API answers, for which cluster, and the token that it takes."""

    url: str
    cluster: str
    token: str

    def __repr__(self) -> str:
        return f"Control({self.url!r}, {self.cluster!r})"


class SimplyblockStorage:
    """Fulfils `lifecycle.ports.Storage`.

    control: finds the API; kubernetes: to name claims and to move replicas; both asked on first use.
    """

    def __init__(
        self, control: Callable[[], Control], kubernetes: ApiKubernetes, api: KubeApi, clock: Clock, namespace: str
    ) -> None:
        self._find, self._kubernetes, self._api, self._clock, self._namespace = (
            control,
            kubernetes,
            api,
            clock,
            namespace,
        )
        self._control: Control | None = None
        self._http = HttpJson(clock, headers=lambda: {"Authorization": f"Bearer {self._where().token}"})

    # ------------------------------------------------------------ verdicts

    def is_redundant(self) -> Verdict:
        reasons = [
            *self._cluster_trouble(),
            *(f"storage node {_host(n)} is {_trouble(n)}" for n in self._nodes() if _trouble(n)),
        ]
        reasons += [f"volume {v.get('name')} is {_sick(v)}" for v in self._volumes() if _sick(v)] if not reasons else []
        return Verdict(not reasons, tuple(reasons))

    def is_redundant_but(self, node: str) -> Verdict:
        """A cluster that runs degraded, and volumes that `node` serves, are what its own trouble accounts for."""
        mine = {str(n.get("id")) for n in self._nodes() if _on(n, node) and _trouble(n)}
        if not mine:
            return self.is_redundant()
        reasons = [r for r in self._cluster_trouble() if r != "the cluster is degraded"]
        others = [n for n in self._nodes() if _trouble(n) and not _on(n, node)]
        reasons += [f"storage node {_host(n)} is {_trouble(n)}" for n in others]
        sick = [v for v in self._volumes() if _sick(v) and not _serving(v) & mine]
        reasons += [f"volume {v.get('name')} is {_sick(v)}" for v in sick]
        return Verdict(not reasons, tuple(reasons))

    def can_lose(self, node: str) -> Verdict:
        """By the cluster's own fault tolerance, counted in fault domains where it knows them."""
        cluster, nodes = self._cluster(), self._nodes()
        mine = {str(n.get("id")) for n in nodes if _on(n, node)}
        if not mine:
            return Verdict(True)
        domains = bool(cluster.get("enable_failure_domain"))
        out = {_domain(n, domains) for n in nodes if _trouble(n)}
        lost = out | {_domain(n, domains) for n in nodes if _on(n, node)}
        tolerated = _whole(cluster, "max_fault_tolerance")
        reasons = [r for r in self._cluster_trouble() if "re-balances" in r]
        if len(lost) > tolerated:
            others = ", ".join(sorted(out - {_domain(n, domains) for n in nodes if _on(n, node)})) or "none"
            reasons.append(f"the cluster tolerates {tolerated} out at once; out already: {others}")
        single = [v for v in self._volumes() if _only_in(v, mine)]
        reasons += [f"volume {v.get('name')} has no copy elsewhere" for v in single]
        return Verdict(not reasons, tuple(reasons))

    def paths_complete(self) -> Verdict:
        """From the storage side: every node that serves a volume is up and the volume's own check passes."""
        up = {str(n.get("id")) for n in self._nodes() if not _trouble(n)}
        reasons = []
        for volume in self._volumes():
            missing = _serving(volume) - up
            if missing or _sick(volume):
                why = f"{len(missing)} of its {len(_serving(volume))} nodes are not up" if missing else _sick(volume)
                reasons.append(f"volume {volume.get('name')}: {why}")
        return Verdict(not reasons, tuple(reasons))

    def only_on(self, node: str) -> tuple[str, ...]:
        mine = {str(n.get("id")) for n in self._nodes() if _on(n, node)}
        lost = [v for v in self._volumes() if _only_in(v, mine)] if mine else []
        claims = (
            {handle.rsplit(":", 1)[-1]: claim for handle, claim in self._kubernetes.claims_by_handle(DRIVER).items()}
            if lost
            else {}
        )
        return tuple(sorted(claims.get(str(v.get("id"))) or f"volume {v.get('name')}" for v in lost))

    # ------------------------------------------------------------ maintenance

    def begin_maintenance(self, node: str) -> None:
        """Shuts the node's storage down gracefully and waits until it is: its replicas stay its own."""
        until_s = self._clock.now_s() + SHUTDOWN_LIMIT_S
        asked: set[str] = set()
        while running := [n for n in self._nodes() if _on(n, node) and n["status"] not in STOPPED]:
            for entry in running:
                if entry["status"] != "in_shutdown" and entry["id"] not in asked:
                    self._post(f"storage node {node}, shutdown", f"storage-nodes/{entry['id']}/shutdown", None)
                    asked.add(entry["id"])
            self._pause(node, "shut down", running, until_s, SHUTDOWN_LIMIT_S)

    def end_maintenance(self, node: str) -> None:
        """Starts the node's storage and waits until it is online; resynchronising goes on after that."""
        until_s = self._clock.now_s() + RESTART_LIMIT_S
        next_s = 0.0
        while away := [n for n in self._nodes() if _on(n, node) and n["status"] not in AT_REST]:
            if self._clock.now_s() >= next_s:
                for entry in away:
                    if entry["status"] in STOPPED | {"suspended"}:
                        self._post(f"storage node {node}, restart", f"storage-nodes/{entry['id']}/restart", {})
                next_s = self._clock.now_s() + RESTART_EVERY_S
            self._pause(node, "online", away, until_s, RESTART_LIMIT_S)

    def _pause(self, node: str, wanted: str, entries: list[dict[str, Any]], until_s: float, limit_s: float) -> None:
        if self._clock.now_s() >= until_s:
            states = ", ".join(sorted(f"{e['id']} {e['status']}" for e in entries))
            raise PortError(f"storage of {node}, to be {wanted} within {limit_s:.0f} s", states, REMEDY)
        self._clock.wait("storage", until_s)

    def evacuate(self, node: str) -> Verdict:
        """One StorageNodeOps `remove` per storage node of the host; the operator moves the volumes."""
        if not any(_on(n, node) and n["status"] != "removed" for n in self._nodes()):
            return Verdict(True)
        base = ("apis", GROUP, VERSION, "namespaces", self._namespace)
        objects = self._api.items("storage nodes", path(*base, "storagenodes"))
        names = [o["metadata"]["name"] for o in objects if (o.get("spec") or {}).get("workerNode") == node]
        if not names:
            raise PortError(
                f"storage nodes of {node} in {self._namespace}",
                f"no StorageNode.{GROUP} with spec.workerNode {node}",
                "operators up to chart 26.2.8 have no StorageNodeOps: remove the node with `sbctl`, then run again",
            )
        reasons = [reason for name in names if (reason := self._removal(base, name))]
        return Verdict(not reasons, tuple(reasons))

    def _removal(self, base: tuple[str, ...], name: str) -> str:
        """Start or look at the removal of one StorageNode; "" once it is done."""
        job = f"ingot-remove-{name}"
        found = self._api.get(f"StorageNodeOps {job}", path(*base, "storagenodeops", job))
        if found is None:
            body = {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "StorageNodeOps",
                "metadata": {"name": job, "namespace": self._namespace},
                "spec": {"storageNodeRef": name, "action": "remove"},
            }
            self._api.ask(
                f"StorageNodeOps {job}, create",
                "POST",
                path(*base, "storagenodeops"),
                body=body,
                final=frozenset({409}),
            )
            return f"storage node {name}: removal begins"
        status = found.get("status") or {}
        if status.get("phase") == "Succeeded":
            return ""
        if status.get("phase") == "Failed":
            raise PortError(
                f"StorageNodeOps {job} in {self._namespace}",
                f"Failed: {status.get('message', '')}",
                f"mend it, `kubectl -n {self._namespace} delete storagenodeops {job}`, then run again",
            )
        step, left = status.get("subPhase") or "Pending", status.get("volumesPending", 0)
        return f"storage node {name}: {step}, {left} volumes to move"

    # ------------------------------------------------------------ the API

    def _where(self) -> Control:
        self._control = self._control or self._find()
        return self._control

    def _url(self, rest: str) -> str:
        control = self._where()
        return f"{control.url.rstrip('/')}/api/v2/clusters/{quote(control.cluster, safe='')}/{rest}"

    def _cluster(self) -> dict[str, Any]:
        return self._http.ask("storage cluster", "GET", self._url(""), remedy=REMEDY).document(
            "storage cluster", REMEDY
        )

    def _cluster_trouble(self) -> list[str]:
        cluster = self._cluster()
        status = cluster.get("status")
        return [f"the cluster is {status}"] * (status != "active") + ["the cluster re-balances"] * bool(
            cluster.get("is_re_balancing", True)
        )

    def _nodes(self) -> list[dict[str, Any]]:
        nodes = self._list("storage nodes", "storage-nodes/")
        for node in nodes:
            if node.get("status") not in NODE_STATES or not node.get("id"):
                raise PortError(
                    f"storage node {node.get('hostname')}",
                    f"status {node.get('status')!r}",
                    f"expected one of {sorted(NODE_STATES)}",
                )
        return nodes

    def _volumes(self) -> Iterator[dict[str, Any]]:
        for pool in self._list("storage pools", "storage-pools/"):
            found = self._list(
                f"volumes of pool {pool.get('name')}", f"storage-pools/{quote(str(pool.get('id')), safe='')}/volumes/"
            )
            yield from (v for v in found if v.get("status") != "in_deletion")

    def _list(self, what: str, rest: str) -> list[dict[str, Any]]:
        answer = self._http.ask(what, "GET", self._url(rest), remedy=REMEDY)
        try:
            found = json.loads(answer.text)
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise PortError(what, "something else than a JSON list of objects", REMEDY)
        return found

    def _post(self, what: str, rest: str, body: object) -> None:
        self._http.ask(what, "POST", self._url(rest), body, remedy=REMEDY)


def find_control(environment: Mapping[str, str], kubernetes: ApiKubernetes, namespace: str, cluster: str) -> Control:
    """The control API of `cluster`. Raises PortError, naming both places looked at, without the secret."""
    url, token = environment.get("INGOT_STORAGE_URL"), environment.get("INGOT_STORAGE_SECRET")
    if url and token:
        return Control(url, cluster, token)
    what = f"storage control API of cluster {cluster}"
    remedy = f"set INGOT_STORAGE_URL and INGOT_STORAGE_SECRET, or see `kubectl -n {namespace} get pods`: the driver"
    remedy += f" makes the secret {SECRET}"
    data = kubernetes.secret(namespace, SECRET)
    if data is None:
        raise PortError(what, f"no secret {namespace}/{SECRET}", remedy)
    try:
        entries = json.loads(base64.b64decode(data[SECRET_KEY]))["clusters"]
        entry = next(e for e in entries if e["cluster_id"] == cluster)
        return Control(url or str(entry["cluster_endpoint"]), cluster, token or str(entry["cluster_secret"]))
    except StopIteration:
        raise PortError(what, f"another cluster's entry in secret {namespace}/{SECRET}", remedy) from None
    except (KeyError, TypeError, ValueError):
        raise PortError(what, f"secret {namespace}/{SECRET} without a readable {SECRET_KEY}", remedy) from None


def _host(node: Mapping[str, Any]) -> str:
    """The Kubernetes node. Where a host runs several storage nodes, each adds `_<port>` to the name."""
    return str(node.get("hostname", "")).split("_", 1)[0]


def _on(entry: Mapping[str, Any], node: str) -> bool:
    """Whether a storage node runs on `node`; a host may call itself by its full DNS name."""
    host = _host(entry)
    return node in (host, host.split(".", 1)[0])


def _domain(node: Mapping[str, Any], by_domain: bool) -> str:
    return f"failure domain {node.get('failure_domain')}" if by_domain else _host(node)


def _trouble(node: Mapping[str, Any]) -> str:
    """Why a storage node does not count as up; "" if it does."""
    if node["status"] == "removed":
        return ""
    if node["status"] != "online":
        return str(node["status"])
    if node.get("health_check") is not True:
        return "failing its health check"
    missing = _whole(node, "device_count") - _whole(node, "online_device_count")
    return f"missing {missing} devices" if missing > 0 else ""


def _sick(volume: Mapping[str, Any]) -> str:
    if volume.get("io_error"):
        return "failing I/O"
    if volume.get("health_check") is False:
        return "failing its health check"
    return "being moved" if volume.get("migrating") else ""


def _serving(volume: Mapping[str, Any]) -> set[str]:
    """Ids of the storage nodes that serve a volume: `nodes` are URLs whose last part is the id."""
    named = {str(url).rstrip("/").rsplit("/", 1)[-1] for url in volume.get("nodes") or []}
    return named or {str(volume.get("storage_node_id"))}


def _only_in(volume: Mapping[str, Any], nodes: set[str]) -> bool:
    """Whether the volume's data is on `nodes` alone: one copy, no parity, placed there."""
    spread = volume.get("high_availability") or _whole(volume, "npcs") > 0
    return bool(_serving(volume) <= nodes or (not spread and str(volume.get("storage_node_id")) in nodes))


def _whole(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PortError(
            f"storage control API, {key}",
            repr(value),
            "expected a whole number; check its version against docs/decisions/0033",
        )
    return value
