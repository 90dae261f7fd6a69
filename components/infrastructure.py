"""What a kind of machine registers besides machines: what they stand on, such as networks, addresses and volumes.

Most kinds have none: a rack is there. One that has is a package of components, registered once for a fleet before
any of its nodes, and named here. It says what each node depends on; the machine itself is the same resource for every
kind (components/rollout/nodes.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pulumi

from components.environment import Environment


@dataclass(frozen=True)
class Surroundings:
    """What a fleet stands on. machine, membership: by host, URNs of what must be there while each of its nodes' is:
    on a destroy the node leaves, then goes what its membership depends on, then its machine, then what that
    depends on. outputs: what a person may want to know of it, by name."""

    machine: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    membership: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


NONE: Final = Surroundings()
"""Of a fleet whose machines stand in racks."""


class Register(Protocol):
    """Registers it, for all pools of one kind.

    stack: as Pulumi has it. particulars: by host, what the pins say to the kind's own steps (lifecycle.facts.Pin).
    Nothing here may take an input from a node, and no replacement of what is registered may replace a machine: only
    what a node boots does.
    """

    async def __call__(
        self, environment: Environment, stack: str, particulars: Mapping[str, object], parent: pulumi.Resource
    ) -> Surroundings: ...


def _aws() -> Register:
    from components.aws.fleet import register  # its SDK is for fleets on AWS alone

    return register


KINDS: Final = {"aws": _aws}
"""`machines.kind` -> what registers it, for kinds that need any."""


async def register_infrastructure(
    environment: Environment, stack: str, particulars: Mapping[str, object], parent: pulumi.Resource
) -> Surroundings:
    """What the fleet stands on, of all its kinds of machine. Raises what registering raises."""
    kinds = {pool.machines.kind for pool in environment.pools.values()}
    machine: dict[str, tuple[str, ...]] = {}
    membership: dict[str, tuple[str, ...]] = {}
    outputs: dict[str, Any] = {}
    for kind in sorted(kinds & KINDS.keys()):
        found = await KINDS[kind]()(environment, stack, particulars, parent)
        machine |= found.machine
        membership |= found.membership
        outputs |= found.outputs
    return Surroundings(machine, membership, outputs)
