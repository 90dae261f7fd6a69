"""Every host loses power at once: the fleet comes back by itself, and a roll that was cut goes on from there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal.rack.world import World
from tests.rehearsal.fleet import CONTROL_PLANES, NEW, NODES, OLD, Fleet, Outcome, moved

BACK_S = 900
"""Longer than firmware, boot and everything after it take."""

REATTACH_LIMIT_S = 480
"""Of a volume: two minutes without power, three in firmware, the rest to boot, reconnect and mount."""


@dataclass(frozen=True)
class Cut:
    """A fleet whose power was cut while nobody was near it. before, after: the rack as it was, and so long after the
    cut. dark: a copy of the fleet, at the instant of the cut."""

    fleet: Fleet
    before: World
    dark: Fleet
    after: Outcome

    @staticmethod
    def of(fleet: Fleet, dark: Fleet) -> Cut:
        """Both are copies of one fleet that serves."""
        before = fleet.world()
        dark.cut_power()
        return Cut(fleet, before, dark, fleet.cut_power(BACK_S))


@pytest.fixture(scope="module")
def cut(brought_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Cut:
    """A fleet that serves, and nobody near it when its power fails."""
    folder = tmp_path_factory.mktemp("cut")
    first, second = Fleet(folder / "first"), Fleet(folder / "second")
    for fleet in (first, second):
        shutil.copytree(brought_up, fleet.folder)
    return Cut.of(first, second)


class TestAFleetThatServes:
    """It comes back from its own disks, as it was; `cut_power` itself sees to it that no step asks for anything."""

    def test_went_dark(self, cut: Cut) -> None:
        """Or what follows would prove nothing."""
        dark = cut.dark.world()
        assert {h.power for h in dark.hosts.values()} == {"off"}
        assert not any(h.joined for h in dark.hosts.values())
        assert dark.dark == set(NODES)

    def test_serves_again(self, cut: Cut) -> None:
        assert cut.after.error == ""
        cut.after.assert_whole(OLD)
        assert cut.after.world.dark == set()

    def test_is_the_same(self, cut: Cut) -> None:
        """Node identities and machine ids; what was installed; and who was told to boot from the network: nobody."""
        before, after = cut.before, cut.after.world
        assert {n: k.machine_id for n, k in after.nodes.items()} == {n: k.machine_id for n, k in before.nodes.items()}
        for name in NODES:
            was, now = before.hosts[name], after.hosts[name]
            assert (now.installs, now.generation, now.markers) == (was.installs, was.generation, was.markers)
            assert (now.boots, now.boot_override) == (was.boots + 1, False)
            assert after.nodes[name].boot_id != before.nodes[name].boot_id
        assert after.claims == before.claims

    def test_etcd_has_its_majority_of_the_same_members(self, cut: Cut) -> None:
        found = cut.after.world.members
        assert {i: m.node for i, m in found.items()} == {i: m.node for i, m in cut.before.members.items()}
        assert sorted(m.node for m in found.values() if m.voter) == CONTROL_PLANES
        assert len([m for m in found.values() if m.leader]) == 1

    def test_its_volumes_attach_again_where_they_were(self, cut: Cut) -> None:
        before = {name: v.attached_to for name, v in cut.before.volumes.items()}
        assert len(before) == 6
        assert {name: v.attached_to for name, v in cut.after.world.volumes.items()} == before
        back = {e["volume"]: e["at"] - e["since_s"] for e in cut.after.journal if e["kind"] == "reattached"}
        assert back.keys() == before.keys()
        assert max(back.values()) < REATTACH_LIMIT_S

    def test_an_up_finds_nothing_to_do(self, cut: Cut) -> None:
        again = cut.fleet.up(OLD)
        assert (again.error, again.verbs) == ("", [])
        again.assert_whole(OLD)


PROVISION_W2 = 5 * 4 + 3
"""After the three control planes and w1: leave, release, provision."""


def cut_hosts(outcome: Outcome) -> list[str]:
    (entry,) = (e for e in outcome.journal if e["kind"] == "cut")
    found: list[str] = entry["installing"]
    return found


def goes_on(fleet: Fleet, first: Outcome) -> Outcome:
    """Whatever became of the run that was cut, the next ends well."""
    assert [e for e in first.journal if e["kind"] == "cut"], "the power never went"
    assert first.broken == []
    resumed = fleet.up(NEW)
    assert resumed.error == ""
    resumed.assert_whole(NEW)
    return resumed


def database_to_w6(world: World) -> None:
    """Somebody restarts a database, and the scheduler takes the node that has nothing."""
    pod = world.pods["postgres-0"]
    volume = world.volumes[pod.volume]
    assert (pod.phase, volume.in_use) == ("ready", pod.node)
    pod.node = volume.attached_to = volume.in_use = "w6"


SAMPLE = [(6, 20), (24, 60)]
"""(step, seconds after it began): leaves, installations, joins."""


class TestARoll:
    """Cut in its midst, with its engine alive somewhere else."""

    @pytest.mark.faults
    @pytest.mark.parametrize(("step", "after_s"), SAMPLE)
    def test_ends_well_by_the_next_up(self, fleet: Fleet, step: int, after_s: int) -> None:
        goes_on(fleet, fleet.up(NEW, f"power-cut:{step}:{after_s}"))

    @pytest.mark.faults
    def test_a_host_cut_while_it_was_written_is_installed_again(self, fleet: Fleet) -> None:
        first = fleet.up(NEW, f"power-cut:{PROVISION_W2}:230")
        assert cut_hosts(first) == ["w2"]
        assert "node w2" in first.error
        assert "runbooks/boot.md#never" in first.error
        assert first.world.hosts["w2"].holds is None
        resumed = goes_on(fleet, first)
        assert resumed.nodes_asked("provision")[0] == "w2"

    @pytest.mark.faults
    def test_a_host_cut_before_it_was_written_runs_what_it_held_until_it_is_installed(self, fleet: Fleet) -> None:
        first = fleet.up(NEW, f"power-cut:{PROVISION_W2}:30")
        assert cut_hosts(first) == []
        assert "node w2" in first.error
        old = first.world.hosts["w2"]
        assert (old.power, old.joined, OLD in old.os_image) == ("on", True, True)
        assert first.world.nodes["w2"].unschedulable
        goes_on(fleet, first)

    @pytest.mark.faults
    def test_such_a_host_that_stores_nothing_registers_anew_and_is_installed_all_the_same(self, fleet: Fleet) -> None:
        """Its Node object was deleted with its leave, so no cordon keeps pods from what comes back: it is emptied once
        more before its power goes, which the law of drained machines watches (rehearsal/rack/laws.py)."""

        def web(data: dict[str, Any]) -> None:
            moved(data, ["w6"], "web")

        def rolled(data: dict[str, Any]) -> None:
            web(data)
            data["pools"]["web"]["image"] = {**data["image"], "version": NEW}

        assert fleet.up(OLD, change=web).error == ""
        first = fleet.up(OLD, "power-cut:3:30", change=rolled)
        assert "node w6" in first.error
        assert not first.world.nodes["w6"].unschedulable
        fleet.edit(database_to_w6)
        resumed = fleet.up(OLD, change=rolled)
        assert (resumed.error, resumed.broken) == ("", [])
        assert any("came back uninvited" in e.get("text", "") for e in resumed.journal)
        assert resumed.image_of("w6") == NEW
        assert resumed.world.volumes["pv-postgres-0"].attached_to != "w6"


@pytest.mark.faults
class TestARollWhoseRunnerIsCutToo:
    """It ran in the same building."""

    @pytest.mark.parametrize("step", [3, 9, 21])
    def test_ends_well_by_the_next_up(self, fleet: Fleet, step: int) -> None:
        fleet.killed_up(NEW, "both", step)
        goes_on(fleet, fleet.cut_power(BACK_S))


@pytest.mark.faults
class TestSweep:
    """Every second step, at once and later."""

    @pytest.mark.parametrize(
        ("step", "after_s"), [(s, (0, 45, 200)[s // 2 % 3]) for s in range(1, 5 * len(NODES) + 2, 2)]
    )
    def test_ends_well_by_the_next_up(self, fleet: Fleet, step: int, after_s: int) -> None:
        goes_on(fleet, fleet.up(NEW, f"power-cut:{step}:{after_s}"))
