"""How a node comes in: the create of its readiness, which returns once the node serves.

Order: credentials, registration, then the gates of the stage that the fleet has reached (`_Stage`):
before the fleet-ready barrier only what brings the cluster up, afterwards everything a roll may rely
on. Running it again, also for a node that is in, checks the same gates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lifecycle import detach, etcd, fence, gates, image, roster, sharing
from lifecycle.admit import admit
from lifecycle.before import Before, claims_of, remembered
from lifecycle.claims import advance, pinned, placed
from lifecycle.commands import Step
from lifecycle.enrol import listed
from lifecycle.errors import (
    AttachIncomplete,
    LifecycleError,
    NeverReady,
    PortError,
    SoakFailed,
    StillDegraded,
    WaitedTooLong,
)
from lifecycle.ports import Claim, ClaimState, Node, Pin, Pod, Ports, Role
from lifecycle.provision import coming_in
from lifecycle.roster import Standing
from lifecycle.waiting import OBSERVE_S, WATCHED_S, Blocked, wait_until

SOAK_LOOK_S = 10.0
"""Between two looks at a canary: a node that loses its Ready for longer than this is seen."""

STEADY = 2
"""Looks in a row at the node, and at paths and pods: what flaps is up in one of them only."""


class DaemonsNotReady(WaitedTooLong):
    """The kubelet says Ready, and what has to run on every node does not run on this one."""

    expected = "every pod of a DaemonSet on it Ready, twice in a row"
    remedy = "runbooks/join.md#daemons, then run `pulumi up` again"
    shows = "kubectl get pods -A --field-selector spec.nodeName={node}"


class BudgetNotRecovered(WaitedTooLong):
    """Pods that left the node for its turn are not well elsewhere, so their budget allows nothing more. `names` are
    the budgets, as `namespace/name`."""

    expected = "every PodDisruptionBudget of pods that left it to allow an eviction again, twice in a row"
    remedy = "runbooks/join.md#budgets, then run `pulumi up` again"
    shows = "kubectl get pdb -A"


@dataclass(frozen=True)
class Joining:
    """A node on its way in. serving: the fleet-ready barrier was reached once. was_in: it is in already.
    before: what was so before its turn began."""

    ports: Ports
    pin: Pin
    serving: bool
    was_in: bool
    before: Before

    @property
    def node(self) -> str:
        return self.pin.node


def join(step: Step, ports: Ports) -> str:
    """Return once the step's node serves. Raises a LifecycleError that names what does not come about."""
    pin = pinned(step, ports)
    claim = coming_in(step, ports)
    try:
        was_in = _join(ports, placed(pin, claim), claim)
    except LifecycleError as error:
        ports.evidence.end(step.node, f"halted: {str(error).splitlines()[0]}")
        raise
    if was_in:
        return f"{step.node} serves already"
    ports.evidence.end(step.node, "served")
    return f"{step.node} serves"


def _join(ports: Ports, pin: Pin, claim: Claim) -> bool:
    """Whether the node was in before, so that nothing was changed."""
    seen = admit(ports, pin, claim)
    standing = listed(ports, pin)
    image.settle_kernel(ports, pin, claim, seen, standing)
    entry = standing.nodes[pin.node]
    was_in = claim.state is ClaimState.JOINED and entry.standing is Standing.IN and entry.slot_since_s is None
    joining = Joining(ports, pin, standing.serving, was_in, remembered(entry))
    fence.lift(ports, pin.node)  # of a machine that a halted leave had given up
    _gates(joining)
    if not was_in:
        advance(ports, claim, ClaimState.JOINED, seen.machine_id, seen)
        if pin.soak_s and standing.serving:
            _soak(joining)
        roster.update(ports, pin.node, lambda now: roster.serves(now, pin.node))
    return was_in


def _gates(joining: Joining) -> None:
    """What the fleet's stage asks of a node: before the barrier a control plane need not be Ready, since
    the pods' network comes after it, and nothing is asked of storage."""
    ports, pin, serving = joining.ports, joining.pin, joining.serving
    if pin.role is Role.CONTROL_PLANE:
        _phase(joining, "etcd-in")
        etcd.wait_joined(ports, pin.node, full=serving)
    if serving or pin.role is Role.WORKER:
        wait_ready(ports, pin.node)
    _uncordon(joining)
    if pin.stores or serving:
        _phase(joining, "storage-in")
    if pin.stores and not joining.was_in:
        _end_maintenance(joining)
    if serving:
        _wait_redundant(joining)
        _phase(joining, "attach")
        _wait_attached(joining)
        if not joining.was_in:
            detach.record(ports, pin.node)


def _phase(joining: Joining, phase: str) -> None:
    if not joining.was_in:
        joining.ports.evidence.begin(joining.node, phase)


def wait_ready(ports: Ports, node: str) -> None:
    """Return once the kubelet reports Ready, in STEADY looks in a row. Raises NeverReady."""
    wait_until(
        lambda: _unready(ports, node) or True,
        what="Ready",
        node=node,
        about=f"node/{node}",
        ports=ports,
        limit_s=ports.pins.limits().join_s,
        error=NeverReady,
        consecutive=STEADY,
        observe_s=WATCHED_S,
    )


def _unready(ports: Ports, node: str) -> Blocked | None:
    """Why a node that registered does not serve. A kubelet registers once, when it starts."""
    seen = ports.kubernetes.node(node)
    if seen is None:
        return Blocked("no Node object, which somebody deleted; its kubelet registers again once it is restarted")
    return None if seen.ready else Blocked("its kubelet does not report Ready")


