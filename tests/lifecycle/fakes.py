"""Every port, fulfilled in memory on a `World`.

A `Tap` in front of each port counts calls, can fail one, and can kill the step at one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from lifecycle import erase, owners
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.permissions import Forbidden
from lifecycle.ports import (
    Attachment,
    Budget,
    Claim,
    Controller,
    Credentials,
    Erasure,
    Eviction,
    Limits,
    Member,
    Move,
    Node,
    Pin,
    Pod,
    Ports,
    Power,
    Progress,
    Role,
    Roll,
    Rollout,
    Run,
    Verdict,
)
from tests.lifecycle.world import Host, Killed, World


class Tap:
    """Stands before a port: counts, fails and kills."""

    def __init__(self, world: World, inner: _Part) -> None:
        self._world, self._inner = world, inner

    def __getattr__(self, method: str) -> Callable[..., object]:
        world, call = self._world, getattr(self._inner, method)

        def tapped(*args: object, **keywords: object) -> object:
            world.calls += 1
            doomed = world.calls == world.kill_at
            if world.dead or (doomed and not world.kill_after):
                world.dead = True
                raise Killed
            name = f"{self._inner.name}.{method}"
            if world.failing.get(name, 0) > 0:
                world.failing[name] -= 1
                about = f" for {args[0]}" if args and isinstance(args[0], str) else ""
                raise PortError(f"{name}{about}", "503 from the fake", "ask again")
            result: object = call(*args, **keywords)
            if doomed:
                world.dead = True
                raise Killed
            return result

        return tapped


class _Part:
    name = ""

    def __init__(self, world: World) -> None:
        self.world = world

    def api(self) -> None:
        if not (self.world.api_up and self.world.quorate()):
            raise PortError("Kubernetes API", "no answer", "see runbooks/api.md")


class FakeClock(_Part):
    name = "clock"

    def now_s(self) -> float:
        return self.world.now_s

    def sleep(self, seconds: float) -> None:
        self.world.run_until(self.world.now_s + seconds)

    def wait(self, about: str, until_s: float) -> None:
        self.world.run_until(until_s, first=True)


class FakePins(_Part):
    name = "pins"

    def pin(self, node: str) -> Pin | None:
        return self.world.pins.get(node)

    def declared(self) -> tuple[str, ...]:
        return tuple(self.world.pins)

    def limits(self) -> Limits:
        return self.world.limits

    def rollout(self) -> Rollout:
        return self.world.rollout

    def eraser(self, claim: Claim, erasure: Erasure) -> Pin:
        return erase.pin_of(claim, erasure, generation="eraser", boot_url="https://boot.example/eraser.ipxe")


class FakeKubernetes(_Part):
    name = "kubernetes"

    def answers(self) -> bool:
        return self.world.api_up and self.world.quorate()

    def node(self, name: str) -> Node | None:
        self.api()
        node = self.world.nodes.get(name)
        held = frozenset(n for n, v in self.world.volumes.items() if v.attached_to == name)
        return replace(node, volumes_in_use=held, volumes_attached=held) if node else None

    def nodes(self) -> tuple[Node, ...]:
        self.api()
        return tuple(self.world.nodes.values())

    def set_unschedulable(self, name: str, value: bool) -> None:
        self.api()
        if name not in self.world.nodes:
            return
        self.world.nodes[name] = replace(self.world.nodes[name], unschedulable=value)
        self.world.changed(f"{'cordon' if value else 'uncordon'} {name}")
        if not value:
            self.world.later(0, lambda: self.world.becomes_ready(name))

    def set_out_of_service(self, name: str, value: bool) -> None:
        self.api()
        if name in self.world.nodes and self.world.nodes[name].out_of_service != value:
            self.world.nodes[name] = replace(self.world.nodes[name], out_of_service=value)
            self.world.changed(f"{name} {'out of' if value else 'back in'} service")
            if value and self.world.hosts[name].power is Power.OFF:
                self.world.given_up(name)

    def delete_node(self, name: str) -> None:
        self.api()
        if self.world.nodes.pop(name, None):
            self.world.changed(f"delete node {name}")

    def pods_on(self, node: str) -> tuple[Pod, ...]:
        self.api()
        return tuple(p for p in self.world.pods.values() if p.node == node)

    def budgets(self, node: str = "") -> tuple[Budget, ...]:
        self.api()
        here = {k for k, p in self.world.pods.items() if node in ("", p.node)}
        found = (self._budget(app, least) for app, least in self.world.budgets.items())
        near = (replace(b, pods=b.pods & here) for b in found)
        return tuple(b for b in near if b.pods or not node)

    def _budget(self, app: str, least: int) -> Budget:
        pods = {k: p for k, p in self.world.pods.items() if p.name == app or p.name.startswith(f"{app}-")}
        healthy = sum(p.ready for p in pods.values())
        return Budget("apps", app, max(0, healthy - least), len(pods), least, frozenset(pods), healthy)

    def budgets_named(self, names: frozenset[str]) -> tuple[Budget, ...]:
        self.api()
        return tuple(b for app, least in self.world.budgets.items() if (b := self._budget(app, least)).key in names)

    def evict(self, pods: Sequence[Pod]) -> Mapping[str, Eviction | PortError]:
        return {pod.key: self._evict(pod) for pod in pods}

    def _evict(self, pod: Pod) -> Eviction:
        self.api()
        if pod.key not in self.world.pods:
            return Eviction.GONE
        budgets = [b for b in FakeKubernetes.budgets(self) if pod.key in b.pods]  # known, whatever it answers
        if len(budgets) > 1 or (pod.ready and any(b.disruptions_allowed < 1 for b in budgets)):
            return Eviction.REFUSED
        self.world.pod_goes(pod.key)
        self.world.changed(f"evict {pod.key}")
        return Eviction.GRANTED

    def delete_pod(self, pod: Pod) -> None:
        self.api()
        self.world.pod_goes(pod.key)
        self.world.changed(f"delete pod {pod.key}")

    def attachments_on(self, node: str) -> tuple[Attachment, ...]:
        self.api()
        held = {n: v for n, v in self.world.volumes.items() if v.attached_to == node}
        return tuple(Attachment(f"va-{n}", n, f"apps/{v.claim}", node, True) for n, v in held.items())

    def unready_claimants(self) -> tuple[Pod, ...]:
        self.api()
        return tuple(p for p in self.world.pods.values() if p.claims and not p.ready)

    def moves(self, node: str) -> tuple[Move, ...]:
        self.api()
        return tuple(m for m in self.world.moves if m.from_node == node)

    def mint_token(self, ttl_s: float) -> str:
        self.api()
        return f"token-{ttl_s:.0f}"


class FakeEtcd(_Part):
    name = "etcd"

    def members(self) -> tuple[Member, ...]:
        self.api()
        return tuple(self.world.members.values())

    def move_leader(self, to: Member) -> None:
        for name, m in self.world.members.items():
            self.world.members[name] = replace(m, leader=m.id == to.id)
        self.world.changed(f"leader {to.name}")

    def remove(self, member: Member) -> None:
        self.world.members.pop(member.name, None)
        self.world.changed(f"remove member {member.name}")


class FakeStorage(_Part):
    name = "storage"

    def there(self) -> None:
        if not self.world.storage_there:
            raise PortError("storage", "no answer", "see runbooks/storage.md")

    def is_redundant(self) -> Verdict:
        self.there()
        bad = sorted(n for n, v in self.world.volumes.items() if len(self.world.live(v)) < len(v.replicas))
        return Verdict(not bad, tuple(f"{n} lacks a replica" for n in bad))

    def is_redundant_but(self, node: str) -> Verdict:
        self.there()
        volumes = self.world.volumes.items()
        bad = sorted(n for n, v in volumes if set(v.replicas) - set(self.world.live(v)) - {node})
        return Verdict(not bad, tuple(f"{n} lacks a replica" for n in bad))

    def can_lose(self, node: str) -> Verdict:
        self.there()
        bad = self.only_on(node)
        return Verdict(not bad, tuple(f"{n} has its last live replica on {node}" for n in bad))

    def only_on(self, node: str) -> tuple[str, ...]:
        self.there()
        held = {n: v for n, v in self.world.volumes.items() if node in v.replicas}
        return tuple(sorted(f"apps/{v.claim}" for v in held.values() if not set(self.world.live(v)) - {node}))

    def begin_maintenance(self, node: str) -> None:
        self.there()
        self.world.maintenance.add(node)
        for v in self.world.volumes.values():
            if node in v.replicas:
                v.replicas[node] = False
        self.world.changed(f"maintenance {node}")

    def end_maintenance(self, node: str) -> None:
        self.there()
        self.world.maintenance.discard(node)
        self.world.resync(node)
        self.world.changed(f"maintenance over {node}")

    def evacuate(self, node: str) -> Verdict:
        self.there()
        held = {n: v for n, v in self.world.volumes.items() if node in v.replicas}
        for name, v in held.items():
            spare = [n for n in self.world.pins if self.world.pins[n].stores and n not in v.replicas]
            v.replicas.pop(node)
            v.replicas[spare[0]] = True
            self.world.changed(f"moved {name} to {spare[0]}")
        return Verdict(not held, tuple(sorted(f"{n} has a replica on {node}" for n in held)))

    def paths_complete(self) -> Verdict:
        self.there()
        return Verdict(True)


class FakeMachines(_Part):
    name = "machines"

    def power(self, host: str, controller: Controller) -> Power:
        return self.world.hosts[host].power

    def power_off(self, host: str, controller: Controller) -> None:
        self.world.changed(f"power off {host}")
        machine = self.world.hosts[host].machine
        self.world.later(3, lambda: self._off(host, machine))

    def _off(self, host: str, machine: int) -> None:
        if self.world.hosts[host].machine != machine:
            return
        held = sorted(n for n, v in self.world.volumes.items() if v.attached_to == host)
        if held:
            self.world.broken.append(f"{host} was powered off with {', '.join(held)} attached")
        at = self.world.hosts[host]
        at.power, at.joined, at.credentials = Power.OFF, False, None
        if at.progress is not Progress.ERASED:  # a report stays until the next installation
            at.progress = Progress.NONE
        if host in self.world.members:
            self.world.members[host] = replace(self.world.members[host], healthy=False)
        if host in self.world.nodes:
            self.world.nodes[host] = replace(self.world.nodes[host], ready=False)

    def prepare(self, host: str, pin: Pin) -> None:
        if pin.generation in self.world.unfetched:
            raise NeedsAttention("https://publisher.example/kernel", "no answer", "runbooks/boot-store.md#publisher")

    def install(self, host: str, pin: Pin) -> str | None:
        method = pin.boot[0] if pin.boot else None
        at = self.world.hosts.setdefault(host, Host())
        at.power, at.progress, at.joined, at.credentials = Power.ON, Progress.NONE, False, None
        at.generation, at.machine = pin.generation, at.machine + 1
        machine = at.machine
        self.world.changed(f"install {host} {pin.generation}{f' by {method}' if method else ''}")
        if pin.erases:
            for i, word in enumerate(self.world.erasing):
                self.world.later(60 * (i + 1), lambda word=word: self._erases(host, machine, pin, word))  # type: ignore[misc]  # now
        elif method in self.world.ignored:
            at.progress = self.world.ignored[method]
        elif self.world.boots:
            for i, step in enumerate(self.world.install_progress):
                self.world.later(60 * (i + 1), lambda step=step: self._at(host, machine, step))  # type: ignore[misc]  # now
        return method

    def _erases(self, host: str, machine: int, pin: Pin, word: Progress | Power) -> None:
        at = self.world.hosts[host]
        if at.machine != machine or at.power is Power.OFF:
            return
        if isinstance(word, Power):
            at.power = word
        else:
            at.progress = word
            if word is Progress.ERASED:
                self.world.erased.append(f"{host} {pin.os_disk}")

    def _at(self, host: str, machine: int, step: Progress) -> None:
        at = self.world.hosts[host]
        if at.machine == machine and at.power is Power.ON:
            at.progress = step
            self.world.start_kubeadm(host)

    def progress(self, host: str, pin: Pin) -> Progress:
        if host in self.world.failed:
            raise NeedsAttention(f"report of {host}", "state 'failed'", "see its console")
        return self.world.hosts[host].progress

    def underway(self, host: str, pin: Pin) -> bool:
        return False

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        return {"serial": f"{host}-{self.world.hosts[host].serial}"}

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        self.world.changed(f"clear override {host}")


class FakeRecords(_Part):
    name = "records"

    def claim(self, host: str) -> Claim | None:
        return self.world.claims.get(host)

    def claims(self) -> Mapping[str, Claim]:
        return dict(self.world.claims)

    def holder(self, host: str, controller: Controller) -> str:
        return owners.holder(host, controller, self.world.claims)

    def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
        if self.world.claims.get(host) != expected:
            return False
        if new is not None and owners.takes(new, expected):
            owners.refuse_second(host, new, self.world.claims)
        if new is None:
            del self.world.claims[host]
        else:
            self.world.claims[host] = new
        self.world.changed(f"claim {host} {new.state if new else 'gone'}")
        return True

    def initialised_by(self) -> str | None:
        return self.world.initialised

    def record_initialised(self, node: str) -> bool:
        if self.world.initialised not in (None, node):
            return False
        self.world.initialised = node
        return True

    def initialising_by(self) -> str | None:
        return self.world.initialising

    def record_initialising(self, node: str) -> bool:
        if self.world.initialising not in (None, node):
            return False
        self.world.initialising = node
        return True

    def forget_initialising(self, node: str) -> None:
        if self.world.initialising == node:
            self.world.initialising = None


class FakeDelivery(_Part):
    name = "delivery"

    def deliver(self, node: str, credentials: Credentials) -> None:
        self.world.changed(f"deliver {node} {'init' if credentials.init else 'join'}")
        self.world.delivered.add(node)
        if self.world.hosts[node].credentials is None:
            # A Talos machine is not told to begin here: it waits to be asked to.
            init = credentials.init and not credentials.configuration
            self.world.hosts[node].credentials = replace(credentials, init=init)
            self.world.start_kubeadm(node)

    def withdraw(self, node: str) -> None:
        if node in self.world.delivered:
            self.world.delivered.remove(node)
            self.world.changed(f"withdraw {node}")


class FakeSecrets(_Part):
    name = "secrets"

    def pki(self, role: Role) -> Mapping[str, str]:
        return {"ca.crt": "PEM"}

    def endpoint(self) -> str:
        return "k8s.example:6443"

    def configuration(self, pin: Pin) -> str:
        return f"configuration of {pin.node}"


class FakeMachineApi(_Part):
    """A Talos machine's own. It answers once it has its configuration and runs."""

    name = "machine_api"

    def bootstrap(self, node: str) -> None:
        self._running(node)
        self.world.changed(f"bootstrap {node}")
        at = self.world.hosts[node]
        if at.credentials is not None:
            at.credentials = replace(at.credentials, init=True)
        self.world.start_kubeadm(node)

    def wipe(self, node: str) -> None:
        self._running(node)
        self.world.changed(f"wipe {node}")
        machine = self.world.hosts[node].machine
        if not self.world.wipes_for_ever:
            self.world.later(30, lambda: FakeMachines(self.world)._off(node, machine))

    def _running(self, node: str) -> None:
        at = self.world.hosts[node]
        if at.power is Power.OFF or not (at.joined or at.credentials) or node in self.world.mute_machines:
            raise PortError(f"Talos of {node}", "UNAVAILABLE", "wait for it")


