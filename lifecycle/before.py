"""What was so before a node was touched: its leave remembers it, and its join holds the node to that.

Kept in the node's entry of the roster until it serves, so that it outlives step, engine and runner, as one list of
words: keys of pods, and of everything else the kind in front of the name. What a checkout does not know it leaves
aside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lifecycle import drain, gates
from lifecycle.ports import Pod, Ports
from lifecycle.roster import Entry

CLAIM, BUDGET = "PersistentVolumeClaim ", "PodDisruptionBudget "


@dataclass(frozen=True)
class Before:
    """unready: pods with volumes elsewhere, and DaemonSets on the node, that were not Ready. claims: of the pods on
    the node, and of the volumes attached to it. budgets: of its pods that leave, those that allowed an eviction.
    Claims and budgets as `namespace/name`."""

    unready: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    budgets: frozenset[str] = frozenset()

    def words(self) -> tuple[str, ...]:
        """As the roster keeps it."""
        claims, budgets = (CLAIM + c for c in self.claims), (BUDGET + b for b in self.budgets)
        return tuple(sorted({*self.unready, *claims, *budgets}))


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
    words = entry.unready_before
    unready = frozenset(w for w in words if not w.startswith((CLAIM, BUDGET)))
    return Before(unready, _names(words, CLAIM), _names(words, BUDGET))


def _names(words: Iterable[str], kind: str) -> frozenset[str]:
    return frozenset(w.removeprefix(kind) for w in words if w.startswith(kind))


def claims_of(pod: Pod) -> frozenset[str]:
    """Its claims as `namespace/name`."""
    return frozenset(f"{pod.namespace}/{claim}" for claim in pod.claims)
