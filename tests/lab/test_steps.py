"""Real steps, each a process of its own as the engine's command provider runs it, and what a SIGKILL leaves of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import psutil
import pytest

from lab import audit
from lab import fleet as make
from lab.lab import Lab
from lifecycle import roster
from lifecycle.commands import Step, Verb
from lifecycle.ports import ClaimState, Controller, Ports, Roll
from lifecycle.roster import Standing
from tests.lab.eventually import eventually
from tests.lab.leaving import GENERATION, Cluster, serving
from tests.lab.project import Project, project

pytestmark = pytest.mark.lab

NODES = ("w1", "w2", "w3")
LEAVE = Step(Verb.LEAVE, "metal", "w1", GENERATION)

STOPS_S = 60.0
"""The longest that a step goes on without its engine: no wait is longer without a look (lifecycle.waiting)."""

EVICTS = "create pods/eviction"

UNDER_WAY_S = 3.0
"""A request that was sent as the engine died has arrived by then, and a step that goes on asks again later."""


@dataclass
class Drain:
    """A drain in its middle: of two pods one was evicted and finds no place, so the budget refuses the other."""

    cluster: Cluster
    project: Project

    @cached_property
    def looking(self) -> Ports:
        """What the tests themselves look with."""
        return self.cluster.ports()

    def begins(self) -> None:
        self.cluster.app("web", replicas=2, on="w1", budget=1)
        self.give_way(False)

    def give_way(self, possible: bool) -> None:
        """Whether the pods find a place elsewhere."""
        for node in NODES[1:]:
            self.looking.kubernetes.set_unschedulable(node, not possible)

    def is_in_its_middle(self) -> bool:
        """And no eviction is on its way: one that is cut off as the API server grants it counts against its budget
        for two minutes (disruptedPods of policy/v1), though its pod stays."""
        node = self.cluster.node("w1")
        asked = [c.status for c in audit.changes(self.cluster.lab.layout) if c.what.startswith(EVICTS)]
        return bool(node and node.unschedulable) and self.cluster.ready("web") == 1 and sorted(set(asked)) == [201, 429]

    def stands_still(self) -> None:
        """The node is as the step left it, and nothing else may leave."""
        assert self.is_in_its_middle()
        entry = self.cluster.entry("w1")
        assert (entry.standing, entry.slot_since_s is not None) == (Standing.IN, True)
        assert self.project.records.claim("w1").state is ClaimState.JOINED  # type: ignore[union-attr]  # it is there

    def has_left(self) -> None:
        """All is as after a leave that nobody disturbed."""
        eventually(lambda: self.cluster.ready("web") == 2, "both pods to run elsewhere")
        kubernetes, entry = self.looking.kubernetes, self.cluster.entry("w1")
        assert kubernetes.pods_on("w1") == ()
        assert (entry.standing, entry.slot_since_s is not None, entry.halted) == (Standing.OUT, True, False)
        assert roster.read(self.looking, "w1").storage_turn == ""
        assert self.project.records.claim("w1").state is ClaimState.LEFT  # type: ignore[union-attr]  # it is there
        assert [n.name for n in kubernetes.nodes() if n.unschedulable] == ["w1"]  # its disks return (decision 23)

    def roll(self) -> Roll:
        found, _ = self.looking.rolls.read()
        assert found is not None
        return found


@pytest.fixture
def drain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drain]:
    with Lab.start(tmp_path_factory.mktemp("lab"), systems=1) as lab:
        make.Fleet(lab.kubeconfig).create_nodes(len(NODES))
        cluster = serving(lab, NODES)
        with project(tmp_path_factory.mktemp("project") / "it", lab) as checkout:
            assert checkout.records.record_initialised("cp1")
            for name, claim in cluster.world.claims.items():
                known = replace(
                    claim, controller=Controller(f"https://bmc-{name}.example/redfish/v1/Systems/1"), stores=True
                )
                assert checkout.records.put_claim(name, known, None)
            made = Drain(cluster, checkout)
            made.begins()
            yield made


def test_a_step_that_is_killed_in_the_middle_of_its_drain_goes_on_when_it_is_run_again(drain: Drain) -> None:
    running = drain.project.start(LEAVE, run="build-17", kubeconfig=audit.kubeconfig(drain.cluster.lab.layout))
    eventually(drain.is_in_its_middle, "a drain in its middle")
    running.step().kill()
    code, said = running.ends()
    assert code != 0
    assert "left" not in said
    drain.stands_still()
    drain.give_way(True)
    code, said = drain.project.run(LEAVE, run="build-17")
    assert code == 0, said
    assert said.splitlines()[-1] == "w1 left"
    drain.has_left()
    assert (drain.roll().run.id, drain.roll().generation) == ("build-17", 0)


def test_a_step_whose_engine_is_killed_stops_by_itself_and_the_next_run_goes_on(drain: Drain) -> None:
    layout = drain.cluster.lab.layout
    running = drain.project.start(LEAVE, engine=True, kubeconfig=audit.kubeconfig(layout))
    eventually(drain.is_in_its_middle, "a drain in its middle")
    step, first = running.step(), drain.roll()
    assert first.run.pid == running.top.pid

    running.top.kill()
    running.top.wait(10)
    killed_s = time.time()
    assert step.is_running()  # it outlives its engine, as it does where a runner is killed
    gone, _ = psutil.wait_procs([step], STOPS_S + 30)
    assert gone == [step], running.said()
    assert "expected the engine that asked for this step to be there" in running.said()
    later = [c.what for c in audit.changes(layout) if c.at_s > killed_s + UNDER_WAY_S]
    assert later == []
    assert [c for c in audit.changes(layout) if c.what.startswith(EVICTS)]  # it did drain, as this user
    drain.stands_still()
    assert drain.roll() == first

    drain.give_way(True)
    code, said = drain.project.run(LEAVE, engine=True)
    assert code == 0, said
    drain.has_left()
    assert (drain.roll().run.pid, drain.roll().generation) == (drain.project.started[-1].pid, first.generation + 1)
