"""The design's laws on the real engine: each class is one decision, and fails when its safeguard is gone.

What each verb does alone is tested in tests/lifecycle, what the program registers in tests/components;
here is what the engine makes of both.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.stackfile.example import example
from lifecycle.ports import ClaimState
from rehearsal.rack.world import World
from tests.rehearsal.conftest import Rolled
from tests.rehearsal.fleet import CONTROL_PLANES, NEW, NODES, OLD, WORKERS, Fleet, Outcome

Data = dict[str, Any]


def hosts_of(data: Data) -> Data:
    found: Data = data["pools"]["workers"]["machines"]["hosts"]
    return found


def with_w7(data: Data) -> None:
    """One more worker, like w1 in everything that is not its own."""
    text = json.dumps(hosts_of(data)["w1"]).replace("W1", "W7").replace("w1", "w7").replace("02:01", "02:07")
    hosts_of(data)["w7"] = json.loads(text)


def without_w6(data: Data) -> None:
    del hosts_of(data)["w6"]


def copied(folder: Path, to: Path) -> Fleet:
    shutil.copytree(folder, to)
    return Fleet(to)


class TestLeaveRunsBeforeAMachineGoes:
    """Decision 1: machine, membership and readiness of each host, named by it alone."""

    def test_on_a_replacement(self, rolled: Outcome) -> None:
        for node in NODES:
            of_node = [s for s in rolled.steps if s.split()[-1].startswith(f"{node}.")]
            gone = [s.split()[-1] for s in of_node if s.startswith("delete")]
            made = [s.split()[-1] for s in of_node if s.startswith("create")]
            assert gone == [f"{node}.readiness", f"{node}.membership", f"{node}.machine"]
            assert made == [f"{node}.machine", f"{node}.membership", f"{node}.readiness"]
            of_verbs = [v.split()[0] for v in rolled.verbs if v.split()[-1] == node]
            assert of_verbs == ["leave", "release", "provision", "enrol", "join"]

    @pytest.mark.faults
    def test_also_for_a_node_whose_first_join_never_succeeded(self, fleet: Fleet) -> None:
        """Then with another image, then taken out of the file: leave ran each time."""
        first = fleet.up(OLD, "never-joins:w7", change=with_w7)
        assert "w7" in first.error
        assert first.verbs == ["provision w7", "enrol w7", "join w7"]
        other = fleet.up(NEW, "never-joins:w7", change=with_w7)
        assert other.verbs == ["leave w7", "release w7", "provision w7", "enrol w7", "join w7"]
        gone = fleet.up(OLD)
        assert gone.error == ""
        assert [v for v in gone.verbs if v != "gate"] == ["leave w7", "release w7"]
        assert gone.world.hosts["w7"].power == "off"
        assert gone.world.claims["w7"].state is ClaimState.LEFT
        assert "w7" not in gone.world.nodes
        gone.assert_whole(OLD)

    def test_its_name_says_no_pool(self, once_rolled: Rolled) -> None:
        """Or a renamed pool would re-image its live hosts: the engine knows a node by type and name."""
        urns = {r["urn"].split("::", 2)[2] for r in once_rolled.fleet.resources()}
        of_w1 = sorted(u.split("::")[-1] for u in urns if "w1." in u)
        assert of_w1 == ["w1.machine", "w1.membership", "w1.readiness"]
        assert not [u for u in urns if "w1." in u and "workers" in u]


class TestWhatServesANodeHangsBelowItsMembership:
    """Decision 2: nothing but its own membership hangs on a machine, and no node's inputs on another node."""

    def test_in_the_engines_state(self, once_rolled: Rolled) -> None:
        seen = 0
        for resource in once_rolled.fleet.resources():
            name = resource["urn"].split("::")[-1]
            inputs = {u.split("::")[-1] for urns in (resource.get("propertyDependencies") or {}).values() for u in urns}
            every = {u.split("::")[-1] for u in resource.get("dependencies") or ()} | inputs
            machines = {d for d in every if d.endswith(".machine")}
            assert machines <= {name.replace(".membership", ".machine")}, f"{name} hangs on {machines}"
            host = name.split(".")[0] if name.split(".")[0] in NODES else ""
            of_others = {d for d in inputs if d.split(".")[0] in NODES and d.split(".")[0] != host}
            assert of_others == set(), f"{name} takes inputs of {of_others}"
            seen += bool(host)
        assert seen == 3 * len(NODES)

    def test_one_machine_replaced_takes_down_no_other(self, fleet: Fleet) -> None:
        one = fleet.up(OLD, replace=("cp1",))
        assert one.error == ""
        assert one.verbs == ["leave cp1", "release cp1", "provision cp1", "enrol cp1", "join cp1"]
        one.assert_whole(OLD)


