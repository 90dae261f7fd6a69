"""The first half of a join: a machine that runs becomes a registered node.

Initialise or join is decided here, when the step runs, from the record alone; never from an API that
does not answer. Credentials are minted per machine and gone after use.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from lifecycle import image, way
from lifecycle.claims import initialised
from lifecycle.errors import (
    ClusterSilent,
    LifecycleError,
    MachineFailed,
    NeedsAttention,
    NeverInitialised,
    NeverRegistered,
    PortError,
    RecordMissing,
)
from lifecycle.ports import Claim, ClaimState, Node, Pin, Ports, Power, Role
from lifecycle.preflight import preflight
from lifecycle.waiting import WATCHED_S, Blocked, wait_for_api, wait_until

OFF_S = 30.0
"""A host that restarts may show its power off for some seconds."""

POLL_S = 10.0
"""Between two looks at the record of initialisation, which nothing announces."""


def admit(ports: Ports, pin: Pin, claim: Claim) -> Node:
    """Return the Node once a machine with the pinned image is registered under its name.

    While the claim is PROVISIONING: a machine other than the one before it. Raises NeverInitialised,
    ClusterSilent, RecordMissing, NeverRegistered, MachineFailed, WrongImage.
    """
    if claim.state is not ClaimState.PROVISIONING:
        wait_for_api(ports, pin.node, ports.pins.limits().join_s)
        return _wait_registered(ports, pin, claim)
    ports.evidence.begin(pin.node, "credentials")
    try:
        if not _registered_already(ports, pin, claim):
            _deliver(ports, pin, claim)
        ports.evidence.begin(pin.node, "register")
        seen = _wait_registered(ports, pin, claim)
    except LifecycleError:
        with suppress(LifecycleError):  # what halted is what the user must read; leave and release withdraw again
            ports.delivery.withdraw(pin.node)
        raise
    ports.delivery.withdraw(pin.node)
    way.came_in(ports, pin)
    return seen


def _registered_already(ports: Ports, pin: Pin, claim: Claim) -> bool:
    """Whether an earlier run of this step brought the machine in."""
    if ports.records.initialised_by() is None or not ports.kubernetes.answers():
        return False
    return not isinstance(_registered(ports, pin, claim), Blocked)


def _deliver(ports: Ports, pin: Pin, claim: Claim) -> None:
    """Initialise, or join what another control plane initialised."""
    if ports.records.initialised_by() is None:
        if pin.role is Role.CONTROL_PLANE and _may_initialise(ports, pin, claim):
            _initialise(ports, pin)
            return
        _wait_initialised(ports, pin.node)
    wait_for_api(ports, pin.node, ports.pins.limits().join_s)
    ports.delivery.deliver(pin.node, way.credentials(ports, pin, init=False))


def _may_initialise(ports: Ports, pin: Pin, claim: Claim) -> bool:
    """Whether it is this control plane that initialises: one only is told to, ever, and on record before it is
    told. Raises RecordMissing if there is a cluster that nobody here is on record for."""
    if initialised(ports, claim):
        return False
    first = ports.records.initialising_by()
    if first is None and ports.kubernetes.answers():
        if ports.records.initialised_by() is not None:
            return False
        if ports.records.initialising_by() is None:
            raise RecordMissing(pin.node, f"none for stack {claim.stack}, and an API that answers at its endpoint")
    return ports.records.record_initialising(pin.node)


def _initialise(ports: Ports, pin: Pin) -> None:
    ports.delivery.deliver(pin.node, way.credentials(ports, pin, init=True))
    begun: list[bool] = []

    def answers() -> bool | Blocked:
        if ports.kubernetes.answers():
            return True
        if not begun:
            way.begin(ports, pin)
            begun.append(True)
        return Blocked("the API does not answer", look_s=POLL_S)

    wait_until(
        answers,
        what="the cluster initialises",
        node=pin.node,
        about=f"node/{pin.node}",
        ports=ports,
        limit_s=ports.pins.limits().join_s,
        error=ClusterSilent,
    )
    preflight(ports, pin.node)  # makes the roles, before the record lets other steps ask for what they grant
    if not ports.records.record_initialised(pin.node):
        raise RecordMissing(pin.node, f"{ports.records.initialised_by()} on it, although {pin.node} was told to")


def _wait_initialised(ports: Ports, node: str) -> None:
    def recorded() -> bool | Blocked:
        if ports.records.initialised_by() is None:
            first = ports.records.initialising_by()
            told = f"; {first} was told to" if first else ""
            return Blocked(f"no record that any control plane did{told}", look_s=POLL_S)
        return True

    wait_until(
        recorded,
        what="a control plane initialises the cluster",
        node=node,
        about="etcd",
        ports=ports,
        limit_s=ports.pins.limits().join_s,
        error=NeverInitialised,
    )


def _wait_registered(ports: Ports, pin: Pin, claim: Claim) -> Node:
    offs: list[float] = []
    looks: list[Node] = []

    def registered() -> Node | Blocked:
        seen = _registered(ports, pin, claim)
        if not isinstance(seen, Blocked):
            steady = not looks or image.same_boot(looks[-1], seen)
            looks.append(seen)
            return seen if steady else Blocked("a machine that has just restarted", look_s=WATCHED_S)
        _look_at_machine(ports, pin, claim, offs)
        return replace(seen, look_s=OFF_S) if offs else seen

    return wait_until(
        registered,
        what="a new machine registers",
        node=pin.node,
        about=f"node/{pin.node}",
        ports=ports,
        limit_s=ports.pins.limits().join_s,
        error=NeverRegistered,
        consecutive=image.STEADY,
        observe_s=WATCHED_S,
    )


def _look_at_machine(ports: Ports, pin: Pin, claim: Claim, offs: list[float]) -> None:
    """Raises MachineFailed if the machine reports a failure, or its power was off for OFF_S. A controller that
    does not answer says nothing. offs: since when it is off, empty while it is not."""
    if claim.state is ClaimState.PROVISIONING:
        with suppress(PortError):
            try:
                ports.machines.progress(pin.node, pin)
            except NeedsAttention as failed:
                raise MachineFailed(pin.node, f"{failed.what}: {failed.found}") from None
    with suppress(PortError, NeedsAttention):
        if ports.machines.power(pin.node, pin.controller) is not Power.OFF:
            offs.clear()
            return
        offs.append(ports.clock.now_s())
    if offs and ports.clock.now_s() - offs[0] >= OFF_S:
        raise MachineFailed(pin.node, f"its power off for {ports.clock.now_s() - offs[0]:.0f} s")


def _registered(ports: Ports, pin: Pin, claim: Claim) -> Node | Blocked:
    """The Node of the machine that is expected. Raises WrongImage for one that runs something else."""
    seen = ports.kubernetes.node(pin.node)
    if seen is None:
        return Blocked("no Node object")
    if claim.state is ClaimState.PROVISIONING:
        if not seen.machine_id or seen.machine_id == claim.machine_id:
            return Blocked(
                f"only the Node object of the machine before it, {seen.machine_id or 'without a machine id'}"
            )
    elif seen.machine_id != claim.machine_id:
        return Blocked(f"machine {seen.machine_id or 'unknown'} instead of {claim.machine_id}")
    image.require(ports, pin, claim, seen, pin.kernel)
    return seen
