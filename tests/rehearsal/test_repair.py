"""Drift and repair on the rack: a machine that somebody changed is found, and the engine replaces it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import main as cli
from lifecycle.repair import RollPending, TooManyUnhealthy
from rehearsal.rack.world import World
from rehearsal.saved import NoRack
from tests.rehearsal.fleet import NEW, Fleet


@pytest.fixture
def rack(brought_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The metal fleet where `ingot rack` keeps it."""
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    folder = tmp_path / "rack" / "metal"
    shutil.copytree(brought_up, folder)
    return Fleet(folder)


def ingot(*words: str) -> Result:
    return CliRunner().invoke(cli.app, list(words))


def other_image(world: World, *nodes: str) -> None:
    for node in nodes:
        world.nodes[node].os_image = "Fedora CoreOS 44.20260101.3.0"


class TestDrift:
    """`ingot drift --rack` compares the saved world with the stack file, and leaves it alone."""

    def test_a_fleet_as_pinned(self, rack: Fleet) -> None:
        before = (rack.folder / "world.json").read_bytes()
        shown = ingot("drift", "metal", "--rack")
        assert (shown.exit_code, shown.stdout) == (0, "metal: as pinned, 9 nodes\n")
        assert (rack.folder / "world.json").read_bytes() == before

    def test_names_what_differs_for_people_and_programs(self, rack: Fleet) -> None:
        rack.edit(lambda world: other_image(world, "w3"))
        rack.edit(lambda world: setattr(world.nodes["w5"], "labels", {}))
        shown = ingot("drift", "metal", "--rack")
        assert shown.exit_code == 4
        assert "44.20260101.3.0" in shown.stdout
        assert "w5: runbooks/drift.md#labels: `kubectl label node w5 --overwrite topology.kubernetes" in shown.stdout
        assert shown.stdout.endswith("metal: 2 of 9 declared nodes drifted\n")
        told = json.loads(ingot("drift", "metal", "--rack", "--json").stdout)
        assert [(f["node"], f["what"], f["replaces"]) for f in told["findings"]] == [
            ("w3", "image", True),
            ("w5", "label", False),
            ("w5", "label", False),
        ]

    def test_a_reboot_leaves_the_exit_code_alone(self, rack: Fleet) -> None:
        rack.edit(lambda world: setattr(world.nodes["w3"], "boot_id", "another"))
        shown = ingot("drift", "metal", "--rack")
        assert shown.exit_code == 0
        assert "rebooted unasked" in shown.stdout

    def test_every_node_of_a_rack_that_is_not_rolled_yet(self, rack: Fleet) -> None:
        told = json.loads(ingot("drift", "metal", "--rack", "--image", NEW, "--json").stdout)
        assert {f["what"] for f in told["findings"]} == {"boot configuration", "image"}
        assert len({f["node"] for f in told["findings"]}) == 9

    def test_a_rack_that_was_never_brought_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INGOT_HOME", str(tmp_path))
        shown = ingot("drift", "metal", "--rack")
        assert isinstance(shown.exception, NoRack)
        assert cli.is_expected(shown.exception)


class TestRepair:
    """`ingot repair --rack --go` replaces through the engine and the gates; then the fleet is as pinned."""

    def test_a_drifted_node_is_replaced(self, rack: Fleet) -> None:
        rack.edit(lambda world: other_image(world, "w3"))
        listed = ingot("repair", "metal", "--rack")
        assert listed.exit_code == 0
        assert "w3" in listed.stdout
        assert rack.world().hosts["w3"].installs == 1
        done = ingot("repair", "metal", "--rack", "--go")
        assert done.exit_code == 0, done.output
        world = rack.world()
        assert {n: h.installs for n, h in world.hosts.items() if h.installs != 1} == {"w3": 2}
        assert all(marker == "w3 data" for disk, marker in world.hosts["w3"].markers.items() if "DATA" in disk)
        assert ingot("drift", "metal", "--rack").exit_code == 0

    def test_a_node_that_somebody_deleted_heals_before_a_drifted_control_plane_goes(self, rack: Fleet) -> None:
        def harm(world: World) -> None:
            del world.nodes["w4"]
            world.nodes["cp2"].kernel = "6.18.5"

        rack.edit(harm)
        shown = ingot("repair", "metal", "--rack", "--json")
        assert [(u["node"], u["kind"]) for u in json.loads(shown.stdout)["unwell"]] == [
            ("w4", "broken"),
            ("cp2", "drifted"),
        ]
        done = ingot("repair", "metal", "--rack", "--go")
        assert done.exit_code == 0, done.output
        joined = [e for e in _journal(rack) if e["kind"] == "end" and e["outcome"] == "served"][-2:]
        assert [e["node"] for e in joined] == ["w4", "cp2"]
        assert ingot("drift", "metal", "--rack").exit_code == 0

    def test_more_than_a_fifth_of_a_pool_is_refused(self, rack: Fleet) -> None:
        rack.edit(lambda world: other_image(world, "w3", "w5"))
        before = (rack.folder / "world.json").read_bytes()
        refused = ingot("repair", "metal", "--rack", "--go")
        assert refused.exit_code == 1
        assert isinstance(refused.exception, TooManyUnhealthy)
        assert "pool workers: expected at most 1 of 6 nodes unhealthy, found 2 (33%): w3, w5" in str(refused.exception)
        assert (rack.folder / "world.json").read_bytes() == before

    def test_it_rolls_nothing_that_the_stack_file_newly_says(self, rack: Fleet) -> None:
        rack.edit(lambda world: setattr(world.nodes["w3"], "kernel", "6.18.5"))
        refused = ingot("repair", "metal", "--rack", "--go", "--image", NEW)
        assert isinstance(refused.exception, RollPending)
        assert rack.world().hosts["w3"].installs == 1


def _journal(rack: Fleet) -> list[dict[str, object]]:
    return [json.loads(line) for line in (rack.folder / "journal.jsonl").read_text().splitlines()]
