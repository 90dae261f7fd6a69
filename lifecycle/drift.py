"""What of the fleet is not as it is pinned. Looks only: nothing here, or called from here, changes anything.

Expected is what the stack file of this checkout says; for what a machine is known by (its id, its boot,
its kernel) it is what the node's claim kept when the machine came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lifecycle import image, labels, rolls, roster
from lifecycle.claims import placed
from lifecycle.errors import LifecycleError, RosterMissing, RosterUnreadable
from lifecycle.gate import FLEET
from lifecycle.ports import Claim, ClaimState, Node, Pin, Ports

PRESENCE, MACHINE, GENERATION, BOOT = "presence", "machine", "boot configuration", "boot"
LABEL, TAINT = "label", "taint"
"""What a finding can be of, besides what lifecycle.image.Mismatch names."""

REPAIR = "runbooks/drift.md#replace: `ingot repair` replaces it"
UP = "run `pulumi up`"


class NeverBroughtUp(LifecycleError):
    """There is no cluster to compare with."""

    def __init__(self, stack: str) -> None:
        super().__init__(
            f"stack {stack}: expected a cluster that was brought up, found no record that one was. "
            f"Nothing was compared. Remedy: {UP} first, or run this where its boot store is mounted"
        )
        self.stack = stack


@dataclass(frozen=True)
class Finding:
    """One thing that is not as expected. replaces: only a new machine heals it. remedy: what does.
    information: worth knowing, and no drift."""

    node: str
    what: str
    expected: str
    found: str
    replaces: bool
    remedy: str
    information: bool = False


@dataclass(frozen=True)
class Survey:
    """The fleet at one moment. pins: as declared, in file order. claims: of this stack, by host. nodes: of
    the cluster, by name. turning: the nodes that a run which goes on just replaces, brings in or takes out."""

    stack: str
    pins: Mapping[str, Pin]
    claims: Mapping[str, Claim]
    nodes: Mapping[str, Node]
    now_s: float
    turning: frozenset[str] = frozenset()


def survey(ports: Ports, stack: str) -> Survey:
    """Look at all of it once. Raises NeverBroughtUp, and PortError if cluster or boot store do not answer."""
    pins = {pin.node: pin for pin in map(ports.pins.pin, ports.pins.declared()) if pin}
    if ports.records.initialised_by() is None:
        raise NeverBroughtUp(stack)
    claims = {host: claim for host, claim in ports.records.claims().items() if claim.stack == stack}
    nodes = {node.name: node for node in ports.kubernetes.nodes()}
    return Survey(stack, pins, claims, nodes, ports.clock.now_s(), _turning(ports, claims))


def _turning(ports: Ports, claims: Mapping[str, Claim]) -> frozenset[str]:
    """A node whose step halted, or whose run is over, is in no turn: it waits for somebody."""
    if not rolls.going_on(ports.rolls):
        return frozenset()
    try:
        listed = roster.read(ports, FLEET).nodes
    except (RosterMissing, RosterUnreadable):  # what steps say of that they say louder
        listed = {}
    slots = {name for name, entry in listed.items() if entry.slot_since_s is not None}
    halfway = {name for name, claim in claims.items() if claim.state is not ClaimState.JOINED}
    return frozenset(name for name in slots | halfway if name not in listed or not listed[name].halted)


def drift(
    pins: Mapping[str, Pin],
    claims: Mapping[str, Claim],
    nodes: Mapping[str, Node],
    turning: frozenset[str] = frozenset(),
) -> tuple[Finding, ...]:
    """All that differs: declared nodes in the order of `pins`, then what nobody declared, by name.

    claims: this stack's, by host. A node that retires is compared with nothing: it is on its way out; nor is one
    of `turning`, which is information.
    """
    found: list[Finding] = []
    for name, pin in pins.items():
        if name in turning:
            found.append(_in_turn(name, claims.get(name)))
        elif not pin.retire:
            found += _of_declared(pin, claims.get(name), nodes.get(name))
    held = {name for name, claim in claims.items() if claim.state is not ClaimState.LEFT}
    for name in sorted((set(nodes) | held) - set(pins)):
        claim = claims.get(name)
        found.append(_in_turn(name, claim) if name in turning else _undeclared(name, claim, nodes.get(name)))
    return tuple(found)


def _in_turn(name: str, claim: Claim | None) -> Finding:
    host = "a node" if claim is None else f"a host that is {claim.state}"
    found = f"{host}, in the middle of its turn of a roll that goes on"
    return Finding(name, PRESENCE, "a turn that ends", found, False, "none needed", information=True)


def _of_declared(pin: Pin, claim: Claim | None, node: Node | None) -> Iterator[Finding]:
    def absent(found: str, remedy: str, *, replaces: bool = False) -> Finding:
        return Finding(pin.node, PRESENCE, "a node that serves", found, replaces, remedy)

    if claim is None:
        if node is None:
            yield absent("nothing: it was never brought in", UP)
        else:
            machine = f"machine {node.machine_id or 'unknown'}"
            yield absent(f"{machine}, which this stack never claimed", "runbooks/drift.md#unclaimed")
    elif claim.state is not ClaimState.JOINED:
        yield absent(f"a host that is {claim.state}", f"{UP}: it goes on from there")
    elif node is None:
        yield absent(f"no Node object, though machine {claim.machine_id} joined", REPAIR, replaces=True)
    else:
        yield from _of_machine(pin, claim, node)
        yield from _of_labels(placed(pin, claim), node)


def _of_machine(pin: Pin, claim: Claim, node: Node) -> Iterator[Finding]:
    same_machine = node.machine_id == claim.machine_id
    if not same_machine:
        yield Finding(pin.node, MACHINE, claim.machine_id, node.machine_id or "none", True, REPAIR)
    rolls = claim.generation != pin.generation
    if rolls:
        yield Finding(pin.node, GENERATION, pin.generation, claim.generation, True, f"{UP}: it rolls the node")
    kernel = claim.kernel if rolls else pin.kernel or claim.kernel
    for m in image.mismatches(pin, node, kernel):
        declared = rolls and m.what != "kernel"
        yield Finding(pin.node, m.what, m.expected, m.found or "none", True, UP if declared else REPAIR)
    if same_machine and claim.boot_id and node.boot_id and node.boot_id != claim.boot_id:
        found = f"{node.boot_id}: it rebooted unasked since it joined"
        yield Finding(pin.node, BOOT, claim.boot_id, found, False, "none needed", information=True)


def _of_labels(pin: Pin, node: Node) -> Iterator[Finding]:
    """Labels and taints that the fleet owns. Put back by hand they are as good as new: no machine is replaced."""
    wanted = labels.labels(pin.role, pin.fault_domain, stores=pin.stores)
    for key in sorted(labels.LABELS):
        expected, found = wanted.get(key), node.labels.get(key)
        if expected != found:
            back = f"{key}-" if expected is None else f"--overwrite {key}={expected}"
            yield Finding(pin.node, LABEL, _pair(key, expected), _pair(key, found), False, _by_hand("label", pin, back))
    tainted = labels.taints(pin.role)
    has = {taint for taint in node.taints if labels.taint_key(taint) in labels.TAINTS}
    for taint in sorted(tainted - has):
        yield Finding(pin.node, TAINT, taint, "none", False, _by_hand("taint", pin, taint))
    for taint in sorted(has - tainted):
        yield Finding(pin.node, TAINT, "none", taint, False, _by_hand("taint", pin, f"{taint}-"))


def _pair(key: str, value: str | None) -> str:
    return f"no {key}" if value is None else f"{key}={value}"


def _by_hand(verb: str, pin: Pin, change: str) -> str:
    return f"runbooks/drift.md#labels: `kubectl {verb} node {pin.node} {change}`"


def _undeclared(name: str, claim: Claim | None, node: Node | None) -> Finding:
    if claim is not None and claim.state is not ClaimState.LEFT:
        found = f"a host that is {claim.state}" if node is None else "a node of this stack"
        return Finding(name, PRESENCE, "nothing: it is not declared", found, False, f"{UP}: it takes the node out")
    return Finding(
        name, PRESENCE, "nothing: it is not declared", "a node that is not ours", False, "runbooks/drift.md#stranger"
    )
