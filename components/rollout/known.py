"""What stands: which declared nodes serve, so that a roll heals before it takes. Order only, never an input.

Asked of the cluster's roster when it answers, in a preview too; else of the claims beside the boot store;
else of the stack's own last outputs, which may lag behind a failed `up`; else every node is new. None of
it can be wrong in a dangerous way:
the roster decides, when a node is about to leave, whether it may.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pulumi
from pulumi_command import local

from components.rollout.planner import Standing
from lifecycle.commands import Step, Verb

OUTPUT = "standing"
"""The stack output that the next run falls back on."""


class LastOutputs:
    """The stack's own outputs, as its last finished `up` left them; empty before the first."""

    def __init__(self, parent: pulumi.Resource) -> None:
        name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
        self._reference = pulumi.StackReference(
            "last-outputs", stack_name=name, opts=pulumi.ResourceOptions(parent=parent)
        )

    async def standing(self) -> Mapping[str, Standing]:
        outputs = await self._reference.outputs.future()
        return read_standing((outputs or {}).get(OUTPUT))


async def known(stack: str, parent: pulumi.Resource) -> Mapping[str, Standing]:
    """The standing of each node that anybody knows of. Raises nothing for a cluster that does not answer."""
    last = LastOutputs(parent)
    answer = await _roster(stack)
    return await last.standing() if answer is None else answer


async def _roster(stack: str) -> Mapping[str, Standing] | None:
    """What the roster says, or None if nobody answered: no cluster yet, no way to it, or no tool to ask."""

    def silence(reason: Exception) -> str:
        pulumi.log.info(f"the roster of stack {stack} did not answer ({reason}); using the stack's last outputs")
        return ""

    asked = local.run_output(command=Step(Verb.ROSTER, stack).command(), logging=local.Logging.NONE)
    stdout = await asked.apply(lambda result: result.stdout or "").recover(silence).future()
    return read_roster(stdout or "")


def read_roster(stdout: str) -> Mapping[str, Standing] | None:
    """Read what `ingot node roster` printed; None unless it says that the roster answered."""
    try:
        said = json.loads(stdout)
    except ValueError:
        return None
    if not isinstance(said, dict) or said.get("answered") is not True:
        return None
    return read_standing(said.get("nodes"))


def read_standing(nodes: object) -> Mapping[str, Standing]:
    """Standings by node. A word that is not known counts as out: that node then heals before others leave."""
    if not isinstance(nodes, Mapping):
        return {}
    words = {standing.value: standing for standing in Standing}
    return {str(node): words.get(str(word), Standing.OUT) for node, word in nodes.items()}
