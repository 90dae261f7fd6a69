"""How a node leaves: the delete of its membership, run with the generation it was stored with.

Order: slot, gates, what its machine boots next, cordon, the power of a host that is dead, drain, detach, etcd,
storage; where another node of its host took its place, what it gave away serves elsewhere; then the roster says out and
the claim says left. Each step is idempotent, so a leave that was killed or halted goes on from where it stood. A halt
after the cordon keeps node and slot as they are: nothing else leaves until this node is healed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from lifecycle import detach, drain, etcd, fence, force, gates, moved, roster, slots, succession
from lifecycle.before import look_at, remembered
from lifecycle.claims import advance, initialised, is_for, still_ours, told
from lifecycle.commands import Step
from lifecycle.errors import DrainBlocked, Halt, LifecycleError, NotEvacuated, PortError, VolumesStillAttached
from lifecycle.gates import Leaving
from lifecycle.ports import Claim, ClaimState, Ports, Role
from lifecycle.retire import Retirement, retirement_of
from lifecycle.roster import Standing
from lifecycle.stops import StoppedAsAsked
from lifecycle.waiting import Blocked, wait_for_api, wait_until

T = TypeVar("T")


def leave(step: Step, ports: Ports) -> str:
    """Make the step's node leave; says so, or why there is nothing to do.

    Does nothing unless the host's claim is this stack's, for this node and generation, and not left
    (it runs again for machines already gone). Raises a LifecycleError that names what blocks.
    """
    claim = ports.records.claim(step.node)
    if claim is None or not is_for(claim, step) or claim.state is ClaimState.LEFT:
        if claim is not None and is_for(claim, step):
            forget(ports, step.node)
        return f"{step.node} has nothing to leave: {told(claim)}"
    try:
        _leave(ports, claim)
    except LifecycleError as error:
        outcome = "stopped" if isinstance(error, StoppedAsAsked) else "halted"
        ports.evidence.end(step.node, f"{outcome}: {str(error).splitlines()[0]}")
        raise
    ports.evidence.end(step.node, "left")
    return f"{step.node} left"


def _leave(ports: Ports, claim: Claim) -> None:
    machine_id = claim.machine_id
    if initialised(ports, claim):
        retirement = retirement_of(ports, claim)
        try:
            machine_id = _leave_cluster(ports, claim, retirement)
        except LifecycleError:
            # A cluster that retires takes its API with it; a silent API says nothing otherwise.
            if retirement is not Retirement.CLUSTER or ports.kubernetes.answers():
                raise
    ports.delivery.withdraw(claim.node)
    advance(ports, claim, ClaimState.LEFT, machine_id)
    forget(ports, claim.node)


def forget(ports: Ports, node: str) -> None:
    """A node that left and is declared no more is off the roster. If that cannot be said now, the next
    fleet-ready barrier does."""
    if ports.pins.pin(node) is None and ports.records.initialised_by() is not None and ports.kubernetes.answers():
        with suppress(LifecycleError):
            roster.update(ports, node, lambda now: roster.without(now, node))


def _leave_cluster(ports: Ports, claim: Claim, retirement: Retirement) -> str:
    """Everything that needs the cluster. Returns the id of the machine that left."""
    limits, node = ports.pins.limits(), claim.node
    wait_for_api(ports, node, 0 if retirement is Retirement.CLUSTER else limits.gate_s)
    pin = ports.pins.pin(node)
    ports.fence.check(node)
    ports.evidence.begin(node, "slot")
    successor = succession.successor(ports, claim)
    standing, entry = slots.take_slot(ports, claim, pin, successor)
    seen = ports.kubernetes.node(node)
    begun = entry.standing is Standing.OUT or (entry.slot_since_s is not None and (seen is None or seen.unschedulable))
    itself_out = begun or (standing.serving and (seen is None or not seen.ready))
    leaving = Leaving(ports, claim, pin, retirement, seen, itself_out, standing.serving, pin or successor)
    ports.evidence.begin(node, "gates")
    try:
        gates.require(leaving)
        _prepare(leaving)
        if standing.serving and (not begun or (successor and entry.slot_since_s is None)):
            _remember(ports, node)
        members = etcd.ids_of(ports, node) if claim.role is Role.CONTROL_PLANE else frozenset()
    except LifecycleError as error:
        if not begun:
            _give_back(ports, node, error)
        raise
    empty(leaving)
    _take_out(leaving, standing, members)
    if successor and standing.serving and retirement is Retirement.NO:
        # No join of its own will ask for them.
        moved.wait_moved(ports, node, remembered(roster.read(ports, node).nodes[node]))
    detach.record(ports, node)
    forget_node(leaving)
    roster.update(ports, node, lambda now: roster.left(now, node, returns=leaving.returns))
    return seen.machine_id if seen and seen.machine_id else claim.machine_id


def _prepare(leaving: Leaving) -> None:
    """What its machine boots next is at hand before anything is done to the node: to fetch an image takes minutes, and
    a publisher may not answer."""
    if leaving.pin is not None and leaving.returns:
        leaving.ports.machines.prepare(leaving.node, leaving.pin)  # asks no controller, so none is named if it fails


def _remember(ports: Ports, node: str) -> None:
    """What its join will ask about, and what is broken already, for which the node is not held to account."""
    before = look_at(ports, node)
    roster.update(ports, node, lambda now: before.kept(now, node))


def _give_back(ports: Ports, node: str, error: LifecycleError) -> None:
    """The node was not touched: its slot is free for another."""
    try:
        roster.update(ports, node, lambda now: roster.without_slot(now, node))
    except LifecycleError as also:
        ports.evidence.note(node, f"its slot could not be given back: {also}")
        return
    if isinstance(error, Halt):
        error.untouched = True


def empty(leaving: Leaving) -> None:
    """Cordon, drain, detach, the gates met. Raises what they do, DrainBlocked and VolumesStillAttached."""
    ports, node = leaving.ports, leaving.node
    ports.evidence.begin(node, "cordon")
    still_ours(ports, leaving.claim)
    if leaving.seen and not leaving.seen.unschedulable:
        ports.kubernetes.set_unschedulable(node, True)
    gates.require(leaving)
    ports.evidence.begin(node, "drain")
    if leaving.seen and leaving.serving and fence.is_dead(ports, node):
        _fence(leaving, f"not Ready for {fence.DEAD_S:g} s")
    _drain(leaving)
    ports.evidence.begin(node, "detach")
    _detach(leaving)


def _drain(leaving: Leaving) -> None:
    ports, node = leaving.ports, leaving.node
    try:
        drain.drain(ports, node, drain.workloads, forced=leaving.retirement is Retirement.CLUSTER)
    except DrainBlocked as blocked:
        if not leaving.forces_drain:
            raise
        still_ours(ports, leaving.claim)
        force.delete_left(leaving, blocked)


def _detach(leaving: Leaving) -> None:
    ports, node = leaving.ports, leaving.node
    try:
        detach.wait_detached(ports, node)
    except VolumesStillAttached as stuck:
        if not leaving.forces_detach:
            raise
        _fence(leaving, force.tell_detach(leaving, stuck))
        detach.wait_detached(ports, node)


def forget_node(leaving: Leaving) -> None:
    """Delete its Node object; not a storage node's that returns: the driver expects the same worker then
    (docs/decisions/0023.md)."""
    if not (leaving.keeps_replicas and leaving.claim.stores):
        still_ours(leaving.ports, leaving.claim)
        leaving.ports.kubernetes.delete_node(leaving.node)


def _fence(leaving: Leaving, why: str) -> None:
    """The power is cut before pods or volumes are given up: until then they may still be written. It takes the
    host's storage and etcd member along, so it is done like any other loss of them: alone, gates met."""
    ports, node = leaving.ports, leaving.node
    with _alone_in_storage(leaving):
        still_ours(ports, leaving.claim)
        fence.cut(ports, node, leaving.pin.controller if leaving.pin else leaving.claim.controller, why)


