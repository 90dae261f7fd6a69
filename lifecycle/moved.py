"""Whether the pods that a node gave away serve elsewhere, so that the next node may give away some of its own."""

from __future__ import annotations

from lifecycle import sharing
from lifecycle.before import Before, claims_of
from lifecycle.errors import AttachIncomplete, WaitedTooLong
from lifecycle.ports import Pod, Ports
from lifecycle.waiting import OBSERVE_S, Blocked, wait_until

STEADY = 2
"""Looks in a row: what flaps is up in one of them only."""


class BudgetNotRecovered(WaitedTooLong):
    """Pods that left the node for its turn are not well elsewhere, so their budget allows nothing more. `names` are
    the budgets, as `namespace/name`."""

    expected = "every PodDisruptionBudget of pods that left it to allow an eviction again, twice in a row"
    remedy = "runbooks/join.md#budgets, then run `pulumi up` again"
    shows = "kubectl get pdb -A"


def wait_moved(ports: Ports, node: str, before: Before) -> None:
    """Return once everything that left the node for good serves elsewhere, in STEADY looks in a row.

    before: what was so when its turn began. Raises AttachIncomplete and BudgetNotRecovered.
    """
    wait_until(
        lambda: claimants_wanting(ports, node, before) or budgets_wanting(ports, node, before) or True,
        what="pods that left it serve elsewhere",
        node=node,
        about="claimants",
        ports=ports,
        limit_s=ports.pins.limits().attach_s,
        error=AttachIncomplete,
        consecutive=STEADY,
    )


def claimants_wanting(ports: Ports, node: str, before: Before) -> Blocked | None:
    """Pods with volumes that are on the node, or left it for its turn. What other nodes that are out have to do with
    is theirs: lanes that waited for each other's pods would halt together."""
    unready = [p for p in ports.kubernetes.unready_claimants() if _concerns(node, before, p)]
    if any(p.node != node for p in unready):
        others = sharing.others_out(ports, node)
        unready = [p for p in unready if p.node == node or not others.answer_for(p)]
    names = tuple(sorted(f"{p.key} (claims {', '.join(p.claims)})" for p in unready))
    return Blocked("not Ready: " + ", ".join(names), names, about="claimants", look_s=OBSERVE_S) if names else None


def _concerns(node: str, before: Before, pod: Pod) -> bool:
    if pod.node == node:
        return True
    return pod.key not in before.unready and bool(claims_of(pod) & before.claims)


def budgets_wanting(ports: Ports, node: str, before: Before) -> Blocked | None:
    """Budgets that allowed an eviction before its turn, and do not now. One that another node which is out has to do
    with as well may be at its limit, not below: that node's turn is the one that waits for it."""
    if not before.budgets:
        return None
    found = [b for b in ports.kubernetes.budgets_named(before.budgets) if b.disruptions_allowed < 1]
    if any(b.current_healthy >= b.desired_healthy for b in found):
        shared = sharing.others_out(ports, node).budgets
        found = [b for b in found if b.current_healthy < b.desired_healthy or b.key not in shared]
    names = tuple(b.key for b in found)
    why = ", ".join(f"{b.key} allows none: {b.current_healthy} healthy, {b.desired_healthy} wanted" for b in found)
    return Blocked(why, names, BudgetNotRecovered, "budgets", OBSERVE_S) if names else None
