"""Whose host is it: the checks that every verb makes before it acts, and the claim's way onward.

Owns no decision about what follows from a claim; the verbs do.
"""

from __future__ import annotations

from dataclasses import replace

from lifecycle.commands import Step
from lifecycle.errors import ClaimChanged, GenerationDiffers, NotDeclared, RecordMissing
from lifecycle.ports import Claim, ClaimState, Node, Pin, Ports

TRIES = 5
"""Of a change to a claim. Two writers of one claim are a mistake, so a few tries tell it from bad luck."""


def pinned(step: Step, ports: Ports) -> Pin:
    """What the stack file says of the step's node. Raises NotDeclared and GenerationDiffers."""
    pin = ports.pins.pin(step.node)
    if pin is None:
        raise NotDeclared(step.node)
    if pin.generation != step.generation:
        raise GenerationDiffers(step.node, step.generation, pin.generation)
    return pin


def placed(pin: Pin, claim: Claim | None) -> Pin:
    """The pin, with the fault domain that the host's machine is in: a host that may be in several came up in one."""
    domain = claim.fault_domain if claim else ""
    return replace(pin, fault_domain=domain) if domain and domain != pin.fault_domain else pin


def is_for(claim: Claim, step: Step) -> bool:
    """Whether the claim is this stack's, for this node and generation."""
    return (claim.stack, claim.node, claim.generation) == (step.stack, step.node, step.generation)


def told(claim: Claim | None) -> str:
    """The claim in words."""
    if claim is None:
        return "no claim"
    return f"a claim of stack {claim.stack} for {claim.node}, generation {claim.generation}, {claim.state}"


def advance(ports: Ports, claim: Claim, state: ClaimState, machine_id: str, seen: Node | None = None) -> Claim:
    """Write the claim's next state and return it. Only the marks of `retire` may change meanwhile.

    seen: the machine as it joined, so that drift can tell later what became of it.

    Raises ClaimChanged.
    """
    for _ in range(TRIES):
        new = replace(claim, state=state, machine_id=machine_id)
        if seen is not None:
            new = replace(new, kernel=seen.kernel, boot_id=seen.boot_id)
        if new == claim or ports.records.put_claim(claim.node, new, claim):
            return new
        now = ports.records.claim(claim.node)
        if now is None or _but_marks(now, claim) != claim:
            raise ClaimChanged(claim.node, told(now))
        claim = now
    raise ClaimChanged(claim.node, f"another writer at each of {TRIES} tries")


def _but_marks(now: Claim, claim: Claim) -> Claim:
    """The claim as it is now, but for what `retire` may change at any time."""
    return replace(now, retiring=claim.retiring, erase=claim.erase)


def still_ours(ports: Ports, claim: Claim) -> None:
    """Return if the step's run has the roll and the host's claim is as the step knows it; asked just before what
    cannot be taken back, since a step may outlive the engine that started it. Only the marks of
    `retire` may change meanwhile.

    Raises EngineGone, RollLost, RollTaken and ClaimChanged.
    """
    ports.fence.check(claim.node)
    now = ports.records.claim(claim.node)
    if now is None or _but_marks(now, claim) != claim:
        raise ClaimChanged(claim.node, told(now))


def joined_hosts(ports: Ports, stack: str) -> tuple[str, ...]:
    """The declared hosts that the claims of `stack` say have joined."""
    claims = [c for host in ports.pins.declared() if (c := ports.records.claim(host)) is not None]
    return tuple(c.node for c in claims if c.stack == stack and c.state is ClaimState.JOINED)


def initialised(ports: Ports, claim: Claim) -> bool:
    """Whether the cluster was ever initialised, by the record alone. A host joins only once that is written,
    so a claim that joined without it means that the record was lost: raises RecordMissing."""
    if ports.records.initialised_by() is not None:
        return True
    joined = (claim.node,) if claim.state is ClaimState.JOINED else joined_hosts(ports, claim.stack)
    if joined and ports.records.initialised_by() is None:  # not one that was written between the two looks
        raise RecordMissing(claim.node, f"none for stack {claim.stack}, although {', '.join(joined)} joined")
    return bool(joined)


def alive_in_cluster(ports: Ports, claim: Claim) -> str:
    """Why the node must be taken for alive in the cluster although it never joined; "" if it need not.

    A join that was killed half way leaves an etcd member or attached volumes behind. A cluster that
    was never initialised, or does not answer, cannot tell. Raises RecordMissing.
    """
    node = claim.node
    if not initialised(ports, claim) or not ports.kubernetes.answers():
        return ""
    attached = ports.kubernetes.attachments_on(node)
    if attached:
        return "attached volumes " + ", ".join(sorted(a.volume for a in attached))
    members = [m.id for m in ports.etcd.members() if m.name == node]
    return f"etcd member {members[0]}" if members else ""
