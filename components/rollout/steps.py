"""A lifecycle step as a resource: `command:local:Command` with only what may be stored.

What is stored is run again months later, from another checkout, by another person: so a resource
carries the step's command line and what replaces it, and nothing else (no environment, no directory).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi.resource import DependencyResource
from pulumi_command import local

from lifecycle.commands import Step

NO_UPDATE = "true"
"""The shell's no-op. Without an update command, a changed command line would run `create` again."""


class StepHalted(pulumi.RunError):
    """The engine said that a step failed but let the program go on (`--continue-on-error`).

    The program must not: what it has not registered yet would then count as taken out of the fleet.
    A RunError, so that the SDK shows its text alone, without a traceback.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name}: expected its step to finish, found that it failed. No further node is registered, so nothing "
            "counts as removed. Remedy: mend what the step's own error names, then run `pulumi up` again"
        )
        self.name = name


@dataclass(frozen=True)
class Runs:
    """What making and what deleting a resource runs; no delete: it is only forgotten."""

    create: Step
    delete: Step | None = None


def after(urns: Sequence[str]) -> list[pulumi.Input[pulumi.Resource]]:
    """Dependencies by URN alone: recorded in the state, never walked by the SDK (it walks recursively)."""
    return [DependencyResource(urn) for urn in urns]


def step_resource(
    name: str,
    runs: Runs,
    *,
    triggers: Sequence[pulumi.Input[str]],
    parent: pulumi.Resource,
    depends_on: Sequence[str] = (),
) -> local.Command:
    """Register a step. It is replaced, old one first, when `triggers` change; nothing else runs it again."""
    return local.Command(
        name,
        create=runs.create.command(),
        update=NO_UPDATE,
        delete=runs.delete.command() if runs.delete else None,
        triggers=list(triggers),
        opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True, depends_on=after(depends_on)),
    )


def gone_resource(
    step: Step, *, machine: str, parent: pulumi.Resource, depends_on: Sequence[str] = ()
) -> local.Command:
    """Register `<node>.gone`: the machine of that name, and what stands on it, is gone for good.

    As that machine's replacement it makes the engine run their deletes here and now, as they were stored, instead of
    at the end of the update. step: what is left to do then. The next update does not register it, and so forgets it.
    """
    return local.Command(
        f"{step.node}.gone",
        create=step.command(),
        update=NO_UPDATE,
        triggers=["gone"],
        opts=pulumi.ResourceOptions(
            parent=parent,
            delete_before_replace=True,
            depends_on=after(depends_on),
            aliases=[pulumi.Alias(name=machine)],
        ),
    )


async def settled(name: str, resource: pulumi.CustomResource) -> str:
    """The resource's URN, once its step is done (in a preview: once it is planned).

    Raises StepHalted if the engine went on after the step failed, and whatever the registration raised.
    """
    urn = await resource.urn.future()
    if urn is None or not (pulumi.runtime.is_dry_run() or await resource.id.is_known()):
        raise StepHalted(name)
    return urn
