"""What the tests of whole leaves and joins share: a cluster whose nodes are in, and the ports of one step.

Kubernetes, the roster and the roll's Lease are real, etcd too where its members are control planes. Machines,
storage and records are the tests' fakes, as no host stands behind these nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab import fleet as make
from lab.fleet import Fleet, Json
from lab.lab import Lab
from lifecycle import roster
from lifecycle.adapters.clock import WallClock, WatchingClock
from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.roll import LeaseRolls
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.view import View
from lifecycle.commands import Step, Verb
from lifecycle.ports import Claim, ClaimState, Etcd, Limits, Member, Node, Ports
from lifecycle.roster import Entry, Roster, Standing
from lifecycle.run import execute
from tests.lab.eventually import eventually
from tests.lifecycle import fakes
from tests.lifecycle.fleets import pin
from tests.lifecycle.world import Host, World

GENERATION = "0123456789abcdef"
WORKERS = tuple(f"w{number}" for number in range(1, 11))
TRIO = ("s1", "s2", "s3")
"""Workers that a test has on a lab that it shares: those that others look at are named otherwise."""


@dataclass
class Cluster:
    """A lab whose nodes are declared, joined and in. world: what is not real. namespace: of its workloads.

    kubeconfig: by which steps come, the administrator's if None. wall: what a step takes for the system's time.
    etcd: whose members are asked, the world's if None.
    """

    lab: Lab
    fleet: Fleet
    world: World
    namespace: str = "default"
    kubeconfig: Path | None = None
    wall: Callable[[], float] = time.time
    etcd: Etcd | None = None
    views: list[View] = field(default_factory=list)

    def ports(self, run: str = "one") -> Ports:
        """Those of a step of this run, with a view and a connection of its own, as a process has them."""
        clock, kubeconfig = WallClock(self.wall), self.kubeconfig or self.lab.kubeconfig
        api = KubeApi(lambda: from_kubeconfig(kubeconfig), clock)
        view = View(api, clock, frozenset({"simplyblock"}))
        self.views.append(view)
        faked = fakes.ports(self.world)
        return replace(
            faked,
            clock=WatchingClock(view, self.wall),
            kubernetes=ApiKubernetes(api, clock, frozenset({"simplyblock"}), view),
            roster=ConfigMapRoster(api, view),
            rolls=LeaseRolls(api, EngineProcess({"INGOT_RUN": run})),
            etcd=self.etcd or faked.etcd,
        )

    def step_ports(self, run: str = "one") -> Ports:
        """Those by which steps go in; the administrator's here."""
        return self.ports(run)

    def step(self, verb: Verb, node: str, run: str = "one", **taps: Callable[[Any], object]) -> str:
        """Run a step. taps: what stands before a port, by the port's name."""
        ports = self.step_ports(run)
        tapped: dict[str, Any] = {name: tap(getattr(ports, name)) for name, tap in taps.items()}
        return execute(Step(verb, "metal", node, GENERATION), replace(ports, **tapped))

    def leave(self, node: str, run: str = "one", **taps: Callable[[Any], object]) -> str:
        return self.step(Verb.LEAVE, node, run, **taps)

    def hold(self, *names: str) -> None:
        """Nothing more is scheduled to these nodes."""
        for name in names:
            self.ports().kubernetes.set_unschedulable(name, True)

    def release(self, *names: str) -> None:
        """What is pending may go to these nodes."""
        for name in names:
            self.ports().kubernetes.set_unschedulable(name, False)

    def others(self, name: str) -> list[str]:
        """All nodes but this one, whoever's they are."""
        return [n.name for n in self.ports().kubernetes.nodes() if n.name != name]

    def is_cordoned(self, name: str) -> bool:
        node = self.node(name)
        return node is not None and node.unschedulable

    def check_left(self, node: str, **ready: int) -> None:
        """As every leave ends, whatever happened on its way. ready: how many pods of which app run elsewhere."""
        kubernetes = self.ports().kubernetes
        assert self.node(node) is None
        assert kubernetes.attachments_on(node) == ()
        eventually(lambda: {app: self.ready(app) for app in ready} == ready, f"{ready} Ready elsewhere")
        assert [p for p in kubernetes.pods_on(node) if p.owner != "DaemonSet"] == []
        assert [n.name for n in kubernetes.nodes() if n.unschedulable] == []
        left = self.entry(node)
        assert (left.standing, left.slot_since_s is not None, left.halted) == (Standing.OUT, True, False)
        assert self.world.claims[node].state is ClaimState.LEFT
        assert self.world.broken == []

    def close(self) -> None:
        """End all watches: an API server that is told to stop waits for them."""
        for view in self.views:
            view.stop()

    def node(self, name: str) -> Node | None:
        return self.ports().kubernetes.node(name)

    def entry(self, name: str) -> Entry:
        return roster.read(self.ports(), name).nodes[name]

    def app(self, name: str, *, replicas: int, on: str, budget: int | None = None, claim: str = "") -> None:
        """A Deployment whose pods are on one node now, and may be anywhere."""
        others = self.others(on)
        self.hold(*others)
        if claim:
            self.create(make.claim(claim))
        deployment = make.deployment(name, replicas, claim=claim)
        self.create(deployment)
        if budget is not None:
            self.create(make.budget(name, name, min_available=budget))
        eventually(lambda: self.ready(name) == replicas, f"{replicas} Ready pods of {name}")
        self.release(*others)

    def create(self, item: Json) -> None:
        self.fleet.create(item, self.namespace)

    def delete(self, node: str) -> None:
        """As somebody does by hand: the Node object goes, its pods and volumes are left to the controllers."""
        self.ports().kubernetes.delete_node(node)

    def ready(self, name: str) -> int:
        status = (self.fleet.read(make.deployment(name, 1), self.namespace) or {}).get("status") or {}
        return int(status.get("readyReplicas") or 0)


