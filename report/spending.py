"""What a roll took of the fleet: time, nodes out of service, machines beyond those that are declared.

Pure; measured from the record alone. What another way to roll would take is reckoned in report/estimates.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from report.record import Pool, Roll, Span
from report.summary import FAMILIES, STILL_SERVING, Fate, by_node, came_in, fate
from report.words import HOUR_S, number

ROLLING, BLUE_GREEN = "rolling", "blue-green"

ALL = "all pools"

SERVES_AGAIN = "soak"
"""The canary is watched while it serves."""

GENERATION = re.compile(r"-[0-9a-f]{8}")
"""What follows a host's name in a node's, where each generation is a node of its own (lifecycle/succession.py)."""

Stretch = tuple[float, float]


@dataclass(frozen=True)
class Price:
    """What a machine costs for an hour, as whoever asked for the report said. currency: "" if that was not said."""

    amount: float
    currency: str = ""

    def of(self, seconds: float) -> str:
        """What so many machine-seconds cost, in words."""
        return number(self.amount * seconds / HOUR_S, self.currency)


@dataclass(frozen=True)
class Spent:
    """What one pool, or all of them, took. Seconds; out_s, surge_s: of all its nodes together.

    declared: None where the stack file is not known. out_most: at once. surge: machines beyond those that the pool
    has; 0 where it rolls in place. surge_cost: in words, empty where no price was given.
    """

    pool: str
    declared: int | None
    replaced: int
    wall_s: float
    out_s: float
    out_most: int
    surge_s: float = 0.0
    surge_most: int = 0
    surge_cost: str = ""


def price_of(pool: Pool) -> Price | None:
    return None if pool.price is None else Price(pool.price, pool.currency)


def hours(seconds: float) -> str:
    """`1.52 h`; `< 0.01 h` of what is little but not nothing. Of nodes or machines, beside each other."""
    found = number(seconds / HOUR_S, "h")
    return "< 0.01 h" if found == "0 h" and seconds > 0 else found


def spent(roll: Roll) -> tuple[Spent, ...]:
    """Each pool that anything happened in, in the order of the record; the whole roll last, if there are several."""
    spans, declared = by_node(roll.spans), {pool.name: pool for pool in roll.pools}
    of: dict[str, list[str]] = {}
    for node, pool in pools_of(roll).items():
        if node in spans:
            of.setdefault(pool, []).append(node)
    found = [_of_pool(name, roll, declared.get(name), {n: spans[n] for n in nodes}) for name, nodes in of.items()]
    return (*found, _of_all(found, roll, spans)) if len(found) > 1 else tuple(found)


def pools_of(roll: Roll) -> Mapping[str, str]:
    """The pool of each node: as its row says; of one without a row, such as a predecessor that is gone, its host's."""
    found = {row.node: row.pool for row in roll.nodes}
    hosts = {host: pool.name for pool in roll.pools for host in pool.hosts}
    for span in roll.spans:
        if found.get(span.node) not in {pool.name for pool in roll.pools}:
            found[span.node] = hosts.get(host_of(span.node, hosts), found.get(span.node, ""))
    return found


def host_of(node: str, hosts: Collection[str]) -> str:
    """Which of the hosts the node stands for; its own name if none."""
    if node in hosts:
        return node
    stem = node[: -len("-12345678")]
    return stem if stem in hosts and GENERATION.fullmatch(node, len(stem)) else node


def _of_pool(name: str, roll: Roll, pool: Pool | None, ways: Mapping[str, Sequence[Span]]) -> Spent:
    out, price = _out(roll, ways), price_of(pool) if pool else None
    surge = surplus(ways, roll.roll_s) if pool and pool.strategy == BLUE_GREEN else ()
    surge_s = sum(end - start for start, end in surge)
    ends = [_end(span, roll.roll_s) for own in ways.values() for span in own]
    return Spent(
        pool=name,
        declared=len(pool.hosts) if pool else None,
        replaced=sum(fate(own, roll.failures) is Fate.REPLACED for own in ways.values()),
        wall_s=max(ends) - min(own[0].start_s for own in ways.values()),
        out_s=sum(end - start for start, end in out),
        out_most=most_at_once(out),
        surge_s=surge_s,
        surge_most=most_at_once(surge),
        surge_cost=price.of(surge_s) if price else "",
    )


