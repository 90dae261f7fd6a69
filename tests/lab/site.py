"""A cluster whose nodes stand on hosts that boot: everything that a node's replacement touches, on one machine.

Kubernetes, the roster, the roll's Lease, etcd, claims, boot store and delivery are real, and so is Redfish where a
test says so. Storage, the stack file and the stack's secrets are the tests' fakes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lab import fleet as make
from lab.lab import Lab
from lifecycle.adapters.clock import WatchingClock
from lifecycle.adapters.delivery import DirectoryDelivery
from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.etcd import GatewayEtcd
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.records import DirectoryRecords
from lifecycle.adapters.roll import LeaseRolls
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.tls import Authority, client_context
from lifecycle.adapters.view import View
from lifecycle.adapters.wire import HttpJson
from lifecycle.commands import Step, Verb
from lifecycle.ports import Claim, Clock, Controller, Kubernetes, Machines, Pin, Ports, Power
from lifecycle.run import execute
from tests.lab.hosts import BOOT_URL, Host, Hosts, Switches, boot_store
from tests.lab.leaving import GENERATION, Cluster, serving
from tests.lifecycle import fakes
from tests.lifecycle.fleets import pin

NEXT = "fedcba9876543210"
"""The generation that a node is replaced with."""

IMAGES = {
    GENERATION: make.FEDORA_COREOS,
    NEXT: replace(make.FEDORA_COREOS, os_image="Fedora CoreOS 44.20260707.3.1", kernel="6.18.50-200.fc44.x86_64"),
}

PAUSE_S = 0.3
"""Between two looks that must agree, instead of five seconds: everything that is looked at is on this machine."""


class Brisk(WatchingClock):
    """A clock that pauses for PAUSE_S at most."""

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, PAUSE_S))


@dataclass
class Process:
    """What one step's process has open: ends with it."""

    ports: Ports
    view: View

    def end(self) -> None:
        self.view.stop()


@dataclass(frozen=True)
class Controllers:
    """Management controllers: as the steps meet them, as whoever watches the machines does, and where each is."""

    acting: Machines
    watching: Machines
    bmcs: Mapping[str, Controller]

    def power(self, host: str) -> Power:
        return self.watching.power(host, self.bmcs[host])


@dataclass
class Site:
    """The whole of it. store: the boot store's directory."""

    cluster: Cluster
    store: Path
    hosts: Hosts
    controllers: Controllers

    def process(self, run: str = "one") -> Process:
        """A new step's process: adapters, connections and a view of its own."""
        lab, clock = self.cluster.lab, self.cluster.fleet.clock
        api = KubeApi(lambda: from_kubeconfig(lab.kubeconfig), clock)
        view = View(api, clock, frozenset({"simplyblock"}))
        ports = replace(
            fakes.ports(self.cluster.world),
            clock=Brisk(view),
            kubernetes=ApiKubernetes(api, clock, frozenset({"simplyblock"}), view),
            etcd=etcd_of(lab, clock),
            machines=self.controllers.acting,
            records=self.records,
            delivery=DirectoryDelivery(lambda: self.store),
            roster=ConfigMapRoster(api, view),
            rolls=LeaseRolls(api, EngineProcess({"INGOT_RUN": run})),
        )
        return Process(ports, view)

    @cached_property
    def kubernetes(self) -> Kubernetes:
        """What the tests themselves look with: one view for all of their looks."""
        return self.cluster.ports().kubernetes

    @property
    def records(self) -> DirectoryRecords:
        return DirectoryRecords(lambda: self.store, "metal", self.cluster.fleet.clock)

    def step(self, verb: Verb, node: str, generation: str = GENERATION) -> str:
        """Run a stored command in a process of its own."""
        process = self.process()
        try:
            return execute(Step(verb, "metal", node, generation), process.ports)
        finally:
            process.end()

    def declare(self, node: str, generation: str) -> Pin:
        """The stack file says that the node runs this generation."""
        image, number = IMAGES[generation], int(node[1:])
        declared = pin(
            node,
            generation,
            stores=False,
            os_image=image.os_image,
            kubelet=image.kubelet,
            fault_domain="",
            max_unavailable=100,
            architecture=f"of-{node}",  # so that each is the first to join with its image, and says its kernel
            boot_url=f"{BOOT_URL}/boot/{generation}/{node}.ipxe",
            mac=mac(number),
            controller=self.controllers.bmcs[node],
        )
        self.cluster.world.pins[node] = declared
        return declared

    def claim(self, node: str) -> Claim:
        found = self.records.claim(node)
        assert found is not None
        return found

    def bring_in(self, node: str, generation: str) -> None:
        """What the engine runs to make a node."""
        for verb in (Verb.PROVISION, Verb.ENROL, Verb.JOIN):
            self.step(verb, node, generation)


def mac(number: int) -> str:
    """As the lab's management controllers have them."""
    return f"52:54:00:00:02:{number:02x}"


def etcd_of(lab: Lab, clock: Clock) -> GatewayEtcd:
    """The lab's etcd, as a step meets it."""
    texts = [(lab.layout.pki / f"etcd-ca.{end}").read_text(encoding="ascii") for end in ("crt", "key")]
    tls = client_context(Authority("etcd-ca", *texts), "ingot-lifecycle", "ingot-lifecycle", clock.now_s())
    return GatewayEtcd(HttpJson(clock, tls=lambda: tls, timeout_s=5), lambda: lab.layout.etcd_endpoints)


@contextmanager
def site(
    lab: Lab,
    store: Path,
    nodes: tuple[str, ...],
    spare: tuple[str, ...] = (),
    controllers: Controllers | None = None,
) -> Iterator[Site]:
    """The lab's nodes of these names, in; and hosts that are declared by nobody yet. controllers: real ones, else
    such as obey at once."""
    store.mkdir(parents=True, exist_ok=True)
    cluster = serving(lab, nodes)
    cluster.world.limits = replace(cluster.world.limits, power_s=60, boot_s=60, join_s=60, attach_s=60)
    known = controllers or switches(store, (*nodes, *spare))
    hosts = {n: Host(mac(int(n[1:])), generation=GENERATION) for n in nodes}
    hosts |= {n: Host(mac(int(n[1:])), joined=False) for n in spare}
    with Hosts(lab, store, hosts, known.power, IMAGES) as running:
        made = Site(cluster, store, running, known)
        assert made.records.record_initialised("cp1")
        for name in nodes:
            declared = made.declare(name, GENERATION)
            claim = replace(cluster.world.claims[name], controller=declared.controller, installed=True)
            assert made.records.put_claim(name, claim, None)
        yield made


def switches(store: Path, hosts: tuple[str, ...]) -> Controllers:
    """Controllers that obey at once."""
    made = Switches(boot_store(store))
    return Controllers(made, made, {n: Controller(f"https://bmc-{n}.example/redfish/v1/Systems/1") for n in hosts})
