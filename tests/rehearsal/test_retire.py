"""Retiring: said in the stack file, applied by an up, and only then may a fleet or a host go for good."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lifecycle.ports import ClaimState
from tests.rehearsal.fleet import NODES, OLD, Fleet, Outcome

REST = [n for n in NODES if n != "w6"]


def whole_cluster(data: dict[str, Any]) -> None:
    data["cluster"]["retire"] = True


def host_w6(data: dict[str, Any]) -> None:
    data["pools"]["workers"]["machines"]["hosts"]["w6"]["retire"] = True


def without_w6(data: dict[str, Any]) -> None:
    del data["pools"]["workers"]["machines"]["hosts"]["w6"]


class TestACluster:
    """Every node leaves in its turn, every host is given back, and nothing is left in the state."""

    def test_retires_and_is_destroyed(self, fleet: Fleet) -> None:
        said = fleet.up(OLD, change=whole_cluster)
        assert (said.error, said.verbs) == ("", ["retire"])
        notes = " ".join(e["text"] for e in said.journal if e["kind"] == "note")
        assert "the whole cluster retires: every volume on it is lost" in notes
        destroy = fleet.destroy(OLD, change=whole_cluster)
        assert (destroy.error, destroy.broken) == ("", [])
        assert {n: h.power for n, h in destroy.world.hosts.items()} == dict.fromkeys(NODES, "off")
        assert {c.state for c in destroy.world.claims.values()} == {ClaimState.LEFT}
        assert sorted(destroy.nodes_asked("leave")) == sorted(destroy.nodes_asked("release")) == NODES
        for node in NODES:
            assert destroy.verbs.index(f"leave {node}") < destroy.verbs.index(f"release {node}")
        assert fleet.resources() == []

    @pytest.mark.faults
    def test_a_mark_taken_back_is_no_mark(self, fleet: Fleet) -> None:
        fleet.up(OLD, change=whole_cluster)
        back = fleet.up(OLD)
        assert back.verbs == ["retire"]
        assert not [n for n, c in back.world.claims.items() if c.retiring]
        assert "retiring" not in back.world.roster


@pytest.fixture(scope="module")
def retired(brought_up: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Outcome]:
    """One host, retired by an up and taken out of the file by the next."""
    folder = tmp_path_factory.mktemp("retired") / "metal"
    shutil.copytree(brought_up, folder)
    fleet = Fleet(folder)
    assert fleet.up(OLD, change=host_w6).verbs == ["retire"]
    return fleet, fleet.up(OLD, change=without_w6)


class TestAHost:
    """Its replicas move first; nothing of it is left."""

    def test_leaves_a_fleet_that_is_whole(self, retired: tuple[Fleet, Outcome]) -> None:
        _, gone = retired
        assert gone.error == ""
        assert [v for v in gone.verbs if v not in ("retire", "gate")] == ["leave w6", "release w6"]
        gone.assert_whole(OLD, REST)
        assert not [v.name for v in gone.world.volumes.values() if "w6" in v.replicas]

    def test_its_replicas_were_moved_before_its_power_went(self, retired: tuple[Fleet, Outcome]) -> None:
        _, gone = retired
        worst = [e["value"] for e in gone.journal if e["kind"] == "sample" and e["key"] == "replicas_missing"]
        assert set(worst) <= {0}

    def test_nothing_of_it_is_left(self, retired: tuple[Fleet, Outcome]) -> None:
        _, gone = retired
        assert "w6" not in gone.world.nodes
        assert '"w6"' not in gone.world.roster
        assert (gone.world.hosts["w6"].power, gone.world.claims["w6"].state) == ("off", ClaimState.LEFT)

    def test_that_is_wanted_back_comes_back_without_the_mark(self, retired: tuple[Fleet, Outcome]) -> None:
        fleet, _ = retired
        back = fleet.up(OLD)
        assert back.error == ""
        assert not back.world.claims["w6"].retiring
        assert "retiring" not in back.world.roster
        back.assert_whole(OLD)


def erased_w6(data: dict[str, Any]) -> None:
    host_w6(data)
    data["pools"]["workers"]["machines"]["hosts"]["w6"]["wipe_os_disk"] = True


class TestAHostWhoseDiskIsErased:
    """Once it has left, and by what the host itself says and does."""

    def test_boots_once_more_and_is_blank(self, fleet: Fleet) -> None:
        assert fleet.up(OLD, change=erased_w6).verbs == ["retire"]
        markers = fleet.world().hosts["w6"].markers
        gone = fleet.up(OLD, change=without_w6)
        assert gone.error == ""
        host = gone.world.hosts["w6"]
        assert (host.power, host.holds, host.machine_id, host.boot_override) == ("off", None, "", False)
        assert host.markers == markers
        assert "its OS disk /dev/disk/by-id/" in " ".join(e["text"] for e in gone.journal if e["kind"] == "note")
        gone.assert_whole(OLD, REST)

    @pytest.mark.faults
    def test_that_never_boots_halts_and_is_erased_by_the_next_up(self, fleet: Fleet) -> None:
        fleet.up(OLD, change=erased_w6)
        halted = fleet.up(OLD, "never-boots:w6", change=without_w6)
        assert "node w6: expected its OS disk to be erased" in halted.error
        assert halted.world.hosts["w6"].holds is not None
        again = fleet.up(OLD, change=without_w6)
        assert again.error == ""
        assert again.world.hosts["w6"].holds is None
        again.assert_whole(OLD, REST)

    @pytest.mark.faults
    def test_only_because_it_leaves_for_good(self, fleet: Fleet) -> None:
        def asked(data: dict[str, Any]) -> None:
            data["pools"]["workers"]["machines"]["wipe_os_disk"] = True

        assert fleet.up(OLD, change=asked).verbs == []
        replaced = fleet.up(OLD, change=asked, replace=("w6",))
        assert replaced.error == ""
        assert [e for e in replaced.journal if e["kind"] == "note" and "erased" in e["text"]] == []
        replaced.assert_whole(OLD)
