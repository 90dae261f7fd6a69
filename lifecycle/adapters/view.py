"""The cluster as its watches show it: one list and one watch a kind, whoever asks and however often.

Reading costs no request and no scan of the fleet. What may have changed meanwhile without being seen is
said, not guessed: a kind that could not be watched for STALE_S is not read, with a PortError that names it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from lifecycle import permissions
from lifecycle.adapters.kube_api import KubeApi
from lifecycle.adapters.objects import (
    BudgetSeen,
    Json,
    NodeSeen,
    PodSeen,
    attachment_seen,
    budget_seen,
    daemon_set_seen,
    is_finished,
    node_seen,
    pod_seen,
    roster_seen,
    volume_seen,
    with_local_volumes,
)
from lifecycle.adapters.reflector import CHANCE, Kind, Reflector
from lifecycle.adapters.store import Store
from lifecycle.ports import Attachment, Budget, Clock, Move, Node, Pod

STOP_S = 5.0
"""For the watches to end: each is told to, and only a list that is just being read takes longer."""

NAMESPACE, NAME = permissions.NAMESPACE, permissions.ROSTER
"""Where the roster's ConfigMap is."""


class Source(Protocol):
    """Where a step reads the cluster from: a view of its own, or one that it shares. Every method may raise
    PortError or NeedsAttention."""

    def node(self, name: str) -> NodeSeen | None: ...

    def nodes(self) -> tuple[Node, ...]: ...

    def control_planes(self) -> Mapping[str, str]:
        """Internal address -> node."""
        ...

    def pods_on(self, node: str) -> tuple[PodSeen, ...]:
        """Those that are not finished. A DaemonSet that is not seen leaves `owner_uid` in place, else it is ""."""
        ...

    def unready_claimants(self) -> tuple[Pod, ...]: ...

    def budgets(self, node: str) -> tuple[Budget, ...]: ...

    def budgets_named(self, names: frozenset[str]) -> tuple[Budget, ...]: ...

    def attachments_on(self, node: str) -> tuple[Attachment, ...]: ...

    def claims_by_handle(self, driver: str) -> Mapping[str, str]: ...

    def moves(self, node: str) -> tuple[Move, ...]: ...

    def roster(self) -> tuple[str, str]:
        """(document, version), ("", "") if there is none."""
        ...

    def wait(self, topic: str, since: int, limit_s: float) -> int:
        """As lifecycle.adapters.topics.Topics.wait."""
        ...


def kinds(storage_namespaces: frozenset[str]) -> tuple[Kind, ...]:
    """All that a step reads of the API."""

    def pod(item: Json) -> PodSeen | None:
        return None if is_finished(item) else pod_seen(item, storage_namespaces)

    roster = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    return (
        Kind("nodes", "/api/v1/nodes", node_seen),
        Kind("pods", "/api/v1/pods", pod),
        Kind("poddisruptionbudgets", "/apis/policy/v1/poddisruptionbudgets", budget_seen),
        Kind("volumeattachments", "/apis/storage.k8s.io/v1/volumeattachments", attachment_seen),
        Kind("persistentvolumes", "/api/v1/persistentvolumes", volume_seen),
        Kind("daemonsets", "/apis/apps/v1/daemonsets", daemon_set_seen),
        Kind("roster", roster, roster_seen, (("fieldSelector", f"metadata.name={NAME}"),)),
    )


