"""A node that left and came back uninvited: its machine started its old system once more.

A power cut does that, or a hand at the power button, between the leave and the installation. The Node is registered
anew where the leave had deleted it, without a cordon, and pods with volumes may run there before the step is back. So
the node is emptied as by its leave, by the same gates, before its power is cut.
"""

from __future__ import annotations

from contextlib import suppress

from lifecycle import drain, leave, roster
from lifecycle.errors import PortError
from lifecycle.gates import Leaving
from lifecycle.ports import Claim, ClaimState, Ports
from lifecycle.retire import Retirement, retirement_of
from lifecycle.roster import Standing


def empty_again(ports: Ports, claim: Claim) -> None:
    """Cordon, drain and detach the claim's node, if it left and holds pods or volumes all the same; then forget its
    Node as its leave did.

    Does nothing to a node that is in, by claim or roster: that has a leave of its own. Nor while the whole cluster
    retires, or while nobody can tell. Raises what `leave` does for gates, drain and detach.
    """
    node = claim.node
    if claim.state is ClaimState.JOINED or ports.records.initialised_by() is None or not _holds(ports, node):
        return
    retirement, standing = retirement_of(ports, claim), roster.read(ports, node)
    entry = standing.nodes.get(node)
    if retirement is Retirement.CLUSTER or (entry is not None and entry.standing is Standing.IN):
        return
    ports.evidence.note(node, "it left, and came back uninvited: it is emptied again")
    pin, seen = ports.pins.pin(node), ports.kubernetes.node(node)
    leaving = Leaving(ports, claim, pin, retirement, seen, True, standing.serving, pin)
    leave.empty(leaving)
    leave.forget_node(leaving)


def _holds(ports: Ports, node: str) -> bool:
    """Whether pods or volumes are there that do not end with the machine. An API that is silent cannot tell."""
    with suppress(PortError):
        if ports.kubernetes.answers():
            pods = drain.workloads(ports.kubernetes.pods_on(node))
            return bool(pods or ports.kubernetes.attachments_on(node))
    return False
