"""What was so before a node was touched: its leave remembers it, and its join holds the node to that.

Kept in the node's entry of the roster until it serves, so that it outlives step, engine and runner.
"""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle import drain, gates, roster
from lifecycle.ports import Pod, Ports
from lifecycle.roster import Entry, Roster


@dataclass(frozen=True)
class Before:
    """unready: pods with volumes elsewhere, and DaemonSets on the node, that were not Ready. claims: of the pods on
    the node, and of the volumes attached to it. budgets: of its pods that leave, those that allowed an eviction.
    Claims and budgets as `namespace/name`."""

    unready: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    budgets: frozenset[str] = frozenset()

    def kept(self, now: Roster, node: str) -> Roster:
        """The roster with this remembered of the node."""
        return roster.remembers(now, node, unready=self.unready, claims=self.claims, budgets=self.budgets)


def look_at(ports: Ports, node: str) -> Before:
    """The node as it is now."""
    kubernetes, pods = ports.kubernetes, ports.kubernetes.pods_on(node)
    unready = {p.key for p in kubernetes.unready_claimants() if p.node != node}
    unready |= {gates.told(p) for p in gates.unready_daemons(ports, node)}
    claims = {c for p in pods for c in claims_of(p)} | {a.claim for a in kubernetes.attachments_on(node) if a.claim}
    going = {p.key for p in pods if not drain.stays(p)}
    budgets = {b.key for b in kubernetes.budgets(node) if b.pods & going and b.disruptions_allowed > 0}
    return Before(frozenset(unready), frozenset(claims), frozenset(budgets))


def remembered(entry: Entry) -> Before:
    """What the roster keeps of a node."""
    return Before(frozenset(entry.unready_before), frozenset(entry.claims_before), frozenset(entry.budgets_before))


def claims_of(pod: Pod) -> frozenset[str]:
    """Its claims as `namespace/name`."""
    return frozenset(f"{pod.namespace}/{claim}" for claim in pod.claims)
