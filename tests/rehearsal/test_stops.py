"""A roll that stops as asked, on the real engine: between two nodes, and the next up goes on from there."""

from __future__ import annotations

import copy
import os
import shutil
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal.fleet import NEW, NODES, OLD, Fleet
from tests.rehearsal.test_locks import WAIT_S, ingot, running, until_it_rolls

Data = dict[str, Any]


def rollout(**said: object) -> Callable[[Data], None]:
    return lambda data: data.update(rollout=said)


class TestStopAfter:
    """So many nodes an up."""

    def test_the_next_up_goes_on(self, fleet: Fleet) -> None:
        first = fleet.up(NEW, change=rollout(stop_after=4))
        assert "up of stack metal stopped as asked" in first.error
        assert "4 replaced by this run, as many as rollout.stop_after lets it" in first.error
        assert first.nodes_asked("join") == NODES[:4]
        assert {n for n in NODES if first.image_of(n) == NEW} == set(NODES[:4])
        assert first.broken == []
        second = fleet.up(NEW, change=rollout(stop_after=5))
        assert second.error == ""
        assert second.nodes_asked("join") == NODES[4:]
        second.assert_whole(NEW)


class TestWindows:
    """The rack's clock begins on Thursday, 1970-01-01."""

    def test_outside_it_stops_before_the_first_node_and_inside_it_goes_on(self, fleet: Fleet) -> None:
        change = rollout(windows=[{"days": ["sat"], "start": "22:00", "end": "06:00", "timezone": "UTC"}])
        before = fleet.world()
        early = fleet.up(NEW, change=change)
        assert "the next opens at 1970-01-03 22:00:00 UTC" in early.error
        assert "stopped as asked" in early.error
        assert (early.world.nodes, early.world.hosts) == (before.nodes, before.hosts)
        fleet.edit(lambda world: setattr(world, "now_s", datetime(1970, 1, 3, 22, 0, tzinfo=UTC).timestamp()))
        inside = fleet.up(NEW, change=change)
        assert inside.error == ""
        inside.assert_whole(NEW)


class TestPause:
    """From another terminal, in the middle of a roll."""

    def test_stops_at_the_next_boundary_and_says_so_until_it_is_resumed(self, brought_up: Path, tmp_path: Path) -> None:
        fleet = Fleet(tmp_path / "rack" / "metal")
        shutil.copytree(brought_up, fleet.folder)
        with running(tmp_path, "rack", "up", "metal", "--image", NEW) as first:
            until_it_rolls(fleet, first, b'"cordon"')  # its first node is on the way out
            os.killpg(first.pid, signal.SIGSTOP)  # so that the pause comes while it rolls, however fast that is
            paused = ingot(tmp_path, "rack", "pause", "metal", "--reason", "the freeze")
            os.killpg(first.pid, signal.SIGCONT)
            assert paused.returncode == 0, paused.stderr
            assert "what is out is finished, no further node leaves" in paused.stdout
            said, _ = first.communicate(timeout=2 * WAIT_S)
        assert first.returncode == 3, said
        assert "the freeze" in said
        assert "stopped as asked" in said
        stopped = fleet.world()
        assert [n for n, node in stopped.nodes.items() if not node.ready or node.unschedulable] == []
        replaced = {n for n, node in stopped.nodes.items() if node.os_image.endswith(NEW)}
        assert 0 < len(replaced) < len(NODES)

        again = ingot(tmp_path, "rack", "up", "metal", "--image", OLD)  # reverted while it is paused
        assert (again.returncode, "the freeze" in again.stderr) == (3, True), again.stderr
        assert fleet.world().nodes == stopped.nodes

        assert ingot(tmp_path, "rack", "pause", "metal", "--resume").returncode == 0
        back = fleet.up(OLD)
        assert back.error == ""
        assert set(back.nodes_asked("provision")) == replaced, "more than what was replaced was rolled back"
        assert [e["text"] for e in back.journal if "not reproducible" in e.get("text", "")] == []
        back.assert_whole(OLD)

    def test_before_the_first_up_there_is_nothing_to_pause(self, tmp_path: Path) -> None:
        said = ingot(tmp_path, "rack", "pause", "metal")
        assert "found none yet; nothing was changed" in said.stdout


