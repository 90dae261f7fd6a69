"""Pods leave a node by the Eviction API, which honours their disruption budgets.

Workloads first; the storage driver's own pods only after the volumes are gone (`daemons`). Pods of a
DaemonSet and mirrors of static pods stay: they would come back at once, and end with the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from lifecycle.errors import DrainBlocked
from lifecycle.ports import Eviction, Pod, Ports
from lifecycle.waiting import Blocked, wait_until

AGAIN_S = 5.0
"""Between two evictions of one pod that a budget refused: as the field's own drain does."""


def stays(pod: Pod) -> bool:
    """Whether the pod ends with the machine."""
    return pod.mirror or pod.owner == "DaemonSet"


def workloads(pods: Sequence[Pod]) -> tuple[Pod, ...]:
    """The pods that go first, by name."""
    return tuple(sorted((p for p in pods if not stays(p) and not p.storage_daemon), key=lambda p: p.key))


def daemons(pods: Sequence[Pod]) -> tuple[Pod, ...]:
    """The storage driver's pods, which serve the volumes of others until these are gone."""
    return tuple(sorted((p for p in pods if not stays(p) and p.storage_daemon), key=lambda p: p.key))


def drain(ports: Ports, node: str, which: Callable[[Sequence[Pod]], tuple[Pod, ...]], *, forced: bool = False) -> None:
    """Return once none of the pods that `which` picks is on `node`.

    A refused eviction is asked again until `drain_s`. forced: only while the whole cluster retires;
    a pod whose budget refuses is deleted past it. Raises DrainBlocked naming pods, claims and budgets.
    """
    stuck: list[Pod] = []

    def gone() -> bool | Blocked:
        refused = {p.key for p in which(ports.kubernetes.pods_on(node)) if not _asked_to_go(ports, p, forced=forced)}
        stuck[:] = which(ports.kubernetes.pods_on(node))
        if not stuck:
            return True
        why = ", ".join(f"{p.key} {'refused by its budget' if p.key in refused else 'is ending'}" for p in stuck)
        return Blocked(why, tuple(p.key for p in stuck), look_s=AGAIN_S)

    try:
        wait_until(
            gone,
            what="pods leave",
            node=node,
            about="pods",
            ports=ports,
            limit_s=ports.pins.limits().drain_s,
            error=DrainBlocked,
        )
    except DrainBlocked as blocked:
        raise _named(ports, blocked, stuck) from None


def _asked_to_go(ports: Ports, pod: Pod, *, forced: bool) -> bool:
    """Whether the pod goes, or is gone."""
    if pod.terminating or ports.kubernetes.evict(pod) is not Eviction.REFUSED:
        return True
    if forced:
        ports.kubernetes.delete_pod(pod)
    return forced


def _named(ports: Ports, blocked: DrainBlocked, stuck: Collection[Pod]) -> DrainBlocked:
    """The same error with the claims and budgets of the pods that did not go."""
    keys = {p.key for p in stuck}
    claims = tuple(sorted(f"{p.namespace}/{c}" for p in stuck for c in p.claims))
    budgets = tuple(sorted(f"{b.namespace}/{b.name}" for b in ports.kubernetes.budgets() if b.pods & keys))
    why = blocked.blocked
    if claims:
        why += "; with PersistentVolumeClaim " + ", ".join(claims)
    if budgets:
        why += "; PodDisruptionBudget " + ", ".join(budgets)
    named = DrainBlocked(blocked.node, why, blocked.names, blocked.limit_s)
    named.claims, named.budgets = claims, budgets
    return named
