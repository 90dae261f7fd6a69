"""Who answers for what several nodes that are out at once have to do with, so that no lane waits for another."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle import roster, succession
from lifecycle.before import claims_of, remembered
from lifecycle.ports import Pod, Ports


@dataclass(frozen=True)
class Others:
    """The nodes that are out besides the one that asks. claims: of pods that left those whose turn began later, which
    took them last. budgets: of pods that left any of them."""

    nodes: frozenset[str]
    claims: frozenset[str]
    budgets: frozenset[str]

    def answer_for(self, pod: Pod) -> bool:
        """Whether the pod is on one of them, or left one of them since it left the node that asks."""
        return pod.node in self.nodes or bool(claims_of(pod) & self.claims)


def others_out(ports: Ports, node: str) -> Others:
    """By the roster as it stands now."""
    now = roster.read(ports, node)
    out = roster.out_nodes(now, node, succession.missed(now, succession.hosts(ports)), roster.not_ready(ports, now))
    mine_s = now.nodes[node].slot_since_s if node in now.nodes else None
    claims: set[str] = set()
    budgets: set[str] = set()
    for name, entry in out.items():
        kept = remembered(entry)
        budgets |= kept.budgets
        # Of two turns that began in the same moment one is the later, whichever of them asks.
        if entry.slot_since_s is not None and mine_s is not None and (entry.slot_since_s, name) > (mine_s, node):
            claims |= kept.claims
    return Others(frozenset(out), frozenset(claims), frozenset(budgets))
