"""A power cut: every host goes dark at one instant and starts again by itself once the power is back.

Assumptions. The power is away for half a minute to two minutes, and with it every management controller. A host that
ran starts again (the usual setting, "last state"); one that was off stays off. It boots its own disk, whatever the
controller was told: a one-time boot override is used up by the boot that it was for. A disk that an installer was
writing boots nothing; one that it had not begun to write boots the system that it held before. Everything stopped at
one instant, so no replica missed a write: the first of a volume to be back serves, and the others catch up with it.
A kubelet restarts the pods that were bound to its node, with their volumes. What an instance on EC2 does is said in
rehearsal/rack/instances.py; the API of AWS answers all the while.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lifecycle.ports import Progress
from rehearsal.rack import hosts, instances, quorum, volumes, workloads
from rehearsal.rack.world import Event, Host, KubeNode

if TYPE_CHECKING:
    from rehearsal.rack.rack import Rack

OUTAGE_S = (30.0, 120.0)
STAGGER_S = (0.0, 10.0)
"""Power distribution switches its outlets on one after another."""
API_RETRY_S = 5.0
EVERYTHING = "power"
"""The subject of what happens to all hosts."""


def power_cut(rack: Rack) -> None:
    """Every host loses power now, and gets it back. What it breaks is nobody's doing (rehearsal/rack/laws.py)."""
    world = rack.world
    away_s = rack.draw(*OUTAGE_S, "outage", rack.now_s)
    struck = [host for host in world.hosts.values() if host.power == "on"]
    installing = [host.name for host in struck if host.progress is Progress.INSTALLING]
    rack.journal.add(rack.now_s, "cut", hosts=[host.name for host in struck], installing=installing)
    world.excused, world.mains_back_s = True, rack.now_s + away_s
    for host in struck:
        _goes_dark(rack, host)
        after_s = away_s + rack.draw(*STAGGER_S, host.name, host.boots, "outlet")
        rack.later(after_s, "power-back", host.name, host.boots)
    workloads.go_dark(rack)
    quorum.elect(rack)
    rack.changed("etcd", "storage", *(f"host/{host.name}" for host in struck))


def _goes_dark(rack: Rack, host: Host) -> None:
    node = rack.world.nodes.get(host.name)
    if host.joined and node is not None and node.ready:
        rack.world.dark.add(host.name)
    host.power, host.joined = "off", False
    if host.instance:
        instances.loses_power(rack, host)
    volumes.go_dark(rack, host.name)
    rack.later(hosts.NODE_GRACE_S, "node-lost", host.name, host.boots)


def _power_cut(rack: Rack, event: Event) -> None:
    power_cut(rack)


def _power_back(rack: Rack, event: Event) -> None:
    host = rack.world.hosts[event.subject]
    if host.boots == event.number and host.power == "off":
        start(rack, host)


def start(rack: Rack, host: Host) -> None:
    """The host, which is off, starts from its own disk."""
    after_s = instances.starts_again(rack, host) if host.instance else _starts_again(rack, host)
    if after_s is not None:
        rack.later(after_s, "restarted", host.name, host.boots)
        rack.changed(f"host/{host.name}")


def _starts_again(rack: Rack, host: Host) -> float:
    """After how long its system runs again."""
    host.power, host.boot_override = "on", False
    host.boots += 1
    firmware_s = rack.draw(*hosts.FIRMWARE_S, host.name, host.boots, "firmware")
    return firmware_s + rack.draw(*hosts.BOOT_S, host.name, host.boots, "boot")


def _restarted(rack: Rack, event: Event) -> None:
    """What is on the disk runs, if anything is."""
    host = hosts.current(rack, event)
    if host is None:
        return
    if host.kept is not None:
        host.generation, host.os_image, host.kubelet = host.kept.generation, host.kept.os_image, host.kept.kubelet
        host.way, host.kept = host.kept.way, None
    elif host.progress not in (Progress.INSTALLED, Progress.RUNNING) and not host.instance:
        return
    else:
        host.progress = Progress.RUNNING
    if host.member:
        _rejoins(rack, host)
    elif host.credentials:
        hosts.start_kubeadm(rack, host)
    rack.changed(f"host/{host.name}")


def _rejoins(rack: Rack, host: Host) -> None:
    """Its kubelet and its etcd member start from what is on the disk; nobody is asked for anything."""
    host.joined = True
    quorum.elect(rack)
    volumes.host_returns(rack, host.name)
    rack.later(rack.draw(*hosts.READY_S, host.name, host.boots, "ready"), "node-back", host.name, host.boots)
    rack.changed("etcd", "storage")


def _node_back(rack: Rack, event: Event) -> None:
    """The kubelet tells the API, once that answers. A Node that was deleted is registered again."""
    host = hosts.current(rack, event)
    if host is None or not host.joined:
        return
    if not quorum.api_answers(rack):
        rack.later(API_RETRY_S, "node-back", event.subject, event.number)
        return
    node = rack.world.nodes.get(host.name)
    if node is None:
        node = rack.world.nodes[host.name] = KubeNode(name=host.name)
    node.os_image, node.kubelet, node.machine_id = host.os_image, host.kubelet, host.machine_id
    node.boot_id = hosts.boot_id(host)
    node.ready, node.ready_changed_s = True, rack.now_s
    rack.world.dark.discard(host.name)
    rack.note_standing(host.name)
    workloads.node_returns(rack, host.name)
    workloads.place_pending(rack)
    rack.changed(f"node/{host.name}", f"pods/{host.name}", "claimants", "roster")


HANDLERS: Mapping[str, Callable[[Rack, Event], None]] = {
    "power-cut": _power_cut,
    "power-back": _power_back,
    "restarted": _restarted,
    "node-back": _node_back,
}