class TestAnotherRoll:
    """A run elsewhere has the roll and renews it: this one is refused, naming it, before anything is touched."""

    def test_is_named(self, fleet: Fleet) -> None:
        before = fleet.world()
        refused = fleet.up(NEW, "other-roll:build-17")
        assert "run build-17 on elsewhere" in refused.error
        assert "runbooks/roll.md#taken" in refused.error
        assert (refused.world.nodes, refused.world.hosts) == (before.nodes, before.hosts)
        resumed = fleet.up(NEW)
        assert resumed.error == ""
        resumed.assert_whole(NEW)


class TestACanary:
    """The first of its pool, alone."""

    def test_that_fails_is_the_last_one_touched(self, fleet: Fleet) -> None:
        halted = fleet.up(NEW, "storage-degraded:w1")
        assert "w1" in halted.error
        assert halted.nodes_asked("leave") == NODES[:4]
        assert halted.broken == []


def batch(data: Data, count: int = 2) -> None:
    """A pool that stores nothing, forces its drains, and takes pods like any other."""
    made = copy.deepcopy(data["pools"]["workers"])
    hosts: Data = {}
    for i, (name, host) in enumerate(made["machines"]["hosts"].items()):
        if i < count:
            text = f"b{i + 1}"
            host.pop("data_disks")
            host.update(os_disk=host["os_disk"].replace(name.upper(), text.upper()), mac=f"52:54:00:00:03:0{i + 1}")
            host["bmc"]["url"] = host["bmc"]["url"].replace(name, text)
            hosts[text] = host
    made["machines"]["hosts"] = hosts
    made["rollout"] = {"on_timeout": {"drain": "force"}}
    data["pools"]["batch"] = made


def lanes(data: Data) -> None:
    batch(data, 4)
    data["pools"]["batch"]["rollout"]["max_unavailable"] = 2


def lanes_rolled(data: Data) -> None:
    lanes(data)
    data["pools"]["batch"]["image"] = {**data["image"], "version": NEW}
    data["rollout"] = {"stop_after": 3}


@pytest.mark.faults
class TestLanes:
    """The engine ends every lane when one says stop, so none says so while a node of another is out."""

    def test_stop_between_nodes_too(self, empty: Fleet) -> None:
        assert empty.up(OLD, change=lanes).error == ""
        stopped = empty.up(OLD, change=lanes_rolled)
        assert "stopped as asked" in stopped.error
        assert len(stopped.nodes_asked("leave")) == 4
        nodes = {n: stopped.world.nodes[n] for n in ("b1", "b2", "b3", "b4")}
        assert [n for n, node in nodes.items() if not node.ready or node.unschedulable] == []
        assert sorted(stopped.image_of(n) for n in nodes) == [OLD, NEW, NEW, NEW]
        assert stopped.broken == []
        done = empty.up(OLD, change=lanes_rolled)
        assert done.error == ""
        assert {done.image_of(n) for n in nodes} == {NEW}


def rolled(data: Data) -> None:
    batch(data)
    data["pools"]["batch"]["image"] = {**data["image"], "version": NEW}


@pytest.mark.faults
class TestForce:
    """A pool that says so is drained past a budget that never allows; the laws hold for everybody else."""

    def test_deletes_what_is_left_and_names_it(self, empty: Fleet) -> None:
        assert empty.up(OLD, change=batch).error == ""
        held = sorted((p.node, p.app) for p in empty.world().pods.values() if p.node in ("b1", "b2") and p.volume)
        assert held, "no pod came to the pool"
        _, app = held[0]
        forced = empty.up(OLD, f"pdb-never-allows:{app}", change=rolled)
        assert (forced.error, forced.broken) == ("", [])
        assert {n: forced.image_of(n) for n in ("b1", "b2", "w1")} == {"b1": NEW, "b2": NEW, "w1": OLD}
        notes = [e["text"] for e in forced.journal if e["kind"] == "note" and e["node"] in ("b1", "b2")]
        assert [text for text in notes if f"pod default/{app}-" in text and text.startswith("FORCED")]
