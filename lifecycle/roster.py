"""The roster: who of the fleet is out, and who may leave next.

A document in the cluster, changed by compare-and-swap only. The functions over `Roster` are pure;
`update` and what uses it do the I/O. The engine's order is a plan, the roster is the law: the rules
of `blockers` hold whatever the engine asks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum

from pydantic import BaseModel, ValidationError

from lifecycle.claims import joined_hosts
from lifecycle.errors import RosterContended, RosterMissing, RosterUnreadable, StorageTurnTaken
from lifecycle.ports import Pin, Ports, Role
from lifecycle.waiting import Blocked, wait_until

TRIES = 30
"""Of a compare-and-swap. Each loss means that another writer won, so thirty losses mean a crowd."""

BACKOFF_S = 0.2
"""Sleep after the second lost compare-and-swap, grown by as much each time."""


class Standing(StrEnum):
    """Out: declared but not serving."""

    OUT = "out"
    IN = "in"


class Entry(BaseModel, frozen=True, extra="allow"):
    """One node. slot_since_s: since when it holds a slot of its budget; None: it holds none. unready_before,
    claims_before, budgets_before: what was so when its turn began (lifecycle.before.Before), until it serves.
    halted: a step of its turn did, so nobody need wait for its end. host: as its pin said.

    Extra fields are kept: a newer checkout may have written them.
    """

    pool: str
    role: Role
    generation: str
    fault_domain: str
    standing: Standing = Standing.OUT
    slot_since_s: float | None = None
    retiring: bool = False
    unready_before: tuple[str, ...] = ()
    claims_before: tuple[str, ...] = ()
    budgets_before: tuple[str, ...] = ()
    halted: bool = False
    host: str = ""


class Paused(BaseModel, frozen=True, extra="allow"):
    """Who paused the roll, when, and why."""

    by: str
    since_s: float
    reason: str = ""


class Roster(BaseModel, frozen=True, extra="allow"):
    """The whole document. serving: the fleet-ready barrier was reached once. storage_turn: the node
    that is just being taken out of storage, or "". paused: no further node may leave. run: the run that took
    the last slot; taken: the nodes whose slots it took. kernels: of each image (lifecycle.image.of), the kernel of
    the first machine that joined with it.
    """

    format: int = 1
    serving: bool = False
    storage_turn: str = ""
    paused: Paused | None = None
    run: str = ""
    taken: tuple[str, ...] = ()
    kernels: dict[str, str] = {}
    nodes: dict[str, Entry] = {}


# ---------------------------------------------------------------- pure


def parse(document: str, node: str) -> Roster:
    """Read the stored document; "" is an empty roster. Raises RosterUnreadable, in `node`'s name."""
    if not document:
        return Roster()
    try:
        return _last_text.read(document)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        path = ".".join(str(p) for p in first["loc"]) or "the document"
        raise RosterUnreadable(node, f"at {path}: {first['msg']}") from None


class _LastText:
    """The last text that was read or written here, with its roster. Rosters never change, and a fleet of a
    thousand nodes takes milliseconds to read each time."""

    def __init__(self) -> None:
        self._known: tuple[str, Roster] = ("", Roster())
        self._entries: dict[str, tuple[Entry, str]] = {}

    def read(self, document: str) -> Roster:
        text, roster = self._known
        return roster if text == document else self.remember(document, Roster.model_validate_json(document))

    def write(self, roster: Roster) -> str:
        """The roster as text. An entry that did not change is not written out again."""
        head = roster.model_copy(update={"nodes": {}}).model_dump_json(exclude_defaults=True)
        nodes = ",".join(f"{json.dumps(name)}:{self._entry(name, entry)}" for name, entry in roster.nodes.items())
        return f'{head[:-1]}{"," if len(head) > len("{}") else ""}"nodes":{{{nodes}}}}}'

    def _entry(self, name: str, entry: Entry) -> str:
        known = self._entries.get(name)
        if known is not None and known[0] is entry:
            return known[1]
        text = entry.model_dump_json(exclude_defaults=True)
        self._entries[name] = (entry, text)
        return text

    def remember(self, document: str, roster: Roster) -> Roster:
        self._known = (document, roster)
        return roster


_last_text = _LastText()


def text(roster: Roster) -> str:
    """The roster as it is stored."""
    return _last_text.write(roster)


def with_entry(roster: Roster, node: str, entry: Entry) -> Roster:
    """The roster with `entry` for `node`."""
    return roster.model_copy(update={"nodes": {**roster.nodes, node: entry}})


def enrolled(roster: Roster, pin: Pin) -> Roster:
    """The node listed as declared: out, unless it is in already with this generation."""
    was = roster.nodes.get(pin.node)
    stays = was is not None and was.standing is Standing.IN and was.generation == pin.generation
    fields = {
        "pool": pin.pool,
        "role": pin.role,
        "generation": pin.generation,
        "fault_domain": pin.fault_domain,
        "host": pin.host,
        "standing": Standing.IN if stays else Standing.OUT,
        "halted": False,
        "retiring": pin.retire,  # as `retire` marked it in this same up; a host that comes back brings no old mark
    }
    entry = was.model_copy(update=fields) if was else Entry.model_validate(fields)
    return roster if entry == was else with_entry(roster, pin.node, entry)


