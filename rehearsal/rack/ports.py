"""The lifecycle's ports, fulfilled by the rack: what a step sees when it runs here.

One set of ports a step; `lane` names the step to the clock. Every call takes the rack's lock, so the
world is changed by one step at a time, and is saved once it changed something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from lifecycle import ec2, owners
from lifecycle.adapters.machines import MachinesByScheme
from lifecycle.cloud import Cloud, Nowhere
from lifecycle.errors import PortError
from lifecycle.ports import (
    Claim,
    Controller,
    Credentials,
    Erasure,
    Limits,
    Machines,
    Move,
    Pin,
    Ports,
    Power,
    Progress,
    Role,
    Rollout,
    Verdict,
    Way,
)
from rehearsal.rack import hosts, quorum, volumes
from rehearsal.rack.cluster_ports import RackAccess, RackEtcd, RackKubernetes, RackRolls, RackRosterStore
from rehearsal.rack.part import Part, Save
from rehearsal.rack.rack import Rack
from rehearsal.rack.world import Host


class RackClock:
    """Virtual time, as one lane lives it."""

    def __init__(self, rack: Rack, lane: str) -> None:
        self._rack, self._lane = rack, lane

    def now_s(self) -> float:
        return self._rack.now_s

    def sleep(self, seconds: float) -> None:
        self._rack.clock.park(self._lane, self.now_s() + seconds, "")

    def wait(self, about: str, until_s: float) -> None:
        self._rack.clock.park(self._lane, until_s, about)


class RackPins:
    """The stack file that the rack was given."""

    def __init__(self, rack: Rack, limits: Limits, rollout: Rollout) -> None:
        self._rack, self._pins, self._limits, self._rollout = rack, rack.pins, limits, rollout

    def pin(self, node: str) -> Pin | None:
        return self._pins.get(node)

    def declared(self) -> tuple[str, ...]:
        return tuple(self._pins)

    def limits(self) -> Limits:
        return self._limits

    def rollout(self) -> Rollout:
        return self._rollout

    def eraser(self, claim: Claim, erasure: Erasure) -> Pin:
        return self._rack.eraser(claim, erasure)


class RackStorage(Part):
    """The storage contract on the rack's volumes. Silent until the driver serves, as the real one is."""

    name = "storage"

    @contextmanager
    def _control(self, method: str, node: str = "", *, changes: bool = False) -> Iterator[None]:
        with self._call(method, node, changes=changes):
            silent = self._rack.world.dark and not quorum.api_answers(self._rack)
            if silent or not self._rack.world.storage_up:
                raise PortError("storage control plane", "nothing, it is not up yet", "wait until its driver serves")
            yield

    def is_redundant(self) -> Verdict:
        with self._control("is_redundant"):
            rack = self._rack
            reasons = [
                f"volume {v.name}: {len(volumes.live_replicas(rack, v))} of {len(v.replicas)} replicas in sync"
                for v in rack.world.volumes.values()
                if len(volumes.live_replicas(rack, v)) < len(v.replicas)
            ]
            return Verdict(not reasons, tuple(reasons))

    def is_redundant_but(self, node: str) -> Verdict:
        with self._control("is_redundant_but", node):
            rack = self._rack
            missing = {
                v.name: sorted(set(v.replicas) - set(volumes.live_replicas(rack, v)) - {node})
                for v in rack.world.volumes.values()
            }
            reasons = tuple(
                f"volume {v}: its replica on {', '.join(on)} is not in sync" for v, on in missing.items() if on
            )
            return Verdict(not reasons, reasons)

    def can_lose(self, node: str) -> Verdict:
        with self._control("can_lose", node):
            reasons = tuple(f"volume {v}: its last live replica is on {node}" for v in self._only_on(node))
            return Verdict(not reasons, reasons)

    def _only_on(self, node: str) -> list[str]:
        rack = self._rack
        held = [v for v in rack.world.volumes.values() if node in v.replicas]
        return [v.name for v in held if not [n for n in volumes.live_replicas(rack, v) if n != node]]

    def only_on(self, node: str) -> tuple[str, ...]:
        with self._control("only_on", node):
            return tuple(f"default/{self._rack.world.volumes[v].claim}" for v in self._only_on(node))

    def begin_maintenance(self, node: str) -> None:
        with self._control("begin_maintenance", node, changes=True):
            volumes.begin_maintenance(self._rack, node)

    def end_maintenance(self, node: str) -> None:
        with self._control("end_maintenance", node, changes=True):
            volumes.end_maintenance(self._rack, node)

    def evacuate(self, node: str) -> Verdict:
        with self._control("evacuate", node, changes=True):
            held = volumes.evacuate(self._rack, node)
            return Verdict(not held, tuple(f"volume {v} still has a replica on {node}" for v in held))

    def paths_complete(self) -> Verdict:
        with self._control("paths_complete"):
            world = self._rack.world
            late = [v for v, until_s in world.paths_until_s.items() if until_s > self._rack.now_s]
            reasons = tuple(f"volume {v}: a path is reconnecting" for v in sorted(late))
            return Verdict(not reasons, reasons)


