"""Pausing a roll, from any terminal: a mark in the roster that no further node's leave gets past.

What is out is finished, and what fell out may be healed: a pause must not keep the fleet short of a node.
"""

from __future__ import annotations

from collections.abc import Callable

from lifecycle import roster
from lifecycle.errors import LifecycleError
from lifecycle.ports import Ports
from lifecycle.rolls import moment
from lifecycle.roster import Paused, Roster
from lifecycle.waiting import Blocked, wait_for_api

FLEET = "fleet"
"""The name under which the whole fleet's waits are recorded."""

ANSWER_S = 30.0
"""Somebody waits at a terminal; an API that is away for longer is named instead."""


class NothingToPause(LifecycleError):
    """There is no cluster yet, so there is no roll."""

    def __init__(self, stack: str) -> None:
        super().__init__(
            f"stack {stack}: expected a cluster, found that none was ever initialised. Nothing was changed. "
            "Remedy: none is needed, a first bring-up takes no node out"
        )
        self.stack = stack


def pause(ports: Ports, stack: str, mark: Paused) -> str:
    """No further node leaves until `resume`. A roll that is paused keeps its first mark. Raises NothingToPause,
    ClusterSilent, RosterMissing."""
    before = _change(ports, stack, lambda now: with_pause(now, mark))
    if before.paused is not None:
        return f"{stack} {told(before.paused)} already"
    out = sorted(n for n, e in before.nodes.items() if e.slot_since_s is not None)
    rest = f"{', '.join(out)} on the way out or in: finished first" if out else "no node is out"
    return f"{stack} {told(mark)}; {rest}"


def resume(ports: Ports, stack: str) -> str:
    """Nodes may leave again. Raises as `pause`."""
    before = _change(ports, stack, without_pause)
    if before.paused is None:
        return f"{stack} is not paused"
    return f"{stack} may go on (it {told(before.paused)}); run `pulumi up` again"


def with_pause(now: Roster, mark: Paused) -> Roster:
    """Pure."""
    return now if now.paused is not None else now.model_copy(update={"paused": mark})


def without_pause(now: Roster) -> Roster:
    """Pure."""
    return now.model_copy(update={"paused": None})


def told(mark: Paused) -> str:
    """The mark in words."""
    reason = f": {mark.reason}" if mark.reason else ""
    return f"paused by {mark.by} since {moment(mark.since_s)}{reason}"


def _change(ports: Ports, stack: str, change: Callable[[Roster], Roster]) -> Roster:
    """The roster as it was before."""
    if ports.records.initialised_by() is None:
        raise NothingToPause(stack)
    wait_for_api(ports, FLEET, ANSWER_S)
    before: list[Roster] = []

    def noted(now: Roster) -> Roster | Blocked:
        before[:] = [now]
        return change(now)

    roster.update(ports, FLEET, noted)
    return before[0]
