"""The whole program: read the stack file's environment, refuse it or make its fleet, say what it is."""

from __future__ import annotations

from pathlib import Path

import pulumi

from components.boot.contract import BootConfigurationError
from components.boot.pin import pins, pool_patches
from components.fleet import Fleet, FleetArgs
from components.images import lock
from components.rollout.known import OUTPUT
from components.stackfile import StackFileError, validate
from components.storage.policy import PolicyRefused

ROOT = Path(__file__).resolve().parent  # run inline, the working directory is the caller's
REFUSALS = (StackFileError, lock.LockError, lock.UnknownRelease, BootConfigurationError, PolicyRefused)


async def main() -> dict[str, object]:
    """The stack's outputs, once every node is registered.

    Waiting for the fleet here keeps the SDK from waiting for it: what a program leaves behind when it
    returns is looked at whole each time a part of it is done (docs/decisions/0002.md).
    """
    try:
        config = pulumi.Config("ingot")
        stated = config.require_object("environment")
        environment = validate(stated, f"stacks/Pulumi.{pulumi.get_stack()}.yaml")
        locked = lock.load(Path(config.get("images") or ROOT / lock.LOCK_FILE))
        pinned = pins(environment, locked, stack=pulumi.get_stack())
        args = FleetArgs(
            environment=environment,
            generations={host: pin.generation for host, pin in pinned.items()},
            patches=pool_patches(environment, locked),
            particulars={host: pin.particulars for host, pin in pinned.items()},
        )
        fleet = Fleet(environment.cluster.name, args)
    except REFUSALS as refused:  # the person who reads it wrote the stack file: the text alone, no traceback
        raise pulumi.RunError(str(refused)) from None
    await fleet.standing.future()
    return {
        "kubeconfig": fleet.kubeconfig,
        "nodes": {host: {"pool": pin.pool, "role": pin.role.value} for host, pin in pinned.items()},
        "images": {host: pin.os_image for host, pin in pinned.items()},
        "storage_classes": fleet.storage_classes,
        OUTPUT: fleet.standing,
    }


pulumi.run(main)
