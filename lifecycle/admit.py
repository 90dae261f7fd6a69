"""The first half of a join: a machine that runs becomes a registered node.

Initialise or join is decided here, when the step runs, from the record alone; never from an API that
does not answer. Credentials are minted per machine and gone after use.
"""

from __future__ import annotations

from lifecycle.errors import ClusterSilent, NeverInitialised, NeverRegistered, WrongImage
from lifecycle.ports import Claim, ClaimState, Credentials, Node, Pin, Ports, Role
from lifecycle.waiting import Blocked, wait_for_api, wait_until

TOKEN_TTL_S = 3600.0
"""The longest a join token may live; the node uses it within minutes."""

POLL_S = 10.0
"""Between two looks at the record of initialisation, which nothing announces."""


def admit(ports: Ports, pin: Pin, claim: Claim) -> Node:
    """Return the Node once a machine with the pinned image is registered under its name.

    While the claim is PROVISIONING: a machine other than the one before it. Raises NeverInitialised,
    ClusterSilent, NeverRegistered, WrongImage.
    """
    new = claim.state is ClaimState.PROVISIONING
    if new:
        ports.evidence.begin(pin.node, "credentials")
        if not _registered_already(ports, pin, claim):
            _deliver(ports, pin)
        ports.evidence.begin(pin.node, "register")
    else:
        wait_for_api(ports, pin.node, ports.pins.limits().join_s)
    seen = _wait_registered(ports, pin, claim)
    if new:
        ports.delivery.withdraw(pin.node)
    return seen


def _registered_already(ports: Ports, pin: Pin, claim: Claim) -> bool:
    """Whether an earlier run of this step brought the machine in."""
    if ports.records.initialised_by() is None or not ports.kubernetes.answers():
        return False
    return not isinstance(_registered(ports, pin, claim), Blocked)


def _deliver(ports: Ports, pin: Pin) -> None:
    """Initialise, or join what another control plane initialised."""
    if ports.records.initialised_by() is None:
        if pin.role is Role.CONTROL_PLANE:
            if _initialise(ports, pin):
                return
        else:
            _wait_initialised(ports, pin.node)
    wait_for_api(ports, pin.node, ports.pins.limits().join_s)
    token = ports.kubernetes.mint_token(TOKEN_TTL_S)
    credentials = Credentials(
        init=False, endpoint=ports.secrets.endpoint(), token=token, pki=ports.secrets.pki(pin.role)
    )
    ports.delivery.deliver(pin.node, credentials)


def _initialise(ports: Ports, pin: Pin) -> bool:
    """Initialise the cluster; False if another control plane was first, and this one must join it."""
    credentials = Credentials(init=True, endpoint=ports.secrets.endpoint(), pki=ports.secrets.pki(pin.role))
    ports.delivery.deliver(pin.node, credentials)
    wait_until(
        lambda: True if ports.kubernetes.answers() else Blocked("the API does not answer", look_s=POLL_S),
        what="the cluster initialises",
        node=pin.node,
        about=f"node/{pin.node}",
        ports=ports,
        limit_s=ports.pins.limits().join_s,
        error=ClusterSilent,
    )
    return ports.records.record_initialised(pin.node) or ports.records.initialised_by() == pin.node


def _wait_initialised(ports: Ports, node: str) -> None:
    def recorded() -> bool | Blocked:
        if ports.records.initialised_by() is None:
            return Blocked("no record that any control plane did", look_s=POLL_S)
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
    return wait_until(
        lambda: _registered(ports, pin, claim),
        what="a new machine registers",
        node=pin.node,
        about=f"node/{pin.node}",
        ports=ports,
        limit_s=ports.pins.limits().join_s,
        error=NeverRegistered,
    )


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
    if (seen.os_image, seen.kubelet) != (pin.os_image, pin.kubelet):
        raise WrongImage(pin.node, f"{seen.os_image}, kubelet {seen.kubelet}", f"{pin.os_image}, kubelet {pin.kubelet}")
    return seen
