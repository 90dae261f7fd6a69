"""The delete of a machine: give the host back, power off, its OS disk erased if it leaves for good and that was asked
for. Data disks are never touched."""

from __future__ import annotations

from lifecycle import erase, power, returned, way
from lifecycle.claims import advance, alive_in_cluster, is_for, told
from lifecycle.commands import Step, Verb
from lifecycle.errors import ClaimChanged, LifecycleError, NotLeft
from lifecycle.ports import Claim, ClaimState, Ports


def release(step: Step, ports: Ports) -> str:
    """Power the step's host off, proven, and clear its boot override; the claim stays, as left. That of a node which
    is one of several of its host goes: with its machine nothing of it is left.

    Does nothing unless the claim is this stack's, for this node and generation. Raises NotLeft while
    the node is in the cluster, ControllerUnreachable, NeverPoweredOff, NeverErased, and what returned.empty_again does.
    """
    claim = ports.records.claim(step.node)
    if claim is None or not is_for(claim, step):
        return f"{step.node} has nothing to release: {told(claim)}"
    try:
        _release(ports, claim)
    except LifecycleError as error:
        ports.evidence.end(step.node, f"halted: {str(error).splitlines()[0]}")
        raise
    ports.evidence.end(step.node, "left")
    for orphan in _orphans(ports, claim):
        release(Step(Verb.RELEASE, step.stack, orphan.node, orphan.generation), ports)
    return f"{step.node} released"


def _orphans(ports: Ports, claim: Claim) -> list[Claim]:
    """Where the host goes for good, its other nodes whose machines were never made to the end: the engine has none of
    them on record."""
    if not claim.retiring or not claim.host:
        return []
    others = [c for c in ports.records.claims().values() if (c.stack, c.host) == (claim.stack, claim.host)]
    return [c for c in others if c.node != claim.node and c.state is ClaimState.PROVISIONING]


def _release(ports: Ports, claim: Claim) -> None:
    node, pin = claim.node, ports.pins.pin(claim.node)
    controller = pin.controller if pin else claim.controller  # a controller may have moved since the host was claimed
    if claim.state is ClaimState.JOINED:
        raise NotLeft(node, told(claim))
    held = ports.records.holder(node, controller) if claim.state is ClaimState.LEFT else ""
    if held:
        # This release was halted once, and the machine has been given to another host since.
        ports.evidence.note(node, f"its machine is claimed for {held} now, so it is left alone")
        return
    returned.empty_again(ports, claim)
    if claim.state is ClaimState.PROVISIONING:
        alive = alive_in_cluster(ports, claim)
        if alive:
            raise NotLeft(node, f"{alive}, from a join that was not finished")
    ports.delivery.withdraw(node)
    way.wipe(ports, node, controller, claim.way)
    power.off(ports, node, controller)
    erase.erase(ports, claim, controller)
    ports.records.forget_initialising(node)
    power.order(
        ports, node, controller, "clear boot override", lambda: ports.machines.clear_boot_override(node, controller)
    )
    left = advance(ports, claim, ClaimState.LEFT, claim.machine_id)
    if left.host and not ports.records.put_claim(node, None, left):
        raise ClaimChanged(node, told(ports.records.claim(node)))
