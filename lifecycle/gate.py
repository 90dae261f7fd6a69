"""The fleet-ready barrier, and the roster as the program reads it."""

from __future__ import annotations

import json
from collections.abc import Callable

from lifecycle import image, roster
from lifecycle.claims import placed
from lifecycle.commands import Step
from lifecycle.errors import FleetNotReady, LifecycleError
from lifecycle.ports import Pin, Ports, Role, Verdict
from lifecycle.roster import Standing
from lifecycle.waiting import Blocked, wait_for_api, wait_until

FLEET = "fleet"
"""The name under which waits of the whole fleet are recorded."""


def gate(step: Step, ports: Ports) -> str:
    """Return once the whole declared fleet serves; from then on a join asks for all gates.

    Nodes that retire are not waited for. Forgets nodes that left and are not declared any more. Raises
    ClusterSilent and FleetNotReady.
    """
    limits = ports.pins.limits()
    pins = {pin.node: pin for pin in map(ports.pins.pin, ports.pins.declared()) if pin}
    staying = {name: pin for name, pin in pins.items() if not pin.retire}
    wait_for_api(ports, FLEET, limits.join_s)
    _wait(ports, lambda: _nodes(ports, staying), "every node Ready with its pinned image", "roster", limits.join_s)
    _wait(ports, lambda: _etcd(ports, staying), "etcd complete and healthy", "etcd", limits.etcd_s)
    _wait(ports, lambda: _said(ports.storage.is_redundant()), "storage redundant", "storage", limits.redundancy_s)
    _wait(ports, lambda: _said(ports.storage.paths_complete()), "paths complete", "storage", limits.attach_s)
    claims = ports.records.claims()
    where = {name: placed(pin, claims.get(name)) for name, pin in pins.items()}
    roster.update(ports, FLEET, lambda now: roster.opened(now, where))
    return f"{len(staying)} nodes serve"


def _wait(ports: Ports, check: Callable[[], bool | Blocked], what: str, about: str, limit_s: float) -> None:
    wait_until(check, what=what, node=FLEET, about=about, ports=ports, limit_s=limit_s, error=FleetNotReady)


def _nodes(ports: Ports, staying: dict[str, Pin]) -> bool | Blocked:
    known = roster.read(ports, FLEET)
    listed = known.nodes
    seen = {n.name: n for n in ports.kubernetes.nodes()}
    wrong: dict[str, str] = {}
    for name, pin in staying.items():
        node, entry = seen.get(name), listed.get(name)
        if entry is None or entry.standing is Standing.OUT or entry.slot_since_s is not None:
            wrong[name] = "has not joined"
        elif node is None or not node.ready:
            wrong[name] = "is not Ready"
        elif image.mismatches(pin, node, kernel := image.expected_kernel(pin, known)):
            wrong[name] = f"runs {image.told(node.os_image, node.kernel if kernel else '', node.kubelet)}"
    if not wrong:
        return True
    first = sorted(wrong)[0]
    return Blocked("; ".join(f"{n} {wrong[n]}" for n in sorted(wrong)), tuple(sorted(wrong)), about=f"node/{first}")


def _etcd(ports: Ports, staying: dict[str, Pin]) -> bool | Blocked:
    members = {m.name: m for m in ports.etcd.members()}
    expected = {name for name, pin in staying.items() if pin.role is Role.CONTROL_PLANE}
    wrong = dict.fromkeys(expected - set(members), "is no member")
    wrong |= {n: "is a member unasked" for n in set(members) - expected if ports.pins.pin(n) is None}
    wrong |= {
        n: "is not a healthy voter" for n in expected & set(members) if not (members[n].voter and members[n].healthy)
    }
    return Blocked("; ".join(f"{n} {wrong[n]}" for n in sorted(wrong)), tuple(sorted(wrong))) if wrong else True


def _said(verdict: Verdict) -> bool | Blocked:
    return True if verdict.ok else Blocked("; ".join(verdict.reasons), verdict.reasons)


def roster_json(step: Step, ports: Ports) -> str:
    """`{"answered": bool, "nodes": {name: "in" | "out"}}`, sorted. Never fails: a program that previews
    without the cluster goes by its own last outputs.

    A node that holds a slot, or does not serve just now, is out: it heals first.
    """
    try:
        if ports.records.initialised_by() is None or not ports.kubernetes.answers():
            return _told({}, answered=False)
        standing = roster.read(ports, FLEET)
        absent = roster.not_ready(ports, standing)
    except (LifecycleError, OSError):
        return _told({}, answered=False)
    serving = {n for n, e in standing.nodes.items() if e.standing is Standing.IN and e.slot_since_s is None}
    return _told({n: "in" if n in serving - absent else "out" for n in standing.nodes}, answered=True)


def _told(nodes: dict[str, str], *, answered: bool) -> str:
    return json.dumps({"answered": answered, "nodes": nodes}, sort_keys=True)
