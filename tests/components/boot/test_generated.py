"""No fleet and no configuration, however it is made up, leads to a file that the specification forbids.

Some hundreds of each here; `make test-faults` has all ten thousand, `make test-lab` asks Ignition itself.
"""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings

from components.boot import ignition_rules
from components.boot.ignition import Ignition, IgnitionError, parse
from tests.components.boot.generated import AnyFleet, bases, configurations, fleets, mutated

SOME = settings(derandomize=True, deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
ALL = settings(SOME, max_examples=5_000)


def keeps_to_the_specification(data: bytes) -> None:
    document = json.loads(data)
    assert ignition_rules.faults(document) == ()
    made = parse(data)
    assert made.to_bytes() == data
    assert parse(made.to_bytes()) == made
    assert json.dumps(document, sort_keys=True, separators=(",", ":")).encode() == data


class TestFleets:
    """Whatever a valid stack file says, what comes out keeps to the specification, and JSON takes nothing from it."""

    @SOME
    @given(fleets())
    def test_some(self, fleet: AnyFleet) -> None:
        made = list(fleet.configurations())
        assert len(made) == 3
        for data in made:
            keeps_to_the_specification(data)

    @pytest.mark.faults
    @ALL
    @given(fleets())
    def test_ten_thousand_configurations(self, fleet: AnyFleet) -> None:
        for data in fleet.configurations():
            keeps_to_the_specification(data)


class TestConfigurations:
    """What can be made in Python can be written, read, and is the same."""

    @SOME
    @given(configurations())
    def test_some(self, made: Ignition) -> None:
        keeps_to_the_specification(made.to_bytes())


class TestMutations:
    """What was tampered with is refused with its faults, or is a configuration like any other."""

    @pytest.mark.parametrize("seed", range(5))
    def test_some(self, seed: int) -> None:
        chance, refused = random.Random(seed), 0
        for _ in range(100):
            try:
                made = parse(mutated(chance.choice(bases()), chance))
            except IgnitionError as error:
                refused += bool(error.faults)
            else:
                keeps_to_the_specification(made.to_bytes())
        assert 20 < refused < 95
