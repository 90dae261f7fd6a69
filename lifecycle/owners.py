"""Whose machine a claim may take: the rule over all claims of a boot store, for whoever keeps them.

A claim is filed under its host's name, and a name can change while the machine serves. So the
management controller, which stays with the machine, says whether two claims mean the same one.
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


def takes(new: Claim | None, expected: Claim | None) -> bool:
    """Whether `new` in the place of `expected` takes a machine that `expected` did not hold."""
    if new is None or new.state is ClaimState.LEFT:
        return False
    return (
        expected is None or expected.state is ClaimState.LEFT or machine(expected.controller) != machine(new.controller)
    )


def holder(host: str, controller: Controller, claims: Mapping[str, Claim]) -> str:
    """Which other host of `claims` (by host) holds the machine behind `bmc`, in words; "" if none does."""
    for other, claim in sorted(claims.items()):
        if other != host and claim.state is not ClaimState.LEFT and machine(claim.controller) == machine(controller):
            return f"{other} by stack {claim.stack}"
    return ""


def refuse_second(host: str, new: Claim, claims: Mapping[str, Claim]) -> None:
    """Return if no other host of `claims` (by host) holds the machine of `new`. Raises MachineClaimed."""
    held = holder(host, new.controller, claims)
    if held:
        raise MachineClaimed(host, f"{new.controller.url} claimed for {held}")
