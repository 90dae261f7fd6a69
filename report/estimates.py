"""What a pool would take if it rolled another way: reckoned from its plan and the times that its nodes took.

Pure. It takes for granted that a node's way takes as long whatever else goes on; where several nodes at once slow
each other down, such as by rebuilding replicas, more of them save less than is reckoned here.

Rolling: a lane takes one node after another; a node serves until its cordon and again once it came in.
Blue-green: in each lane a host's new machine comes in, then its old one goes, then comes the next host's. So the pool
never has fewer nodes than it declares, and as many machines more as it has lanes (components/rollout/planner.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lifecycle.evidence import JOINING, LEAVING
from report.record import Pool, Roll, Span
from report.spending import BLUE_GREEN, ROLLING, SERVES_AGAIN, host_of, price_of
from report.summary import STILL_SERVING, by_node, came_in, percentile

NOT_ITS_OWN = {"slot", SERVES_AGAIN}
"""Phases whose length is not a node's own: it waits for others there, or for as long as the stack file says."""

ASSUMPTIONS = (
    "Reckoned from how long this roll's nodes took, without their waits for a turn; a node that was not replaced "
    "counts with its pool's median. Nodes that go at once are taken to be as fast as alone. Out of service: from the "
    "cordon until the node serves again. Headroom: whose work the other nodes must be able to carry. Surge: machines "
    "beyond those that are declared. Whether a setting is allowed is for the stack file's own rules to say."
)
"""What a reader has to know of the figures."""

LEAST_TRIED = (1, 2, 3)
"""Values of max_unavailable that are always reckoned."""


@dataclass(frozen=True)
class Times:
    """How long the parts of one node's way took, in seconds. gates: it still serves. off: until the power is off.
    install: with its boot."""

    gates_s: float
    leave_s: float
    off_s: float
    install_s: float
    join_s: float

    @property
    def out_s(self) -> float:
        """From the cordon until it serves again."""
        return self.leave_s + self.off_s + self.install_s + self.join_s

    @property
    def turn_s(self) -> float:
        return self.gates_s + self.out_s

    @property
    def in_s(self) -> float:
        """Of a new machine, until it serves."""
        return self.install_s + self.join_s

    @property
    def away_s(self) -> float:
        """Of an old machine, until it is gone."""
        return self.gates_s + self.leave_s + self.off_s


@dataclass(frozen=True)
class Estimate:
    """What a roll of the whole pool takes. out_s, surge_s: of all nodes together. headroom: nodes whose work the
    others must be able to carry. surge: machines at once beyond the declared ones."""

    strategy: str
    wall_s: float
    out_s: float
    headroom: int
    surge_s: float
    surge: int


@dataclass(frozen=True)
class Compared:
    """One pool, rolled in place and by new machines. new is None where that is refused, `why` says it."""

    pool: Pool
    in_place: Estimate
    new: Estimate | None
    why: str = ""

    def cost(self, estimate: Estimate) -> str:
        """Of its surge; empty where no price was given."""
        price = price_of(self.pool)
        return price.of(estimate.surge_s) if price else ""


@dataclass(frozen=True)
class Setting:
    """What the pool's roll takes with one setting changed; change is "" for none. difference_s: from that."""

    pool: Pool
    change: str
    estimate: Estimate
    difference_s: float = 0.0

    @property
    def as_set(self) -> bool:
        return not self.change


def times(roll: Roll, pool: Pool) -> Mapping[str, Times]:
    """Of each host of the pool that came in, the last time it went through each phase. A host that did not gets the
    median of those that did, part by part; {} if none did."""
    ways: dict[str, list[Span]] = {}
    came = set()
    for node, own in by_node(roll.spans).items():
        host = host_of(node, pool.hosts)
        ways.setdefault(host, []).extend(own)
        came |= {host} if came_in(own) else set()
    seen = {host: _times(ways[host]) for host in pool.hosts if host in came}
    if not seen:
        return {}

    def usual(part: str) -> float:
        return percentile((getattr(t, part) for t in seen.values()), 50)

    median = Times(usual("gates_s"), usual("leave_s"), usual("off_s"), usual("install_s"), usual("join_s"))
    return {host: seen.get(host, median) for host in pool.hosts}


