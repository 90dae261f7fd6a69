"""Measurements against the lab's real API server, each beside the field's own tool in the same run.

A case returns plain figures; `bench.__main__` sets them beside their peers.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab import fleet as make
from lab.fleet import Fleet
from lab.lab import Lab
from lifecycle import drain as lifecycle_drain
from lifecycle.adapters.clock import WatchingClock
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.view import View
from lifecycle.ports import Ports
from tests.lifecycle import fakes
from tests.lifecycle.world import World
from tools.lab import ensure

NODES = ("w1", "w2", "w3", "w4")
READY_LIMIT_S, DRAIN_LIMIT_S = 120.0, 300.0


class Counting(KubeApi):
    """Counts every request, those that open a watch too."""

    requests = 0

    def _open(self, *of: Any) -> Any:
        self.requests += 1
        return super()._open(*of)


def drain(pods: int, rounds: int) -> dict[str, float]:
    """Drain a node of so many pods with `kubectl drain` and with the lifecycle's own, by turns; the best of each."""
    ours: list[tuple[float, int]] = []
    theirs: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder, Lab.start(Path(folder), systems=1) as lab:
        fleet = Fleet(lab.kubeconfig)
        fleet.create_nodes(len(NODES))
        _wait(lambda: all(_ready(fleet, node) for node in NODES), "nodes Ready")
        for number in range(rounds):
            with _filled(fleet, f"kubectl-{number}", pods, "w1"):
                theirs.append(_kubectl(lab, "w1"))
            with _filled(fleet, f"ingot-{number}", pods, "w2"):
                ours.append(_ingot(lab, "w2"))
    return {
        "ingot_s": min(s for s, _ in ours),
        "kubectl_s": min(s for s, _ in theirs),
        "ingot_requests": min(n for _, n in ours),
        "kubectl_requests": min(n for _, n in theirs),
    }


CASES: dict[str, Callable[..., dict[str, float]]] = {"drain": drain}


def _ingot(lab: Lab, node: str) -> tuple[float, int]:
    """What a leave does between its cordon and its detach, with a view and a connection of its own."""
    clock = Fleet(lab.kubeconfig).clock
    api = Counting(lambda: from_kubeconfig(lab.kubeconfig), clock)
    view = View(api, clock, frozenset())
    kubernetes = ApiKubernetes(api, clock, frozenset(), view)
    ports: Ports = replace(fakes.ports(World()), clock=WatchingClock(view), kubernetes=kubernetes)
    began = time.monotonic()
    kubernetes.set_unschedulable(node, True)
    lifecycle_drain.drain(ports, node, lifecycle_drain.workloads)
    return time.monotonic() - began, api.requests


def _kubectl(lab: Lab, node: str) -> tuple[float, int]:
    """It says each request at this verbosity."""
    words = [str(ensure()["kubectl"]), "--kubeconfig", str(lab.kubeconfig), "-v=6", "drain", node, "--timeout=300s"]
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=DRAIN_LIMIT_S)
    took_s = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"kubectl drain: expected exit code 0, found {done.returncode}: {done.stderr[-500:]}")
    return took_s, sum("round_trippers.go" in line and '"Response"' in line for line in done.stderr.splitlines())


@contextmanager
def _filled(fleet: Fleet, name: str, pods: int, node: str) -> Iterator[None]:
    """A Deployment of which every pod runs on `node`, and may run anywhere once it is evicted."""
    others = [other for other in NODES if other != node]
    deployment = make.deployment(name, pods)
    for other in others:
        _cordon(fleet, other, True)
    fleet.create(deployment)
    _wait(lambda: _status(fleet, deployment).get("readyReplicas") == pods, f"{pods} Ready pods on {node}")
    for other in others:
        _cordon(fleet, other, False)
    yield
    fleet.delete(deployment)
    _cordon(fleet, node, False)


def _cordon(fleet: Fleet, node: str, value: bool) -> None:
    ApiKubernetes(fleet.api, fleet.clock, frozenset()).set_unschedulable(node, value)


def _status(fleet: Fleet, item: make.Json) -> dict[str, Any]:
    return (fleet.read(item) or {}).get("status") or {}


def _ready(fleet: Fleet, node: str) -> bool:
    conditions = _status(fleet, make.node(node, "")).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _wait(ask: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + READY_LIMIT_S
    while not ask():
        if time.monotonic() > until_s:
            raise TimeoutError(f"expected {what} within {READY_LIMIT_S:.0f} s")
        time.sleep(0.2)
