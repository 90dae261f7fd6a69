"""Workloads: apps with disruption budgets, their pods, evictions, and where pods go next.

Assumptions. Pods end within 3 to 20 s of an eviction and start within 2 to 8 s of their volume being
attached. StatefulSet pods are spread over nodes (required anti-affinity) and come back only once the
old pod is gone; the scheduler takes the Ready, uncordoned worker with the fewest pods. PVCs are bound
to one pod each (ReadWriteOnce).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lifecycle.ports import Eviction, Role
from rehearsal.rack import quorum, volumes
from rehearsal.rack.world import App, Event, Pod

if TYPE_CHECKING:
    from rehearsal.rack.rack import Rack

GRACE_S = (3.0, 20.0)
START_S = (2.0, 8.0)
RETRY_S = 30.0
"""Between two starts of a pod that does not become Ready."""

APPS = (
    App(name="postgres", owner="StatefulSet", replicas=3, healthy_min=2, volume_gib=100),
    App(name="kafka", owner="StatefulSet", replicas=3, healthy_min=2, volume_gib=250),
    App(name="web", owner="ReplicaSet", replicas=6, healthy_min=4),
)
"""What runs on the rack: two databases that must keep two of three, and a stateless front."""


def deploy(rack: Rack) -> None:
    """The application teams move in, once storage is there."""
    for app in APPS:
        if app.name in rack.world.apps:
            continue
        rack.world.apps[app.name] = app.model_copy()
        for i in range(app.replicas):
            pod = Pod(name=f"{app.name}-{i}", app=app.name)
            if app.volume_gib:
                pod.volume = volumes.create(rack, pod.name, app.volume_gib, i)
            rack.world.pods[pod.name] = pod
    place_pending(rack)


def healthy_pods(rack: Rack, app: str) -> int:
    return sum(p.app == app and p.phase == "ready" for p in rack.world.pods.values())


def forced_pods(rack: Rack, app: str) -> int:
    """Pods that a pool's `force` took, and that are not back."""
    return sum(p.app == app and p.forced for p in rack.world.pods.values())


def healthy_min(rack: Rack, app: App) -> int | None:
    """The budget in force; a budget that never allows wants every pod."""
    if app.healthy_min is not None and rack.faults.active("pdb-never-allows", app.name):
        return app.replicas
    return app.healthy_min


def evict(rack: Rack, name: str) -> Eviction:
    """What the Eviction API does: 404 for a pod that is gone, 429 while the budget allows none."""
    pod = rack.world.pods.get(name)
    if pod is None or not pod.node or pod.phase == "terminating":
        return Eviction.GONE
    app = rack.world.apps[pod.app]
    least = healthy_min(rack, app)
    if least is not None and pod.phase == "ready" and healthy_pods(rack, pod.app) - 1 < least:
        return Eviction.REFUSED
    end(rack, name)
    return Eviction.GRANTED


def end(rack: Rack, name: str) -> None:
    """Terminate a pod, budgets or not. Idempotent."""
    pod = rack.world.pods.get(name)
    if pod is None or not pod.node or pod.phase == "terminating":
        return
    pod.phase = "terminating"
    if pod.volume:
        volumes.pod_evicted(rack, pod)
    rack.later(rack.draw(*GRACE_S, pod.name, pod.incarnation, "grace"), "pod-gone", pod.name, pod.incarnation)
    rack.changed(f"node/{pod.node}", f"pods/{pod.node}", "claimants")


def _pod_gone(rack: Rack, event: Event) -> None:
    pod = rack.world.pods[event.subject]
    if pod.incarnation != event.number:
        return
    left = pod.node
    if rack.world.hosts[left].power == "off":  # no kubelet ends it; it stays until its node is out of service
        return
    pod.node, pod.phase, pod.incarnation = "", "pending", pod.incarnation + 1
    if pod.volume:
        volumes.unmount(rack, pod.volume, left)
    place_pending(rack)
    rack.changed(f"node/{left}", f"pods/{left}", "claimants")


