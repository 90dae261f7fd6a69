"""A kind of machine is added as docs/machines.md says: its module, its name in the list, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "machines.md"
LINKED = ("cli", "lifecycle", "rehearsal", "report", "tools", "pyproject.toml")
COPIED = ("components", "stacks", "tests/lifecycle")
LIST = "components/machines/__init__.py"

USED = '''
"""The kind in use: a stack file that has it, and the steps that provision a host of it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from components import stackfile
from components.boot.pin import pins, publish
from components.images import lock
from components.machines import adapters
from components.stackfile.problem import StackFileError
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.machines import Kit, MachinesByScheme
from lifecycle.commands import Verb
from lifecycle.ports import ClaimState, Power
from lifecycle.adapters.boot_store import DirectoryBoot
from tests.components.machines.test_ipmi import environment
from tests.lifecycle.fleets import execute_with, fresh
from tests.lifecycle.world import Host

STACKS = Path("stacks")
LOCK = lock.load(STACKS / "images.lock.json")


def used() -> stackfile.Environment:
    return stackfile.load(STACKS / "Pulumi.archive.yaml")


def test_its_pool_is_read_and_pinned() -> None:
    pin = pins(used(), LOCK)["a1"]
    assert pin.controller.url == "ipmi://bmc-a1.metal.example/"
    assert pin.data_disks == ("/dev/disk/by-id/nvme-EXAMPLE_DATA_A1_1",)


def test_a_mistake_in_it_is_named() -> None:
    text = (STACKS / "Pulumi.archive.yaml").read_text()
    wrong = STACKS / "Pulumi.wrong.yaml"
    wrong.write_text(text.replace("controller: bmc-a1.metal.example", "controller: https://bmc-a1"))
    with pytest.raises(StackFileError, match=r"expected +a DNS name or an IPv4 address") as said:
        stackfile.load(wrong)
    assert "pools.archive.machines.hosts.a1.controller" in str(said.value)


def test_a_node_of_it_is_provisioned(tmp_path: Path) -> None:
    pin = pins(used(), LOCK)["a1"]
    env, world = environment(tmp_path), fresh()
    world.pins["a1"], world.hosts["a1"] = pin, Host(Power.OFF)
    report = {"generation": pin.generation, "state": "running"}
    (tmp_path / "starts").write_text(json.dumps(report))
    tool = tmp_path / "ipmitool"  # the server boots what it is told to, and its system reports
    tool.write_text(tool.read_text().replace('echo on > "$STATE/power"', 'echo on > "$STATE/power"; '
        'cp "$STATE/starts" "$STATE/progress/a1"'))
    store = DirectoryBoot(lambda: tmp_path, lambda: used().store_url, lambda _: publish(used(), LOCK, "a1").files)
    machines = MachinesByScheme({}, lambda: adapters(Kit(store, WallClock(), env)))
    said = execute_with(world, Verb.PROVISION, "a1", pin.generation, machines=machines)
    assert said == f"a1 provisioned with generation {pin.generation}"
    claim = world.claims["a1"]
    assert (claim.state, claim.installed, claim.identity) == (ClaimState.PROVISIONING, True, {"serial": "4711"})
    assert (tmp_path / "boot-order").read_text() == "pxe\\n"
    execute_with(world, Verb.RELEASE, "a1", pin.generation, machines=machines)
    assert (tmp_path / "power").read_text() == "off\\n"
    assert (tmp_path / "boot-order").read_text() == "disk\\n"
'''


def blocks() -> list[tuple[str, str]]:
    """(language, text) of each code block of the page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project in which the page's steps were taken."""
    root = tmp_path / "project"
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKED:
        (root / name).symlink_to(ROOT / name)
    (module, listed, tests), (pool,) = [[t for lang, t in blocks() if lang == of] for of in ("python", "yaml")]
    (root / "components/machines/ipmi.py").write_text(module)
    imported, line = filter(None, listed.splitlines())
    text, count = re.subn(r"^Machines = .*$", line, (root / LIST).read_text(), flags=re.MULTILINE)
    assert count == 1
    (root / LIST).write_text(
        text.replace("from components.machines.contract", f"{imported}\nfrom components.machines.contract", 1)
    )
    stack = yaml.safe_load((root / "stacks/Pulumi.metal.yaml").read_text())
    stack["config"]["ingot:environment"]["pools"].update(yaml.safe_load(pool)["pools"])
    (root / "stacks/Pulumi.archive.yaml").write_text(yaml.safe_dump(stack))
    folder = root / "tests/components/machines"
    folder.mkdir(parents=True)
    (folder / "test_ipmi.py").write_text(tests)
    (folder / "test_used.py").write_text(USED)
    return root


class TestTheExample:
    """It registers its kind, passes the contract, validates a stack file, and provisions a node."""

    def test_as_the_page_has_it(self, project: Path) -> None:
        command = [sys.executable, "-m", "pytest", "tests/components/machines", "-q", "-p", "no:cacheprovider"]
        env = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [*command, "-n", "0"], check=False, cwd=project, env=env, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert re.search(r"\b18 passed", done.stdout), done.stdout

    def test_each_of_its_checks_is_run(self) -> None:
        from tests.lifecycle.machine_contract import CHECKS

        assert len(CHECKS) + 3 == 18
