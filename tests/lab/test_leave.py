"""The lifecycle's own functions on a real API server: nodes leave it, whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from lab import fleet as make
from lab.fleet import Fleet
from lab.lab import Lab
from lifecycle.errors import BudgetFull, DrainBlocked
from lifecycle.ports import ClaimState
from lifecycle.roster import Standing
from lifecycle.stops import RollTaken
from tests.lab.eventually import eventually
from tests.lab.leaving import WORKERS, Cluster, serving, tap

pytestmark = pytest.mark.lab


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Lab.start(tmp_path_factory.mktemp("lab"), systems=1) as lab:
        Fleet(lab.kubeconfig).create_nodes(len(WORKERS))
        cluster = serving(lab, WORKERS)
        yield cluster
        cluster.close()


class TestLeave:
    """A node leaves by evictions that its budgets allow, and no volume stays attached to it."""

    def test_moves_pods_and_volumes_and_then_the_node_is_gone(self, cluster: Cluster) -> None:
        cluster.app("web", replicas=4, on="w1", budget=3)
        cluster.app("db", replicas=1, on="w1", claim="data")
        kubernetes = cluster.ports().kubernetes
        eventually(lambda: [a for a in kubernetes.attachments_on("w1") if a.attached], "the volume attached")
        late, held = make.attachment("late", "pv-late", "w1"), list[object]()

        class Late:
            """One more volume is attached at the last moment, and detached once the leave has seen it."""

            def __init__(self, inner: Any) -> None:
                self._inner = inner

            def __getattr__(self, name: str) -> Any:
                return getattr(self._inner, name)

            def attach(self) -> None:
                cluster.fleet.create(late)
                eventually(lambda: "late" in self.names(), "the step's own view to show it")

            def names(self) -> set[str]:
                return {attachment.name for attachment in self._inner.attachments_on("w1")}

            def attachments_on(self, node: str) -> Any:
                found = self._inner.attachments_on(node)
                if "late" in {attachment.name for attachment in found}:
                    cluster.fleet.delete(late)
                return found

            def delete_node(self, name: str) -> None:
                held.extend([cluster.fleet.read(late), *kubernetes.attachments_on("w1")])
                self._inner.delete_node(name)

        steps: list[Late] = []

        def taps(inner: Any) -> Late:
            steps.append(Late(inner))
            return steps[-1]

        def attach() -> None:
            steps[-1].attach()

        assert cluster.leave("w1", kubernetes=taps, evidence=tap("begin", attach, "w1", "detach")) == "w1 left"
        assert held == [None]  # when the node was given up, not only after a while
        assert cluster.node("w1") is None
        eventually(lambda: cluster.ready("web") == 4 and cluster.ready("db") == 1, "both to run elsewhere")
        left = cluster.entry("w1")
        assert left.standing is Standing.OUT
        assert left.slot_since_s is not None
        assert cluster.world.claims["w1"].state is ClaimState.LEFT

    def test_halts_at_a_budget_that_does_not_give_way_and_goes_on_once_it_does(self, cluster: Cluster) -> None:
        cluster.world.limits = replace(cluster.world.limits, drain_s=8)
        cluster.app("web", replicas=2, on="w1", budget=1)
        # Nowhere to go: what is evicted stays pending, so the budget allows one eviction and no second.
        for other in WORKERS[1:]:
            cluster.ports().kubernetes.set_unschedulable(other, True)
        with pytest.raises(DrainBlocked, match="PodDisruptionBudget default/web"):
            cluster.leave("w1")
        assert cluster.ready("web") == 1
        halted = cluster.node("w1")
        assert halted is not None
        assert halted.unschedulable
        for other in WORKERS[1:]:
            cluster.ports().kubernetes.set_unschedulable(other, False)
        cluster.world.limits = replace(cluster.world.limits, drain_s=120)
        assert cluster.leave("w1") == "w1 left"

    def test_outlives_a_restart_of_the_api_server(self, cluster: Cluster) -> None:
        cluster.app("web", replicas=6, on="w1", budget=5)
        with ThreadPoolExecutor(1) as pool:
            leaving = pool.submit(cluster.leave, "w1")
            eventually(lambda: (n := cluster.node("w1")) is not None and n.unschedulable, "the cordon")
            cluster.lab.restart_apiserver(kill=True)
            assert leaving.result(120) == "w1 left"
        eventually(lambda: cluster.ready("web") == 6, "all to run elsewhere")


class TestOnlyOne:
    """Whatever is asked at once, one node is out, and one run takes it out."""

    def test_of_ten_that_race_for_one_slot(self, cluster: Cluster) -> None:
        cluster.world.limits = replace(cluster.world.limits, slot_s=3)
        start = threading.Barrier(len(WORKERS))

        def race(node: str) -> str:
            start.wait(30)
            try:
                return cluster.leave(node)
            except BudgetFull as full:
                return f"refused for {', '.join(full.names)}"

        with ThreadPoolExecutor(len(WORKERS)) as pool:
            said = dict(zip(WORKERS, pool.map(race, WORKERS), strict=True))
        left = [node for node in WORKERS if said[node] == f"{node} left"]
        assert len(left) == 1, said
        assert {said[node] for node in WORKERS if node not in left} == {f"refused for {left[0]}"}
        assert [node for node in WORKERS if cluster.node(node) is None] == left
        assert not any(n.unschedulable for n in cluster.ports().kubernetes.nodes())

    def test_run_has_the_roll_and_the_second_is_told_which(self, cluster: Cluster) -> None:
        cluster.world.limits = replace(cluster.world.limits, drain_s=300)
        cluster.app("web", replicas=2, on="w1", budget=1)
        elsewhere = WORKERS[1:]
        for other in elsewhere:
            cluster.ports().kubernetes.set_unschedulable(other, True)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(cluster.leave, "w1", "first")
            eventually(lambda: (n := cluster.node("w1")) is not None and n.unschedulable, "the cordon")
            with pytest.raises(RollTaken, match="first"):
                cluster.leave("w2", run="second")
            assert cluster.entry("w2").slot_since_s is None
            for other in elsewhere:
                cluster.ports().kubernetes.set_unschedulable(other, False)
            assert first.result(120) == "w1 left"
