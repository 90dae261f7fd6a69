"""What a drain asks for, what it leaves alone, and what it says of pods that do not go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from lifecycle import drain
from lifecycle.commands import Verb
from lifecycle.errors import DrainBlocked, PortError, UnmanagedPods
from lifecycle.losses import DataWouldBeLost
from lifecycle.ports import Budget, DrainPolicy, Eviction, Pod
from tests.lifecycle.fakes import FakeKubernetes, Tap, ports
from tests.lifecycle.fleets import execute_with, roster, serving, step
from tests.lifecycle.world import World

WORKER = Pod("apps", "job-1", "w1", "ReplicaSet", uid="u1")


@pytest.fixture
def world() -> World:
    return serving()


class Watched(FakeKubernetes):
    """Notes what is asked in one go, and when; `refuses` are the keys that a budget keeps."""

    asked: list[tuple[float, tuple[str, ...]]]
    refuses: frozenset[str] = frozenset()

    def evict(self, pods: Sequence[Pod]) -> Mapping[str, Eviction | PortError]:
        self.asked.append((self.world.now_s, tuple(p.key for p in pods)))
        going = [p for p in pods if p.key not in self.refuses]
        return {**dict.fromkeys((p.key for p in pods), Eviction.REFUSED), **super().evict(going)}


def drained(world: World, *, refuses: frozenset[str] = frozenset()) -> Watched:
    """Empty w1 and return what was asked."""
    watched = Watched(world)
    watched.asked, watched.refuses = [], refuses
    drain.drain(replace(ports(world), kubernetes=Tap(world, watched)), "w1", drain.workloads)  # type: ignore[arg-type]  # a Tap is any port
    return watched


class TestAsksAllAtOnce:
    """No pod waits for another to be gone; each is asked again only after a while."""

    def test_in_one_go(self, world: World) -> None:
        for number in range(5):
            world.pods[f"apps/job-{number}"] = replace(WORKER, name=f"job-{number}")
        watched = drained(world)
        assert [keys for _, keys in watched.asked] == [("apps/db-0", *(f"apps/job-{n}" for n in range(5)))]

    def test_again_every_five_seconds_those_that_were_refused(self, world: World) -> None:
        world.pods[WORKER.key] = WORKER
        with pytest.raises(DrainBlocked, match="apps/job-1 refused by its budget"):
            drained(world, refuses=frozenset({WORKER.key}))
        watched = Watched(world)
        watched.asked, watched.refuses = [], frozenset({WORKER.key})
        for second in range(60):
            world.later(second, lambda: None)  # something about the node's pods, which makes the drain look
        with pytest.raises(DrainBlocked):
            drain.drain(replace(ports(world), kubernetes=watched), "w1", drain.workloads)
        moments = [at_s for at_s, _ in watched.asked]
        assert {keys for _, keys in watched.asked} == {(WORKER.key,)}
        assert min(later - at_s for at_s, later in pairwise(moments)) >= drain.AGAIN_S

    def test_as_soon_as_their_budget_allows_and_no_more_of_them_than_that(self, world: World) -> None:
        world.budgets["job"] = 3
        world.pods |= {f"apps/job-{n}": replace(WORKER, name=f"job-{n}", uid=f"u{n}") for n in range(2)}
        world.pods["apps/job-9"] = replace(WORKER, name="job-9", uid="u9", node="w2", ready=False)
        world.pods["apps/job-8"] = replace(WORKER, name="job-8", uid="u8", node="w2")
        begun_s = world.now_s
        world.later(1.5, lambda: world.pods.update({"apps/job-9": replace(world.pods["apps/job-9"], ready=True)}))
        asked = drained(world).asked
        assert asked[0] == (begun_s, ("apps/db-0", "apps/job-0", "apps/job-1"))
        assert asked[1] == (begun_s + 1.5, ("apps/job-0",))

    def test_not_those_that_end_already(self, world: World) -> None:
        world.pods[WORKER.key] = replace(WORKER, terminating=True)
        world.later(30, lambda: world.pods.__delitem__(WORKER.key))
        assert [keys for _, keys in drained(world).asked] == [("apps/db-0",)]


class TestPodsThatStay:
    """They end with the machine, and keep no node from leaving."""

    @pytest.mark.parametrize(
        "pod",
        [
            Pod("kube-system", "agent", "w1", "DaemonSet", empty_dir=True, local_volumes=("pv-9",)),
            Pod("kube-system", "static", "w1", "Node", mirror=True, empty_dir=True),
        ],
        ids=lambda p: p.name,
    )
    def test_daemon_sets_and_mirrors(self, world: World, pod: Pod) -> None:
        world.pods[pod.key] = pod
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert f"evict {pod.key}" not in world.changes


class TestRefusesToLose:
    """What lies on the node alone keeps the node, unless the stack file says otherwise; nothing is touched."""

    CASES = (
        (Pod("apps", "cache", "w1", "ReplicaSet", empty_dir=True), DataWouldBeLost, r"apps/cache \(emptyDir\)"),
        (
            Pod("apps", "disk", "w1", "StatefulSet", local_volumes=("pv-8", "pv-9")),
            DataWouldBeLost,
            r"apps/disk \(local PersistentVolume pv-8, pv-9\)",
        ),
        (Pod("apps", "shell", "w1"), UnmanagedPods, "apps/shell"),
    )
    ALLOWS = (DrainPolicy(empty_dir=True), DrainPolicy(local_volumes=True), DrainPolicy(unmanaged=True))

    @pytest.mark.parametrize(("pod", "error", "text"), CASES, ids=["emptyDir", "local", "unmanaged"])
    def test_by_default(self, world: World, pod: Pod, error: type[UnmanagedPods], text: str) -> None:
        world.pods[pod.key] = pod
        with pytest.raises(error, match=text) as caught:
            step(world, Verb.LEAVE, "w1")
        assert "Nothing was changed." in str(caught.value)
        assert "Remedy: runbooks/drain.md#" in str(caught.value)
        assert world.changes == []
        assert roster(world).nodes["w1"].slot_since_s is None

    @pytest.mark.parametrize(
        ("pod", "policy"),
        [(c[0], a) for c, a in zip(CASES, ALLOWS, strict=True)],
        ids=["emptyDir", "local", "unmanaged"],
    )
    def test_what_its_pool_allows_goes(self, world: World, pod: Pod, policy: DrainPolicy) -> None:
        world.pods[pod.key] = pod
        world.pins["w1"] = replace(world.pins["w1"], drain=policy)
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert f"evict {pod.key}" in world.changes

    @pytest.mark.parametrize("policy", [DrainPolicy(local_volumes=True), DrainPolicy(unmanaged=True)])
    def test_another_permission_is_none(self, world: World, policy: DrainPolicy) -> None:
        world.pods["apps/cache"] = self.CASES[0][0]
        world.pins["w1"] = replace(world.pins["w1"], drain=policy)
        with pytest.raises(DataWouldBeLost):
            step(world, Verb.LEAVE, "w1")

    def test_a_node_that_is_not_declared_any_more_may_lose_nothing(self, world: World) -> None:
        world.pods["apps/cache"] = self.CASES[0][0]
        del world.pins["w1"]
        with pytest.raises(DataWouldBeLost):
            step(world, Verb.LEAVE, "w1")

    def test_the_storage_drivers_own_pods_may(self, world: World) -> None:
        world.pods["sb/sn"] = Pod("sb", "sn", "w1", "ReplicaSet", storage_daemon=True, empty_dir=True)
        assert step(world, Verb.LEAVE, "w1") == "w1 left"

    def test_a_pod_that_ends_already_is_no_obstacle(self, world: World) -> None:
        world.pods["apps/cache"] = replace(self.CASES[0][0], terminating=True)
        world.later(30, lambda: world.pods.__delitem__("apps/cache"))
        assert step(world, Verb.LEAVE, "w1") == "w1 left"


class TestNamesWhatDoesNotGo:
    """A pod that ends too slowly is named with what keeps it."""

    def blocked(self, world: World, **fields: object) -> str:
        world.pods[WORKER.key] = replace(WORKER, terminating=True, **fields)  # type: ignore[arg-type]  # fields of a pod
        with pytest.raises(DrainBlocked) as caught:
            drained(world)
        return str(caught.value)

    def test_within_its_grace_it_is_ending(self, world: World) -> None:
        assert "apps/job-1 is ending." in self.blocked(world, ends_s=world.now_s + 10**6)

    def test_one_that_ignores_sigterm(self, world: World) -> None:
        said = self.blocked(world, ends_s=world.now_s + 30)
        assert "apps/job-1 is ending, 870 s after its grace was over, as if it ignored SIGTERM" in said

    def test_one_that_finalizers_keep(self, world: World) -> None:
        said = self.blocked(world, ends_s=world.now_s + 30, finalizers=("example.com/a", "example.com/b"))
        assert "870 s after its grace was over, kept by finalizers example.com/a example.com/b" in said

    def test_on_a_node_whose_kubelet_is_dead(self, world: World) -> None:
        world.nodes["w1"] = replace(world.nodes["w1"], ready=False)
        assert "node w1 is not Ready, so no kubelet ends them" in self.blocked(world)

    def test_an_api_that_is_silent_for_a_while_is_waited_out(self, world: World) -> None:
        class Flaky(Watched):
            def evict(self, pods: Sequence[Pod]) -> Mapping[str, Eviction | PortError]:
                if not self.asked:
                    self.asked.append((self.world.now_s, ()))
                    raise PortError("pod apps/db-0, evict", "HTTP 503", "ask again")
                return super().evict(pods)

        flaky = Flaky(world)
        flaky.asked = []
        execute_with(world, Verb.LEAVE, "w1", kubernetes=Tap(world, flaky))
        assert "evict apps/db-0" in world.changes

    def test_one_whose_eviction_fails_each_time_with_its_claims_and_budgets(self, world: World) -> None:
        """An admission webhook that denies it, say; what it said is in the error, and the others are gone."""

        class Denying(FakeKubernetes):
            def evict(self, pods: Sequence[Pod]) -> Mapping[str, Eviction | PortError]:
                denied = PortError("pod apps/db-0, evict", "HTTP 403 denied the request: not now", "see it")
                return {**super().evict([p for p in pods if p.name != "db-0"]), "apps/db-0": denied}

        world.pods[WORKER.key] = WORKER
        with pytest.raises(DrainBlocked) as caught:
            execute_with(world, Verb.LEAVE, "w1", kubernetes=Tap(world, Denying(world)))
        blocked = caught.value
        assert blocked.names == ("apps/db-0",)
        assert "apps/db-0 not evicted (HTTP 403 denied the request: not now)" in str(blocked)
        assert (blocked.claims, blocked.budgets) == (("apps/data-db-0",), ("apps/db",))
        assert f"evict {WORKER.key}" in world.changes

    def test_an_api_that_is_silent_at_the_end_hides_nothing(self, world: World) -> None:
        class Silent(Watched):
            def budgets(self, node: str = "") -> tuple[Budget, ...]:
                raise PortError("watch of poddisruptionbudgets", "nothing for 63 s", "ask again")

        world.pods[WORKER.key] = WORKER
        silent = Silent(world)
        silent.asked, silent.refuses = [], frozenset({WORKER.key})
        with pytest.raises(DrainBlocked, match="apps/job-1 refused by its budget"):
            drain.drain(replace(ports(world), kubernetes=Tap(world, silent)), "w1", drain.workloads)  # type: ignore[arg-type]  # a Tap is any port
