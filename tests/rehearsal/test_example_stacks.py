"""Example stacks of every other system rehearse from end to end: bring up, roll, drift, replace."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import main as cli
from components import stackfile
from rehearsal.session import ROOT
from rehearsal.stand_in import next_revision
from tests.rehearsal.fleet import Fleet

STACKS = ["flatcar"]
NODES = {"cp1", "cp2", "cp3", "w1", "w2", "w3"}


def ingot(*words: str) -> Result:
    return CliRunner().invoke(cli.app, list(words))


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    return str(request.param)


def versions(stack: str) -> tuple[str, str]:
    """The stack file's release, and the one after it."""
    version = stackfile.load(ROOT / "stacks" / f"Pulumi.{stack}.yaml").image.version
    return version, next_revision(version)


class TestEndToEnd:
    """With stand-ins for what is not pinned yet: whoever rehearses is told."""

    def test_is_brought_up_and_rolled(self, stack: str) -> None:
        version, after = versions(stack)
        done = ingot("rehearse", stack)
        assert done.exit_code == 0, done.output
        assert f"6 of 6 nodes on {after} after " in done.output
        assert f"ingot image pin {stack} {version}" in done.output
        assert "LAW BROKEN" not in done.output

    def test_a_node_that_drifted_is_replaced(self, stack: str, tmp_path: Path) -> None:
        assert ingot("rack", "up", stack).exit_code == 0
        assert ingot("drift", stack, "--rack").stdout == f"{stack}: as pinned, 6 nodes\n"
        rack = Fleet(tmp_path / "rack" / stack)
        assert set(rack.world().nodes) == NODES
        rack.edit(lambda world: setattr(world.nodes["w2"], "os_image", "Fedora CoreOS 44.20260101.3.0"))
        found = ingot("drift", stack, "--rack")
        assert (found.exit_code, "1 of 6 declared nodes drifted" in found.stdout) == (4, True)
        done = ingot("repair", stack, "--rack", "--go")
        assert done.exit_code == 0, done.output
        world = rack.world()
        assert {n: h.installs for n, h in world.hosts.items() if h.installs != 1} == {"w2": 2}
        assert all(marker == "w2 data" for disk, marker in world.hosts["w2"].markers.items() if "DATA" in disk)
        assert ingot("drift", stack, "--rack").exit_code == 0
