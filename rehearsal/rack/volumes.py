"""Volumes: replicas in fault domains, attachments, NVMe/TCP paths, resynchronisation.

Assumptions. A node's storage stops in maintenance and with its host; what was written meanwhile is
resynchronised when it returns, 20 to 60 s a volume here (a delta, as the disks come back), its path a
reconnect (the kernel's default delay is 10 s) after that. Unmount takes up to 2 s, detach and attach 1
to 4 s each. An attach waits for the detach: the volumes are ReadWriteOnce. A planned failover of the
surviving path shows for 2 s, the figure that a vendor publishes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lifecycle.ports import Move
from rehearsal.rack import quorum, workloads
from rehearsal.rack.world import Event, Moving, Pod, Volume

if TYPE_CHECKING:
    from rehearsal.rack.rack import Rack

UNMOUNT_S = (0.5, 2.0)
DETACH_S = (1.0, 4.0)
ATTACH_S = (1.0, 4.0)
RESYNC_S = (20.0, 60.0)
RECONNECT_S = 10.0
FAILOVER_S = 2.0
STORAGE_UP_S = 60.0
RETRY_S = 30.0


def storage_nodes(rack: Rack) -> list[str]:
    return sorted(name for name, claim in rack.world.claims.items() if claim.stores)


def serves(rack: Rack, node: str) -> bool:
    """Whether the node's storage is up: its host runs, has joined, and is not in maintenance."""
    host = rack.world.hosts.get(node)
    return host is not None and host.power == "on" and host.joined and node not in rack.world.maintenance


def live_replicas(rack: Rack, volume: Volume) -> list[str]:
    return [n for n, in_sync in volume.replicas.items() if in_sync and serves(rack, n)]


def driver_installed(rack: Rack) -> None:
    if not rack.world.storage_up:
        rack.later(STORAGE_UP_S, "storage-up", "storage")


def _storage_up(rack: Rack, event: Event) -> None:
    rack.world.storage_up = True
    if len(storage_nodes(rack)) >= rack.world.replicas:
        workloads.deploy(rack)
    rack.changed("storage")


def create(rack: Rack, pod: str, size_gib: int, index: int) -> str:
    """A volume whose replicas are in different fault domains; returns its name."""
    nodes = storage_nodes(rack)
    first = (len(rack.world.volumes) + index) % len(nodes)
    rotated = nodes[first:] + nodes[:first]
    chosen: list[str] = []
    domains: set[str] = set()
    for name in rotated:
        domain = rack.world.hosts[name].fault_domain
        if domain not in domains and len(chosen) < rack.world.replicas:
            chosen.append(name)
            domains.add(domain)
    name = f"pv-{pod}"
    rack.world.volumes[name] = Volume(
        name=name, claim=f"data-{pod}", size_gib=size_gib, replicas=dict.fromkeys(chosen, True)
    )
    return name


# ---------------------------------------------------------------- attachments


def pod_evicted(rack: Rack, pod: Pod) -> None:
    rack.world.moving[pod.volume] = Moving(pod=pod.name, from_node=pod.node, evicted_s=rack.now_s)


def unmount(rack: Rack, name: str, node: str) -> None:
    """The pod that used the volume on `node` is gone. A volume that never got as far as being mounted there
    is detached at once; one that is still on its way from another node is left to go on."""
    volume = rack.world.volumes[name]
    if volume.in_use == node:
        rack.later(rack.draw(*UNMOUNT_S, name, rack.now_s, "unmount"), "unmounted", name, rack.world.hosts[node].boots)
    elif volume.attached_to == node:
        rack.later(rack.draw(*DETACH_S, name, rack.now_s, "detach"), "detached", name)


def force_detach(rack: Rack, name: str) -> None:
    """The host that had it is off: nobody is there to unmount it."""
    volume = rack.world.volumes[name]
    volume.in_use = ""
    if any(e.kind == "detached" and e.subject == volume.name for e in rack.world.events):
        return
    rack.later(rack.draw(*DETACH_S, volume.name, rack.now_s, "detach"), "detached", volume.name)