def _times(spans: Sequence[Span]) -> Times:
    last = {s.phase: s.end_s - s.start_s for s in spans if s.end_s is not None and s.phase not in NOT_ITS_OWN}

    def total(phases: tuple[str, ...]) -> float:
        return sum(last.get(phase, 0.0) for phase in phases)

    leaving = tuple(phase for phase in LEAVING if phase not in STILL_SERVING)
    return Times(
        gates_s=total(("gates",)),
        leave_s=total(leaving),
        off_s=total(("power-off",)),
        install_s=total(("install", "boot")),
        join_s=total(JOINING),
    )


def estimate(pool: Pool, took: Mapping[str, Times]) -> Estimate:
    """What a roll of the whole pool takes as the pool is set. took: of each of its hosts."""
    return _blue_green(pool, took) if pool.strategy == BLUE_GREEN else _rolling(pool, took)


def compared(roll: Roll) -> tuple[Compared, ...]:
    """Each pool that something is known of, in the order of the record."""
    found = []
    for pool in roll.pools:
        if took := times(roll, pool):
            why = refused(pool)
            new = None if why else _blue_green(pool, took)
            found.append(Compared(pool, _rolling(pool, took), new, why))
    return tuple(found)


def refused(pool: Pool) -> str:
    """Why a pool's machines must be replaced in place; "" if they need not."""
    if pool.role == "control-plane":
        return "a control plane goes one at a time, under its own name"
    if not pool.doubles:
        return "a host of its kind is one machine"
    return "what its hosts keep on their disks stays with them" if pool.keeps else ""


def settings(roll: Roll) -> tuple[Setting, ...]:
    """What max_unavailable, canary and soak cost each pool that has a choice, in time and in headroom."""
    return tuple(
        setting
        for pool in roll.pools
        if pool.role != "control-plane" and len(pool.hosts) > 1 and (took := times(roll, pool))
        for setting in _settings(pool, took)
    )


def _settings(pool: Pool, took: Mapping[str, Times]) -> Iterator[Setting]:
    now = estimate(pool, took)
    yield Setting(pool, "", now)
    tried = sorted({*LEAST_TRIED, pool.max_unavailable})
    changes: list[tuple[str, dict[str, object]]] = [
        (f"max_unavailable: {n}", {"max_unavailable": n})
        for n in tried
        if n != pool.max_unavailable and n < len(pool.hosts)
    ]
    changes.append((f"canary: {str(not pool.canary).lower()}", {"canary": not pool.canary}))
    if pool.canary and pool.soak_s:
        changes.append(("soak_s: 0", {"soak_s": 0.0}))
    for said, change in changes:
        then = estimate(pool.model_copy(update=change), took)
        yield Setting(pool, said, then, then.wall_s - now.wall_s)


# ---------------------------------------------------------------- the two ways


def lanes(pool: Pool) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The canary, and the lanes of all others, as components/rollout/planner.py orders nodes that are all in."""
    hosts = pool.hosts
    if pool.role == "control-plane":
        return (), (hosts,)
    first = hosts[:1] if pool.canary and len(hosts) > 1 else ()
    rest = hosts[len(first) :]
    count = min(pool.max_unavailable, len(rest))
    return first, tuple(rest[i::count] for i in range(count))


def _rolling(pool: Pool, took: Mapping[str, Times]) -> Estimate:
    wall_s = _in_lanes(pool, {host: t.turn_s for host, t in took.items()})
    at_once = 1 if pool.role == "control-plane" else min(pool.max_unavailable, len(pool.hosts))
    return Estimate(ROLLING, wall_s, sum(took[host].out_s for host in pool.hosts), at_once, 0.0, 0)


def _blue_green(pool: Pool, took: Mapping[str, Times]) -> Estimate:
    beside_s = {host: took[host].in_s + took[host].away_s for host in pool.hosts}
    first, _ = lanes(pool)
    surge_s = sum(beside_s.values()) + (pool.soak_s if first else 0.0)  # the old one stays while the canary is watched
    at_once = min(pool.max_unavailable, len(pool.hosts))
    return Estimate(BLUE_GREEN, _in_lanes(pool, beside_s), 0.0, 0, surge_s, at_once)


def _in_lanes(pool: Pool, turn_s: Mapping[str, float]) -> float:
    """When the last turn is over."""
    first, others = lanes(pool)
    canary_s = sum(turn_s[host] + pool.soak_s for host in first)
    return canary_s + max((sum(turn_s[host] for host in lane) for lane in others), default=0.0)
