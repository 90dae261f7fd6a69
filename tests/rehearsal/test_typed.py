"""A typed `pulumi preview` and `pulumi up` against `ingot rack serve` do what `ingot rack up` does."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rehearsal.rack.store import Store
from rehearsal.session import ROOT
from tests.rehearsal.fleet import NEW, NODES, OLD

START_LIMIT_S = 60
RUN_LIMIT_S = 180


@dataclass
class Terminal:
    """A second terminal, with the environment that `ingot rack serve` printed."""

    engine: Path
    environment: dict[str, str]
    project: Path
    folder: Path

    def pulumi(self, *words: str) -> str:
        """Run a typed command; its output. Fails the test with that output if it does."""
        done = subprocess.run(
            [str(self.engine), "--cwd", str(self.project), "--non-interactive", *words, "--stack", "metal"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def verbs(self) -> list[tuple[str, str]]:
        """Everything that ran on the rack so far."""
        loaded = Store(self.folder).load()
        assert loaded is not None
        return [(e["verb"], e["node"]) for e in loaded[1] if e["kind"] == "step"]


@pytest.fixture
def terminal(engine: Path, tmp_path: Path) -> Iterator[Terminal]:
    home = tmp_path / "home"
    home.mkdir()
    output = home / "serve.out"
    with output.open("w") as written:
        serving = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "rack", "serve", "metal"],
            cwd=ROOT,
            env={**os.environ, "INGOT_HOME": str(home)},
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        text = _printed(output, serving)
        exported = dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE))
        values = {name: shlex.split(value)[0] for name, value in exported.items()}
        project = re.findall(r"pulumi --cwd (\S+) up", text)[0]
        environment = {**os.environ, **values, "PULUMI_HOME": str(home / "pulumi")}
        yield Terminal(engine, environment, Path(project), home / "rack" / "metal")
    finally:
        serving.send_signal(signal.SIGINT)
        assert serving.wait(START_LIMIT_S) == 0


def _printed(output: Path, serving: subprocess.Popen[bytes]) -> str:
    """What serve printed, once it has printed all of it."""
    until = time.monotonic() + START_LIMIT_S
    while "language host" not in output.read_text():
        assert serving.poll() is None, output.read_text()
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.05)
    return output.read_text()


@pytest.mark.engine
class TestTyped:
    """The same plan, the same steps, the same end."""

    def test_preview_up_bump_and_roll(self, terminal: Terminal) -> None:
        shown = terminal.pulumi("preview")
        assert "w6.machine" in shown
        assert terminal.verbs() == [], "a preview ran a step"

        terminal.pulumi("up", "--yes", "--skip-preview")
        assert sorted(n for verb, n in terminal.verbs() if verb == "join") == NODES

        terminal.pulumi("config", "set", "--path", "ingot:environment.image.version", NEW)
        before = len(terminal.verbs())
        assert "replace" in terminal.pulumi("preview")
        assert len(terminal.verbs()) == before, "a preview ran a step"

        terminal.pulumi("up", "--yes", "--skip-preview")
        assert [n for verb, n in terminal.verbs()[before:] if verb == "leave"] == NODES
        assert OLD not in terminal.pulumi("stack", "output", "images")
        loaded = Store(terminal.folder).load()
        assert loaded is not None
        world, journal = loaded
        assert {n.os_image for n in world.nodes.values()} == {f"Fedora CoreOS {NEW}"}
        assert [e for e in journal if e["kind"] == "law"] == []
