"""`ingot boot-config --check` with the systems' own packages: every node of every example stack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli.boot_check import Built, judged, whole
from components import stackfile
from components.boot.pin import NodeBoot, boots
from components.boot.talos import TalosPool
from components.images import lock
from rehearsal.stand_in import completed
from tools.lab.obtain import ensure
from tools.lab.parts import IGNITION_VALIDATE, TALOS_CONFIG

pytestmark = pytest.mark.lab

STACKS = Path(__file__).parents[2] / "stacks"
FILES = sorted(STACKS.glob("Pulumi.*.yaml"))


@pytest.fixture(scope="module")
def by() -> Built:
    found = ensure(parts=(IGNITION_VALIDATE, TALOS_CONFIG))
    return Built(found[IGNITION_VALIDATE.name], found[TALOS_CONFIG.name])


def example(file: Path) -> list[NodeBoot]:
    """What its nodes boot, with stand-ins for images that are not pinned."""
    environment = stackfile.load(file)
    return boots(environment, completed(environment, lock.load(STACKS / "images.lock.json"))[0])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_node_is_accepted(file: Path, by: Built) -> None:
    found = judged(example(file), by)
    assert found
    assert {one.node: one.refusals for one in found if one.refusals or one.by is None} == {}


def test_what_talos_refuses_is_said(by: Built) -> None:
    found = example(STACKS / "Pulumi.talos.yaml")[0]
    asked = found.boot.asked
    cluster = asked.environment.cluster.model_copy(update={"endpoint": "no host"})
    environment = asked.environment.model_copy(update={"cluster": cluster})
    [said] = judged([replace(found, boot=TalosPool(replace(asked, environment=environment)))], by)
    assert any("no host" in line for line in said.refusals)


def test_a_masked_configuration_is_always_the_same(by: Built) -> None:
    found = example(STACKS / "Pulumi.talos.yaml")[0]
    made = whole(found, by)
    assert made is not None
    assert made == whole(found, by)
    assert b"masked.maskedmaskedmask" in made