class FakeRosterStore(_Part):
    name = "roster"

    def read(self) -> tuple[str, str]:
        self.api()
        return self.world.document, str(self.world.version) if self.world.version else ""

    def write(self, document: str, version: str) -> bool:
        self.api()
        if version != (str(self.world.version) if self.world.version else ""):
            return False
        self.world.document, self.world.version = document, self.world.version + 1
        return True

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()


class FakeRolls(_Part):
    name = "rolls"

    def run(self) -> Run:
        return self.world.run

    def engine_lives(self) -> bool:
        return self.world.run.id not in self.world.ended

    def lives(self, run: Run) -> bool | None:
        return run.id not in self.world.ended if run.place == self.world.run.place else None

    def read(self) -> tuple[Roll | None, str]:
        self.api()
        roll = self.world.roll
        if roll is None:
            return None, ""
        if roll.run.id in self.world.renewing:
            roll = self.world.roll = replace(roll, renewed_s=self.world.now_s)
        return replace(roll, age_s=self.world.now_s - roll.renewed_s), str(self.world.roll_version)

    def write(self, roll: Roll, version: str) -> bool:
        self.api()
        if version != (str(self.world.roll_version) if self.world.roll else ""):
            return False
        self.world.roll, self.world.roll_version = roll, self.world.roll_version + 1
        return True

    @contextmanager
    def keep(self, renew: Callable[[], None], every_s: float) -> Iterator[None]:
        run = self.world.run.id
        self.world.renewing.add(run)
        try:
            yield
        finally:
            self.world.renewing.discard(run)


