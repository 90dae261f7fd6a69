"""The create of a node's membership: the roster lists it as declared."""

from __future__ import annotations

from lifecycle import roster
from lifecycle.claims import pinned, placed
from lifecycle.commands import Step
from lifecycle.ports import Pin, Ports
from lifecycle.provision import coming_in
from lifecycle.roster import Standing
from lifecycle.waiting import wait_for_api


def enrol(step: Step, ports: Ports) -> str:
    """List the step's node, out until its join is done; one that is in with this generation stays in.

    Before the cluster is initialised there is no roster to write to; the join lists it then. Raises
    NotDeclared, GenerationDiffers, ClaimNotOurs, ClusterSilent; a host that had left is installed again
    first (`provision.coming_in`).
    """
    pin = pinned(step, ports)
    claim = coming_in(step, ports)
    if ports.records.initialised_by() is None:
        return f"{step.node} enrols when it joins: there is no cluster yet"
    wait_for_api(ports, step.node, ports.pins.limits().join_s)
    standing = listed(ports, placed(pin, claim))
    entry = standing.nodes[step.node]
    if standing.serving and entry.standing is Standing.OUT and entry.slot_since_s is None:
        _remember_unready(ports, step.node)
    return f"{step.node} enrolled, {entry.standing}"


def _remember_unready(ports: Ports, node: str) -> None:
    """Pods that are broken before a new node comes in, as its leave remembers them of one that returns."""
    unready = {p.key for p in ports.kubernetes.unready_claimants() if p.node != node}
    roster.update(ports, node, lambda now: roster.remembers(now, node, unready=unready))


def listed(ports: Ports, pin: Pin) -> roster.Roster:
    """The roster, with the node of `pin` in it."""
    done = roster.update(ports, pin.node, lambda now: roster.enrolled(now, pin))
    return done if isinstance(done, roster.Roster) else roster.read(ports, pin.node)
