"""A step that is killed at anything it changes, run again, ends where an unkilled one ends; on a real API server.

tests/lifecycle/test_kill.py kills at every call of every port, in memory. Here it is each call that changes
something, before and after it has: what a step only reads leaves nothing behind. Each case has a node of its own,
and they run side by side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from lab import fleet as make
from lab.lab import Lab
from lifecycle.commands import Step, Verb
from lifecycle.ports import Eviction, Ports
from lifecycle.run import execute
from tests.lab.eventually import eventually
from tests.lab.leaving import GENERATION
from tests.lab.site import NEXT, Site, site
from tests.lifecycle.world import Killed

pytestmark = pytest.mark.lab

LANES = 8
"""Cases at a time."""

EFFECTS = {
    "kubernetes": {"set_unschedulable", "set_out_of_service", "delete_node", "evict", "delete_pod", "mint_token"},
    "storage": {"begin_maintenance", "end_maintenance", "evacuate"},
    "etcd": {"move_leader", "remove"},
    "machines": {"power_off", "install", "clear_boot_override"},
    "records": {"put_claim", "record_initialised", "record_initialising", "forget_initialising"},
    "delivery": {"deliver", "withdraw"},
    "roster": {"write"},
}
"""What changes something beyond the process, but for the roll's Lease, which all cases share."""

LEAVES = [
    "roster.write",  # takes the slot
    "kubernetes.set_unschedulable",
    "kubernetes.evict",
    "kubernetes.delete_node",
    "roster.write",  # out
    "delivery.withdraw",
    "records.put_claim",
]
JOINS = [
    "kubernetes.mint_token",
    "delivery.deliver",
    "delivery.withdraw",
    "roster.write",  # the kernel of its image
    "records.put_claim",
    "roster.write",  # in
]
"""The changes of an undisturbed leave and join, in order."""


