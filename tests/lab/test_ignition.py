"""Ignition itself, asked about what we make: it accepts all of it, and refuses all that we let nobody make."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from components.boot import eraser
from components.boot.digest import BLANK
from components.boot.ignition import IgnitionError, parse
from components.boot.pin import publish
from components.boot.systems import SYSTEMS, pool_boot
from components.boot.user_data import BYTES_MAX, user_data
from components.environment import Environment
from tests.components.boot.fleet import IMAGES, LAYOUTS, changed, fleet
from tests.components.boot.generated import IGNITION, LOCK, AnyFleet, bases, fleets, mutated
from tests.components.boot.test_ignition import BROKEN, VERSION
from tools.lab.obtain import ensure
from tools.lab.parts import PARTS
from tools.lab.verdicts import NAME, Validator, validator

pytestmark = pytest.mark.lab
KINDS = {"bare-metal": "hosts"}
"""Kinds of machines, and where a pool lists them. What installs bare metal is a configuration of its own."""

STRICTER = {
    r"expected 0 to 511": "special bits of a mode, which Ignition 3.4 drops with a warning",
    r"expected its parents to be directories, found storage\.files": "a path below a file, which fails at first boot",
    r"Extra inputs are not permitted": "fields that no model of ours has; Ignition warns of those that nobody has",
    r"expected a unit's name with its type": "names of units that systemd would not load",
    r"expected a file name that ends in \.conf": "drop-ins with a slash in their name",
    r"expected an \[Install\] section": "units that are enabled for nothing, of which Ignition warns",
    r"expected 0 or more": "negative sizes and numbers",
    r"expected a number of its own, 0 or more": "negative sizes and numbers",
    r"\.name: expected a name, found none": "accounts without a name",
    r"overwrite: expected contents\.source": "files that are overwritten with an empty source",
    r"compression: expected none with S3": "compressed objects in S3, which Ignition cannot fetch",
    r"expected a path below /": "the root itself, and NUL in paths",
    r"filesystems\.\d+\.path: expected a path of its own": "two filesystems in one place",
    r"mountOptions: expected a format with them": "options of a mount of nothing",
    r"verification\.hash: expected sha256-": "hashes in capitals or no hexadecimal digits",
    r"expected version 3\.4\.0|ignition\.version": "other versions of the specification",
    r"source: expected": "URLs without a host, with users, or that only look like one",
    r"contents: expected": "units that systemd would read with a warning",
    r"Field required|Input should be": "types: Ignition's JSON takes null for any",
}
"""What we refuse and Ignition takes: a pattern of our fault, and why. docs/decisions/0082.md."""


@pytest.fixture(scope="module")
def ignition() -> Iterator[Validator]:
    """Ignition's own validator, one process for all."""
    binary: Path = ensure(parts=[part for part in PARTS if part.name == NAME])[NAME]
    with validator(binary) as running:
        yield running


def accepted(ignition: Validator, data: bytes) -> None:
    """Without a word: its warnings are refused too."""
    verdict = ignition.judge(data)
    assert (verdict.valid, verdict.report) == (True, ()), data


