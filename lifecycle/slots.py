"""A slot of its budget for a node that leaves, and where a roll stops between two of them.

The rules of a budget are the roster's (`lifecycle.roster.blockers`). A pause, `rollout.stop_after` and
`rollout.windows` end a roll here, before a node is touched; none of them keeps a node waiting that is out
already, because that one is missing until it is healed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime

from lifecycle import roster, succession
from lifecycle.claims import placed
from lifecycle.errors import BudgetFull, LifecycleError, PortError, WaitedTooLong
from lifecycle.ports import Claim, ClaimState, Limits, Pin, Ports, Rollout
from lifecycle.rolls import moment
from lifecycle.roster import Entry, Roster, Standing
from lifecycle.stops import RollPaused, RollStopped, StoppedAsAsked
from lifecycle.waiting import Blocked, wait_until
from lifecycle.windows import next_opening


def begin_turn(ports: Ports, pin: Pin) -> None:
    """A host's turn begins with the machine of its next node: list that node, and count the turn.

    Does nothing for a node that has its host's name, one that is listed already, and one that succeeds none. Raises
    RollPaused and RollStopped, with nothing touched, once the nodes that are in a turn are through it.
    """
    if not pin.host or ports.records.initialised_by() is None or not ports.kubernetes.answers():
        return
    node, run, rollout = pin.node, ports.rolls.run().id, ports.pins.rollout()

    def begin(now: Roster) -> Roster:
        before = [n for n, e in now.nodes.items() if (e.host or n) == pin.host and e.standing is Standing.IN]
        if not now.serving or node in now.nodes or not before:
            return now
        listed = roster.enrolled(now, pin)
        if set(before) <= roster.not_ready(ports, now):
            return listed  # its host is out until this one serves
        stop = boundary(now, node, listed.nodes[node], run, rollout, ports.clock.now_s())
        if stop is not None:
            raise stop
        return roster.counted(listed, node, run)

    try:
        roster.update(ports, node, begin)
    except StoppedAsAsked:
        _finish(ports, node)
        raise


def take_slot(ports: Ports, claim: Claim, pin: Pin | None, successor: Pin | None = None) -> tuple[Roster, Entry]:
    """Hold a slot of the node's budget; waits for one. Returns the roster and the entry found before.

    A node that left, or holds a slot from an earlier run, needs no further one. One that is not Ready is missing
    already, so others that are missing too do not keep it waiting; but those do that hold a slot, since whoever is not
    Ready may be again before its turn is over. One that has a successor leaves once that one serves, in the turn that
    began with it. Raises BudgetFull naming who holds it and since when, if one of them did so all the while;
    RollPaused and RollStopped once the nodes that are out have come in.
    """
    node, now_s, rules = claim.node, ports.clock.now_s, pin or successor
    turn = successor.node if successor else node
    hosts = succession.hosts(ports)
    run, rollout = ports.rolls.run().id, ports.pins.rollout()
    found: list[Entry] = []

    def take(now: Roster) -> Roster | Blocked:
        entry = now.nodes.get(node) or _entry_of(claim, pin)
        entry = entry.model_copy(update={"retiring": entry.retiring or claim.retiring})
        found[:] = [entry]
        absent = roster.not_ready(ports, now)
        if roster.counts_as_out(node, entry, {node}, ()):
            return roster.with_slot(now, node, entry, now_s())
        itself_out = roster.counts_as_out(node, entry, {node}, absent)
        if not itself_out:
            if successor and not entry.retiring and not _serves(now, turn, absent):
                return Blocked(f"{turn}, which takes its place, does not serve", (turn,))
            stop = boundary(now, node, entry, run, rollout, now_s())
            if stop is not None and not (successor and turn in roster.taken_by(now, run)):
                raise stop
        out = roster.out_nodes(now, node, succession.missed(now, hosts), absent)
        if itself_out:
            out = {name: other for name, other in out.items() if other.slot_since_s is not None}
        pools = {n: p.pool for n in (node, *out) if (p := ports.pins.pin(n))}
        out = {n: roster.declared_in(pools, n, e) for n, e in out.items()}
        why = roster.blockers(roster.declared_in(pools, node, entry), out, rules.max_unavailable if rules else 1)
        if why:
            return Blocked("; ".join(_holder(n, out[n], why[n], now_s()) for n in why), tuple(why))
        taken = roster.with_slot(now, node, entry, now_s())
        return taken if entry.retiring or itself_out else roster.counted(taken, turn, run)

    try:
        return _taken(ports, claim, take), found[0]
    except StoppedAsAsked:
        _finish(ports, node)
        raise
    except BudgetFull as full:
        raise BudgetFull(node, full.blocked + _losses(ports, node), full.names, full.limit_s) from None


def _taken(ports: Ports, claim: Claim, take: Callable[[Roster], Roster | Blocked]) -> Roster:
    """The roster once `take` had its slot. The limit is for one of those in the way: while they change, turns end.
    Raises BudgetFull."""
    seen: list[Collection[str]] = []

    def look() -> Roster | Blocked:
        now = roster.update(ports, claim.node, take)
        if isinstance(now, Blocked):
            seen.append(now.names)
        return now

    while True:
        seen.clear()
        try:
            return wait_until(
                look,
                what=f"a slot of pool {claim.pool}",
                node=claim.node,
                about="roster",
                ports=ports,
                limit_s=ports.pins.limits().slot_s,
                error=BudgetFull,
            )
        except BudgetFull as full:
            if not seen or set(seen[0]) & set(full.names):
                raise


def _serves(now: Roster, node: str, absent: Collection[str]) -> bool:
    entry = now.nodes.get(node)
    return entry is not None and entry.standing is Standing.IN and node not in absent


def _losses(ports: Ports, node: str) -> str:
    """What is lost if this leave is a destroy's, which it cannot tell: volumes whose last live replica is here now
    that others are out. "" if there is none, or storage does not say."""
    with suppress(PortError):
        lost = sorted(ports.storage.only_on(node))
        return f"; a destroy would lose {', '.join(lost)} with it" if lost else ""
    return ""


def boundary(now: Roster, node: str, entry: Entry, run: str, rollout: Rollout, now_s: float) -> StoppedAsAsked | None:
    """Why the roll ends before this node, or None. Pure.

    A node that retires is kept waiting by a pause only: its leave was said by itself, with its losses listed.
    """
    if now.paused is not None:
        reason = f": {now.paused.reason}" if now.paused.reason else ""
        return RollPaused(node, f"it paused by {now.paused.by} since {moment(now.paused.since_s)}{reason}")
    if entry.retiring:
        return None
    taken, at = len(roster.taken_by(now, run)), datetime.fromtimestamp(now_s, UTC)
    opens = next_opening(rollout.windows, at)
    reached = rollout.stop_after is not None and taken >= rollout.stop_after
    if not reached and opens == at:
        return None
    found = f"{taken} replaced by this run" + (f", as many as rollout.stop_after lets it ({taken})" if reached else "")
    if opens > at:
        found += f", and no window of rollout.windows open; the next opens at {moment(opens.timestamp())}"
    return RollStopped(node, found, opens.timestamp() if opens > at else None)


def _finish(ports: Ports, node: str) -> None:
    """Return once no other node is in the middle of its turn: the engine ends all lanes as soon as one says stop.
    Nodes whose step halted are not waited for, nor longer than their own deadlines let them take."""
    hosts, run = succession.hosts(ports), ports.rolls.run().id

    def finished() -> bool | Blocked:
        busy = succession.busy(roster.read(ports, node), node, hosts, run)
        return Blocked(f"{', '.join(busy)} on the way out or in", busy) if busy else True

    with suppress(WaitedTooLong):  # why the roll stops is what the user must read
        wait_until(
            finished,
            what="the roll stops here, once the nodes that are out serve",
            node=node,
            about="roster",
            ports=ports,
            limit_s=turn_s(ports.pins.limits()),
            error=BudgetFull,
        )


def turn_s(limits: Limits) -> float:
    """The longest that one node's turn takes if every part of it takes as long as it may."""
    out_s = limits.gate_s + limits.drain_s + limits.detach_s + limits.etcd_s + limits.redundancy_s + limits.power_s
    return out_s + limits.boot_s + limits.join_s + limits.redundancy_s + limits.attach_s


def mark_halted(ports: Ports, node: str) -> None:
    """Nobody waits for the end of this node's turn any more. If that cannot be said now, they wait in vain."""
    with suppress(LifecycleError):
        if ports.records.initialised_by() is not None and ports.kubernetes.answers():
            roster.update(ports, node, lambda now: roster.halted(now, node))


def _holder(name: str, entry: Entry, why: str, now_s: float) -> str:
    since = "not serving" if entry.slot_since_s is None else f"out for {now_s - entry.slot_since_s:.0f} s"
    return f"{name} is {since} ({why})"


def _entry_of(claim: Claim, pin: Pin | None) -> Entry:
    """An entry for a node that the roster does not list: what joined once is taken to serve."""
    return Entry(
        pool=claim.pool,
        role=claim.role,
        generation=claim.generation,
        fault_domain=placed(pin, claim).fault_domain if pin else claim.fault_domain,
        standing=Standing.IN if claim.state is ClaimState.JOINED else Standing.OUT,
        retiring=claim.retiring,
        host=claim.host,
    )
