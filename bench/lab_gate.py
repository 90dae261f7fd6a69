"""How soon a gate returns once what it waits for has come true, in a big cluster.

Each sample is one of the lifecycle's own waits, as a step runs it: reading from a broker's process, woken by it.
The clock starts before the request that makes the condition true is sent, so that what the API server, KWOK and
the controllers take counts too.
"""

from __future__ import annotations

import math
import multiprocessing
import statistics
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab import fleet as make
from lab.lab import Lab
from lab.site import Site
from lifecycle import detach, drain, join
from lifecycle.adapters.broker import Broker, SharedView
from lifecycle.adapters.clock import WallClock, WatchingClock
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig, path
from lifecycle.adapters.view import Source, View
from lifecycle.ports import Limits, Pod, Ports

UP_LIMIT_S, LIMIT_S = 300.0, 60.0
WRITERS = 10
HOLD = "lab.ingot/hold"
LIMITS = Limits(join_s=LIMIT_S, drain_s=LIMIT_S, detach_s=LIMIT_S)


def gate(nodes: int, pods: int, samples: int) -> dict[str, float]:
    """So many samples of each condition, one of each at a time."""
    with tempfile.TemporaryDirectory() as folder, Lab.start(Path(folder) / "lab", systems=1) as lab:
        site = Site(lab, Path(folder))
        site.grow(nodes, UP_LIMIT_S)
        with _broker(lab.kubeconfig, Path(folder)) as view:
            _fill(site, view, pods)
            with ThreadPoolExecutor(len(CONDITIONS)) as pool:
                took = dict(
                    zip(CONDITIONS, pool.map(lambda c: _sampled(site, view, c, samples), CONDITIONS), strict=True)
                )
    found: dict[str, float] = {"samples": sum(map(len, took.values()))}
    for condition, seconds in took.items():
        found[f"{condition.name}_p50_s"] = statistics.median(seconds)
        found[f"{condition.name}_p99_s"] = _p99(seconds)
    everything = [s for seconds in took.values() for s in seconds]
    worst_s = max(_p99(seconds) for seconds in took.values())
    return {**found, "p50_s": statistics.median(everything), "p99_s": worst_s, "ratio": worst_s}


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]


# ---------------------------------------------------------------- the cluster, and how a step reads it


def keep_view(kubeconfig: Path, folder: Path) -> None:
    """The broker's process."""
    clock = WallClock()
    Broker(folder, View(KubeApi(lambda: from_kubeconfig(kubeconfig), clock), clock, frozenset())).serve()


@contextmanager
def _broker(kubeconfig: Path, folder: Path) -> Iterator[Source]:
    """A broker of its own process; whoever asks before it listens waits for it."""
    keeping = multiprocessing.get_context("spawn").Process(target=keep_view, args=(kubeconfig, folder), daemon=True)

    def none() -> Source:
        raise RuntimeError(f"expected the broker in {folder} to listen, found none")

    yield SharedView(lambda: folder, lambda _: keeping.start(), none, WallClock(), UP_LIMIT_S)
    keeping.kill()
    keeping.join()


def _fill(site: Site, view: Source, pods: int) -> None:
    """Pods bound to their nodes, evenly: the scheduler is not what is measured."""

    def create(number: int) -> None:
        node = site.nodes[number % len(site.nodes)]
        site.fleet.create(_pod(f"fill-{number}", node))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(create, range(pods)))
    _until(lambda: sum(p.pod.ready for n in site.nodes for p in view.pods_on(n)) >= pods, f"{pods} Ready pods")


