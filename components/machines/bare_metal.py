"""A bare-metal host as a resource. What provisioning and releasing do: lifecycle/.

Nothing of the host is an input: its controller's address, disks and boot location are read from the
stack file when the step runs. Only the digest of what it boots replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.machines.contract import MachineArgs
from components.rollout.steps import Runs, step_resource
from lifecycle.commands import Step, Verb


def register(args: MachineArgs, *, parent: pulumi.Resource, depends_on: Sequence[str]) -> pulumi.CustomResource:
    """Fulfils components.machines.contract.RegisterMachine."""
    return step_resource(
        f"{args.host}.machine",
        Runs(
            create=Step(Verb.PROVISION, args.stack, args.host, args.generation),
            delete=Step(Verb.RELEASE, args.stack, args.host, args.generation),
        ),
        triggers=[args.generation],
        parent=parent,
        depends_on=depends_on,
    )