def _of_all(found: Sequence[Spent], roll: Roll, ways: Mapping[str, Sequence[Span]]) -> Spent:
    known = [s.declared for s in found if s.declared is not None]
    return Spent(
        pool=ALL,
        declared=sum(known) if len(known) == len(found) else None,
        replaced=sum(s.replaced for s in found),
        wall_s=roll.roll_s,
        out_s=sum(s.out_s for s in found),
        out_most=most_at_once(_out(roll, ways)),
        surge_s=sum(s.surge_s for s in found),
        surge_most=max(s.surge_most for s in found),  # pools take their turns one after another
        surge_cost=_sum(roll, found),
    )


def _sum(roll: Roll, found: Sequence[Spent]) -> str:
    """Of all pools, where each one that had a surge is priced, in one currency."""
    prices = {pool.name: price for pool in roll.pools if (price := price_of(pool))}
    currencies = {price.currency for price in prices.values()}
    if len(currencies) != 1 or any(s.surge_s and s.pool not in prices for s in found):
        return ""
    return number(sum(prices[s.pool].amount * s.surge_s / HOUR_S for s in found if s.surge_s), currencies.pop())


def _out(roll: Roll, ways: Mapping[str, Sequence[Span]]) -> tuple[Stretch, ...]:
    """When nodes that served did not. Where no node leaves, all come in for the first time and none is missed; nor is
    one of a pool whose new machines come before the old ones go."""
    if not any(_leaves(span) for span in roll.spans):
        return ()
    beside = {pool.name for pool in roll.pools if pool.strategy == BLUE_GREEN}
    of = pools_of(roll) if beside else {}
    halts = [(f.node, f.at_s) for f in roll.failures]
    return tuple(
        stretch
        for node, own in ways.items()
        if of.get(node) not in beside
        for stretch in out_of_service(own, roll.roll_s, [at_s for name, at_s in halts if name == node])
    )


def out_of_service(spans: Sequence[Span], until_s: float, halts: Sequence[float] = ()) -> tuple[Stretch, ...]:
    """From the cordon until the node serves again, of one node whose spans, in order, these are. A node that did not
    come back is out until the end of the record. halts: when steps of the node failed."""
    found: list[Stretch] = []
    since_s: float | None = None
    for i, span in enumerate(spans):
        following = spans[i + 1] if i + 1 < len(spans) else None
        if since_s is None and span.phase not in (*STILL_SERVING, SERVES_AGAIN):
            since_s = span.start_s
        if since_s is not None and _in_after(span, following, halts):
            found.append((since_s, _end(span, until_s)))
            since_s = None
    return tuple(found) if since_s is None else (*found, (since_s, max(until_s, since_s)))


def _in_after(span: Span, following: Span | None, halts: Sequence[float]) -> bool:
    """Whether the node served once this phase was over: what follows is the watch over it, or another way out, or
    nothing, and nothing failed."""
    if following is not None and following.phase == SERVES_AGAIN:
        return True
    if not came_in((span,)) or (following is not None and not _leaves(following)):
        return False
    end_s = span.end_s or 0.0
    return not any(end_s <= at_s and (following is None or at_s <= following.start_s) for at_s in halts)


def surplus(ways: Mapping[str, Sequence[Span]], until_s: float) -> tuple[Stretch, ...]:
    """When machines ran beyond those that the pool has: from the first phase of each new one on, until as many old
    ones had gone."""
    came = sorted(own[0].start_s for own in ways.values() if not _leaves(own[0]))
    gone = sorted(_end(own[-1], until_s) for own in ways.values() if _leaves(own[0]) and not came_in(own))
    ends = [*gone, *[until_s] * len(came)]
    return tuple((start, max(start, end)) for start, end in zip(came, ends, strict=False))


def most_at_once(stretches: Iterable[Stretch]) -> int:
    """How many of them overlap at most; one that begins where another ends does not."""
    changes = sorted((at, by) for start, end in stretches if end > start for at, by in ((start, 1), (end, -1)))
    now = most = 0
    for _, by in changes:
        now += by
        most = max(most, now)
    return most


def _leaves(span: Span) -> bool:
    return FAMILIES.get(span.phase) == "leaving"


def _end(span: Span, until_s: float) -> float:
    return max(until_s, span.start_s) if span.end_s is None else span.end_s
