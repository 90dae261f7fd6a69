"""Nothing is left of a node that another of its host succeeded: it has left, and its machine is given back.

The engine deletes what it has on record. A machine whose creation failed, or whose runner died meanwhile, is on no
record of its own; its claim is.
"""

from __future__ import annotations

from lifecycle.claims import told
from lifecycle.commands import Step, Verb
from lifecycle.leave import forget, leave
from lifecycle.ports import Ports
from lifecycle.release import release


def vacate(step: Step, ports: Ports) -> str:
    """Make the step's node leave and give its machine back, whatever generation it is of; says so.

    Does nothing to a node that is declared, nor to another stack's. Raises what `leave` and `release` do.
    """
    if ports.pins.pin(step.node) is not None:
        return f"{step.node} is declared: it stays"
    claim = ports.records.claim(step.node)
    if claim is None or claim.stack != step.stack:
        forget(ports, step.node)
        return f"{step.node} has nothing left: {told(claim)}"
    left = leave(Step(Verb.LEAVE, step.stack, step.node, claim.generation), ports)
    return f"{left}\n{release(Step(Verb.RELEASE, step.stack, step.node, claim.generation), ports)}"
