"""Retiring is said, not guessed: a stored delete cannot tell a destroy from a replacement.

`retire` copies the stack file's marks to the roster and to the claims. Only a leave of a marked node
skips the availability gates.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from lifecycle import roster, succession
from lifecycle.claims import TRIES, told
from lifecycle.commands import Step
from lifecycle.erase import asked
from lifecycle.errors import ClaimChanged, PortError
from lifecycle.ports import Claim, Erasure, Ports
from lifecycle.waiting import wait_for_api


class Retirement(StrEnum):
    """How much goes for good with a node that leaves."""

    NO = "no"
    HOST = "host"
    CLUSTER = "cluster"


def retirement_of(ports: Ports, claim: Claim) -> Retirement:
    """From the claims alone: they outlive the cluster."""
    if not claim.retiring:
        return Retirement.NO
    claims = (ports.records.claim(host) for host in ports.pins.declared())
    everyone = all(c.retiring for c in claims if c is not None and c.stack == claim.stack)
    return Retirement.CLUSTER if everyone else Retirement.HOST


def retire(step: Step, ports: Ports) -> str:
    """Mark what the stack file retires, clear the marks of what it does not; says what would be lost.

    A node that another of its host is to succeed goes by the host's mark. Marks of hosts that the stack file no
    longer names stay, their leave is still to come. Raises ClusterSilent.
    """
    if ports.records.initialised_by() is None:
        return "nothing to retire: the cluster was never initialised"
    pins = [pin for pin in map(ports.pins.pin, ports.pins.declared()) if pin]
    marks = {pin.node: pin.retire for pin in pins}
    marks |= {node: pin.retire for node, pin in succession.predecessors(ports, pins, step.stack).items()}
    going = sorted(node for node, mark in marks.items() if mark)
    if not going and not any(_marked(ports, node, step.stack) for node in marks):
        return "nothing retires"
    wait_for_api(ports, "cluster", ports.pins.limits().gate_s)
    standing = roster.read(ports, "cluster")
    lines = [f"{node} retires: {_losses(ports, node, standing.serving)}" for node in going]
    roster.update(ports, "cluster", lambda now: roster.marked(now, marks))
    for node, mark in marks.items():
        _mark_claim(ports, node, step.stack, asked(ports.pins.pin(node)) if mark else None, mark=mark)
    if going and len(going) == len(marks):
        lines.append("the whole cluster retires: every volume on it is lost")
    for line in lines:
        ports.evidence.note("cluster", line)
    return "\n".join(lines) or "nothing retires any more"


def _marked(ports: Ports, node: str, stack: str) -> bool:
    claim = ports.records.claim(node)
    return claim is not None and claim.stack == stack and claim.retiring


def _losses(ports: Ports, node: str, serving: bool) -> str:
    try:
        only = ports.storage.only_on(node)
    except PortError:
        if serving:
            raise
        only = ()  # no storage was ever promised before the fleet-ready barrier
    return "loses " + ", ".join(sorted(only)) if only else "loses no volume by itself"


def _mark_claim(ports: Ports, node: str, stack: str, erase: Erasure | None, *, mark: bool) -> None:
    for _ in range(TRIES):
        claim = ports.records.claim(node)
        if claim is None or claim.stack != stack or (claim.retiring, claim.erase) == (mark, erase):
            return
        if ports.records.put_claim(node, replace(claim, retiring=mark, erase=erase), claim):
            return
    raise ClaimChanged(node, told(ports.records.claim(node)))