class RackMachines(Part):
    """Hosts and their management controllers."""

    name = "machines"

    @contextmanager
    def _bmc(self, method: str, host: str, url: str, *, changes: bool = False) -> Iterator[Host]:
        with self._call(method, host, changes=changes):
            if self._rack.faults.active("bmc-timeout", host) or self._rack.now_s < self._rack.world.mains_back_s:
                raise PortError(
                    f"BMC of {host} at {url}", "no answer within 30 s", "check its network and power, then run again"
                )
            yield self._rack.world.hosts[host]

    def power(self, host: str, controller: Controller) -> Power:
        with self._bmc("power", host, controller.url) as found:
            return Power(found.power)

    def power_off(self, host: str, controller: Controller) -> None:
        with self._bmc("power_off", host, controller.url, changes=True) as found:
            hosts.power_off(self._rack, found)

    def prepare(self, host: str, pin: Pin) -> None:
        with self._call("prepare", host):
            """The rack has no files: all images are there."""

    def install(self, host: str, pin: Pin) -> None:
        with self._bmc("install", host, pin.controller.url, changes=True) as found:
            hosts.install(self._rack, found, pin)

    def progress(self, host: str, pin: Pin) -> Progress:
        with self._bmc("progress", host, pin.controller.url) as found:
            return Progress.UNKNOWN if pin.way is Way.TALOS else found.progress

    def underway(self, host: str, pin: Pin) -> bool:
        return False

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        with self._bmc("identity", host, controller.url) as found:
            return {"serial": found.serial or f"rack-{host}"}

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        with self._bmc("clear_boot_override", host, controller.url, changes=True) as found:
            found.boot_override = False


class RackRecords(Part):
    """Claims and the initialised record, kept with the world."""

    name = "records"

    def claim(self, host: str) -> Claim | None:
        with self._call("claim", host):
            return self._rack.world.claims.get(host)

    def claims(self) -> Mapping[str, Claim]:
        with self._call("claims"):
            return dict(self._rack.world.claims)

    def holder(self, host: str, controller: Controller) -> str:
        with self._call("holder", host):
            return owners.holder(host, controller, self._rack.world.claims)

    def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
        with self._call("put_claim", host, changes=True):
            claims = self._rack.world.claims
            if claims.get(host) != expected:
                return False
            if new is None:
                claims.pop(host, None)
            else:
                if owners.takes(new, expected):
                    owners.refuse_second(host, new, claims)
                claims[host] = new
            self._rack.note_standing(host)
            self._rack.changed(f"host/{host}", "roster")
            return True

    def initialised_by(self) -> str | None:
        with self._call("initialised_by"):
            return self._rack.world.initialised_by or None

    def record_initialised(self, node: str) -> bool:
        with self._call("record_initialised", node, changes=True):
            if self._rack.world.initialised_by not in ("", node):
                return False
            self._rack.world.initialised_by = node
            self._rack.changed("etcd", "roster")
            return True

    def initialising_by(self) -> str | None:
        with self._call("initialising_by"):
            return self._rack.world.initialising_by or None

    def record_initialising(self, node: str) -> bool:
        with self._call("record_initialising", node, changes=True):
            if self._rack.world.initialising_by not in ("", node):
                return False
            self._rack.world.initialising_by = node
            return True

    def forget_initialising(self, node: str) -> None:
        with self._call("forget_initialising", node, changes=True):
            if self._rack.world.initialising_by == node:
                self._rack.world.initialising_by = ""


