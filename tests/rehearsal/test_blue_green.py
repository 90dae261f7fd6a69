"""A pool that rolls blue-green, on the real engine: the new node serves before the old one leaves."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from lifecycle.ports import ClaimState
from rehearsal.rack.faults import VICTIMS
from tests.rehearsal.fleet import NEW, OLD, Change, Fleet, Outcome
from tests.rehearsal.on_aws import CONTROL_PLANES, STORING, seen, small

pytestmark = pytest.mark.faults  # each a fleet on AWS, brought up and rolled

WEB = ["web1", "web2", "web3"]
REST = [*CONTROL_PLANES, *STORING]
PARTS = ("machine", "membership", "readiness")
TURN = ["provision", "enrol", "join", "leave", "release", "vacate"]
STEPS = len(TURN) * len(WEB) + 1
"""Of each host's turn, and the barrier."""


def aws(data: dict[str, Any], **rollout: Any) -> None:
    """The example on AWS with fewer hosts that store; the pool that stores nothing rolls blue-green."""
    hosts = data["pools"]["web"]["machines"]["hosts"]
    small(data)
    data["pools"]["web"]["machines"]["hosts"] = hosts
    data["pools"]["web"]["rollout"] = {"strategy": "blue-green", **rollout}


def on(version: str, **rollout: Any) -> Change:
    """The pool alone on another image than the fleet."""

    def change(data: dict[str, Any]) -> None:
        aws(data, **rollout)
        data["pools"]["web"]["image"] = {**data["image"], "version": version}

    return change


BACK, FORTH = on(OLD), on(NEW)


def of_web(outcome: Outcome, host: str = "") -> list[str]:
    """The pool's nodes in the cluster, or one host's."""
    return sorted(n for n in outcome.world.nodes if n.startswith(host or "web"))


def assert_whole(outcome: Outcome, image: str) -> None:
    """One node for each host, on that image; nothing of any other is left, and no law was ever broken."""
    assert (outcome.error, outcome.broken) == ("", [])
    nodes = of_web(outcome)
    assert [n.rpartition("-")[0] for n in nodes] == WEB
    assert {outcome.image_of(n) for n in nodes} == {image}
    world = outcome.world
    assert [n for n, node in world.nodes.items() if not node.ready or node.unschedulable] == []
    if outcome.verbs:  # else nothing was waited for since the bring-up
        assert [p.name for p in world.pods.values() if p.phase != "ready"] == []
    running = sorted(n for n, host in world.hosts.items() if host.power == "on")
    assert running == sorted([*REST, *nodes])
    assert sorted(n for n, c in world.claims.items() if c.state is not ClaimState.LEFT) == running
    assert sorted(json.loads(world.roster)["nodes"]) == running


def registered(fleet: Fleet) -> list[str]:
    """The resources of the pool's nodes that the engine knows."""
    names = (r["urn"].rpartition("::")[2] for r in fleet.resources())
    return sorted(n for n in names if n.startswith("web") and n != "web" and n.rpartition(".")[2] in PARTS)


def assert_known(fleet: Fleet, outcome: Outcome) -> None:
    """The engine knows of what serves, and of nothing else; so does AWS."""
    assert registered(fleet) == sorted(f"{node}.{part}" for node in of_web(outcome) for part in PARTS)
    with seen(fleet) as account:
        assert sorted(account.by_host(account.instances(), "InstanceId")) == sorted([*REST, *of_web(outcome)])


