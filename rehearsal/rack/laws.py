"""What must hold at every instant of virtual time, whatever is rolled, breaks or is killed.

The laws look at the world alone, never at what lifecycle code believes. Nothing here acts: a broken
law is written into the journal, once for each time that it begins to be broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lifecycle.ports import OnTimeout
from lifecycle.succession import host_of
from rehearsal.rack import quorum, volumes, workloads

if TYPE_CHECKING:
    from rehearsal.rack.rack import Rack

TEXTS = {
    "quorum": "etcd keeps a majority of healthy voters",
    "voters": "etcd misses the voter of one control plane at most",
    "volume-live": "every volume keeps a live replica that is in sync",
    "one-domain": "a volume misses replicas in one fault domain at most",
    "budget": "no pool has more nodes out than its max_unavailable",
    "succession": "no node leaves before the node that succeeds it serves",
    "drained": "no machine stops while a workload's volume is attached to it, unless its pool forces that",
    "data-disks": "no data disk is written by an installer",
    "disruption": "no PodDisruptionBudget is ever violated, unless a node's pool forces that",
}
"""Each law, in words."""


class Laws:
    """Checks one rack. checks: how often all of them were looked at, in this run."""

    def __init__(self, rack: Rack) -> None:
        self._rack = rack
        self._broken: set[tuple[str, str]] = set()
        self.checks = 0

    def check(self) -> None:
        """Look at everything that can be wrong now; journal what newly is."""
        self.checks += 1
        found = dict(self._find())
        if self._rack.world.excused:
            # What a power cut broke is nobody's doing until all is whole again. What else holds meanwhile: no
            # node leaves past its budget (those that are dark do not count), nor with its volumes attached.
            self._rack.world.excused = bool(found or self._rack.world.dark)
            found = {(law, subject): text for (law, subject), text in found.items() if law == "budget"}
        for (law, subject), text in found.items():
            if (law, subject) not in self._broken:
                self._rack.journal.add(self._rack.now_s, "law", law=law, subject=subject, text=text)
        self._broken = set(found)

    def machine_stops(self, node: str) -> None:
        """Called when a host loses power: were its volumes gone?"""
        rack = self._rack
        held = sorted(v.name for v in rack.world.volumes.values() if node in (v.attached_to, v.in_use))
        pin = rack.pins.get(node)
        forced = pin is not None and not pin.stores and pin.detach_timeout is OnTimeout.FORCE
        if held and not self._retired(node) and not forced:
            text = f"{node} stopped with {', '.join(held)} attached"
            rack.journal.add(rack.now_s, "law", law="drained", subject=node, text=text)

    def disk_written(self, node: str, disk: str) -> None:
        """Called when an installer wrote a disk that held data."""
        self._rack.journal.add(
            self._rack.now_s, "law", law="data-disks", subject=node, text=f"{disk} of {node} was written"
        )

    def _retired(self, node: str) -> bool:
        claim, pin = self._rack.world.claims.get(node), self._rack.pins.get(node)
        return claim.retiring if claim is not None else pin is not None and pin.retire

    def _find(self) -> list[tuple[tuple[str, str], str]]:
        rack, world = self._rack, self._rack.world
        found: list[tuple[tuple[str, str], str]] = []
        cluster_retires = all(self._retired(name) for name in rack.planes)
        voters = sum(m.voter for m in world.members.values())
        if world.initialised_by and not cluster_retires and (not voters or quorum.margin(rack) < 0):
            found.append((("quorum", "etcd"), f"{voters} voters, margin {quorum.margin(rack)}"))
        planes = sum(name in world.served and not self._retired(name) for name in rack.planes)
        if planes > 1 and not cluster_retires and voters < planes - 1:
            found.append((("voters", "etcd"), f"{voters} voters of {planes} control planes"))
        for pool, names in rack.out.items():
            of = names - world.dark
            declared = [n for n in of if n in rack.pins and not self._retired(n) and not self._stood_in(n)]
            limit = max((rack.pins[n].max_unavailable for n in declared), default=0)
            if len(declared) > limit:
                found.append((("budget", pool), f"{', '.join(sorted(declared))} are out, {limit} at most may be"))
        if rack.successors:
            found += self._find_in_successions()
        if not cluster_retires:
            found += self._find_in_volumes()
        if world.settled and not cluster_retires:
            for app in world.apps.values():
                healthy = workloads.healthy_pods(rack, app.name)
                least = app.healthy_min
                if least is not None and healthy < least - workloads.forced_pods(rack, app.name):
                    found.append((("disruption", app.name), f"{healthy} healthy pods, {least} at least"))
        return found

    def _stood_in(self, name: str) -> bool:
        """Whether another node of its host serves: then nobody misses this one, which may have been here before."""
        rack, host = self._rack, self._rack.pins[name].host
        others = [n for n, claim in rack.world.claims.items() if host and n != name and host_of(claim) == host]
        return any(_serves(rack, n) for n in others)

    def _find_in_successions(self) -> list[tuple[tuple[str, str], str]]:
        rack, found = self._rack, []
        for name, node in rack.world.nodes.items():
            claim = rack.world.claims.get(name)
            if name in rack.pins or not node.unschedulable or claim is None or self._retired(name):
                continue
            successor = rack.successors.get(host_of(claim))
            if successor is not None and name in rack.world.served and not _serves(rack, successor):
                found.append((("succession", name), f"{name} leaves while {successor} does not serve"))
        return found

    def _find_in_volumes(self) -> list[tuple[tuple[str, str], str]]:
        rack = self._rack
        found: list[tuple[tuple[str, str], str]] = []
        for volume in rack.world.volumes.values():
            live = volumes.live_replicas(rack, volume)
            if not live:
                found.append((("volume-live", volume.name), f"{volume.name} has no live replica"))
            domains = {rack.world.hosts[n].fault_domain for n in volume.replicas if n not in live}
            if len(domains) > 1:
                found.append(
                    (("one-domain", volume.name), f"{volume.name} misses replicas in {', '.join(sorted(domains))}")
                )
        return found


def _serves(rack: Rack, node: str) -> bool:
    known = rack.world.nodes.get(node)
    return known is not None and known.ready and not known.unschedulable
