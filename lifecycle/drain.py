"""Pods leave a node by the Eviction API, which honours their disruption budgets.

Workloads first; the storage driver's own pods only after the volumes are gone (`daemons`). Pods of a
DaemonSet and mirrors of static pods stay: they would come back at once, and end with the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from lifecycle.errors import DrainBlocked, PortError
from lifecycle.ports import Eviction, Pod, Ports
from lifecycle.waiting import LOOK_AGAIN_S, Blocked, wait_until

AGAIN_S = 5.0
"""Between two evictions of one pod that a budget refused: as the field's own drain does. Sooner where the budget
is seen to give way."""


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

    All are asked to go at once; each is asked again after AGAIN_S, or as soon as its budgets have room for it,
    until it goes. forced: only while the whole cluster retires; a pod whose budget refuses is deleted past it.
    Raises DrainBlocked naming pods, claims and budgets.
    """
    stuck: list[Pod] = []
    asking = _Asking(ports, node, forced)

    def gone() -> bool | Blocked:
        asking.ask(which(ports.kubernetes.pods_on(node)))
        stuck[:] = which(ports.kubernetes.pods_on(node))
        if not stuck:
            return True
        seen, now_s = ports.kubernetes.node(node), ports.clock.now_s()
        why = ", ".join(f"{p.key} {_why(p, now_s, asking.answer(p))}" for p in stuck)
        if seen is None or not seen.ready:
            why += f"; node {node} is not Ready, so no kubelet ends them"
        waits = any(not p.terminating for p in stuck)
        return Blocked(why, tuple(p.key for p in stuck), look_s=AGAIN_S if waits else LOOK_AGAIN_S)

    try:
        wait_until(
            gone,
            what="pods leave",
            node=node,
            about=f"pods/{node}",
            ports=ports,
            limit_s=ports.pins.limits().drain_s,
            error=DrainBlocked,
        )
    except DrainBlocked as blocked:
        raise _named(ports, blocked, stuck) from None


class _Asking:
    """Evictions of one drain: when each pod was last asked, and whether it was refused."""

    def __init__(self, ports: Ports, node: str, forced: bool) -> None:
        self._ports, self._node, self._forced = ports, node, forced
        self._asked: dict[tuple[str, str], tuple[float, Eviction | PortError]] = {}

    def ask(self, pods: Sequence[Pod]) -> None:
        """Ask all of them that do not end yet and were not asked within AGAIN_S, none waiting for another; and of
        those that were, as many as their budgets allow by now."""
        now_s = self._ports.clock.now_s()
        due = [p for p in pods if not p.terminating and self._may_ask(p, now_s)]
        due += self._allowed([p for p in pods if self.refused(p) and p not in due])
        answers = self._ports.kubernetes.evict(due) if due else {}
        for pod in due:
            self._asked[pod.key, pod.uid] = (now_s, answers[pod.key])
            if self._forced and answers[pod.key] is Eviction.REFUSED:
                self._ports.kubernetes.delete_pod(pod)

    def _may_ask(self, pod: Pod, now_s: float) -> bool:
        asked = self._asked.get((pod.key, pod.uid))
        return asked is None or now_s - asked[0] >= AGAIN_S

    def _allowed(self, refused: Sequence[Pod]) -> list[Pod]:
        """No more than there is room for: where many nodes share a budget, each pod too many is a request in vain."""
        if not refused:
            return []
        try:
            budgets = self._ports.kubernetes.budgets(self._node)
        except PortError:  # then each is asked again in its time
            return []
        room = [b.disruptions_allowed for b in budgets]
        found = []
        for pod in refused:
            over = [i for i, b in enumerate(budgets) if pod.key in b.pods]
            if over and all(room[i] > 0 for i in over):
                found.append(pod)
                for i in over:
                    room[i] -= 1
        return found

    def refused(self, pod: Pod) -> bool:
        return self.answer(pod) is Eviction.REFUSED and not self._forced

    def answer(self, pod: Pod) -> Eviction | PortError | None:
        """To the last eviction of a pod that does not end yet; None if there was none."""
        asked = self._asked.get((pod.key, pod.uid))
        return None if pod.terminating or asked is None else asked[1]


def _why(pod: Pod, now_s: float, answer: Eviction | PortError | None) -> str:
    """What keeps a pod on its node."""
    if answer is Eviction.REFUSED:
        return "refused by its budget"
    if isinstance(answer, PortError):
        return f"not evicted ({answer.found})"
    if pod.ends_s is not None and now_s > pod.ends_s:
        kept = f", kept by finalizers {' '.join(pod.finalizers)}" if pod.finalizers else ", as if it ignored SIGTERM"
        return f"is ending, {now_s - pod.ends_s:.0f} s after its grace was over{kept}"
    return "is ending"


def _named(ports: Ports, blocked: DrainBlocked, stuck: Collection[Pod]) -> DrainBlocked:
    """The same error with the claims and budgets of the pods that did not go, as far as the API tells."""
    keys = {p.key for p in stuck}
    claims = tuple(sorted(f"{p.namespace}/{c}" for p in stuck for c in p.claims))
    budgets: tuple[str, ...] = ()
    with suppress(PortError):  # silent now, it must not hide what was waited for
        found = ports.kubernetes.budgets(blocked.node)
        budgets = tuple(sorted(f"{b.namespace}/{b.name}" for b in found if b.pods & keys))
    why = blocked.blocked
    if claims:
        why += "; with PersistentVolumeClaim " + ", ".join(claims)
    if budgets:
        why += "; PodDisruptionBudget " + ", ".join(budgets)
    named = DrainBlocked(blocked.node, why, blocked.names, blocked.limit_s)
    named.claims, named.budgets = claims, budgets
    return named
