"""The create of a machine: claim the host, install the pinned image, see it boot.

Writes the OS disk named by the pin and nothing else. A host whose node has not left is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lifecycle import boot, power, returned, slots, way
from lifecycle.claims import TRIES, advance, alive_in_cluster, initialised, is_for, pinned, told
from lifecycle.commands import Step
from lifecycle.erase import asked
from lifecycle.errors import ClaimChanged, ClaimNotOurs, HostClaimed, HostStillJoined, LifecycleError
from lifecycle.identity import ZONE
from lifecycle.ports import Claim, ClaimState, Pin, Ports, Power
from lifecycle.preflight import account


def provision(step: Step, ports: Ports) -> str:
    """Claim and install the step's host. Says so, or that its node serves already.

    Raises NotDeclared, GenerationDiffers, HostClaimed, HostStillJoined, ControllerUnreachable,
    NeverPoweredOff, InstallerNeverRan, NeverBooted; what returned.empty_again does; RollPaused and RollStopped
    (slots.begin_turn); before there is a cluster, what lifecycle.preflight.account does.
    """
    pin = pinned(step, ports)
    if ports.records.initialised_by() is None:
        account(ports, step.node, step.stack)  # later the run that has the roll has passed this
    slots.begin_turn(ports, pin)
    try:
        _empty_again(step, ports)
        state, begun = _claimed(step, ports, pin)
        if state is ClaimState.JOINED:
            return f"{step.node} runs generation {step.generation} already"
        _install(ports, pin, begun=begun)
    except LifecycleError as error:
        ports.evidence.end(step.node, f"halted: {str(error).splitlines()[0]}")
        raise
    return f"{step.node} provisioned with generation {step.generation}"


def coming_in(step: Step, ports: Ports) -> Claim:
    """The claim of a host that is to come in, for `enrol` and `join`.

    A host that left with this very generation is installed again: its leave was done when the roll was
    stopped, and then the stack file went back to what the host had, so that the engine sees no reason to
    make the machine again. So is one whose install was killed before its system ran. Raises ClaimNotOurs,
    and what `provision` raises.
    """
    claim, pin = ports.records.claim(step.node), pinned(step, ports)
    if claim is None and pin.host:  # its machine was given back, and the stack file went back to it
        provision(step, ports)
        claim = ports.records.claim(step.node)
    elif claim is not None and is_for(claim, step) and _to_install(claim):
        ports.evidence.note(step.node, f"{told(claim)}, not installed: its machine is installed again")
        provision(step, ports)
        claim = ports.records.claim(step.node)
    if claim is None or not is_for(claim, step) or claim.state is ClaimState.LEFT:
        raise ClaimNotOurs(step.node, told(claim))
    return claim


def _to_install(claim: Claim) -> bool:
    return claim.state is ClaimState.LEFT or (claim.state is ClaimState.PROVISIONING and not claim.installed)


def _empty_again(step: Step, ports: Ports) -> None:
    """What came back of a node that left leaves once more, before its machine is claimed for the next."""
    old = ports.records.claim(step.node)
    if old is not None and (old.stack, old.node) == (step.stack, step.node):
        returned.empty_again(ports, old)


def _claimed(step: Step, ports: Ports, pin: Pin) -> tuple[ClaimState, bool]:
    """PROVISIONING once the host is ours to write, and whether an installation of this very generation was begun
    then already; JOINED if it serves this very generation."""
    for _ in range(TRIES):
        old = ports.records.claim(step.node)
        ours = old is not None and (old.stack, old.node) == (step.stack, step.node)
        if old is not None and old.state is not ClaimState.LEFT:
            if not ours:
                raise HostClaimed(step.node, told(old))
            if old.state is ClaimState.JOINED:
                return _serves(step, ports, pin, old), False
            alive = alive_in_cluster(ports, old)
            if alive:
                raise HostStillJoined(step.node, f"{told(old)}, and {alive}, from a join that was not finished")
        new = Claim(
            stack=step.stack,
            node=step.node,
            generation=step.generation,
            state=ClaimState.PROVISIONING,
            controller=pin.controller,
            pool=pin.pool,
            role=pin.role,
            stores=pin.stores,
            machine_id=old.machine_id if old and ours else "",
            retiring=pin.retire,
            way=pin.way,
            mac=pin.mac,
            host=pin.host,
            erase=asked(pin) if pin.retire else None,
        )
        if ports.records.put_claim(step.node, new, old):
            begun = old is not None and old.state is ClaimState.PROVISIONING and is_for(old, step)
            return ClaimState.PROVISIONING, begun
    raise ClaimChanged(step.node, f"another writer at each of {TRIES} tries")


def _serves(step: Step, ports: Ports, pin: Pin, claim: Claim) -> ClaimState:
    initialised(ports, claim)
    state = power.order(
        ports, step.node, pin.controller, "power state", lambda: ports.machines.power(step.node, pin.controller)
    )
    if claim.generation != step.generation or state is not Power.ON:
        raise HostStillJoined(step.node, f"{told(claim)}, power {state}")
    return ClaimState.JOINED


def _install(ports: Ports, pin: Pin, *, begun: bool) -> None:
    """begun: an earlier run had claimed the host for this generation. Only then is a machine of it one that is on its
    way in: after a leave it is the one that left, and its node would never come back."""
    host, machines = pin.node, ports.machines
    if begun and power.order(ports, host, pin.controller, "look", lambda: machines.underway(host, pin)):
        ports.evidence.note(host, "a machine of this generation is coming already: it is gone on with")
    else:
        way.wipe(ports, host, pin.controller, pin.way)
        power.off(ports, host, pin.controller)
        _note_last_machine(ports, host)  # else it is on record, and what is coming may have registered since
    boot.installed(ports, pin)
    known = power.order(ports, host, pin.controller, "identity", lambda: machines.identity(host, pin.controller))
    _note_installed(ports, host, known)


def _note_installed(ports: Ports, host: str, known: Mapping[str, str]) -> None:
    """A step that is killed before this is known leaves a host that the next one installs again. known: what its
    machine is known by, and the fault domain that it came up in, if it had the choice."""
    claim = ports.records.claim(host)
    if claim is None:
        raise ClaimChanged(host, told(claim))
    new = replace(claim, installed=True, fault_domain=known.get(ZONE, ""), identity=dict(known))
    if not ports.records.put_claim(host, new, claim):
        raise ClaimChanged(host, told(ports.records.claim(host)))


def _note_last_machine(ports: Ports, node: str) -> None:
    """Remember which machine the cluster knows under this name, now that its power is off and no other
    can register: `join` waits for another. A machine whose own join never finished may have registered
    late, even while its node was leaving."""
    claim = ports.records.claim(node)
    if claim is None or ports.records.initialised_by() is None or not ports.kubernetes.answers():
        return
    seen = ports.kubernetes.node(node)
    if seen is not None and seen.machine_id:
        advance(ports, claim, claim.state, seen.machine_id)
