"""What the tests of whole leaves and joins share: a cluster whose nodes are in, and the ports of one step.

Kubernetes, the roster and the roll's Lease are real, etcd too where its members are control planes. Machines,
storage and records are the tests' fakes, as no host stands behind these nodes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from lab import fleet as make
from lab.fleet import Fleet
from lab.lab import Lab
from lifecycle import roster
from lifecycle.adapters.clock import WatchingClock
from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.roll import LeaseRolls
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.view import View
from lifecycle.commands import Step, Verb
from lifecycle.ports import Claim, ClaimState, Limits, Node, Ports
from lifecycle.roster import Entry, Roster, Standing
from lifecycle.run import execute
from tests.lab.eventually import eventually
from tests.lifecycle import fakes
from tests.lifecycle.fleets import pin
from tests.lifecycle.world import Host, World

GENERATION = "0123456789abcdef"
WORKERS = tuple(f"w{number}" for number in range(1, 11))


@dataclass
class Cluster:
    """A lab whose workers are all declared, joined and in. world: what is not real."""

    lab: Lab
    fleet: Fleet
    world: World

    def ports(self, run: str = "one") -> Ports:
        """Those of a step of this run, with a view and a connection of its own, as a process has them."""
        clock = self.fleet.clock
        api = KubeApi(lambda: from_kubeconfig(self.lab.kubeconfig), clock)
        view = View(api, clock, frozenset({"simplyblock"}))
        return replace(
            fakes.ports(self.world),
            clock=WatchingClock(view),
            kubernetes=ApiKubernetes(api, clock, frozenset({"simplyblock"}), view),
            roster=ConfigMapRoster(api, view),
            rolls=LeaseRolls(api, EngineProcess({"INGOT_RUN": run})),
        )

    def leave(self, node: str, run: str = "one") -> str:
        return execute(Step(Verb.LEAVE, "metal", node, GENERATION), self.ports(run))

    def node(self, name: str) -> Node | None:
        return self.ports().kubernetes.node(name)

    def entry(self, name: str) -> Entry:
        return roster.read(self.ports(), name).nodes[name]

    def app(self, name: str, *, replicas: int, on: str, budget: int | None = None, claim: str = "") -> None:
        """A Deployment whose pods are on one node now, and may be anywhere."""
        others = [n.name for n in self.ports().kubernetes.nodes() if n.name != on]
        for other in others:
            self.ports().kubernetes.set_unschedulable(other, True)
        if claim:
            self.fleet.create(make.claim(claim))
        deployment = make.deployment(name, replicas, claim=claim)
        self.fleet.create(deployment)
        if budget is not None:
            self.fleet.create(make.budget(name, name, min_available=budget))
        eventually(lambda: self.ready(name) == replicas, f"{replicas} Ready pods of {name}")
        for other in others:
            self.ports().kubernetes.set_unschedulable(other, False)

    def ready(self, name: str) -> int:
        status = (self.fleet.read(make.deployment(name, 1)) or {}).get("status") or {}
        return int(status.get("readyReplicas") or 0)


def serving(lab: Lab, nodes: Collection[str]) -> Cluster:
    """The lab's nodes of these names, declared, joined and in."""
    found = Cluster(
        lab, Fleet(lab.kubeconfig), World(initialised="cp1", limits=Limits(slot_s=30, drain_s=60, detach_s=60))
    )
    kubernetes = found.ports().kubernetes
    eventually(lambda: {n.name for n in kubernetes.nodes() if n.ready} >= set(nodes), "all nodes Ready")
    entries = {}
    for node in (n for n in kubernetes.nodes() if n.name in nodes):
        declared = pin(node.name, GENERATION, stores=False, os_image=node.os_image, kubelet=node.kubelet)
        found.world.pins[node.name] = declared
        found.world.hosts[node.name] = Host(generation=GENERATION)
        found.world.claims[node.name] = Claim(
            "metal",
            node.name,
            GENERATION,
            ClaimState.JOINED,
            declared.bmc,
            declared.pool,
            declared.role,
            stores=False,
            machine_id=node.machine_id,
        )
        entries[node.name] = Entry(
            pool=declared.pool, role=declared.role, generation=GENERATION, fault_domain="", standing=Standing.IN
        )
    roster.update(found.ports(), "fleet", lambda _: Roster(serving=True, nodes=entries))
    return found