class Mortal:
    """Stands before every port of a process that dies at its n-th change. at: 0 for never. after: the change still
    happens. changes: those that happened, by name.

    That a leave remembers which pods are not Ready elsewhere does not count: how many are is the other cases' doing.
    """

    def __init__(self, node: str, at: int = 0, *, after: bool = False) -> None:
        self.at, self.after = at, after
        self.dead = False
        self.changes: list[str] = []
        self._node = node
        self._listed: object = None

    def ports(self, real: Ports) -> Ports:
        kept = {"fence", "evidence"}
        taps: dict[str, Any] = {
            f.name: _Tap(self, f.name, getattr(real, f.name)) for f in fields(real) if f.name not in kept
        }
        return replace(real, **taps)

    def call(self, port: str, method: str, call: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        if self.dead:
            raise Killed
        listed = self._own(args[0]) if port == "roster" and args else None
        if method not in EFFECTS.get(port, set()) or (port == "roster" and listed == self._listed):
            return call(*args, **keywords)
        doomed = len(self.changes) + 1 == self.at
        if doomed and not self.after:
            self.dead = True
            raise Killed
        result = call(*args, **keywords)
        if changed(result):
            self.changes.append(f"{port}.{method}")
            self._listed = listed if port == "roster" else self._listed
            if doomed:
                self.dead = True
                raise Killed
        return result

    def _own(self, document: str) -> object:
        """What a roster says of the node, and of its image."""
        said = json.loads(document)
        entry = {key: value for key, value in said["nodes"].get(self._node, {}).items() if not key.endswith("_before")}
        return entry, [kernel for image, kernel in said.get("kernels", {}).items() if image.endswith(f"-{self._node}")]


class _Tap:
    def __init__(self, mortal: Mortal, port: str, inner: object) -> None:
        self._mortal, self._port, self._inner = mortal, port, inner

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = getattr(self._inner, method)
        return lambda *args, **keywords: self._mortal.call(self._port, method, call, *args, **keywords)


def changed(result: object) -> bool:
    """Whether a call that may change something did: a lost compare-and-swap and a refused eviction did not."""
    if isinstance(result, dict):
        return Eviction.GRANTED in result.values()
    return result is not False


@dataclass(frozen=True)
class Case:
    """A node, and where its step is killed. at: 0 for the case that is not disturbed."""

    node: str
    at: int
    after: bool

    def __str__(self) -> str:
        return f"{self.node}: killed {'after' if self.after else 'before'} change {self.at}" if self.at else self.node


def cases(changes: Sequence[str]) -> list[Case]:
    """One that is not disturbed, then two for each change."""
    doomed = [(at, after) for at in range(1, len(changes) + 1) for after in (False, True)]
    return [Case(f"w{number}", at, after) for number, (at, after) in enumerate([(0, False), *doomed], 1)]


ALL = max(cases(LEAVES), cases(JOINS), key=len)
SPARE = f"w{len(ALL) + 1}"
"""Where the pods of the nodes that leave go."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node with a pod and a volume for each case, and one that takes them in."""
    nodes = tuple(case.node for case in ALL)
    with Lab.start(tmp_path_factory.mktemp("lab"), systems=1) as lab:
        make.Fleet(lab.kubeconfig).create_nodes(len(nodes) + 1)
        with site(lab, tmp_path_factory.mktemp("store"), nodes) as made:
            for node in nodes:
                made.cluster.fleet.create(make.claim(f"data-{node}"))
                made.cluster.fleet.create(database(node))
            eventually(lambda: settled(made), "every database Ready, on its own node")
            yield made


def database(node: str) -> dict[str, Any]:
    """Best on its node, else on the spare one."""
    made = make.deployment(f"db-{node}", 1, claim=f"data-{node}")
    terms = [
        {"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "In", "values": [name]}]}}
        for weight, name in ((100, node), (50, SPARE))
        for key in ("kubernetes.io/hostname",)
    ]
    preferred = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    made["spec"]["template"]["spec"]["affinity"] = preferred
    return made


def settled(fleet: Site) -> bool:
    """Whether every database is Ready, with its one volume attached where it runs, and nowhere else."""
    kubernetes = fleet.kubernetes
    names = [n.name for n in kubernetes.nodes()]
    running = sorted((p.claims[0], n) for n in names for p in kubernetes.pods_on(n) if p.claims and p.ready)
    held = sorted((a.claim.split("/")[1], n) for n in names for a in kubernetes.attachments_on(n) if a.attached)
    return running == held and len(running) == len(ALL)


def volumes(fleet: Site) -> dict[str, str]:
    """Claim -> the volume that it is bound to."""
    found = fleet.cluster.fleet.api.items("volumes", "/api/v1/persistentvolumes")
    return {item["spec"]["claimRef"]["name"]: item["metadata"]["name"] for item in found}


def run(fleet: Site, verb: Verb, case: Case, generation: str) -> list[str]:
    """The step, killed as the case says and run again by a new process; what the first one changed."""
    step = Step(verb, "metal", case.node, generation)
    mortal = Mortal(case.node, case.at, after=case.after)
    process = fleet.process()
    try:
        execute(step, mortal.ports(process.ports))
        assert not case.at, f"{case}: it ended after {mortal.changes}"
    except Killed:
        assert case.at
        process.end()
        process = fleet.process()
        execute(step, process.ports)
    finally:
        process.end()
    return mortal.changes


def end_state(fleet: Site, node: str) -> tuple[object, ...]:
    """What an outsider finds of a node, its own names aside."""
    seen, entry, claim = fleet.cluster.node(node), fleet.cluster.entry(node), fleet.claim(node)
    host = fleet.hosts.hosts[node]
    return (
        None if seen is None else (seen.ready, seen.unschedulable, seen.taints, seen.os_image, seen.kernel),
        None if seen is None else seen.machine_id == claim.machine_id,
        fleet.kubernetes.attachments_on(node),
        (entry.standing, entry.slot_since_s is not None, entry.halted, entry.generation),
        (claim.state, claim.generation, claim.installed),
        (host.installs, len(host.took)),
        (fleet.store / "once" / node).exists(),
    )


def test_a_leave_and_a_join_killed_at_every_change(fleet: Site) -> None:
    before = volumes(fleet)
    nodes = [case.node for case in ALL]
    with ThreadPoolExecutor(LANES) as pool:
        leaving = cases(LEAVES)
        left = list(pool.map(lambda case: run(fleet, Verb.LEAVE, case, GENERATION), leaving))
        assert left[0] == LEAVES
        states = {case: end_state(fleet, case.node) for case in leaving}
        assert [str(case) for case, state in states.items() if state != states[leaving[0]]] == []
        eventually(lambda: settled(fleet), "every database Ready elsewhere")
        assert volumes(fleet) == before

        list(pool.map(lambda node: provision(fleet, node), [case.node for case in leaving]))
        joining = cases(JOINS)
        joined = list(pool.map(lambda case: run(fleet, Verb.JOIN, case, NEXT), joining))
        assert joined[0] == JOINS
        for node in set(nodes) - {case.node for case in joining}:
            fleet.step(Verb.JOIN, node, NEXT)
    states = {case: end_state(fleet, case.node) for case in joining}
    assert [str(case) for case, state in states.items() if state != states[joining[0]]] == []
    assert settled(fleet)
    assert volumes(fleet) == before
    assert not any(n.unschedulable for n in fleet.kubernetes.nodes())


def provision(fleet: Site, node: str) -> None:
    """What the engine does between a node's leave and its join."""
    fleet.declare(node, NEXT)
    fleet.step(Verb.RELEASE, node)
    fleet.step(Verb.PROVISION, node, NEXT)
    fleet.step(Verb.ENROL, node, NEXT)
