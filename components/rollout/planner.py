"""The order of an up: a pure function of the pools, what is known of them, and their budgets.

The engine's order is this plan; the roster in the cluster is the law (lifecycle/roster.py). The same
plan feeds the resources' registration, the report in a pull request and the rack's clock.

Order (docs/decisions, "the order of a roll"):
1. one wave that heals and brings up: nodes that are declared but out, and nodes never seen. Their
   machines boot in parallel; control planes come in one after another; workers come in after them.
2. the known control planes, one at a time.
3. pool by pool, in file order: its canary alone, then `max_unavailable` lanes.

In a pool that rolls blue-green a node that is new but succeeds another, which serves, is no new one here: its turn
comes in its pool's lanes, and ends once the other has left. So a pool needs as many machines more as it has lanes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from lifecycle.succession import may_be_of


class Standing(StrEnum):
    """What the roster (or the stack's last outputs) knows of a declared node."""

    NEW = "new"
    IN = "in"
    OUT = "out"


@dataclass(frozen=True)
class PoolOrder:
    """What the planner must know of a pool. hosts: in roll order. nodes: of a pool that rolls blue-green, the name of
    each host's node; a host that is not in it names its node itself."""

    name: str
    control_plane: bool
    hosts: tuple[str, ...]
    max_unavailable: int = 1
    canary: bool = False
    nodes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedNode:
    """When a node's turn comes.

    wave: its turn starts once every node of all earlier waves serves. lane: nodes of one wave and lane
    go one after another. machine_after: the node that must serve before this one's machine is touched;
    member_after: the node that must serve before this one comes in. why: for a reader. succeeds: nodes of the same
    host that leave once this one serves, which ends its turn.
    """

    node: str
    pool: str
    wave: int
    lane: str
    machine_after: str | None
    member_after: str | None
    why: str
    succeeds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Planned nodes in registration order; waves count from 0 without gaps."""

    nodes: tuple[PlannedNode, ...]

    def in_words(self) -> tuple[str, ...]:
        """One line a lane, for people and golden logs."""
        lanes: dict[tuple[int, str, str, str], list[str]] = {}
        for n in self.nodes:
            lanes.setdefault((n.wave, n.pool, n.lane, n.why), []).append(n.node)
        return tuple(
            f"wave {wave} {pool} {lane}: {' '.join(nodes)} ({why})" for (wave, pool, lane, why), nodes in lanes.items()
        )


def plan(pools: Sequence[PoolOrder], standing: Mapping[str, Standing]) -> Plan:
    """Order the nodes of all hosts of `pools`. A node that `standing` does not name is new, unless it succeeds one.

    Deterministic: depends on the order of `pools` and of their hosts only.
    """
    declared = {p.nodes.get(h, h) for p in pools for h in p.hosts}
    older = {p.nodes.get(h, h): _older(h, declared, standing) for p in pools if p.nodes for h in p.hosts}
    pools = [replace(p, hosts=tuple(p.nodes.get(h, h) for h in p.hosts), nodes={}) for p in pools]
    standing = {**standing, **dict(_stand_ins(older, standing))}
    ordered = [p for p in pools if p.control_plane] + [p for p in pools if not p.control_plane]
    stands = {h: standing.get(h, Standing.NEW) for p in ordered for h in p.hosts}
    waves: list[list[PlannedNode]] = [_heal_and_bring_up(ordered, stands)]
    known = {p.name: [h for h in p.hosts if stands[h] is Standing.IN] for p in ordered}
    control_planes = [(p.name, h) for p in ordered if p.control_plane for h in known[p.name]]
    waves.append(_chain(control_planes, "control-plane", "control planes one at a time"))
    for p in ordered:
        if p.control_plane:
            continue
        hosts = [(p.name, h) for h in known[p.name]]
        if p.canary and len(hosts) > 1:
            waves.append(_chain(hosts[:1], "canary", "canary"))
            hosts = hosts[1:]
        lanes = min(p.max_unavailable, len(hosts))
        why = f"{p.max_unavailable} out at most"
        waves.append([n for i in range(lanes) for n in _chain(hosts[i::lanes], f"lane {i + 1}", why)])
    numbered = [wave for wave in waves if wave]
    in_waves = ((i, n) for i, wave in enumerate(numbered) for n in wave)
    return Plan(tuple(replace(n, wave=i, succeeds=older.get(n.node, ())) for i, n in in_waves))


def _heal_and_bring_up(pools: Sequence[PoolOrder], stands: Mapping[str, Standing]) -> list[PlannedNode]:
    wave: list[PlannedNode] = []
    last_in: str | None = None
    for p in pools:
        absent = [h for h in p.hosts if stands[h] is not Standing.IN]
        for host in sorted(absent, key=lambda h: stands[h] is Standing.NEW):
            heals = stands[host] is Standing.OUT
            why = "out: heals first" if heals else "new"
            lane = "control-plane" if p.control_plane else host
            machine_after = last_in if heals and p.control_plane else None
            wave.append(PlannedNode(host, p.name, 0, lane, machine_after, last_in, why))
            if p.control_plane:
                last_in = host
    return wave


def _chain(hosts: Sequence[tuple[str, str]], lane: str, why: str) -> list[PlannedNode]:
    return [
        PlannedNode(host, pool, 0, lane, hosts[i - 1][1] if i else None, None, why)
        for i, (pool, host) in enumerate(hosts)
    ]


def _older(host: str, declared: Collection[str], standing: Mapping[str, Standing]) -> tuple[str, ...]:
    """The nodes of the host that are to leave."""
    return tuple(sorted(name for name in standing if name not in declared and may_be_of(host, name)))


def _stand_ins(
    older: Mapping[str, tuple[str, ...]], standing: Mapping[str, Standing]
) -> Iterator[tuple[str, Standing]]:
    """How a host stands whose node is still to be made: as the one that is there."""
    for node, before in older.items():
        if before and node not in standing:
            serves = any(standing[name] is Standing.IN for name in before)
            yield node, Standing.IN if serves else Standing.OUT