def _take_out(leaving: Leaving, standing: roster.Roster, members: Collection[str]) -> None:
    """Out of etcd, out of storage."""
    ports, node, claim = leaving.ports, leaving.node, leaving.claim
    if claim.role is Role.CONTROL_PLANE:
        ports.evidence.begin(node, "etcd-out")
        etcd.move_out(
            ports,
            node,
            members,
            rolled=_rolled(ports, standing),
            pair_refused=leaving.pair_refused,
            forced=leaving.retirement is Retirement.CLUSTER,
            before_removal=lambda: still_ours(ports, claim),
        )
    if leaving.retirement is Retirement.CLUSTER:
        return
    if claim.stores and leaving.seen:  # a storage node that never registered holds nothing
        ports.evidence.begin(node, "storage-out")
        if leaving.keeps_replicas:
            _begin_maintenance(leaving)
        else:
            _evacuate(leaving)
    drain.drain(ports, node, drain.daemons)
    fence.lift(ports, node)


def _rolled(ports: Ports, standing: roster.Roster) -> frozenset[str]:
    """Control planes that run what the stack file declares now."""
    planes = {n: e for n, e in standing.nodes.items() if e.role is Role.CONTROL_PLANE}
    return frozenset(n for n, e in planes.items() if (pin := ports.pins.pin(n)) and pin.generation == e.generation)


def _begin_maintenance(leaving: Leaving) -> None:
    """Disks and identity return and store again: keep the replicas. One node at a time passes the check (R3)."""
    with _alone_in_storage(leaving):
        still_ours(leaving.ports, leaving.claim)
        _asked(leaving, lambda: leaving.ports.storage.begin_maintenance(leaving.node))


@contextmanager
def _alone_in_storage(leaving: Leaving) -> Iterator[None]:
    """While this node alone may be taken out of storage, its gates met."""
    ports, node = leaving.ports, leaving.node
    roster.take_storage_turn(ports, node)
    try:
        gates.require(leaving)
        yield
    except LifecycleError:
        with suppress(LifecycleError):  # what blocked is what the user must read
            roster.end_storage_turn(ports, node)
        raise
    roster.end_storage_turn(ports, node)


def _asked(leaving: Leaving, ask: Callable[[], T]) -> T | None:
    """What storage answers; None if it is silent and was never promised yet."""
    try:
        return ask()
    except PortError:
        if leaving.serving:
            raise
        return None


def _evacuate(leaving: Leaving) -> None:
    """Disks do not return, or store nothing any more: move every replica off. Raises NotEvacuated."""
    ports, node = leaving.ports, leaving.node

    def empty() -> bool | Blocked:
        verdict = _asked(leaving, lambda: ports.storage.evacuate(node))
        return True if verdict is None or verdict.ok else Blocked("; ".join(verdict.reasons), verdict.reasons)

    wait_until(
        empty,
        what="its replicas move to other nodes",
        node=node,
        about="storage",
        ports=ports,
        limit_s=ports.pins.limits().redundancy_s,
        error=NotEvacuated,
    )