@pytest.fixture(scope="module")
def on_aws(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fleet, once brought up on the older image."""
    folder = tmp_path_factory.mktemp("blue") / "aws"
    outcome = Fleet(folder, "aws").up(OLD, change=BACK)
    assert (outcome.error, outcome.broken) == ("", [])
    return folder


@pytest.fixture
def fleet(on_aws: Path, tmp_path: Path) -> Fleet:
    folder = tmp_path / "aws"
    shutil.copytree(on_aws, folder)
    return Fleet(folder, "aws")


@pytest.fixture(scope="module")
def rolled(on_aws: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Outcome]:
    """That fleet after its pool's roll. Look at it, and copy it before anything else."""
    folder = tmp_path_factory.mktemp("rolled") / "aws"
    shutil.copytree(on_aws, folder)
    fleet = Fleet(folder, "aws")
    return fleet, fleet.up(OLD, change=FORTH)


class TestARoll:
    """Host after host: a machine more, and then one less."""

    def test_ends_with_one_node_a_host(self, rolled: tuple[Fleet, Outcome]) -> None:
        fleet, outcome = rolled
        assert_whole(outcome, NEW)
        assert_known(fleet, outcome)

    def test_the_new_node_serves_before_the_old_one_leaves(self, rolled: tuple[Fleet, Outcome]) -> None:
        _, outcome = rolled
        turns = [v for v in outcome.verbs if v != "gate"]
        assert [t.split()[0] for t in turns] == TURN * len(WEB)
        for i, host in enumerate(WEB):
            turn = [t.split()[1] for t in turns[6 * i : 6 * i + 6]]
            new, old = set(turn[:3]), set(turn[3:])
            assert (len(new), len(old), new & old) == (1, 1, set())
            assert {n.rpartition("-")[0] for n in new | old} == {host}

    def test_never_takes_more_than_one_machine_more(self, rolled: tuple[Fleet, Outcome]) -> None:
        _, outcome = rolled
        running = most = len(WEB)
        for verb in outcome.verbs:
            running += {"provision": 1, "release": -1}.get(verb.split()[0], 0)
            most = max(most, running)
        assert (most, running) == (len(WEB) + 1, len(WEB))

    def test_that_is_said_beforehand(self, fleet: Fleet) -> None:
        preview = fleet.preview(OLD, change=on(NEW, max_unavailable=2))
        assert "pool web: 3 of 3 nodes are replaced blue-green" in preview.said
        assert "2 machines more than it has hosts at a time" in preview.said

    def test_touches_no_other_pool(self, rolled: tuple[Fleet, Outcome]) -> None:
        _, outcome = rolled
        assert [v for v in outcome.verbs if v.split()[-1] in REST] == []

    def test_the_next_up_runs_nothing(self, rolled: tuple[Fleet, Outcome], tmp_path: Path) -> None:
        shutil.copytree(rolled[0].folder, tmp_path / "aws")
        fleet = Fleet(tmp_path / "aws", "aws")
        again = fleet.up(OLD, change=FORTH)
        assert (again.error, again.verbs) == ("", [])
        assert [s for s in again.steps if not s.startswith(("same", "read", "delete"))] == []
        assert {s.rpartition(".")[2] for s in again.steps if s.startswith("delete")} == {"gone"}
        assert_known(fleet, again)
        assert [r["urn"] for r in fleet.resources() if r["urn"].endswith(".gone")] == []


class TestLanes:
    """As many hosts at once as may be out at once, and the canary before all of them."""

    def test_take_their_turns_side_by_side(self, fleet: Fleet) -> None:
        outcome = fleet.up(OLD, change=on(NEW, max_unavailable=2, canary=True, soak_s=60))
        assert_whole(outcome, NEW)
        assert [v.split()[0] for v in outcome.verbs[:6]] == TURN
        assert {v.split()[1].rpartition("-")[0] for v in outcome.verbs[:6]} == {"web1"}
        assert sorted(v.split()[0] for v in outcome.verbs[6:8]) == ["provision", "provision"]


def new_node(fleet: Fleet, host: str) -> str:
    """The node that a roll would make for the host."""
    created = (s for s in fleet.preview(OLD, change=FORTH).steps if s.startswith(f"create {host}-"))
    return next(created).split()[1].rpartition(".")[0]


class TestANewMachineThatNeverBoots:
    """The roll halts with every old node still serving; nothing was drained."""

    def test_costs_nobody_anything(self, fleet: Fleet) -> None:
        before, node = of_web(fleet.preview(OLD, change=FORTH)), new_node(fleet, "web2")
        halted = fleet.up(OLD, f"never-boots:{node}", change=FORTH)
        assert node in halted.error
        assert halted.broken == []
        assert [n for n in before if n in of_web(halted)] == [n for n in before if not n.startswith("web1")]
        assert [n for n, seen in halted.world.nodes.items() if not seen.ready or seen.unschedulable] == []
        assert [n for n in halted.nodes_asked("leave") if not n.startswith("web1")] == []
        resumed = fleet.up(OLD, change=FORTH)
        assert_whole(resumed, NEW)
        assert_known(fleet, resumed)

    @pytest.mark.parametrize("fault", ["never-boots", "never-joins", "wrong-image"])
    def test_and_a_revert_takes_it_away_again(self, fleet: Fleet, fault: str) -> None:
        node = new_node(fleet, "web2")
        assert fleet.up(OLD, f"{fault}:{node}", change=FORTH).error
        back = fleet.up(OLD, change=BACK)
        assert_whole(back, OLD)
        assert_known(fleet, back)
        assert "web3" not in {n.rpartition("-")[0] for n in back.nodes_asked("provision")}


def kill(fleet: Fleet, victim: str, step: int, change: str = "FORTH") -> None:
    ended = fleet.killed_up(OLD, victim, step, f"tests.rehearsal.test_blue_green:{change}")
    assert ended == (1 if victim == "engine" else -signal.SIGKILL), "the run did not end by the kill"


SAMPLE = [("both", 5)]
EVERY = [(VICTIMS[step % len(VICTIMS)], step) for step in range(1, STEPS + 1)]


class TestKilled:
    """At any step: the next up ends with one node a host, whether it goes on or back."""

    @pytest.mark.parametrize(("victim", "step"), SAMPLE)
    def test_goes_on(self, fleet: Fleet, victim: str, step: int) -> None:
        kill(fleet, victim, step)
        resumed = fleet.up(OLD, change=FORTH)
        assert_whole(resumed, NEW)
        assert_known(fleet, resumed)

    @pytest.mark.parametrize(("victim", "step"), SAMPLE)
    def test_goes_back(self, fleet: Fleet, victim: str, step: int) -> None:
        kill(fleet, victim, step)
        back = fleet.up(OLD, change=BACK)
        assert_whole(back, OLD)
        assert_known(fleet, back)

    @pytest.mark.parametrize(("victim", "step"), [case for case in EVERY if case not in SAMPLE])
    def test_goes_on_from_anywhere(self, fleet: Fleet, victim: str, step: int) -> None:
        self.test_goes_on(fleet, victim, step)

    @pytest.mark.parametrize(("victim", "step"), [case for case in EVERY if case not in SAMPLE])
    def test_goes_back_from_anywhere(self, fleet: Fleet, victim: str, step: int) -> None:
        self.test_goes_back(fleet, victim, step)

    def test_there_and_back_and_there(self, fleet: Fleet) -> None:
        kill(fleet, "both", 8)
        kill(fleet, "both", 3, "BACK")
        done = fleet.up(OLD, change=FORTH)
        assert_whole(done, NEW)
        assert_known(fleet, done)


class TestStops:
    """Between two hosts: with no machine more than there are hosts."""

    def test_after_so_many(self, fleet: Fleet) -> None:
        def change(data: dict[str, Any]) -> None:
            FORTH(data)
            data["rollout"] = {"stop_after": 1}

        for turns in (1, 2):
            stopped = fleet.up(OLD, change=change)
            assert "1 replaced by this run, as many as rollout.stop_after lets it" in stopped.error
            assert [v.split()[0] for v in stopped.verbs] == [*TURN, "provision"]
            nodes = of_web(stopped)
            assert sorted(stopped.image_of(n) for n in nodes) == [OLD] * (len(WEB) - turns) + [NEW] * turns
            assert sorted(n for n, h in stopped.world.hosts.items() if h.power == "on") == sorted([*REST, *nodes])
        done = fleet.up(OLD, change=change)
        assert_whole(done, NEW)


class TestRepair:
    """A node of the same generation has the same name, so it is replaced in place."""

    def test_replaces_in_place(self, fleet: Fleet) -> None:
        node = of_web(fleet.preview(OLD, change=BACK), "web2")[0]
        repaired = fleet.up(OLD, change=BACK, replace=(node,))
        assert_whole(repaired, OLD)
        assert repaired.verbs == [f"{verb} {node}" for verb in ("leave", "release", "provision", "enrol", "join")]
        assert_known(fleet, repaired)


class TestAStrategyThatChanges:
    """The node gets another name, so it is another node: it comes in before the one before it leaves."""

    def test_keeps_the_pool_serving(self, fleet: Fleet) -> None:
        def rolling(data: dict[str, Any]) -> None:
            BACK(data)
            data["pools"]["web"]["rollout"] = {}

        there = fleet.up(OLD, change=rolling)
        assert (there.error, there.broken) == ("", [])
        assert of_web(there) == WEB
        back = fleet.up(OLD, change=BACK)
        assert_whole(back, OLD)
        assert [v.split()[0] for v in back.verbs if v.split()[-1] != "gate"] == TURN * len(WEB)


def retired(data: dict[str, Any]) -> None:
    FORTH(data)
    data["cluster"]["retire"] = True


class TestADestroy:
    """Takes every node of a host, also in the middle of its turn."""

    @pytest.mark.parametrize("middle", [False, True])
    def test_leaves_nothing(self, fleet: Fleet, middle: bool) -> None:
        fault = f"never-boots:{new_node(fleet, 'web2')}"
        said = fleet.up(OLD, *([fault] if middle else []), change=retired)
        assert bool(said.error) is middle
        gone = fleet.destroy(OLD, change=retired)
        assert (gone.error, gone.broken) == ("", [])
        assert {h.power for h in gone.world.hosts.values()} == {"off"}
        assert {c.state for c in gone.world.claims.values()} == {ClaimState.LEFT}
        assert [r["urn"] for r in fleet.resources()] == []