def give_up(rack: Rack, node: str) -> None:
    """The node is out of service and its host off: its pods are forgotten, its volumes detached."""
    if rack.world.hosts[node].power == "on":
        return
    for pod in rack.world.pods.values():
        if pod.node == node:
            end(rack, pod.name)
            pod.node, pod.phase, pod.incarnation = "", "pending", pod.incarnation + 1
    for volume in rack.world.volumes.values():
        if node in (volume.attached_to, volume.in_use):
            volumes.force_detach(rack, volume.name)
    place_pending(rack)


def go_dark(rack: Rack) -> None:
    """Every host lost its power: no pod runs, and each stays bound to its node."""
    for pod in rack.world.pods.values():
        if pod.node and pod.phase != "terminating":
            pod.phase, pod.incarnation = "attaching" if pod.volume else "starting", pod.incarnation + 1
            if pod.volume:
                rack.world.reattaching.setdefault(pod.volume, rack.now_s)


def node_returns(rack: Rack, node: str) -> None:
    """Its kubelet starts the pods that are bound to it, and ends those that were ending."""
    for pod in rack.world.pods.values():
        if pod.node != node:
            continue
        if pod.phase == "terminating":
            rack.later(rack.draw(*GRACE_S, pod.name, pod.incarnation, "again"), "pod-gone", pod.name, pod.incarnation)
        elif pod.volume:
            volumes.remount(rack, pod)
        else:
            start(rack, pod)


def place_pending(rack: Rack) -> None:
    """Give every pending pod a node, if one will have it."""
    if rack.world.dark and not quorum.api_answers(rack):
        return
    for pod in rack.world.pods.values():
        if pod.phase == "pending":
            node = _choose(rack, pod)
            if node is not None:
                pod.node = node
                if pod.volume:
                    pod.phase = "attaching"
                    volumes.want_attached(rack, pod)
                else:
                    start(rack, pod)


def start(rack: Rack, pod: Pod) -> None:
    """The node has all that the pod needs."""
    pod.phase = "starting"
    rack.later(rack.draw(*START_S, pod.name, pod.incarnation, "start"), "pod-ready", pod.name, pod.incarnation)


def _choose(rack: Rack, pod: Pod) -> str | None:
    app = rack.world.apps[pod.app]
    counts: dict[str, int] = {}
    taken: set[str] = set()
    for other in rack.world.pods.values():
        if other.node:
            counts[other.node] = counts.get(other.node, 0) + 1
            if other.app == pod.app:
                taken.add(other.node)
    best: tuple[bool, int, str] | None = None
    for name, node in rack.world.nodes.items():
        if not node.ready or node.unschedulable or rack.role(name) is Role.CONTROL_PLANE:
            continue
        if app.owner == "StatefulSet" and name in taken:
            continue
        rank = (name in taken, counts.get(name, 0), name)
        if best is None or rank < best:
            best = rank
    return best[2] if best is not None else None


def _pod_ready(rack: Rack, event: Event) -> None:
    pod = rack.world.pods[event.subject]
    if pod.incarnation != event.number or pod.phase != "starting":
        return
    if pod.incarnation and rack.faults.active("never-ready", pod.app):
        rack.later(RETRY_S, "pod-ready", pod.name, pod.incarnation)
        return
    pod.phase, pod.forced = "ready", False
    if pod.volume:
        volumes.pod_ready(rack, pod)
    if all(healthy_pods(rack, app.name) == app.replicas for app in rack.world.apps.values()):
        rack.world.settled = True
    # Its budget may allow more now, which concerns whoever drains another pod of its app.
    near = sorted({f"pods/{p.node}" for p in rack.world.pods.values() if p.app == pod.app and p.node})
    rack.changed(f"node/{pod.node}", *near, "claimants", "budgets")


HANDLERS: Mapping[str, Callable[[Rack, Event], None]] = {"pod-gone": _pod_gone, "pod-ready": _pod_ready}