def two_lanes(data: Data) -> None:
    """Ten workers: six that store, one after another, and three in two lanes behind a canary."""
    made = example(10, 2)
    made["pools"]["workers"]["rollout"]["canary"] = True
    data.clear()
    data.update(made)


@pytest.fixture(scope="module")
def lanes(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Outcome]:
    """Bring-up and roll of that fleet."""
    fleet = Fleet(tmp_path_factory.mktemp("lanes") / "metal")
    up = fleet.up(OLD, change=two_lanes)
    assert up.error == ""
    return up, fleet.up(NEW, change=two_lanes)


class TestLanes:
    """Decision 4: known nodes wait for their turn, new ones do not, and those that are out come first."""

    def test_each_lane_goes_in_the_plans_order(self, lanes: tuple[Outcome, Outcome]) -> None:
        _, roll = lanes
        assert (roll.error, roll.broken) == ("", [])
        planned = roll.plans[-1].nodes
        lanes_of = {(n.wave, n.lane) for n in planned}
        left = roll.nodes_asked("leave")
        assert len(lanes_of) == 5  # control planes, those that store, the canary, two lanes
        for wave, lane in lanes_of:
            of_lane = [n.node for n in planned if (n.wave, n.lane) == (wave, lane)]
            assert [n for n in left if n in of_lane] == of_lane
        waves = {n.node: n.wave for n in planned}
        assert [waves[n] for n in left] == sorted(waves[n] for n in left)

    def test_the_next_of_a_lane_is_registered_once_the_one_before_serves(self, lanes: tuple[Outcome, Outcome]) -> None:
        _, roll = lanes
        for before, after in [(n.machine_after, n.node) for n in roll.plans[-1].nodes if n.machine_after]:
            touched = min(i for i, s in enumerate(roll.steps) if s.split()[-1].startswith(f"{after}."))
            serves = [
                i for i, s in enumerate(roll.steps) if s.startswith("create") and s.endswith(f" {before}.readiness")
            ]
            assert serves[0] < touched

    def test_two_are_out_at_most_and_at_times_are(self, lanes: tuple[Outcome, Outcome]) -> None:
        _, roll = lanes
        away: set[str] = set()
        most = 0
        for verb, node in (v.split() for v in roll.verbs if " " in v):
            away = away | {node} if verb == "leave" else away
            most = max(most, len(away))
            away = away - {node} if verb == "join" else away
        assert most == 2

    def test_a_first_bring_up_is_parallel(self, lanes: tuple[Outcome, Outcome]) -> None:
        up, _ = lanes
        begun = [e["at"] for e in up.journal if e["kind"] == "step" and e["verb"] == "provision"]
        assert (len(begun), set(begun)) == (13, {0})

    def test_what_is_out_heals_before_anything_leaves(self, fleet: Fleet) -> None:
        assert "w5" in fleet.up(OLD, "never-boots:w5", replace=("w5",)).error
        roll = fleet.up(NEW, "fails:etcd.remove:cp1")
        steps = [v for v in roll.verbs if v != "gate"]
        assert steps[0].endswith("w5")
        assert steps.index("join w5") < steps.index("leave cp1")


@pytest.fixture(scope="module")
def unsaid(brought_up: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Outcome]:
    """A destroy without a word of retirement: the engine asks all six workers at once."""
    fleet = copied(brought_up, tmp_path_factory.mktemp("unsaid") / "metal")
    return fleet, fleet.destroy(OLD)


class TestTheRosterDecides:
    """Decision 5: whatever the engine asks for, no node leaves past its budget."""

    def test_a_destroy_takes_one(self, unsaid: tuple[Fleet, Outcome]) -> None:
        _, destroy = unsaid
        assert sorted(destroy.nodes_asked("leave")) == WORKERS
        left = [n for n, c in destroy.world.claims.items() if c.state is ClaimState.LEFT]
        assert len(left) == 1
        assert destroy.broken == []

    def test_and_names_who_holds_the_budget_and_how_to_retire(self, unsaid: tuple[Fleet, Outcome]) -> None:
        _, destroy = unsaid
        (left,) = (n for n, c in destroy.world.claims.items() if c.state is ClaimState.LEFT)
        waited = rf"{left} is out for (9\d\d|\d{{4}}) s \(pool workers may have 1 out\)"  # since the others asked, too
        assert re.search(waited, destroy.error)
        assert "`retire: true`" in destroy.error
        assert "Nothing was changed" in destroy.error

    def test_nothing_is_lost_and_an_up_makes_it_whole(self, unsaid: tuple[Fleet, Outcome]) -> None:
        fleet, destroy = unsaid
        assert not [v.name for v in destroy.world.volumes.values() if not any(v.replicas.values())]
        assert sorted(m.node for m in destroy.world.members.values() if m.voter) == CONTROL_PLANES
        again = fleet.up(OLD)
        assert again.error == ""
        again.assert_whole(OLD)


