"""Waits: an absolute deadline, a look whenever something may have changed, and a name for what blocked.

Owns no opinion about what is waited for. Time passes only through the `Clock` of the ports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lifecycle.errors import ClusterSilent, PortError, WaitedTooLong
from lifecycle.ports import Ports

T = TypeVar("T")

OBSERVE_S = 5.0
"""Between two observations that must agree, where each has to be asked for: longer than a controller's resync
of one object."""

WATCHED_S = 0.5
"""The same where the API announces every change: what a controller writes in two steps shows within this."""

RETRY_S = 5.0
"""After a port failed to answer: nothing will announce that it is back, so look soon."""

LOOK_AGAIN_S = 60.0
"""A notification can be lost on the way; no wait sleeps longer than this without a look."""


@dataclass(frozen=True)
class Blocked:
    """What still stands in the way.

    why: for a person. names: the objects in it. error: raised instead of the wait's own if this is
    what blocked last. about: what to watch instead of the wait's own. look_s: look again so soon.
    """

    why: str
    names: tuple[str, ...] = ()
    error: type[WaitedTooLong] | None = None
    about: str = ""
    look_s: float = LOOK_AGAIN_S


def wait_until(
    check: Callable[[], T | Blocked],
    *,
    what: str,
    node: str,
    about: str,
    ports: Ports,
    limit_s: float,
    error: type[WaitedTooLong],
    consecutive: int = 1,
    observe_s: float = OBSERVE_S,
) -> T:
    """Return what `check` returns once it is not Blocked, `consecutive` times in a row, `observe_s` apart.

    Looks at once, then whenever `about` may have changed, and a last time at the deadline. A PortError
    of the check is no verdict: it blocks and is looked at again. Any other error of the check, and
    `error` (or the block's own) at the deadline, is raised; so is what the fence says of a run that is over.
    The wait is recorded if time passed.
    """
    clock = ports.clock
    start_s = clock.now_s()
    until_s = start_s + limit_s
    good = 0
    met = False
    try:
        while True:
            seen, pause_s = _look(check)
            if isinstance(seen, Blocked):
                good, blocked = 0, seen
            else:
                good += 1
                if good >= consecutive:
                    met = True
                    return seen
                pause_s = observe_s
                blocked = Blocked(f"only {good} good observation of {consecutive} in a row")
            left_s = until_s - clock.now_s()
            if left_s <= 0:
                raise (blocked.error or error)(node, blocked.why, blocked.names, limit_s)
            if pause_s:
                clock.sleep(min(pause_s, left_s))
            else:
                clock.wait(blocked.about or about, min(until_s, clock.now_s() + blocked.look_s))
            ports.fence.alive(node)
    finally:
        end_s = clock.now_s()
        if end_s > start_s:
            ports.evidence.waited(node, what, start_s, end_s, limit_s, met)


def _look(check: Callable[[], T | Blocked]) -> tuple[T | Blocked, float]:
    """What the check says, and how long to sleep before the next look (0: watch instead)."""
    try:
        return check(), 0.0
    except PortError as silent:
        return Blocked(str(silent)), max(RETRY_S, silent.retry_after_s)


def wait_for_api(ports: Ports, node: str, limit_s: float) -> None:
    """Return once the cluster's API answers. Raises ClusterSilent."""

    def answers() -> bool | Blocked:
        return True if ports.kubernetes.answers() else Blocked("the API does not answer", look_s=RETRY_S)

    wait_until(
        answers,
        what="the cluster's API answers",
        node=node,
        about=f"node/{node}",
        ports=ports,
        limit_s=limit_s,
        error=ClusterSilent,
    )