class Before:
    """Stands before a port: does something just before the first call of one of its methods.

    first: what the call's arguments must begin with.
    """

    def __init__(self, inner: object, method: str, act: Callable[[], object], first: tuple[object, ...] = ()) -> None:
        self._inner, self._method, self._act, self._first = inner, method, act, first
        self._done = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method or self._done:
            return found

        def call(*args: object, **keywords: object) -> Any:
            if not self._done and args[: len(self._first)] == self._first:
                self._done = True
                self._act()
            return found(*args, **keywords)

        return call


def tap(method: str, act: Callable[[], object], *first: object) -> Callable[[Any], Before]:
    """What puts a `Before` before a port, for `Cluster.step`."""
    return lambda port: Before(port, method, act, first)


def serving(lab: Lab, nodes: Collection[str], namespace: str = "default", etcd: Etcd | None = None) -> Cluster:
    """The lab's nodes of these names, declared, joined and in."""
    limits = Limits(slot_s=30, drain_s=120, detach_s=120)
    found = Cluster(lab, Fleet(lab.kubeconfig), World(initialised="cp1", limits=limits), namespace, etcd=etcd)
    found.world.members["cp1"] = Member(
        "cp1-1", "cp1", True, True, True
    )  # by which the fakes know that an API is there
    kubernetes = found.ports().kubernetes
    eventually(lambda: {n.name for n in kubernetes.nodes() if n.ready} >= set(nodes), "all nodes Ready")
    entries, claims = {}, {}
    for node in (n for n in kubernetes.nodes() if n.name in nodes):
        declared = pin(node.name, GENERATION, stores=False, os_image=node.os_image, kubelet=node.kubelet)
        found.world.pins[node.name] = declared
        found.world.hosts[node.name] = Host(generation=GENERATION)
        claims[node.name] = Claim(
            "metal",
            node.name,
            GENERATION,
            ClaimState.JOINED,
            declared.controller,
            declared.pool,
            declared.role,
            stores=False,
            machine_id=node.machine_id,
        )
        entries[node.name] = Entry(
            pool=declared.pool, role=declared.role, generation=GENERATION, fault_domain="", standing=Standing.IN
        )
    roster.update(found.ports(), "fleet", lambda _: Roster(serving=True, nodes=entries))
    found.world.claims.update(claims)  # from now on, a roster that is missing is a lost one
    return found