class RackDelivery(Part):
    """A node's one-time location: the node finds what is put there."""

    name = "delivery"

    def deliver(self, node: str, credentials: Credentials) -> None:
        with self._call("deliver", node, changes=True):
            # A Talos machine is not told to begin here: it waits to be asked to.
            init = credentials.init and not credentials.configuration
            hosts.deliver(self._rack, self._rack.world.hosts[node], init=init)

    def withdraw(self, node: str) -> None:
        with self._call("withdraw", node):
            pass


class RackMachineApi(Part):
    """The API that a Talos machine serves itself; a machine that is off answers nobody."""

    name = "machine_api"

    def bootstrap(self, node: str) -> None:
        with self._call("bootstrap", node, changes=True):
            hosts.bootstrap(self._rack, self._running(node))

    def wipe(self, node: str) -> None:
        with self._call("wipe", node, changes=True):
            hosts.wipe(self._rack, self._running(node))

    def _running(self, node: str) -> Host:
        host = self._rack.world.hosts[node]
        if host.power != "on" or not host.credentials or host.progress is not Progress.RUNNING:
            raise PortError(f"Talos of {node}", "UNAVAILABLE: no machine that has its configuration", "wait for it")
        return host


class RackSecrets:
    """The rack's nodes check no certificate, so they get none."""

    def pki(self, role: Role) -> Mapping[str, str]:
        return {}

    def endpoint(self) -> str:
        return "rack"

    def configuration(self, pin: Pin) -> str:
        return f"# {pin.node}\n"


class RackEvidence(Part):
    """What steps say happened, into the journal."""

    name = "evidence"

    def _add(self, kind: str, **facts: object) -> None:
        with self._rack.clock.lock:
            self._rack.journal.add(self._rack.now_s, kind, **facts)

    def begin(self, node: str, phase: str, detail: str = "") -> None:
        self._add("begin", node=node, phase=phase, detail=detail)

    def end(self, node: str, outcome: str) -> None:
        self._add("end", node=node, outcome=outcome)

    def waited(self, node: str, what: str, start_s: float, end_s: float, limit_s: float, met: bool) -> None:
        self._add("waited", node=node, what=what, start_s=start_s, end_s=end_s, limit_s=limit_s, met=met)

    def volume(self, node: str, move: Move) -> None:
        self._add("volume", node=node, **asdict(move))

    def note(self, node: str, text: str) -> None:
        self._add("note", node=node, text=text)


def _machines(rack: Rack, lane: str, limits: Limits, save: Save) -> Machines:
    """Hosts in racks, and instances where the rack has an AWS account: nobody else needs what serves that."""
    metal = RackMachines(rack, lane, save) if rack.machines is None else rack.machines(lane, save)
    if rack.aws is None:
        return metal
    from rehearsal.rack.instance_port import RackInstances

    instances = RackInstances(rack, lane, save, rack.aws, RackClock(rack, lane), lambda: limits.boot_s)
    return MachinesByScheme({"http": metal, "https": metal, ec2.SCHEME: instances})


def _cloud(rack: Rack, lane: str, save: Save) -> Cloud:
    if rack.aws is None:
        return Nowhere()
    from rehearsal.rack.instance_port import RackCloud

    return RackCloud(rack, lane, save, rack.aws)


def ports(rack: Rack, lane: str, limits: Limits, save: Save, rollout: Rollout | None = None) -> Ports:
    """Everything one step may touch. save: called, lock held, after each call that changed the world."""
    return Ports(
        clock=RackClock(rack, lane),
        pins=RackPins(rack, limits, rollout or Rollout()),
        kubernetes=RackKubernetes(rack, lane, save),
        etcd=RackEtcd(rack, lane, save),
        storage=RackStorage(rack, lane, save),
        machines=_machines(rack, lane, limits, save),
        records=RackRecords(rack, lane, save),
        delivery=RackDelivery(rack, lane, save),
        secrets=RackSecrets(),
        machine_api=RackMachineApi(rack, lane, save),
        roster=RackRosterStore(rack, lane, save),
        rolls=RackRolls(rack, lane, save),
        access=RackAccess(rack, lane, save),
        evidence=RackEvidence(rack, lane, save),
        cloud=_cloud(rack, lane, save),
    )
