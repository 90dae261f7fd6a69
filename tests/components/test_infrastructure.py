"""components/infrastructure.py: what kinds of machine stand on, asked of those kinds alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

from components import infrastructure
from components.machines import Machines
from tests.components.test_program import program

ROOT = Path(__file__).resolve().parents[2]


def test_racks_load_no_sdk_of_a_cloud() -> None:
    """It is big: seconds of every preview."""
    told = "import sys, components.fleet, components.infrastructure; sys.exit('pulumi_aws' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], cwd=ROOT, check=False).returncode == 0


def test_a_fleet_in_racks_registers_none() -> None:
    monitor = program(workers=3)
    assert [r.type for r in monitor.registered if "aws" in r.type.lower()] == []


def test_every_kind_that_has_one_is_a_kind() -> None:
    models = get_args(get_args(Machines)[0])
    known = {get_args(model.model_fields["kind"].annotation)[0] for model in models}
    assert infrastructure.KINDS.keys() <= known
    assert known == {"bare-metal", "aws"}