class TestAccepts:
    """Every Ignition file that is made."""

    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
    @pytest.mark.parametrize("os", IGNITION)
    def test_of_the_matrix(self, os: str, architecture: str, kind: str, layout: str, ignition: Validator) -> None:
        document = fleet() | {"image": IMAGES[os][0] | {"architecture": architecture}}
        for at, value in LAYOUTS[layout].items():
            document = changed(document, at, value)
        stack = Environment.model_validate(document)
        boots = {pool: pool_boot(stack, LOCK, pool) for pool in stack.pools}
        roles = set()
        for pool, name, _ in stack.hosts():
            assert stack.pools[pool].machines.kind == kind
            roles.add(stack.pools[pool].role)
            accepted(ignition, boots[pool].configuration(stack.pools[pool].machines.own(name), BLANK))
            (published,) = (d for p, d in publish(stack, LOCK, name).files.items() if p.endswith(".ign"))
            accepted(ignition, published)
            erases = eraser.publication(stack, LOCK, stack.pools[pool].machines.own(name), SYSTEMS).files
            (published,) = (d for p, d in erases.items() if p.endswith(".ign"))
            accepted(ignition, published)
        assert roles == {"control-plane", "worker"}

    @pytest.mark.parametrize("os", IGNITION)
    def test_of_what_an_ec2_instance_is_started_with(self, os: str, ignition: Validator) -> None:
        """User data has room for 16 KiB: what is longer is pointed to."""
        stack = Environment.model_validate(fleet() | {"image": IMAGES[os][0]})
        own = stack.pools["control"].machines.own("c1")
        configuration = pool_boot(stack, LOCK, "control").configuration(own, BLANK)
        longer = configuration + b" " * BYTES_MAX
        for data in (configuration, longer):
            made = user_data(data, bucket="boot-configurations", region="eu-central-1")
            accepted(ignition, made.data)
        assert set(made.stored.values()) == {longer}

    @settings(derandomize=True, deadline=None, max_examples=5_000, suppress_health_check=list(HealthCheck))
    @given(fleet=fleets())
    def test_ten_thousand_of_any_fleet(self, fleet: AnyFleet, ignition: Validator) -> None:
        for data in itertools.islice(fleet.configurations(), 2):
            accepted(ignition, data)


class TestRefuses:
    """What is broken; so that a validator that accepts everything would be noticed."""

    def test_what_is_no_configuration(self, ignition: Validator) -> None:
        for data in (b"", b"{", b"{}", b"[]", b'{"ignition":{"version":"9.0.0"}}'):
            assert not ignition.judge(data).valid

    def test_what_was_broken_in_one_place(self, ignition: Validator) -> None:
        document = json.loads(bases()[-1])
        document["storage"]["files"][0]["path"] = "etc/relative"
        verdict = ignition.judge(json.dumps(document).encode())
        assert not verdict.valid
        assert any("path not absolute" in line for line in verdict.report)

    def test_each_of_our_cases_or_it_is_one_that_we_are_stricter_in(self, ignition: Validator) -> None:
        taken = [
            case for case, (found, _) in BROKEN.items() if ignition.judge(json.dumps(VERSION | found).encode()).valid
        ]
        for case in taken:
            with pytest.raises(IgnitionError) as refused:
                parse(json.dumps(VERSION | BROKEN[case][0]).encode())
            assert all(explained(fault) for fault in refused.value.faults), (case, refused.value.faults)
        assert len(taken) < len(BROKEN) / 2


class TestAgrees:
    """Of what was tampered with, nothing passes here that Ignition refuses; and what only we refuse is intended."""

    @pytest.mark.parametrize("seed", range(10))
    def test_on_a_thousand_mutations(self, seed: int, ignition: Validator) -> None:
        chance, verdicts = random.Random(seed), Counter[str]()
        for _ in range(1_000):
            data = mutated(chance.choice(bases()), chance)
            verdict, faults = ignition.judge(data), faults_of(data)
            verdicts[f"we {'refuse' if faults else 'accept'}, it {'accepts' if verdict.valid else 'refuses'}"] += 1
            assert faults or verdict.valid, (verdict.report, data)
            if verdict.valid:
                assert all(explained(fault) for fault in faults), (faults, data)
        # Neither all harmless nor all junk.
        assert min(verdicts[f"we {ours}"] for ours in ("accept, it accepts", "refuse, it refuses")) > 100, verdicts
        assert verdicts["we refuse, it accepts"] > 10, verdicts


def faults_of(data: bytes) -> tuple[str, ...]:
    """What we refuse a configuration for."""
    try:
        parse(data)
    except IgnitionError as error:
        return error.faults
    return ()


def explained(fault: str) -> bool:
    return any(re.search(pattern, fault) for pattern in STRICTER)
