"""A stored command's verb, run: the one entry of the command line and of the rehearsal's rack."""

from __future__ import annotations

from collections.abc import Callable

from lifecycle.commands import Step, Verb
from lifecycle.enrol import enrol
from lifecycle.errors import LifecycleError
from lifecycle.gate import gate, roster_json
from lifecycle.join import join
from lifecycle.leave import leave
from lifecycle.ports import Ports
from lifecycle.provision import provision
from lifecycle.release import release
from lifecycle.retire import retire
from lifecycle.rolls import fenced
from lifecycle.slots import mark_halted
from lifecycle.stops import EngineGone, NotPermitted, RollLost, RollTaken, StoppedAsAsked, UnknownMachines

VERBS: dict[Verb, Callable[[Step, Ports], str]] = {
    Verb.PROVISION: provision,
    Verb.RELEASE: release,
    Verb.ENROL: enrol,
    Verb.LEAVE: leave,
    Verb.JOIN: join,
    Verb.RETIRE: retire,
    Verb.GATE: gate,
    Verb.ROSTER: roster_json,
}


def execute(step: Step, ports: Ports) -> str:
    """Run the step and return what it prints: a few short lines, stable, without any secret.

    Every verb may be run again after a kill at any point. What changes something does so only while its run
    has the roll. Raises a LifecycleError when it halts.
    """
    if step.verb is Verb.ROSTER:
        return roster_json(step, ports)
    try:
        with fenced(step, ports) as acting:
            return VERBS[step.verb](step, acting)
    except (StoppedAsAsked, RollTaken, RollLost, EngineGone, NotPermitted, UnknownMachines):
        raise  # no node stands in the way; and a run that is over writes nothing more
    except LifecycleError:
        if step.node:
            mark_halted(ports, step.node)
        raise