def counts_as_out(name: str, entry: Entry, declared: Collection[str], not_ready: Collection[str]) -> bool:
    """Whether the node spends its budget: it is leaving, or it is declared and does not serve.

    A node that retires is missed by nobody once it has left. One that the stack file no longer names counts
    only while it leaves: what it lacks nobody will mend, and its own leave comes when all others are done.
    """
    if name not in declared:
        return entry.slot_since_s is not None and entry.standing is Standing.IN
    if entry.slot_since_s is not None:
        return True
    if entry.retiring:
        return False
    return entry.standing is Standing.OUT or name in not_ready


def out_nodes(roster: Roster, node: str, declared: Collection[str], not_ready: Collection[str]) -> Mapping[str, Entry]:
    """All nodes but `node` that are out, by name."""
    out = [n for n, e in roster.nodes.items() if n != node and counts_as_out(n, e, declared, not_ready)]
    return {n: roster.nodes[n] for n in sorted(out)}


def blockers(entry: Entry, out: Mapping[str, Entry], max_unavailable: int) -> Mapping[str, str]:
    """Who keeps the node of `entry` from leaving, each with the reason; empty: it may leave.

    `out` is what `out_nodes` found. A retiring node is missed by no budget, but control planes still
    leave one after another, so that etcd loses one member at a time.
    """
    why: dict[str, str] = {}
    of_pool = [n for n, e in out.items() if e.pool == entry.pool]
    for name, other in out.items():
        if entry.retiring:
            if entry.role is other.role is Role.CONTROL_PLANE and other.slot_since_s is not None:
                why[name] = "control planes leave one at a time"
        elif Role.CONTROL_PLANE in (entry.role, other.role):
            why[name] = "a control plane leaves only while no other node is out"
        elif name in of_pool and len(of_pool) >= max_unavailable:
            why[name] = f"pool {entry.pool} may have {max_unavailable} out"
        elif entry.fault_domain and other.fault_domain == entry.fault_domain:
            why[name] = f"same fault domain {entry.fault_domain}"
    return why


def declared_in(pools: Mapping[str, str], name: str, entry: Entry) -> Entry:
    """The entry in the pool that declares the node now: the roster's may have been renamed since."""
    pool = pools.get(name, entry.pool)
    return entry if pool == entry.pool else entry.model_copy(update={"pool": pool})


def with_slot(roster: Roster, node: str, entry: Entry, now_s: float) -> Roster:
    """`node` leaves: it holds a slot since now, or since it took it."""
    since_s = entry.slot_since_s if entry.slot_since_s is not None else now_s
    return with_entry(roster, node, entry.model_copy(update={"slot_since_s": since_s, "halted": False}))


def counted(roster: Roster, node: str, run: str) -> Roster:
    """One more node that this run takes out. Another run begins to count anew."""
    taken = taken_by(roster, run)
    return roster.model_copy(update={"run": run, "taken": taken if node in taken else (*taken, node)})


def taken_by(roster: Roster, run: str) -> tuple[str, ...]:
    """The nodes that this run took out so far, in order."""
    return roster.taken if roster.run == run else ()


def _changed(roster: Roster, node: str, **fields: object) -> Roster:
    entry = roster.nodes.get(node)
    if entry is None:
        return roster
    new = entry.model_copy(update=fields)
    return roster if new == entry else with_entry(roster, node, new)


def without_slot(roster: Roster, node: str) -> Roster:
    """The slot given back; the node stands as it stood, and no run took it out."""
    taken = tuple(n for n in roster.taken if n != node)
    before = roster if taken == roster.taken else roster.model_copy(update={"taken": taken})
    return _changed(before, node, slot_since_s=None, halted=False)


def halted(roster: Roster, node: str) -> Roster:
    """A step of the node's turn halted. A node that holds no slot has no turn, unless it comes in beside another."""
    entry = roster.nodes.get(node)
    turns = entry is not None and (entry.slot_since_s is not None or (bool(entry.host) and node in roster.taken))
    return _changed(roster, node, halted=True) if turns else roster


def without(roster: Roster, node: str) -> Roster:
    """The roster as if the node had never been there."""
    return roster.model_copy(update={"nodes": {n: e for n, e in roster.nodes.items() if n != node}})


def left(roster: Roster, node: str, *, returns: bool) -> Roster:
    """The node is out. It keeps its slot if it returns, until its readiness frees it."""
    fields: dict[str, object] = {"standing": Standing.OUT}
    if not returns:
        fields["slot_since_s"] = None
    return _changed(_turn_over(roster, node), node, **fields)


def serves(roster: Roster, node: str) -> Roster:
    """The node is in and holds nothing."""
    done = _turn_over(roster, node)
    done = _changed(done, node, standing=Standing.IN, slot_since_s=None, halted=False)
    return remembers(done, node)