def _unmounted(rack: Rack, event: Event) -> None:
    volume = rack.world.volumes[event.subject]
    node = volume.in_use
    if not node:  # detached by force meanwhile
        return
    if rack.faults.active("volume-stuck", node):
        rack.later(RETRY_S, "unmounted", volume.name, event.number)
        return
    volume.in_use = ""
    moving = rack.world.moving.get(volume.name)
    if moving is not None:
        moving.unmounted_s = rack.now_s
    rack.later(rack.draw(*DETACH_S, volume.name, rack.now_s, "detach"), "detached", volume.name)
    rack.changed(f"node/{node}", f"pods/{node}")


def _detached(rack: Rack, event: Event) -> None:
    if rack.world.dark and not quorum.api_answers(rack):
        rack.later(RETRY_S, "detached", event.subject)
        return
    volume = rack.world.volumes[event.subject]
    node, volume.attached_to = volume.attached_to, ""
    moving = rack.world.moving.get(volume.name)
    if moving is not None:
        moving.detached_s = rack.now_s
    for pod in rack.world.pods.values():
        if pod.volume == volume.name and pod.phase == "attaching":
            want_attached(rack, pod)
    rack.changed(f"node/{node}", f"pods/{node}")


def want_attached(rack: Rack, pod: Pod) -> None:
    """The pod has a node; the volume goes there once it is free."""
    volume = rack.world.volumes[pod.volume]
    if not volume.attached_to:
        volume.attached_to = pod.node
        rack.later(rack.draw(*ATTACH_S, pod.name, pod.incarnation, "attach"), "attached", pod.name, pod.incarnation)


def _attached(rack: Rack, event: Event) -> None:
    pod = rack.world.pods[event.subject]
    volume = rack.world.volumes[pod.volume]
    if pod.incarnation != event.number or pod.phase != "attaching":
        return
    if not live_replicas(rack, volume):
        rack.later(RECONNECT_S, "attached", event.subject, event.number)
        return
    volume.in_use = pod.node
    moving = rack.world.moving.get(volume.name)
    if moving is not None:
        moving.to_node, moving.attached_s = pod.node, rack.now_s
    workloads.start(rack, pod)


def remount(rack: Rack, pod: Pod) -> None:
    """The pod's node is back from a power cut: the volume is mounted there again, or comes once it is free."""
    if rack.world.volumes[pod.volume].attached_to == pod.node:
        rack.later(rack.draw(*ATTACH_S, pod.name, pod.incarnation, "attach"), "attached", pod.name, pod.incarnation)
    else:
        want_attached(rack, pod)


def pod_ready(rack: Rack, pod: Pod) -> None:
    since_s = rack.world.reattaching.pop(pod.volume, None)
    if since_s is not None:
        rack.journal.add(rack.now_s, "reattached", volume=pod.volume, pod=pod.name, node=pod.node, since_s=since_s)
    moving = rack.world.moving.pop(pod.volume, None)
    if moving is not None:
        moving.ready_s = rack.now_s
        rack.world.moved[pod.volume] = moving
        rack.journal.add(rack.now_s, "attach", volume=pod.volume, **moving.model_dump())


def moves(rack: Rack, node: str) -> tuple[Move, ...]:
    """The last move of each volume that left the node, on its way or done."""
    last = {**rack.world.moved, **rack.world.moving}
    left = {name: m for name, m in last.items() if m.from_node == node and name in rack.world.volumes}
    return tuple(
        Move(volume=name, claim=f"default/{rack.world.volumes[name].claim}", **m.model_dump())
        for name, m in sorted(left.items())
    )


# ---------------------------------------------------------------- redundancy


def go_dark(rack: Rack, node: str) -> None:
    """The node's host lost its power, and so did all others: nothing was written that its replicas miss."""
    for volume in rack.world.volumes.values():
        rack.world.resyncing.discard(f"{volume.name}@{node}")