def _pod(name: str, node: str, *, grace_s: int = 30, labels: dict[str, str] | None = None, hold: bool = False) -> Any:
    spec = {**make.pod_spec(), "nodeName": node, "terminationGracePeriodSeconds": grace_s}
    meta: dict[str, Any] = {"name": name, "labels": labels or {}, "finalizers": [HOLD] if hold else []}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _until(holds: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + UP_LIMIT_S
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError(f"expected {what} within {UP_LIMIT_S:.0f} s")
        time.sleep(0.05)


def _patch(site: Site, where: Sequence[str], body: Any, kind: str = "merge") -> None:
    content = f"application/{kind}-patch+json"
    site.fleet.api.ask("patch", "PATCH", path(*where), body=body, content_type=content)


# ---------------------------------------------------------------- samples


class Parked(WatchingClock):
    """Says when the step first waits."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.waits = threading.Event()

    def wait(self, about: str, until_s: float) -> None:
        self.waits.set()
        super().wait(about, until_s)


class Condition(ABC):
    """Something that a gate waits for, on a node of its own. number: of the sample."""

    name = ""

    def __init__(self, site: Site, view: Source, number: int) -> None:
        self.site, self.view, self.number = site, view, number
        self.node = site.nodes[number % len(site.nodes)]

    @abstractmethod
    def prepare(self) -> None:
        """Not so, for certain."""

    @abstractmethod
    def wait(self, ports: Ports) -> None:
        """The gate."""

    def settle(self) -> None:  # noqa: B027  # most conditions need nothing
        """What else must have happened once the gate waits."""

    @abstractmethod
    def come_true(self) -> None:
        """By one request."""


class Ready(Condition):
    """The kubelet of a node that joins reports Ready."""

    name = "ready"

    def prepare(self) -> None:
        self.site.fleet.annotate(make.node(self.node, ""), {"lab.ingot/kubelet": "stopped"})
        _until(lambda: (n := self.view.node(self.node)) is not None and not n.node.ready, "a node that is not Ready")

    def wait(self, ports: Ports) -> None:
        join.wait_ready(ports, self.node)

    def come_true(self) -> None:
        self.site.fleet.annotate(make.node(self.node, ""), {"lab.ingot/kubelet": None})


class Empty(Condition):
    """The last pod of a drain is gone."""

    name = "empty"

    def prepare(self) -> None:
        self.pod = _pod(f"held-{self.number}", self.node, hold=True)
        self.site.fleet.create(self.pod)
        _until(lambda: bool(self._of(p.pod for p in self.view.pods_on(self.node) if p.pod.ready)), "a Ready pod")

    def _of(self, pods: Any) -> tuple[Pod, ...]:
        return tuple(p for p in pods if p.name == self.pod["metadata"]["name"])

    def wait(self, ports: Ports) -> None:
        drain.drain(ports, self.node, self._of)

    def settle(self) -> None:
        """Its kubelet is done with it, so that only the finalizer is left."""

        def ended() -> bool:
            found = self.site.fleet.read(self.pod)
            return found is not None and found["metadata"].get("deletionGracePeriodSeconds") == 0

        _until(ended, "a pod that only its finalizer keeps")

    def come_true(self) -> None:
        where = ("api", "v1", "namespaces", "default", "pods", self.pod["metadata"]["name"])
        _patch(self.site, where, {"metadata": {"finalizers": None}})


class Detached(Condition):
    """The last VolumeAttachment of a node is gone."""

    name = "detached"

    def prepare(self) -> None:
        self.attachment = make.attachment(f"va-{self.number}", f"pv-{self.number}", self.node)
        meta = self.attachment["metadata"]
        meta["finalizers"], meta["annotations"] = [HOLD], {"lab.ingot/stuck": "true"}
        self.site.fleet.create(self.attachment)
        self.site.fleet.delete(self.attachment)
        _until(lambda: bool(self.view.attachments_on(self.node)), "an attachment")

    def wait(self, ports: Ports) -> None:
        detach.wait_detached(ports, self.node)

    def come_true(self) -> None:
        where = ("apis", "storage.k8s.io", "v1", "volumeattachments", self.attachment["metadata"]["name"])
        _patch(self.site, where, {"metadata": {"finalizers": None}})


class Recovered(Condition):
    """A budget that refused the last pod of a drain allows it: another pod of its app is Ready again."""

    name = "recovered"

    def prepare(self) -> None:
        self.app = f"app-{self.number}"
        other = self.site.nodes[(self.number + 1) % len(self.site.nodes)]
        labels = {"app": self.app}
        for suffix, node in (("here", self.node), ("there", other)):
            self.site.fleet.create(_pod(f"{self.app}-{suffix}", node, grace_s=0, labels=labels))
        self.site.fleet.create(make.budget(self.app, self.app, min_available=1))
        _until(lambda: self._allowed() == 1, "a budget with room for one")
        self._there("False")
        _until(lambda: self._allowed() == 0, "a budget without room")

    def _allowed(self) -> int:
        return next((b.disruptions_allowed for b in self.view.budgets(self.node) if b.name == self.app), -1)

    def _there(self, ready: str) -> None:
        where = ("api", "v1", "namespaces", "default", "pods", f"{self.app}-there", "status")
        body = {"status": {"conditions": [{"type": "Ready", "status": ready}]}}
        _patch(self.site, where, body, "strategic-merge")

    def wait(self, ports: Ports) -> None:
        drain.drain(ports, self.node, lambda pods: tuple(p for p in pods if p.name == f"{self.app}-here"))

    def come_true(self) -> None:
        self._there("True")


CONDITIONS: tuple[type[Condition], ...] = (Ready, Empty, Detached, Recovered)

CASES: dict[str, Callable[..., dict[str, float]]] = {"gate": gate}


def _sampled(site: Site, view: Source, kind: type[Condition], samples: int) -> list[float]:
    """Seconds from a condition's truth to its gate's return. Each kind has nodes of its own."""
    first = CONDITIONS.index(kind) * len(site.nodes) // len(CONDITIONS)
    return [_sample(site, view, kind(site, view, first + number)) for number in range(samples)]


def _sample(site: Site, view: Source, condition: Condition) -> float:
    condition.prepare()
    clock, ended = Parked(view), [0.0]
    ports = replace(site.ports(site.connect(), view, LIMITS), clock=clock)

    def wait() -> None:
        condition.wait(ports)
        ended[0] = time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        while not clock.waits.wait(0.05) and not waiting.done():
            pass
        condition.settle()
        if waiting.done():
            waiting.result()
            raise RuntimeError(f"expected {condition.name} of {condition.node} to be waited for, found it true")
        began = time.monotonic()
        condition.come_true()
        waiting.result(LIMIT_S)
    return ended[0] - began