def remembers(
    roster: Roster,
    node: str,
    *,
    unready: Iterable[str] = (),
    claims: Iterable[str] = (),
    budgets: Iterable[str] = (),
) -> Roster:
    """What was so before anything was done to the node, and nothing that was remembered of an earlier turn."""
    unready_before, claims_before, budgets_before = (tuple(sorted(names)) for names in (unready, claims, budgets))
    return _changed(
        roster,
        node,
        unready_before=unready_before,
        claims_before=claims_before,
        budgets_before=budgets_before,
    )


def _turn_over(roster: Roster, node: str) -> Roster:
    return roster.model_copy(update={"storage_turn": ""}) if roster.storage_turn == node else roster


def marked(roster: Roster, retire: Mapping[str, bool]) -> Roster:
    """The marks of retirement as declared; nodes that `retire` does not name keep theirs."""
    for node, mark in retire.items():
        roster = _changed(roster, node, retiring=mark)
    return roster


def opened(roster: Roster, pins: Mapping[str, Pin]) -> Roster:
    """The fleet serves: what left and is not declared any more is forgotten, pools are as declared."""
    here = {n for n, e in roster.nodes.items() if e.standing is Standing.IN or e.slot_since_s is not None}
    kept = {n: e for n, e in roster.nodes.items() if n in pins or n in here}
    for name, pin in pins.items():
        if name in kept:
            fields = {"pool": pin.pool, "role": pin.role, "fault_domain": pin.fault_domain}
            kept[name] = kept[name].model_copy(update=fields)
    return roster.model_copy(update={"serving": True, "nodes": kept})


# ---------------------------------------------------------------- in the cluster


def read(ports: Ports, node: str) -> Roster:
    """The roster as it stands. Raises RosterUnreadable and RosterMissing, in `node`'s name."""
    return parse(_stored(ports, node)[0], node)


def _stored(ports: Ports, node: str) -> tuple[str, str]:
    """Document and version; none yet only while nobody has joined: each join lists its node first. Taken for
    an empty one later, a lost document would let every budget and storage gate stand open."""
    document, version = ports.roster.read()
    if document:
        return document, version
    claim = ports.records.claim(node) or ports.records.claim(ports.records.initialised_by() or node)
    joined = joined_hosts(ports, claim.stack) if claim else ()
    if joined:
        document, version = ports.roster.read()  # the first of them may have written it between the two looks
        if not document:
            raise RosterMissing(node, f"none, although {', '.join(joined)} joined")
    return document, version


def update(ports: Ports, node: str, change: Callable[[Roster], Roster | Blocked]) -> Roster | Blocked:
    """Apply `change` to the newest roster until no other writer came in between.

    Writes nothing if `change` blocks or changes nothing. Raises RosterMissing; RosterContended after TRIES
    losses.
    """
    stored = _stored(ports, node)
    after = _changed_from(stored, node, change)
    if after is None or isinstance(after, Blocked):
        return after or parse(stored[0], node)
    with ports.roster.turn():
        for lost in range(TRIES):
            now = _stored(ports, node)
            if now != stored:
                stored, after = now, _changed_from(now, node, change)
                if after is None or isinstance(after, Blocked):
                    return after or parse(now[0], node)
            written = _last_text.write(after)
            if ports.roster.write(written, stored[1]):
                return _last_text.remember(written, after)
            if lost:  # the first is lost to a view that was behind, and the next look asks
                ports.clock.sleep(BACKOFF_S * lost)
    raise RosterContended(node, TRIES)


def _changed_from(
    stored: tuple[str, str], node: str, change: Callable[[Roster], Roster | Blocked]
) -> Roster | Blocked | None:
    """What `change` makes of a document; None if that is nothing new."""
    before = parse(stored[0], node)
    after = change(before)
    return None if after == before and stored[0] else after


def not_ready(ports: Ports, roster: Roster) -> frozenset[str]:
    """Listed nodes that do not serve just now, whatever the roster says. Before the fleet-ready
    barrier a node need not be Ready (there is no network yet), so then there are none."""
    if not roster.serving:
        return frozenset()
    ready = {n.name for n in ports.kubernetes.nodes() if n.ready}
    return frozenset(n for n in roster.nodes if n not in ready)


def take_storage_turn(ports: Ports, node: str) -> None:
    """Be the only node that is just taken out of storage: two that check at once would each find the
    other's replicas. Raises StorageTurnTaken; ends with `left`, `serves` or `end_storage_turn`."""

    def take(roster: Roster) -> Roster | Blocked:
        if roster.storage_turn not in ("", node):
            return Blocked(f"{roster.storage_turn} is being taken out", (roster.storage_turn,))
        return roster.model_copy(update={"storage_turn": node})

    wait_until(
        lambda: update(ports, node, take),
        what="its turn to leave storage",
        node=node,
        about="roster",
        ports=ports,
        limit_s=ports.pins.limits().gate_s,
        error=StorageTurnTaken,
    )


def end_storage_turn(ports: Ports, node: str) -> None:
    """The next node may be taken out of storage."""
    update(ports, node, lambda roster: _turn_over(roster, node))
