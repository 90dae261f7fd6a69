"""A stored command's verb, run: the one entry of the command line and of the rehearsal's rack."""

from __future__ import annotations

from collections.abc import Callable

from lifecycle.commands import Step, Verb
from lifecycle.enrol import enrol
from lifecycle.gate import gate, roster_json
from lifecycle.join import join
from lifecycle.leave import leave
from lifecycle.ports import Ports
from lifecycle.provision import provision
from lifecycle.release import release
from lifecycle.retire import retire

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

    Every verb may be run again after a kill at any point. Raises a LifecycleError when it halts.
    """
    return VERBS[step.verb](step, ports)
