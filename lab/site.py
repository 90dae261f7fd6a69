"""A fleet of workers around a lab's API server: all that a lifecycle step needs, real but for the machines.

Kubernetes, the roster, the roll's Lease, claims, delivery and evidence are the adapters that a step has anywhere.
Hosts are played (lab/hosts.py); there is no etcd on workers and no storage, so that neither stands in the way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from lab.fleet import Fleet, worker
from lab.hosts import Host, PlayedDelivery, PlayedHosts
from lab.lab import Lab
from lifecycle import roster
from lifecycle.adapters.clock import WatchingClock
from lifecycle.adapters.delivery import DirectoryDelivery
from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.evidence import FileEvidence
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.records import DirectoryRecords, as_filed, as_stored, machine_file
from lifecycle.adapters.roll import LeaseRolls
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.turns import Turns
from lifecycle.adapters.view import Source, View
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.permissions import Forbidden
from lifecycle.ports import (
    Claim,
    ClaimState,
    Controller,
    Erasure,
    Limits,
    Member,
    Node,
    Pin,
    Ports,
    Role,
    Rollout,
    Verdict,
)
from lifecycle.roster import Entry, Roster, Standing

STACK, POOL = "lab", "workers"

OLD, NEW = "0123456789abcdef", "123456789abcdef0"
"""What every worker was installed with, and what the stack file declares."""

LIMITS = Limits()

Api = TypeVar("Api", bound=KubeApi)

WRITERS = 10
"""Objects of a fleet that are made at once: the API server's own limits hold, and two cores are busy with fewer."""

LOOK_S = 0.2
"""Between two looks at a fleet that is coming up."""


class Declared:
    """Fulfils `lifecycle.ports.Pins`."""

    def __init__(self, pins: Mapping[str, Pin], limits: Limits) -> None:
        self._pins, self._limits = pins, limits

    def pin(self, node: str) -> Pin | None:
        return self._pins.get(node)

    def declared(self) -> tuple[str, ...]:
        return tuple(self._pins)

    def limits(self) -> Limits:
        return self._limits

    def rollout(self) -> Rollout:
        return Rollout()

    def eraser(self, claim: Claim, erasure: Erasure) -> Pin:
        raise PortError(f"eraser of {claim.node}", "hosts whose disks nobody erases", "ask for none")


class NoEtcd:
    """Fulfils `lifecycle.ports.Etcd` for a fleet of workers."""

    def members(self) -> tuple[Member, ...]:
        return ()

    def move_leader(self, to: Member) -> None:
        raise PortError(f"etcd member {to.name}", "a fleet of workers, which has none", "declare workers only")

    def remove(self, member: Member) -> None:
        self.move_leader(member)


class SoundStorage:
    """Fulfils `lifecycle.ports.Storage`: nothing is stored, so nothing is ever missing."""

    def is_redundant(self) -> Verdict:
        return Verdict(True)

    def is_redundant_but(self, node: str) -> Verdict:
        return Verdict(True)

    def can_lose(self, node: str) -> Verdict:
        return Verdict(True)

    def begin_maintenance(self, node: str) -> None: ...

    def end_maintenance(self, node: str) -> None: ...

    def evacuate(self, node: str) -> Verdict:
        return Verdict(True)

    def paths_complete(self) -> Verdict:
        return Verdict(True)

    def only_on(self, node: str) -> tuple[str, ...]:
        return ()


class NoSecrets:
    """Fulfils `lifecycle.ports.Secrets`: a played host needs none."""

    def pki(self, role: Role) -> Mapping[str, str]:
        return {}

    def endpoint(self) -> str:
        return "lab.example:6443"

    def configuration(self, pin: Pin) -> str:
        raise NeedsAttention(f"configuration of {pin.node}", "a played host, which takes none", "declare no Talos here")


class NoMachineApi:
    """Fulfils `lifecycle.ports.MachineApi`: no played host serves one."""

    def bootstrap(self, node: str) -> None:
        raise PortError(f"machine API of {node}", "a played host, which serves none", "declare no Talos here")

    def wipe(self, node: str) -> None:
        self.bootstrap(node)


class Administrator:
    """Fulfils `lifecycle.ports.Access`: steps come by the lab's kubeconfig, which may do everything."""

    def forbidden(self) -> tuple[Forbidden, ...]:
        return ()

    def grant(self) -> bool:
        return False


