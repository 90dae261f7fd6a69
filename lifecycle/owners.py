"""Whose machine a claim may take: the rule over all claims of a boot store, for whoever keeps them.

A claim is filed under its host's name, and a name can change while the machine serves. So what stays with the
machine says whether two claims mean the same one: its management controller, and the MAC address of the port that
boots. Two hosts with one MAC address would fetch each other's boot configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from lifecycle.errors import MachineClaimed
from lifecycle.ports import Claim, ClaimState, Controller


@lru_cache(maxsize=4096)
def machine(controller: Controller) -> str:
    """One form for each machine, however its URL is written: small letters in the host's name, no port
    that the scheme has anyway, no slash at the end. Kept, as every claim is compared with every other."""
    parts = urlsplit(controller.url)
    port = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(port)}{parts.path.rstrip('/')}"


def marks(claim: Claim) -> tuple[str, ...]:
    """All that the claim's machine is known by, and no other one. Whoever keeps claims may find rivals by them."""
    return (machine(claim.controller), *([f"mac:{claim.mac.lower()}"] if claim.mac else []))


def taken(new: Claim | None, expected: Claim | None) -> tuple[str, ...]:
    """The marks that `new` in the place of `expected` takes and that `expected` did not hold."""
    if new is None or new.state is ClaimState.LEFT:
        return ()
    held = () if expected is None or expected.state is ClaimState.LEFT else marks(expected)
    return tuple(mark for mark in marks(new) if mark not in held)


def takes(new: Claim | None, expected: Claim | None) -> bool:
    """Whether `new` in the place of `expected` takes a machine that `expected` did not hold."""
    return bool(taken(new, expected))


def holder(host: str, controller: Controller, claims: Mapping[str, Claim]) -> str:
    """Which other host of `claims` (by host) holds the machine behind `controller`, in words; "" if none does."""
    return _holder(host, machine(controller), claims)


def refuse_second(host: str, new: Claim, claims: Mapping[str, Claim]) -> None:
    """Return if no other host of `claims` (by host) holds the machine of `new`. Raises MachineClaimed."""
    for mark, told in zip(marks(new), (new.controller.url, f"MAC address {new.mac}"), strict=False):
        held = _holder(host, mark, claims)
        if held:
            raise MachineClaimed(host, f"{told} claimed for {held}")


def _holder(host: str, mark: str, claims: Mapping[str, Claim]) -> str:
    for other, claim in sorted(claims.items()):
        if other != host and claim.state is not ClaimState.LEFT and mark in marks(claim):
            return f"{other} by stack {claim.stack}"
    return ""
