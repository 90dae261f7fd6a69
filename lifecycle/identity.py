"""Who a machine is: what its claim kept of it when it was installed, and what it says of itself now.

A kind of machine names what it knows its machines by (`lifecycle.machine_api.Machines.identity`): a serial number,
MAC addresses, an instance id. Looks only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from lifecycle.errors import LifecycleError
from lifecycle.ports import Claim, ClaimState, Pin, Ports

ZONE: Final = "zone"
"""Where a machine is, not who: kept as the claim's fault domain."""
SEVERAL: Final = ","
"""Between the values of one key, such as the MAC addresses of a machine."""
ASKED_AT_ONCE: Final = 16
"""A controller that does not answer is given half a minute and more; one after another a fleet would take hours."""


@dataclass(frozen=True)
class Observed:
    """What machines say of themselves, by host. silent: those that could not be asked, each with the answer."""

    machines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


NOT_ASKED: Final = Observed()
"""Nobody was asked."""


@dataclass(frozen=True)
class Difference:
    """One thing by which a machine is known, and is another."""

    key: str
    kept: str
    seen: str


def observe(ports: Ports, pins: Mapping[str, Pin], claims: Mapping[str, Claim], but: Collection[str] = ()) -> Observed:
    """Ask every declared machine that joined and whose claim knows it. but: nodes that are left alone. Raises
    nothing: what cannot be asked is named."""
    asked = [
        pin
        for name, pin in pins.items()
        if name not in but
        and not pin.retire
        and (claim := claims.get(name)) is not None
        and claim.state is ClaimState.JOINED
        and claim.identity
    ]
    machines: dict[str, Mapping[str, str]] = {}
    silent: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=ASKED_AT_ONCE) as pool:
        for pin, found in zip(asked, pool.map(lambda pin: _ask(ports, pin), asked), strict=True):
            if isinstance(found, str):
                silent[pin.node] = found
            else:
                machines[pin.node] = found
    return Observed(machines, silent)


def _ask(ports: Ports, pin: Pin) -> Mapping[str, str] | str:
    """What the machine is known by, or why that is not to be had."""
    try:
        found = ports.machines.identity(pin.node, pin.controller)
    except LifecycleError as error:
        return str(error).splitlines()[0]
    return found or "nothing by which a machine is known"


def differences(kept: Mapping[str, str], seen: Mapping[str, str]) -> Iterator[Difference]:
    """Where both say something and have nothing in common: a machine may gain a network port, and stays who it is."""
    for key in sorted(set(kept) & set(seen) - {ZONE}):
        if set(kept[key].split(SEVERAL)).isdisjoint(seen[key].split(SEVERAL)):
            yield Difference(key, kept[key], seen[key])
