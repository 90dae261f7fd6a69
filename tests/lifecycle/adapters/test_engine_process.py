"""Which process is the engine: Pulumi's nearest above a step, found among real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lifecycle.adapters.engine_process import EngineProcess, started
from lifecycle.ports import Run

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 60
SAYS = """
import dataclasses, json, os
from lifecycle.adapters.engine_process import EngineProcess
engine = EngineProcess(os.environ)
print(json.dumps({**dataclasses.asdict(engine.run), "lives": engine.lives(), "own": os.getpid()}))
"""
PASSES_ON = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"


@pytest.fixture
def named(tmp_path: Path) -> dict[str, str]:
    """Programs called as Pulumi's are: the kernel names a process by its file."""
    found = {}
    for name in ("pulumi", "pulumi-resource-command", "make"):
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\n{PASSES_ON}\n")
        script.chmod(0o755)
        found[name] = str(script)
    return found


def asked(*above: str, **environment: str) -> dict[str, object]:
    """What a step says that these programs started, each the next."""
    done = subprocess.run(
        [*above, sys.executable, "-c", SAYS],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    said: dict[str, object] = json.loads(done.stdout)
    return said


NAMED = """
named = psutil.Process.name
psutil.Process.name = lambda self: "pulumi" if self.pid == own else named(self)
"""
CLOCK_SET = """
import sys
import time
from psutil import _pslinux
boot_s = _pslinux.boot_time()
_pslinux.boot_time = lambda: boot_s + float(sys.argv[1])  # what the kernel says once its clock was set
import dataclasses, json, os
from lifecycle.adapters.engine_process import EngineProcess
print(json.dumps(dataclasses.asdict(EngineProcess(os.environ).run)))
"""


def run_with_the_clock_set_by(shift_s: float) -> dict[str, object]:
    """The run of this test's own process, named `pulumi`, as a step sees it after its machine's clock was set."""
    done = subprocess.run(
        [sys.executable, "-c", f"import psutil\nown = {os.getpid()}\n{NAMED}{CLOCK_SET}", str(shift_s)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    said: dict[str, object] = json.loads(done.stdout)
    return said


class TestWhichOne:
    """The engine's command line before its plugins, the plugin before nothing, the step itself before a shell."""

    def test_the_engine_above_its_plugin(self, named: dict[str, str]) -> None:
        said = asked(named["pulumi"], named["pulumi-resource-command"], "/bin/sh", "-c", '"$0" "$@"')
        assert said["lives"]
        assert (said["pid"], said["id"]) != (said["own"], "")

    def test_two_steps_of_one_engine_are_one_run(self, named: dict[str, str]) -> None:
        twice = "import subprocess, sys; [subprocess.run(sys.argv[1:], check=True) for _ in range(2)]"
        script = Path(named["pulumi"])
        script.write_text(f"#!{sys.executable}\n{twice}\n")
        done = subprocess.run(
            [str(script), named["pulumi-resource-command"], sys.executable, "-c", SAYS],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        first, second = (json.loads(line) for line in done.stdout.splitlines())
        assert first["id"] == second["id"]
        assert first["own"] != second["own"]

    def test_a_clock_that_is_set_between_two_steps_makes_no_other_run(self) -> None:
        before, after = (run_with_the_clock_set_by(shift_s) for shift_s in (0, 3600))
        assert before == after

    def test_a_step_run_by_hand_is_its_own(self, named: dict[str, str]) -> None:
        said = asked(named["make"])
        assert said["pid"] == said["own"]

    def test_a_pipeline_names_its_run(self, named: dict[str, str]) -> None:
        said = asked(named["pulumi"], INGOT_RUN="build-17")
        assert (said["id"], said["pid"], said["place"]) == ("build-17", 0, "")


class TestLives:
    """Known for a process of this place; of any other, nothing is said."""

    @pytest.fixture
    def own(self) -> Run:
        return EngineProcess({}).run

    def test_this_one(self, own: Run) -> None:
        assert EngineProcess({}).runs(own) is True

    def test_one_that_ended(self, own: Run) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            run = replace(own, pid=child.pid, started_s=started(psutil.Process(child.pid)))
            assert EngineProcess({}).runs(run) is True
        assert EngineProcess({}).runs(run) is False

    @pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the kernel keeps the moment of a process's start")
    def test_whoever_sets_the_machines_clock(self, own: Run) -> None:
        assert 0 < own.started_s <= time.clock_gettime(time.CLOCK_BOOTTIME)

    def test_one_whose_pid_another_program_has_now(self, own: Run) -> None:
        assert EngineProcess({}).runs(replace(own, started_s=own.started_s - 60)) is False

    @pytest.mark.parametrize("other", [{"place": "another machine"}, {"pid": 0}, {"place": ""}])
    def test_one_elsewhere(self, own: Run, other: dict[str, object]) -> None:
        assert EngineProcess({}).runs(replace(own, **other)) is None  # type: ignore[arg-type]  # a bag of fields
