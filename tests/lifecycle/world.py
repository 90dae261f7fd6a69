"""A small world for the fake ports, on a clock that only waits move.

It behaves as the far sides do (evictions are asynchronous, budgets refuse, detaching takes time) and
checks the laws of a roll at every change: `broken` must stay empty. `changes` lists what was changed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lifecycle.permissions import Forbidden
from lifecycle.ports import (
    Claim,
    Credentials,
    Limits,
    Member,
    Move,
    Node,
    Pin,
    Pod,
    Power,
    Progress,
    Role,
    Roll,
    Rollout,
    Run,
)

KUBELET = "v1.36.3"


class Killed(BaseException):
    """The process that ran the step is gone."""


@dataclass
class Host:
    """A machine: what it boots, how far it is, what it was given."""

    power: Power = Power.ON
    progress: Progress = Progress.RUNNING
    joined: bool = True
    generation: str = "g1"
    machine: int = 1
    credentials: Credentials | None = None
    serial: str = "4711"


@dataclass
class Volume:
    """replicas: node -> in sync."""

    claim: str
    replicas: dict[str, bool]
    attached_to: str = ""


@dataclass
class World:
    """Everything there is. Tests change it directly before a step; steps go through `ports()`."""

    stack: str = "metal"
    now_s: float = 1000.0
    pins: dict[str, Pin] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    rollout: Rollout = field(default_factory=Rollout)
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    budgets: dict[str, int] = field(default_factory=dict)  # app -> pods that must stay healthy
    volumes: dict[str, Volume] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    members: dict[str, Member] = field(default_factory=dict)
    maintenance: set[str] = field(default_factory=set)
    hosts: dict[str, Host] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    initialised: str | None = None
    initialising: str | None = None
    delivered: set[str] = field(default_factory=set)  # credentials that lie there to be fetched
    failed: set[str] = field(default_factory=set)  # machines that report so
    unfetched: set[str] = field(default_factory=set)  # generations whose files nobody can fetch now
    ignored: dict[str | None, Progress] = field(default_factory=dict)  # way to boot that leads nowhere -> what shows
    document: str = ""
    version: int = 0
    run: Run = field(default_factory=lambda: Run("run-a", "here", "here", 1, 1.0))  # the engine that asks
    ended: set[str] = field(default_factory=set)  # runs of this machine whose process is gone
    roll: Roll | None = None
    roll_version: int = 0
    renewing: set[str] = field(default_factory=set)  # runs with a step, which renews the roll
    forbidden: tuple[Forbidden, ...] = ()  # what the cluster does not let the steps do
    roles: bool = True  # whether the cluster has roles for them
    api_up: bool = True
    storage_there: bool = True
    detaches: bool = True
    boots: bool = True
    registers: bool = True
    mute_machines: set[str] = field(default_factory=set)  # machines whose own API does not answer
    wipes_for_ever: bool = False  # a machine that erases its disk never switches itself off
    images: dict[str, str] = field(default_factory=dict)  # generation -> what really boots
    kernels: dict[str, str] = field(default_factory=dict)  # node -> the kernel that really runs
    erasing: tuple[Progress | Power, ...] = (Progress.INSTALLING, Progress.ERASED, Power.OFF)
    erased: list[str] = field(default_factory=list)  # host and disk
    install_progress: tuple[Progress, ...] = (Progress.INSTALLING, Progress.INSTALLED, Progress.RUNNING)
    changes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    journal: list[tuple[str, ...]] = field(default_factory=list)
    waits: list[tuple[str, str, float, bool]] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)  # call -> times it still fails
    calls: int = 0
    kill_at: int = 0
    kill_after: bool = False  # the call still happens before the kill
    dead: bool = False
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _seq: int = 0

    # ------------------------------------------------------------ time

    def later(self, after_s: float, happen: Callable[[], None]) -> None:
        self._seq += 1
        heapq.heappush(self._events, (self.now_s + after_s, self._seq, happen))

    def run_until(self, until_s: float, *, first: bool = False) -> None:
        """Let events happen up to `until_s`; first: stop after the first one."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, happen = heapq.heappop(self._events)
            happen()
            self.check_laws()
            if first:
                return
        self.now_s = max(self.now_s, until_s)

    # ------------------------------------------------------------ what it knows

    def changed(self, text: str) -> None:
        self.changes.append(text)
        self.check_laws()

    def live(self, volume: Volume) -> list[str]:
        return [n for n, sync in volume.replicas.items() if sync and self.stores(n)]

    def stores(self, node: str) -> bool:
        host = self.hosts[node]
        return host.power is Power.ON and host.joined and node not in self.maintenance

    def quorate(self) -> bool:
        voters = [m for m in self.members.values() if m.voter]
        return bool(voters) and sum(m.healthy for m in voters) > len(voters) // 2

    def check_laws(self) -> None:
        """Laws of a roll, whatever the steps believe."""
        retiring = all(c.retiring for c in self.claims.values())
        if self.members and not self.quorate():
            self.broken.append("etcd lost its majority")
        if not retiring:
            self.broken += [f"{n} has no live replica" for n, v in self.volumes.items() if not self.live(v)]
        if '"serving":true' in self.document:
            self._check_budgets(retiring)

    def _check_budgets(self, retiring: bool) -> None:
        out: dict[str, set[str]] = {}
        for name, pin in self.pins.items():
            seen = self.nodes.get(name)
            if not retiring and (seen is None or seen.unschedulable) and not self._stood_in(pin):
                out.setdefault(pin.pool, set()).add(name)
        limit = {pin.pool: pin.max_unavailable for pin in self.pins.values()}
        self.broken += [f"{sorted(n)} of {p} are out" for p, n in out.items() if len(n) > limit[p]]

    def _stood_in(self, pin: Pin) -> bool:
        """Whether another node of its host serves."""
        others = [n for n, c in self.claims.items() if pin.host and c.host == pin.host and n != pin.node]
        return any(n in self.nodes and self.nodes[n].ready and not self.nodes[n].unschedulable for n in others)

    # ------------------------------------------------------------ what happens by itself

    def pod_goes(self, key: str) -> None:
        pod = self.pods[key]
        if pod.terminating:
            return
        self.pods[key] = replace(pod, terminating=True, ready=False)
        self.later(5, lambda: self._pod_gone(key))

    def given_up(self, name: str) -> None:
        """The pods of a host that is off, whose node is out of service."""
        for key, pod in self.pods.items():
            if pod.node == name and pod.owner != "DaemonSet":
                self.later(1, lambda key=key: self._pod_gone(key, forced=True))  # type: ignore[misc]  # binds key now

    def _pod_gone(self, key: str, *, forced: bool = False) -> None:
        pod = self.pods[key]
        if pod.node and self.hosts[pod.node].power is Power.OFF and not forced:
            return  # no kubelet ends it
        target = next((n for n in sorted(self.nodes) if self._takes(n, pod.node)), "")
        self.pods[key] = replace(pod, node=target, terminating=False, ready=False)
        volumes = [v for v in self.volumes.values() if v.claim in pod.claims]
        if self.detaches:
            for v in volumes:
                self.later(3, lambda v=v: setattr(v, "attached_to", ""))  # type: ignore[misc]  # binds v now
        if target:
            for v in volumes:
                self.later(6, lambda v=v: setattr(v, "attached_to", target))  # type: ignore[misc]  # binds v now
            self.later(9, lambda: self.pods.update({key: replace(self.pods[key], ready=True)}))

    def _takes(self, name: str, but: str) -> bool:
        node = self.nodes[name]
        of = self.pins.get(name) or self.claims[name]
        return name != but and node.ready and not node.unschedulable and of.role is Role.WORKER

    def engine_ends(self, run: str) -> None:
        """Another run begins, after this one's process went away."""
        self.ended.add(self.run.id)
        self.run = replace(self.run, id=run, pid=self.run.pid + 1)

    def start_kubeadm(self, name: str) -> None:
        host = self.hosts[name]
        if host.joined or host.credentials is None or host.progress is not Progress.RUNNING:
            return
        if self.registers and (host.credentials.init or self.quorate()):
            self.later(20, lambda: self._registered(name, host.machine))

    def _registered(self, name: str, machine: int) -> None:
        host = self.hosts[name]
        if host.machine != machine or host.power is Power.OFF or host.joined:
            return
        host.joined = True
        if self.pins[name].role is Role.CONTROL_PLANE:
            first = not self.members
            self.members[name] = Member(f"{name}-{machine}", name, first, True, first, 0 if first else 9000)
            self.later(15, lambda: self.members.update({name: replace(self.members[name], voter=True, lag=0)}))
        was = self.nodes.get(name)
        cordoned = bool(was and was.unschedulable)
        image, identity = self.images.get(host.generation, f"OS {host.generation}"), f"{name}-m{machine}"
        self.nodes[name] = Node(
            name, False, cordoned, image, self.kernels.get(name, "6.18"), KUBELET, identity, f"{name}-b{machine}"
        )
        self.later(10, lambda: self.becomes_ready(name))

    def becomes_ready(self, name: str) -> None:
        if name in self.nodes and self.hosts[name].joined:
            self.nodes[name] = replace(self.nodes[name], ready=True)
            for key, pod in self.pods.items():
                if not pod.node and self._takes(name, ""):
                    self.pods[key] = replace(pod, terminating=False)
                    self._pod_gone(key)

    def resync(self, name: str) -> None:
        for v in self.volumes.values():
            if v.replicas.get(name) is False and self.storage_there:
                self.later(40, lambda v=v: v.replicas.update({name: True}))  # type: ignore[misc]  # binds v now