class Site:
    """Workers `w1` onwards of one pool, all declared, joined and in.

    folder: for claims, credentials and evidence. max_unavailable: of the pool. boot_s: of a host.
    """

    def __init__(self, lab: Lab, folder: Path, *, max_unavailable: int = 1, boot_s: float = 0.0) -> None:
        self.fleet = Fleet(lab.kubeconfig)
        self.kubeconfig, self._folder, self._max_unavailable = lab.kubeconfig, folder, max_unavailable
        self._hosts: dict[str, Host] = {}
        self._pins: dict[str, Pin] = {}
        self._machines = PlayedHosts(self.fleet, self._hosts, boot_s)
        self._engine = EngineProcess({"INGOT_RUN": STACK})
        self._quiet = Path(os.devnull).open("w")  # noqa: SIM115  # as long as there are steps

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self._pins)

    def connect(self) -> KubeApi:
        """A connection as a step makes it."""
        return self.connect_as(KubeApi)

    def connect_as(self, kind: type[Api]) -> Api:
        return kind(lambda: from_kubeconfig(self.kubeconfig), self.fleet.clock)

    def ports(self, api: KubeApi, source: Source, limits: Limits = LIMITS) -> Ports:
        """Those of one step, which reads the cluster from `source` and writes it by `api`."""
        wall, clock = self.fleet.clock, WatchingClock(source)

        return Ports(
            clock=clock,
            pins=Declared(self._pins, limits),
            kubernetes=ApiKubernetes(api, wall, frozenset(), source),
            etcd=NoEtcd(),
            storage=SoundStorage(),
            machines=self._machines,
            records=DirectoryRecords(self._store, STACK, clock),
            delivery=PlayedDelivery(DirectoryDelivery(self._store), self._machines),
            secrets=NoSecrets(),
            machine_api=NoMachineApi(),
            access=Administrator(),
            roster=ConfigMapRoster(api, source, Turns(lambda: self._folder, wall)),
            rolls=LeaseRolls(api, self._engine),
            evidence=FileEvidence(lambda: self._folder / "evidence.jsonl", clock, self._quiet),
        )

    def grow(self, workers: int, limit_s: float) -> None:
        """Have so many workers, Ready, on record as joined. Raises TimeoutError."""
        numbers = range(len(self._pins) + 1, workers + 1)
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda number: self.fleet.create(worker(number)), numbers))
        view = View(self.connect(), self.fleet.clock, frozenset())
        until_s = self.fleet.clock.now_s() + limit_s
        while sum(n.ready for n in view.nodes()) < workers:
            if self.fleet.clock.now_s() > until_s:
                raise TimeoutError(f"expected {workers} Ready nodes within {limit_s:.0f} s")
            self.fleet.clock.sleep(LOOK_S)
        self._record(numbers, {n.name: n for n in view.nodes()}, view)
        view.stop()

    def _record(self, numbers: range, seen: Mapping[str, Node], view: View) -> None:
        """Claims and roster as if each had joined."""
        records = self._store() / "records"
        for kind in ("hosts", "machines"):
            (records / kind).mkdir(parents=True, exist_ok=True)
        entries = {}
        for number in numbers:
            found = seen[f"w{number}"]
            pin = self._pin(found)
            self._hosts[pin.node], self._pins[pin.node] = Host(number), pin
            claim = Claim(STACK, pin.node, OLD, ClaimState.JOINED, pin.controller, POOL, pin.role, stores=False)
            claim = replace(claim, machine_id=found.machine_id, kernel=found.kernel, boot_id=found.boot_id)
            (records / "hosts" / f"{pin.node}.json").write_bytes(as_stored(replace(claim, installed=True)))
            (records / "machines" / machine_file(pin.controller)).write_bytes(as_filed(pin.node))
            entries[pin.node] = Entry(pool=POOL, role=pin.role, generation=OLD, fault_domain="", standing=Standing.IN)
        ports = self.ports(self.connect(), view)
        ports.records.record_initialised("cp1")
        roster.update(ports, "fleet", lambda now: Roster(serving=True, nodes={**now.nodes, **entries}))

    def _pin(self, seen: Node) -> Pin:
        return Pin(
            node=seen.name,
            pool=POOL,
            role=Role.WORKER,
            generation=NEW,
            os_image=seen.os_image,
            kubelet=seen.kubelet,
            boot_url="http://boot.example/",
            controller=Controller(f"https://bmc-{seen.name}.example"),
            mac="",
            os_disk="/dev/disk/by-id/os",
            data_disks=(),
            fault_domain="",
            max_unavailable=self._max_unavailable,
            stores=False,
        )

    def _store(self) -> Path:
        store = self._folder / "store"
        store.mkdir(exist_ok=True)
        return store