class FakeAccess(_Part):
    name = "access"

    def forbidden(self) -> tuple[Forbidden, ...]:
        return self.world.forbidden

    def grant(self) -> bool:
        """The roles hold a moment after they were made."""
        if self.world.roles:
            return False
        self.world.roles = True
        self.world.changed("roles made")
        self.world.later(1, lambda: setattr(self.world, "forbidden", ()))
        return True


class FakeEvidence(_Part):
    name = "evidence"

    def begin(self, node: str, phase: str, detail: str = "") -> None:
        self.world.journal.append((node, phase))

    def end(self, node: str, outcome: str) -> None:
        self.world.journal.append((node, "end", outcome))

    def waited(self, node: str, what: str, start_s: float, end_s: float, limit_s: float, met: bool) -> None:
        self.world.waits.append((node, what, end_s - start_s, met))

    def volume(self, node: str, move: Move) -> None:
        self.world.journal.append((node, "note", f"volume {move.volume} left {move.from_node}"))

    def note(self, node: str, text: str) -> None:
        self.world.journal.append((node, "note", text))


def ports(world: World) -> Ports:
    """Ports of a new step's process: alive, counting its calls from nought."""
    world.calls, world.dead = 0, False

    def tap(part: type[_Part]) -> Any:
        return Tap(world, part(world))

    return Ports(
        clock=tap(FakeClock),
        pins=tap(FakePins),
        kubernetes=tap(FakeKubernetes),
        etcd=tap(FakeEtcd),
        storage=tap(FakeStorage),
        machines=tap(FakeMachines),
        records=tap(FakeRecords),
        delivery=tap(FakeDelivery),
        secrets=tap(FakeSecrets),
        machine_api=tap(FakeMachineApi),
        roster=tap(FakeRosterStore),
        rolls=tap(FakeRolls),
        access=tap(FakeAccess),
        evidence=tap(FakeEvidence),
    )