def host_returns(rack: Rack, node: str) -> None:
    """The node's storage serves again: the first replica of a volume to be back goes on, any other catches up."""
    for volume in rack.world.volumes.values():
        if node in volume.replicas:
            if any(other != node for other in live_replicas(rack, volume)):
                volume.replicas[node] = False
            rack.world.paths_until_s[volume.name] = rack.now_s + RECONNECT_S
            rack.later(RECONNECT_S, "path-back", volume.name)
    if node not in rack.world.maintenance:
        _catch_up(rack, node)


def host_stopped(rack: Rack, node: str) -> None:
    _fall_behind(rack, node)


def begin_maintenance(rack: Rack, node: str) -> None:
    if node not in rack.world.maintenance:
        rack.world.maintenance.add(node)
        _fall_behind(rack, node)
        rack.changed("storage")


def _fall_behind(rack: Rack, node: str) -> None:
    for volume in rack.world.volumes.values():
        if node in volume.replicas:
            if volume.replicas[node]:
                rack.world.failover_until_s = rack.now_s + FAILOVER_S
                rack.later(FAILOVER_S, "failover-ends", volume.name)
            volume.replicas[node] = False
            rack.world.resyncing.discard(f"{volume.name}@{node}")


def end_maintenance(rack: Rack, node: str) -> None:
    """The node is back: every replica on it that fell behind catches up."""
    rack.world.maintenance.discard(node)
    _catch_up(rack, node)
    rack.changed("storage")


def _catch_up(rack: Rack, node: str) -> None:
    boots = rack.world.hosts[node].boots
    for volume in rack.world.volumes.values():
        key = f"{volume.name}@{node}"
        if volume.replicas.get(node) is False and key not in rack.world.resyncing and serves(rack, node):
            rack.world.resyncing.add(key)
            rack.later(rack.draw(*RESYNC_S, key, boots), "resynced", key, boots)


def _resynced(rack: Rack, event: Event) -> None:
    name, _, node = event.subject.partition("@")
    if rack.world.hosts[node].boots != event.number or event.subject not in rack.world.resyncing:
        return
    if rack.faults.active("storage-degraded", node) or not live_replicas(rack, rack.world.volumes[name]):
        rack.later(RETRY_S, "resynced", event.subject, event.number)
        return
    rack.world.resyncing.discard(event.subject)
    rack.world.volumes[name].replicas[node] = True
    rack.world.paths_until_s[name] = rack.now_s + RECONNECT_S
    rack.later(RECONNECT_S, "path-back", name)
    rack.changed("storage")


def _path_back(rack: Rack, event: Event) -> None:
    if rack.world.paths_until_s.get(event.subject, 0) <= rack.now_s:
        rack.world.paths_until_s.pop(event.subject, None)
    rack.changed("storage", "claimants")


def _failover_ends(rack: Rack, event: Event) -> None:
    """Only a moment at which the latency is sampled again."""


def evacuate(rack: Rack, node: str) -> list[str]:
    """Start moving every replica off the node; returns the volumes that still have one there."""
    held = [v for v in rack.world.volumes.values() if node in v.replicas]
    for volume in held:
        kept = {rack.world.hosts[n].fault_domain for n in volume.replicas if n != node}
        for target in storage_nodes(rack):
            fits = target not in volume.replicas and rack.world.hosts[target].fault_domain not in kept
            key = f"{volume.name}@{node}@{target}"
            busy = any(k.startswith(f"{volume.name}@{node}@") for k in rack.world.resyncing)
            if fits and serves(rack, target) and not busy:
                rack.world.resyncing.add(key)
                rack.later(rack.draw(*RESYNC_S, key) * 4, "moved", key)
    return [v.name for v in held]


def _moved(rack: Rack, event: Event) -> None:
    name, node, target = event.subject.split("@")
    volume = rack.world.volumes[name]
    rack.world.resyncing.discard(event.subject)
    if node in volume.replicas and serves(rack, target):
        del volume.replicas[node]
        volume.replicas[target] = True
    rack.changed("storage")


HANDLERS: Mapping[str, Callable[[Rack, Event], None]] = {
    "storage-up": _storage_up,
    "unmounted": _unmounted,
    "detached": _detached,
    "attached": _attached,
    "resynced": _resynced,
    "path-back": _path_back,
    "failover-ends": _failover_ends,
    "moved": _moved,
}