class TestARollSpendsOnlyWhatItHas:
    """Decision 6: what a leave costs is there before, what a join must bring back is waited for."""

    def test_no_budget_of_pods_that_never_allows(self, fleet: Fleet) -> None:
        halted = fleet.up(NEW, "pdb-never-allows:postgres")
        last = halted.nodes_asked("leave")[-1]
        assert last in WORKERS
        assert "Nothing was changed" in halted.error
        assert not halted.world.nodes[last].unschedulable
        assert halted.world.claims[last].state is ClaimState.JOINED
        assert '"slot_since_s"' not in halted.world.roster
        assert halted.broken == []

    def test_the_next_leaves_only_once_storage_is_redundant_again(self, fleet: Fleet) -> None:
        """Not the canary: its soak would notice too."""
        halted = fleet.up(OLD, "storage-degraded:w2", replace=("w2", "w3"))
        assert halted.nodes_asked("leave") == ["w2"]
        assert "node w2" in halted.error
        assert "1 of 2 replicas in sync" in halted.error
        again = fleet.up(OLD, "storage-degraded:w2", replace=("w3",))
        assert [v for v in again.verbs if v.split()[-1] == "w3"] == []
        assert again.broken == halted.broken == []

    def test_etcd_loses_its_leader_before_its_member_and_never_its_majority(
        self, fleet: Fleet, rolled: Outcome
    ) -> None:
        margins = [e["value"] for e in rolled.journal if e["kind"] == "sample" and e["key"] == "etcd_margin"]
        assert margins
        assert min(margins) >= 0
        halted = fleet.up(NEW, "fails:etcd.move_leader:cp2", "fails:etcd.move_leader:cp3")
        assert "node cp1" in halted.error
        assert [m.node for m in halted.world.members.values() if m.leader] == ["cp1"]
        assert halted.nodes_asked("release") == []

    def test_exactly_the_pinned_image(self, fleet: Fleet) -> None:
        halted = fleet.up(OLD, "wrong-image:w1", replace=("w1", "w2"))
        assert "exactly the pinned image" in halted.error
        assert halted.nodes_asked("leave") == ["w1"]


class TestRetiringIsSaid:
    """Decision 9: only a mark that an up applied lets a leave skip the gates (tests/rehearsal/test_retire.py)."""

    def test_a_destroy_of_a_file_that_says_so_without_an_up_is_not_a_retirement(self, fleet: Fleet) -> None:
        def says_so(data: Data) -> None:
            data["cluster"]["retire"] = True

        destroy = fleet.destroy(OLD, change=says_so)
        assert "its budget to allow one more node out" in destroy.error
        assert [c.retiring for c in destroy.world.claims.values()] == [False] * len(NODES)
        assert destroy.broken == []


class TestAHostIsClaimed:
    """Decision 14: a host of another owner is neither written nor switched off."""

    def test_provisioning_refuses_it(self, fleet: Fleet) -> None:
        fleet.preview(OLD, change=with_w7)

        def taken(world: World) -> None:
            world.hosts["w7"].power, world.hosts["w7"].boots = "on", 1
            world.claims["w7"] = replace(world.claims["w1"], stack="theirs", node="w7")

        fleet.edit(taken)
        halted = fleet.up(OLD, change=with_w7)
        assert "stack theirs" in halted.error
        assert "claims.md#taken" in halted.error
        assert (halted.world.hosts["w7"].power, halted.world.hosts["w7"].boots) == ("on", 1)
        assert halted.world.claims["w7"].stack == "theirs"

    def test_leave_and_release_do_nothing(self, fleet: Fleet) -> None:
        def taken(world: World) -> None:
            world.claims["w6"] = replace(world.claims["w6"], stack="theirs")

        fleet.edit(taken)
        before = fleet.world()
        gone = fleet.up(OLD, change=without_w6)
        assert gone.error == ""
        assert [v for v in gone.verbs if v != "gate"] == ["leave w6", "release w6"]
        assert gone.world.claims["w6"] == before.claims["w6"]
        assert gone.world.hosts["w6"].power == "on"
        assert gone.world.nodes["w6"] == before.nodes["w6"]
