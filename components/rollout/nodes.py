"""A node is three resources, named by its host alone: machine, membership, readiness.

So leave runs before a machine is deleted, on replacement and on destroy, also for a node whose first
join never succeeded; and renaming a pool, or moving a host to another, touches no live host. Why:
docs/decisions/0001.md. When each is registered: components/rollout/lanes.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.infrastructure import NONE, Surroundings
from components.rollout.steps import Runs, settled, step_resource
from lifecycle.commands import Step, Verb


class NodePool(pulumi.ComponentResource):
    """Groups the nodes of a pool for a reader. One type for every pool, so that a node's URN names none."""

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ingot:index:NodePool", name, {}, opts)
        self.register_outputs({})


@dataclass(frozen=True)
class Nodes:
    """Registers nodes with the engine. Fulfils components.rollout.lanes.Registrar.

    pools: component of each pool. generations: of each host. around: what the kinds of machine registered for them.
    """

    stack: str
    pools: Mapping[str, NodePool]
    generations: Mapping[str, str]
    around: Surroundings = NONE

    def machine(self, host: str, pool: str, *, machine_after: Sequence[str]) -> pulumi.CustomResource:
        """Register the machine: its old self leaves and is given back first, if there is one.

        The same for every kind: nothing of a host is an input. What it is switched by, its disks and where it boots
        from are read from the stack file when the step runs; only the digest of what it boots replaces it.
        """
        generation = self.generations[host]
        return step_resource(
            f"{host}.machine",
            Runs(
                create=Step(Verb.PROVISION, self.stack, host, generation),
                delete=Step(Verb.RELEASE, self.stack, host, generation),
            ),
            triggers=[generation],
            parent=self.pools[pool],
            depends_on=[*machine_after, *self.around.machine.get(host, ())],
        )

    async def ended(self, machine: pulumi.CustomResource) -> None:
        """Return once the machine's steps have ended. Their failure is the engine's to report."""
        with contextlib.suppress(Exception):
            await machine.urn.future()

    async def serve(
        self,
        host: str,
        pool: str,
        machine: pulumi.CustomResource,
        *,
        member_after: Sequence[str],
        ready_after: Sequence[str],
    ) -> str:
        """Register membership and readiness; return the readiness' URN once the node serves.

        Raises components.rollout.steps.StepHalted, and whatever registering raised.
        """
        generation, parent = self.generations[host], self.pools[pool]
        membership = step_resource(
            f"{host}.membership",
            Runs(
                create=Step(Verb.ENROL, self.stack, host, generation),
                delete=Step(Verb.LEAVE, self.stack, host, generation),
            ),
            triggers=[machine.id],
            parent=parent,
            depends_on=[*member_after, *self.around.membership.get(host, ())],
        )
        readiness = step_resource(
            f"{host}.readiness",
            Runs(Step(Verb.JOIN, self.stack, host, generation)),
            triggers=[membership.id],
            parent=parent,
            depends_on=ready_after,
        )
        return await settled(f"{host}.readiness", readiness)
