"""Rolls of a lab's nodes by the lifecycle's own steps: how long beside what they wait for, and what they ask.

Steps run as threads of one process that share one view, as the steps of a real roll share a broker's
(bench/README.md says why, and what their processes cost on top).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.lab_cases import Counting
from lab import fleet as make
from lab.lab import Lab
from lab.site import NEW, OLD, STACK, Site
from lifecycle.adapters.clock import POLL_S
from lifecycle.adapters.kube_api import KubeApi
from lifecycle.adapters.records import DirectoryRecords
from lifecycle.adapters.view import View
from lifecycle.commands import Step, Verb
from lifecycle.ports import Pod
from lifecycle.power import STEADY_S
from lifecycle.run import execute
from lifecycle.waiting import OBSERVE_S, WATCHED_S

ROOT, EXAMPLE = Path(__file__).parents[1], "stacks/Pulumi.metal.yaml"
LANES = 50
PODS_OF_A_NODE, REPLICAS = 2, 20
UP_LIMIT_S = 300.0

TURN = (
    (Verb.LEAVE, OLD),
    (Verb.RELEASE, OLD),
    (Verb.PROVISION, NEW),
    (Verb.ENROL, NEW),
    (Verb.JOIN, NEW),
)
"""What the engine runs for a node that is replaced."""

LOOKS = 3
"""At what one node takes alone: the median counts."""

MARGIN = 1.1
"""What may come on top of the own waits, and what two counts of the same may differ by."""

COUNTED, LANES_OF_A_COUNT = 20, 5
"""The nodes that are replaced in a fleet of any size."""


def roll(nodes: int, boot_s: int) -> dict[str, float]:
    """Replace every node, LANES at a time, each of which boots in `boot_s`."""
    with _site(LANES, boot_s) as (site, view):
        _populate(site, view, nodes)
        pods_end_s, ready_s = _alone(site, view)
        began = time.monotonic()
        _replace(site, view, site.nodes, LANES)
        wall_s = time.monotonic() - began
        step_start_s = min(_step_start_s(site) for _ in range(LOOKS))
    turns, rules_s = -(-nodes // LANES), _prescribed_s(boot_s)
    own_waits_s = turns * (pods_end_s + boot_s + ready_s + rules_s)
    return {
        "wall_s": wall_s,
        "own_waits_s": own_waits_s,
        "overhead_of_a_turn_s": (wall_s - own_waits_s) / turns,
        "pods_end_s": pods_end_s,
        "ready_s": ready_s,
        "rules_s": rules_s,
        "step_start_s": step_start_s,
        "overhead": wall_s / own_waits_s - 1,
        "ratio": wall_s / own_waits_s / MARGIN,
    }


def _prescribed_s(boot_s: float) -> float:
    """What the gates' own rules take of a turn: the distance between the two looks of a detach, a registration
    and a Ready, that of the two looks at paths, those of a release and a provision at a host that is off, and the last
    poll of a host that has just booted."""
    return 3 * WATCHED_S + OBSERVE_S + 2 * STEADY_S + (-boot_s % POLL_S)


def requests(*sizes: int) -> dict[str, float]:
    """Replace as many nodes in fleets of each size, and count what every step and its view ask."""
    found: dict[str, float] = {}
    with _site(LANES_OF_A_COUNT, 0) as (site, _):
        for size in sizes:
            api = site.connect_as(Counting)
            populated = View(site.connect(), site.fleet.clock, frozenset())
            _populate(site, populated, size)
            populated.stop()
            view = View(api, site.fleet.clock, frozenset())
            _replace(site, view, site.nodes[-COUNTED:], LANES_OF_A_COUNT, api)
            view.stop()
            found[f"of_{size}"] = api.requests / COUNTED
    growth = found[f"of_{max(sizes)}"] / found[f"of_{min(sizes)}"]
    return {**found, "growth": growth, "ratio": growth / MARGIN}


CASES: dict[str, Callable[..., dict[str, float]]] = {"lab-roll": roll, "requests": requests}


@contextmanager
def _site(max_unavailable: int, boot_s: float) -> Iterator[tuple[Site, View]]:
    with tempfile.TemporaryDirectory() as folder, Lab.start(Path(folder) / "lab", systems=1) as lab:
        site = Site(lab, Path(folder), max_unavailable=max_unavailable, boot_s=boot_s)
        view = View(site.connect(), site.fleet.clock, frozenset())
        yield site, view
        view.stop()


def _populate(site: Site, view: View, nodes: int) -> None:
    site.grow(nodes, UP_LIMIT_S)
    apps = [f"app-{number}" for number in range(nodes * PODS_OF_A_NODE // REPLICAS)]
    for app in apps:
        site.fleet.create(make.deployment(app, REPLICAS))
        site.fleet.create(make.budget(app, app, min_available=REPLICAS // 2))
    view.start()
    until_s = time.monotonic() + UP_LIMIT_S
    while sum(b.disruptions_allowed for b in view.budgets("")) < len(apps) * REPLICAS // 2:
        if time.monotonic() > until_s:
            raise TimeoutError(f"expected all pods of {len(apps)} apps Ready within {UP_LIMIT_S:.0f} s")
        time.sleep(0.5)


def _replace(site: Site, view: View, nodes: Sequence[str], lanes: int, api: KubeApi | None = None) -> None:
    """All of them, in lanes as the planner makes them. Raises what the first lane raises."""
    failed = threading.Event()

    def lane(number: int) -> None:
        own = api or site.connect()
        for node in nodes[number::lanes]:
            for verb, generation in TURN:
                if failed.is_set():
                    return
                try:
                    execute(Step(verb, STACK, node, generation), site.ports(own, view))
                except BaseException:
                    failed.set()
                    raise

    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(lane, range(lanes)))


def _alone(site: Site, view: View) -> tuple[float, float]:
    """How long the cluster takes, while nothing else happens, to end a pod that is deleted, and from a Node's
    creation to its Ready: medians."""
    busy = (pods[0].pod for node in site.nodes if (pods := view.pods_on(node)))
    ends = [_ends_s(site, view, pod) for pod, _ in zip(busy, range(LOOKS), strict=False)]
    return statistics.median(ends), statistics.median(_ready_s(site, view, f"spare-{n}") for n in range(LOOKS))


def _ends_s(site: Site, view: View, pod: Pod) -> float:
    began = time.monotonic()
    site.fleet.delete({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod.name}})
    _until(view, f"pods/{pod.node}", lambda: all(seen.pod.uid != pod.uid for seen in view.pods_on(pod.node)))
    return time.monotonic() - began


def _ready_s(site: Site, view: View, name: str) -> float:
    spare = make.node(name, "10.9.0.1")
    spare["spec"]["unschedulable"] = True
    began = time.monotonic()
    site.fleet.create(spare)
    _until(view, f"node/{name}", lambda: (seen := view.node(name)) is not None and seen.node.ready)
    took_s = time.monotonic() - began
    site.fleet.delete(spare)
    return took_s


def _step_start_s(site: Site) -> float:
    """What the process of a step takes that finds nothing to do: Python, the stack file, the records, a connection
    and a look at the roll's Lease. The roll above has none of it."""
    with tempfile.TemporaryDirectory() as folder:
        project, store = Path(folder) / "project", Path(folder) / "store"
        (project / "stacks").mkdir(parents=True)
        store.mkdir()
        for name in ("Pulumi.yaml", "stacks/images.lock.json"):
            (project / name).write_bytes((ROOT / name).read_bytes())
        declared = yaml.safe_load((ROOT / EXAMPLE).read_text())
        declared["config"]["ingot:environment"]["boot_store"]["directory"] = str(store)
        (project / EXAMPLE).write_text(yaml.safe_dump(declared))
        DirectoryRecords(lambda: store, "metal", site.fleet.clock).record_initialised("cp1")
        env = {"INGOT_KUBECONFIG": str(site.kubeconfig), "INGOT_RUN": STACK, "PATH": "", "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-m", "cli.main", "node", "leave", "--stack", "metal", "--node", "w1"]
        began = time.monotonic()
        subprocess.run(
            [*words, "--generation", OLD], cwd=project, env=env, check=True, capture_output=True, timeout=UP_LIMIT_S
        )
        return time.monotonic() - began


def _until(view: View, topic: str, holds: Callable[[], bool]) -> None:
    since, until_s = -1, time.monotonic() + UP_LIMIT_S
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError(f"expected {topic} to change within {UP_LIMIT_S:.0f} s")
        since = view.wait(topic, since, 1.0)
