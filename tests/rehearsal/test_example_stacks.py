"""The example stack of each system rehearses from end to end: bring up, roll, drift, replace."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import main as cli
from components import stackfile
from components.boot.systems import SYSTEMS
from components.environment import Environment
from components.images import lock
from rehearsal.rehearse import choose_releases
from rehearsal.session import IMAGES, ROOT
from tests.rehearsal.fleet import Fleet

STACKS = sorted(path.stem.removeprefix("Pulumi.") for path in (ROOT / "stacks").glob("Pulumi.*.yaml"))

EACH = [s if s == "talos" else pytest.param(s, marks=pytest.mark.faults) for s in STACKS]
"""One for every run of the tests, the others for the sweep."""


def ingot(*words: str) -> Result:
    return CliRunner().invoke(cli.app, list(words))


@pytest.fixture(params=EACH)
def stack(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    return str(request.param)


def declared(stack: str) -> Environment:
    return stackfile.load(ROOT / "stacks" / f"Pulumi.{stack}.yaml")


def nodes(stack: str) -> set[str]:
    return {name for _, name, _ in declared(stack).hosts()}


def test_there_is_one_of_each_system() -> None:
    assert {declared(stack).image.os for stack in STACKS} == set(SYSTEMS)


class TestEndToEnd:
    """With stand-ins for what is not pinned yet: whoever rehearses is told."""

    def test_is_brought_up_and_rolled(self, stack: str) -> None:
        image, count = declared(stack).image, len(nodes(stack))
        _, after = choose_releases(stack, None, None)
        done = ingot("rehearse", stack)
        assert done.exit_code == 0, done.output
        assert f"{count} of {count} nodes on {after} after " in done.output
        pinned = {release.os for release in lock.load(IMAGES).releases()}
        assert (f"ingot image pin {image.os} {image.version}" in done.output) == (image.os not in pinned)
        assert "LAW BROKEN" not in done.output

    def test_a_node_that_drifted_is_replaced(self, stack: str, tmp_path: Path) -> None:
        assert ingot("rack", "up", stack).exit_code == 0
        assert ingot("drift", stack, "--rack").stdout == f"{stack}: as pinned, {len(nodes(stack))} nodes\n"
        rack = Fleet(tmp_path / "rack" / stack)
        assert set(rack.world().nodes) == nodes(stack)
        rack.edit(lambda world: setattr(world.nodes["w2"], "os_image", "Fedora CoreOS 43.20260101.3.0"))
        found = ingot("drift", stack, "--rack")
        assert (found.exit_code, f"1 of {len(nodes(stack))} declared nodes drifted" in found.stdout) == (4, True)
        done = ingot("repair", stack, "--rack", "--go")
        assert done.exit_code == 0, done.output
        world = rack.world()
        assert {n: h.installs for n, h in world.hosts.items() if h.installs != 1} == {"w2": 2}
        assert all(marker == "w2 data" for disk, marker in world.hosts["w2"].markers.items() if "DATA" in disk)
        assert ingot("drift", stack, "--rack").exit_code == 0
