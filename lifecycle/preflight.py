"""Whether a run may do all that a roll asks of the cluster and of the account that its machines are in, found out
before anything is touched.

The run that has the roll has passed this: a step asks before it takes the Lease, so a roll costs these requests
once, however many nodes it has (docs/decisions/0078.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.permissions import Forbidden
from lifecycle.ports import Ports
from lifecycle.stops import CloudNotPermitted, NotPermitted, UnknownMachines
from lifecycle.waiting import Blocked, wait_until

SPREAD_S = 30.0
"""Until every API server knows roles that were just made: each watches them, mostly well within a second."""
SPREAD_LOOK_S = 0.5


def preflight(ports: Ports, node: str) -> None:
    """Return if nothing is missing. A cluster that has no roles yet gets them, where its authority is ours.

    Raises NotPermitted, naming all that is missing; PortError if the API does not answer.
    """
    missing = ports.access.forbidden()
    if not missing:
        return
    if not ports.access.grant():
        raise NotPermitted(node, told(missing), _names(missing))
    ports.evidence.note(node, "the cluster had no roles for the steps that roll it: they were made")

    def permitted() -> bool | Blocked:
        left = ports.access.forbidden()
        return Blocked(told(left), _names(left), look_s=SPREAD_LOOK_S) if left else True

    wait_until(
        permitted,
        what="the roles hold",
        node=node,
        about=f"node/{node}",
        ports=ports,
        limit_s=SPREAD_S,
        error=NotPermitted,
    )


def account(ports: Ports, node: str, stack: str) -> None:
    """Return if the account lets a roll do what it asks, and each machine in it that says it is the stack's has a
    claim: of an installation that was cut off there is one, and the step that goes on with it adopts its machine.

    Raises CloudNotPermitted and UnknownMachines, naming all; PortError if the cloud does not answer.
    """
    missing = ports.cloud.forbidden()
    if missing:
        raise CloudNotPermitted(node, told(missing), _names(missing))
    unknown = unknown_machines(ports, stack)
    if unknown:
        said = "; ".join(f"{', '.join(words)} for {host or 'no host'}" for host, words in unknown.items())
        raise UnknownMachines(node, f"none for {said}", tuple(unknown))


def unknown_machines(ports: Ports, stack: str) -> dict[str, tuple[str, ...]]:
    """By host, the machines that say they are the stack's and that no claim of it knows. Raises PortError."""
    found = ports.cloud.machines()
    claims = ports.records.claims() if found else {}  # read later than the machines, which are claimed first
    return {host: found[host] for host in sorted(found) if host not in claims or claims[host].stack != stack}


def _names(missing: Sequence[Forbidden]) -> tuple[str, ...]:
    return tuple(str(one.permission) for one in missing)


def told(missing: Sequence[Forbidden]) -> str:
    """Each identity, with all that it lacks and what for."""
    by_whom: dict[str, list[str]] = {}
    for one in missing:
        by_whom.setdefault(one.who, []).append(f"{one.permission} ({one.permission.why})")
    return "; ".join(f"{who} may not {'; nor '.join(lacks)}" for who, lacks in by_whom.items())