def _uncordon(joining: Joining) -> None:
    """What leave had cordoned takes pods again. A cordon of somebody else's, on a node that is in, stays."""
    seen = joining.ports.kubernetes.node(joining.node)
    if seen and seen.unschedulable and not joining.was_in:
        joining.ports.kubernetes.set_unschedulable(joining.node, False)


def _end_maintenance(joining: Joining) -> None:
    try:
        joining.ports.storage.end_maintenance(joining.node)
    except PortError:
        if joining.serving:
            raise
        # No storage was ever promised before the fleet-ready barrier.


def _wait_redundant(joining: Joining) -> None:
    wait_until(
        lambda: _degraded(joining.ports) or True,
        what="storage is redundant again",
        node=joining.node,
        about="storage",
        ports=joining.ports,
        limit_s=joining.ports.pins.limits().redundancy_s,
        error=StillDegraded,
    )


def _degraded(ports: Ports) -> Blocked | None:
    verdict = ports.storage.is_redundant()
    return None if verdict.ok else Blocked("; ".join(verdict.reasons), verdict.reasons)


def _wait_attached(joining: Joining) -> None:
    ports = joining.ports

    def attached() -> bool | Blocked:
        unready_node = _unready(ports, joining.node)  # it was Ready; somebody may have deleted it since
        if unready_node is not None:
            return replace(unready_node, error=NeverReady, about=f"node/{joining.node}", look_s=OBSERVE_S)
        paths = ports.storage.paths_complete()
        if not paths.ok:
            return Blocked("; ".join(paths.reasons), paths.reasons, look_s=OBSERVE_S)
        return _claimants_wanting(joining) or _daemons_wanting(joining) or _budgets_wanting(joining) or True

    wait_until(
        attached,
        what="paths and pods with volumes",
        node=joining.node,
        about="storage",
        ports=ports,
        limit_s=ports.pins.limits().attach_s,
        error=AttachIncomplete,
        consecutive=STEADY,
    )


def _claimants_wanting(joining: Joining) -> Blocked | None:
    """Pods with volumes that are on the node, or left it for its turn. What other nodes that are out have to do with
    is theirs: lanes that waited for each other's pods would halt together."""
    ports, node = joining.ports, joining.node
    unready = [p for p in ports.kubernetes.unready_claimants() if _concerns(joining, p)]
    if any(p.node != node for p in unready):
        others = sharing.others_out(ports, node)
        unready = [p for p in unready if p.node == node or not others.answer_for(p)]
    names = tuple(sorted(f"{p.key} (claims {', '.join(p.claims)})" for p in unready))
    return Blocked("not Ready: " + ", ".join(names), names, about="claimants", look_s=OBSERVE_S) if names else None


def _concerns(joining: Joining, pod: Pod) -> bool:
    if pod.node == joining.node:
        return True
    return pod.key not in joining.before.unready and bool(claims_of(pod) & joining.before.claims)


def _budgets_wanting(joining: Joining) -> Blocked | None:
    """Budgets that allowed an eviction before its turn, and do not now. One that another node which is out has to do
    with as well may be at its limit, not below: that node's join is the one that waits for it."""
    if not joining.before.budgets:
        return None
    ports, node = joining.ports, joining.node
    found = [b for b in ports.kubernetes.budgets_named(joining.before.budgets) if b.disruptions_allowed < 1]
    if any(b.current_healthy >= b.desired_healthy for b in found):
        shared = sharing.others_out(ports, node).budgets
        found = [b for b in found if b.current_healthy < b.desired_healthy or b.key not in shared]
    names = tuple(b.key for b in found)
    why = ", ".join(f"{b.key} allows none: {b.current_healthy} healthy, {b.desired_healthy} wanted" for b in found)
    return Blocked(why, names, BudgetNotRecovered, "budgets", OBSERVE_S) if names else None


def _daemons_wanting(joining: Joining) -> Blocked | None:
    found = [p for p in gates.unready_daemons(joining.ports, joining.node) if not _broken_here(joining, p)]
    names = tuple(sorted(f"{p.key} of {gates.told(p)}" for p in found))
    about = f"pods/{joining.node}"
    return Blocked("not Ready: " + ", ".join(names), names, DaemonsNotReady, about, OBSERVE_S) if names else None


def _broken_here(joining: Joining, daemon: Pod) -> bool:
    """Whether its DaemonSet did not serve on the node before either."""
    return gates.told(daemon) in joining.before.unready


def _soak(joining: Joining) -> None:
    """Watch the node for its whole soak. Raises SoakFailed as soon as it is seen unwell, or if nobody
    answers at the end."""
    ports, node, clock = joining.ports, joining.node, joining.ports.clock
    _phase(joining, "soak")
    start_s = clock.now_s()
    until_s = start_s + joining.pin.soak_s
    while True:
        now_s = clock.now_s()
        try:
            unwell = _unwell(ports, node)
        except PortError as silent:
            unwell = str(silent) if now_s >= until_s else ""
        if unwell:
            ports.evidence.waited(node, "soak", start_s, now_s, joining.pin.soak_s, False)
            raise SoakFailed(node, f"after {now_s - start_s:.0f} of {joining.pin.soak_s:g} s: {unwell}")
        if now_s >= until_s:
            ports.evidence.waited(node, "soak", start_s, now_s, joining.pin.soak_s, True)
            return
        clock.sleep(min(SOAK_LOOK_S, until_s - now_s))
        ports.fence.alive(node)


def _unwell(ports: Ports, node: str) -> str:
    seen: Node | None = ports.kubernetes.node(node)
    if seen is None or not seen.ready:
        return "not Ready"
    degraded = _degraded(ports)
    return degraded.why if degraded else ""
