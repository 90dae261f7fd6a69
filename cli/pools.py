"""The pools of a stack file as the report reckons with them, and what an hour of their machines costs.

No price is known here: whoever wants one in the report says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from components.environment import Environment
    from report.record import Pool

Prices = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="POOL=AMOUNT",
        help="What an hour of one machine of that pool costs, such as workers=0.21EUR; repeatable.",
    ),
]
PRICE = re.compile(r"(?P<pool>[a-z0-9][a-z0-9-]*)=(?P<amount>\d{1,9}(?:\.\d{1,6})?) ?(?P<currency>[A-Z]{3})?")


def pools(environment: Environment, said: Iterable[str]) -> tuple[Pool, ...]:
    """Every pool, in file order. said: prices as --price takes them. Raises typer.BadParameter."""
    from report.record import Pool

    prices = _prices(said, environment.pools)
    found = []
    for name, pool in environment.pools.items():
        amount, currency = prices.get(name, (None, ""))
        rollout, hosts = pool.rollout, pool.machines.hosts
        found.append(
            Pool(
                name=name,
                role=pool.role,
                hosts=tuple(hosts),
                strategy=rollout.strategy,
                max_unavailable=rollout.max_unavailable,
                canary=rollout.canary,
                soak_s=rollout.soak_s,
                keeps=environment.stores(name) or any(pool.machines.own(host).kept_disks for host in hosts),
                doubles=pool.machines.doubles,
                price=amount,
                currency=currency,
            )
        )
    return tuple(found)


def _prices(said: Iterable[str], known: Iterable[str]) -> Mapping[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    names = sorted(known)
    for text in said:
        read = PRICE.fullmatch(text)
        if read is None:
            raise typer.BadParameter(
                f"expected a pool and an amount such as workers=0.21 or workers=0.21EUR, found {text!r}",
                param_hint="--price",
            )
        if read["pool"] not in names:
            raise typer.BadParameter(
                f"expected a pool of the stack file, which are {', '.join(names)}; found {read['pool']}",
                param_hint="--price",
            )
        found[read["pool"]] = float(read["amount"]), read["currency"] or ""
    return found
