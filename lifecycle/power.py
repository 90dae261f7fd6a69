"""Orders to what switches a host: asked again when it fails, and proven."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lifecycle import switches
from lifecycle.errors import PortError
from lifecycle.ports import Controller, Ports, Power
from lifecycle.waiting import Blocked, wait_until

T = TypeVar("T")

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 30.0
"""Management controllers are slow and lock up under load: ask again later and later, up to this."""

POLL_S = 5.0
"""Power changes seconds after the order (1 to 11 were seen); nothing announces it."""

STEADY = 2
"""Looks in a row that prove it."""

STEADY_S = 5.0
"""Between them. A controller that was without power itself answers before its host is switched on again, and says off
until then."""

DARK_S = 15.0
"""The same where a mistake costs most (volumes given up, a disk taken for erased) and no order of a step came before:
a host that had lost its power comes on as much later than its controller as its outlet is switched on."""


def order(ports: Ports, host: str, controller: Controller, what: str, ask: Callable[[], T]) -> T:
    """What `ask` returns, asked again with growing pauses while the controller fails to answer, and no sooner than it
    asks for.

    Raises ControllerUnreachable after `power_s`, naming host, URL and last answer (lifecycle.switches).
    """
    clock, limit_s = ports.clock, ports.pins.limits().power_s
    start_s = clock.now_s()
    pause_s = BACKOFF_FIRST_S
    while True:
        try:
            return ask()
        except PortError as failed:
            left_s = start_s + limit_s - clock.now_s()
            if left_s <= 0:
                ports.evidence.waited(host, what, start_s, clock.now_s(), limit_s, False)
                said = f"{what}: {controller.url} last said: {switches.of(controller).said(failed)}"
                error = switches.of(controller).silent(host, said, (controller.url,), limit_s)
                error.url = controller.url
                raise error from None
            wait_s = min(max(pause_s, failed.retry_after_s), left_s)
            name = switches.of(controller).name
            ports.evidence.note(host, f"{what}: {name} failed, asking again in {wait_s:g} s")
        clock.sleep(wait_s)
        ports.fence.alive(host)
        pause_s = min(pause_s * 2, BACKOFF_MAX_S)


def off(ports: Ports, host: str, controller: Controller, *, steady_s: float = STEADY_S) -> None:
    """Return once the controller said twice in a row, `steady_s` apart, that the power is off. A host that is found off
    and comes on in between is switched off like any other.

    Raises ControllerUnreachable, NeverPoweredOff; before power is cut what the fence says (lifecycle.ports.Fence).
    """
    machines = ports.machines

    def is_off() -> bool:
        state = order(ports, host, controller, "power state", lambda: machines.power(host, controller))
        return state is Power.OFF

    if is_off():
        ports.clock.sleep(steady_s)
        ports.fence.alive(host)
        if is_off():
            return
    ports.fence.check(host)
    ports.evidence.begin(host, "power-off")
    order(ports, host, controller, "power off", lambda: machines.power_off(host, controller))
    wait_until(
        lambda: True if machines.power(host, controller) is Power.OFF else Blocked("the power is on", look_s=POLL_S),
        what="the power is off",
        node=host,
        about=f"host/{host}",
        ports=ports,
        limit_s=ports.pins.limits().power_s,
        error=switches.of(controller).never_off,
        consecutive=STEADY,
        observe_s=steady_s,
    )