class View:
    """Fulfils `Source` for any number of threads. Begins to watch a kind when it is first read.

    pause, chance: how a watch that failed waits, see Reflector.
    """

    def __init__(
        self,
        api: KubeApi,
        clock: Clock,
        storage_namespaces: frozenset[str],
        pause: Callable[[float], bool] | None = None,
        chance: Callable[[], float] = CHANCE,
    ) -> None:
        found = kinds(storage_namespaces)
        self._store = Store((kind.name for kind in found), clock)
        self._reflectors = {kind.name: Reflector(kind, api, self._store, clock, pause, chance) for kind in found}
        self._begin = threading.Lock()
        self._begun: set[str] = set()

    def start(self, *names: str) -> None:
        """Begin to watch these kinds, or all. Idempotent."""
        with self._begin:
            for name in names or self._reflectors:
                if name not in self._begun:
                    self._begun.add(name)
                    self._reflectors[name].start()

    def stop(self) -> None:
        """End every watch."""
        with self._begin:
            for name in self._begun:
                self._reflectors[name].stop()
            for name in self._begun:
                self._reflectors[name].join(STOP_S)

    @contextmanager
    def _reading(self, *names: str) -> Iterator[tuple[dict[str, Any], ...]]:
        self.start(*names)
        with self._store.reading(*names) as found:
            yield found

    # ------------------------------------------------------------ nodes

    def node(self, name: str) -> NodeSeen | None:
        with self._reading("nodes") as (nodes,):
            found: NodeSeen | None = nodes.get(name)
            return found

    def nodes(self) -> tuple[Node, ...]:
        with self._reading("nodes") as (nodes,):
            return tuple(seen.node for seen in nodes.values())

    def control_planes(self) -> Mapping[str, str]:
        with self._reading("nodes") as (nodes,):
            return {address: name for name, seen in nodes.items() for address in seen.addresses}

    # ------------------------------------------------------------ pods

    def pods_on(self, node: str) -> tuple[PodSeen, ...]:
        self.start()  # whoever drains wants to know later how the volumes moved: all is watched from here on
        with self._reading("pods", "persistentvolumes", "daemonsets") as (pods, volumes, daemon_sets):
            found = []
            for key in self._store.pods_on.of(node):
                seen: PodSeen = pods[key]
                claimed = [v for c in seen.pod.claims for v in self._volumes_of(seen.pod.namespace, c)]
                pod = with_local_volumes(seen.pod, (v for v in claimed if volumes[v].local))
                missing = seen.owner_key and daemon_sets.get(seen.owner_key) != seen.owner_uid
                found.append(replace(seen, pod=pod, owner_uid=seen.owner_uid if missing else ""))
            return tuple(found)

    def _volumes_of(self, namespace: str, claim: str) -> tuple[str, ...]:
        return self._store.volumes_claimed.of(f"{namespace}/{claim}")

    def unready_claimants(self) -> tuple[Pod, ...]:
        with self._reading("pods") as (pods,):
            return tuple(pods[key].pod for key in self._store.claimants)

    def budgets(self, node: str) -> tuple[Budget, ...]:
        with self._reading("pods", "poddisruptionbudgets") as (pods, budgets):
            if node:
                near: dict[str, list[PodSeen]] = {}
                for key in self._store.pods_on.of(node):
                    near.setdefault(pods[key].pod.namespace, []).append(pods[key])
                asked = [(budgets[b], some) for ns, some in near.items() for b in self._store.budgets_in.of(ns)]
            else:
                asked = [(b, [pods[key] for key in self._store.candidates(b)]) for b in budgets.values()]
            found = (replace(b.budget, pods=_selected(b, some)) for b, some in asked)
            return tuple(b for b in found if b.pods or not node)

    def budgets_named(self, names: frozenset[str]) -> tuple[Budget, ...]:
        with self._reading("poddisruptionbudgets") as (budgets,):
            return tuple(budgets[name].budget for name in sorted(names) if name in budgets)

    # ------------------------------------------------------------ volumes

    def attachments_on(self, node: str) -> tuple[Attachment, ...]:
        with self._reading("volumeattachments", "persistentvolumes") as (attachments, volumes):
            found = [attachments[key] for key in self._store.attachments_on.of(node)]
            return tuple(replace(a, claim=volumes[a.volume].claim) if a.volume in volumes else a for a in found)

    def claims_by_handle(self, driver: str) -> Mapping[str, str]:
        with self._reading("persistentvolumes") as (volumes,):
            return {v.handle: v.claim for v in volumes.values() if v.driver == driver}

    def moves(self, node: str) -> tuple[Move, ...]:
        with self._reading("pods", "nodes", "volumeattachments", "persistentvolumes"):
            return self._store.moves.left(node)

    # ------------------------------------------------------------ roster, waiting

    def roster(self) -> tuple[str, str]:
        with self._reading("roster") as (maps,):
            found: tuple[str, str] = maps.get(f"{NAMESPACE}/{NAME}", ("", ""))
            return found

    def wait(self, topic: str, since: int, limit_s: float) -> int:
        return self._store.topics.wait(topic, since, limit_s)


def _selected(seen: BudgetSeen, pods: Iterable[PodSeen]) -> frozenset[str]:
    return frozenset(p.pod.key for p in pods if seen.selects(dict(p.labels)))
