"""The program itself, `__main__.py`, run as the language host runs it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pulumi

from components import stackfile
from tests.components.program import Monitor, run

PROGRAM = Path(__file__).resolve().parents[2] / "__main__.py"


def program(workers: int) -> Monitor:
    def configured() -> None:
        environment = json.dumps(stackfile.example(workers, 1))
        pulumi.runtime.set_all_config({"ingot:environment": environment})
        runpy.run_path(str(PROGRAM), run_name="__main__")

    return run(configured, Monitor())


class TestProgramWaitsForItsFleet:
    """The SDK looks at everything outstanding whenever one part of it is done, so nothing is left to it."""

    def test_no_output_is_looked_at_again(self) -> None:
        monitor = program(workers=20)
        assert len(monitor.registered) > 3 * 23
        assert monitor.outstanding.again <= len(monitor.registered)

    def test_its_outputs_name_every_node(self) -> None:
        outputs = program(workers=3).outputs
        assert set(outputs["nodes"]) == {"cp1", "cp2", "cp3", "w1", "w2", "w3"}
        assert set(outputs["standing"].values()) == {"in"}
