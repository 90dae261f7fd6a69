"""Which nodes are one host's: in a pool that rolls blue-green each generation of a host is a node of its own.

There a host is a place in its pool, and its nodes succeed one another: the new one is made and serves before the old
one leaves, so for a while there are two, with two machines, two claims and two names. A node of any other pool is
named by its host for life and has no successor. Looks only (docs/decisions/0094.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from lifecycle.ports import Claim, Pin, Ports
from lifecycle.roster import Entry, Roster, Standing, taken_by

DIGITS: Final = 8
"""Of the generation, in a node's name: enough to tell the few generations that a host ever has at once."""
LONGEST: Final = 63 - 1 - DIGITS
"""Letters of a host's name there: a node's own is a label, so it has 63 at most (RFC 1123)."""

_GENERATION: Final = re.compile(rf"-[0-9a-f]{{{DIGITS}}}")


def node_name(host: str, generation: str) -> str:
    """The name of a host's node of this generation."""
    return f"{host}-{generation[:DIGITS]}"


def may_be_of(host: str, name: str) -> bool:
    """Whether a node of this name can be one that the host has, or had: also while it was named by its host."""
    return name == host or (name.startswith(host) and bool(_GENERATION.fullmatch(name, len(host))))


def host_of(of: Pin | Claim) -> str:
    """Whose node it is."""
    return of.host or of.node


def hosts(ports: Ports) -> Mapping[str, str]:
    """The host of each declared node, in file order."""
    return {pin.node: host_of(pin) for pin in _declared(ports)}


def successor(ports: Ports, claim: Claim) -> Pin | None:
    """The declared node that takes the place of the claim's; None if that one is declared itself, or its host is not
    any more."""
    if ports.pins.pin(claim.node) is not None:
        return None
    return next((pin for pin in _declared(ports) if host_of(pin) == host_of(claim)), None)


def predecessors(ports: Ports, pins: Iterable[Pin], stack: str) -> Mapping[str, Pin]:
    """The nodes of the stack that one of `pins` succeeds and that are claimed still, so that their machines are not
    given back yet; each with the pin."""
    by_host = {host_of(pin): pin for pin in pins}
    named = {pin.node for pin in by_host.values()}
    if all(host == pin.node for host, pin in by_host.items()):
        return {}  # no name holds a generation, so all claims need not be read
    claims = ports.records.claims()
    return {
        name: by_host[host_of(claim)]
        for name, claim in sorted(claims.items())
        if claim.stack == stack and name not in named and host_of(claim) in by_host
    }


def _declared(ports: Ports) -> Iterator[Pin]:
    return (pin for pin in map(ports.pins.pin, ports.pins.declared()) if pin)


# ---------------------------------------------------------------- in the roster; pure


def missed(roster: Roster, hosts: Mapping[str, str]) -> frozenset[str]:
    """The nodes that are missed while they do not serve: those declared, but one that comes in beside another node of
    its host is missed by nobody as long as that one has not left, which is missed in its stead.

    hosts: of each declared node.
    """
    before: dict[str, list[str]] = {}
    for name, entry in roster.nodes.items():
        if name not in hosts and entry.standing is Standing.IN:
            before.setdefault(entry.host or name, []).append(name)
    found = set(hosts)
    for name, host in hosts.items() if before else ():
        if host in before and not has_come_in(roster, name):
            found.remove(name)
            found.update(before[host])
    return frozenset(found)


def has_come_in(roster: Roster, node: str) -> bool:
    """Whether the node serves, or has served and is in a turn of its own."""
    entry = roster.nodes.get(node)
    return entry is not None and (entry.standing is Standing.IN or entry.slot_since_s is not None)


def busy(roster: Roster, node: str, hosts: Mapping[str, str], run: str) -> tuple[str, ...]:
    """The nodes besides `node` that are in the middle of a turn, no step of which halted. hosts: of each declared node.

    A turn that replaces a host's node by another is over once the old one has left; but once a step halted, no old one
    is asked to leave any more.
    """
    ours, turning = set(hosts.values()), set(taken_by(roster, run))
    renewed = {hosts[n] for n in turning & set(hosts) if hosts[n] != n}
    of = {name: entry.host or name for name, entry in roster.nodes.items()}
    if any(entry.halted for name, entry in roster.nodes.items() if of[name] in renewed):
        renewed = set()

    def turns(name: str, entry: Entry) -> bool:
        if entry.slot_since_s is not None:
            return True
        if entry.standing is Standing.OUT:
            return bool(entry.host) and name in turning
        return name not in hosts and of[name] in renewed

    listed = roster.nodes.items()
    return tuple(sorted(n for n, e in listed if n != node and of[n] in ours and not e.halted and turns(n, e)))
