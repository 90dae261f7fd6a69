"""Racks to test on: brought up once a worker, copied for each test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from rehearsal.session import use_engine
from tests.rehearsal.fleet import NEW, OLD, Fleet, Outcome
from tests.rehearsal.on_aws import small
from tools.engine import ensure


@pytest.fixture(scope="session")
def engine() -> Path:
    """The engine, got if need be."""
    found = ensure()
    use_engine(found.path)
    return found.path


@pytest.fixture(scope="session")
def brought_up(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The metal fleet, once brought up on the older image."""
    folder = tmp_path_factory.mktemp("rack") / "metal"
    outcome = Fleet(folder).up(OLD)
    assert outcome.error == ""
    assert outcome.broken == []
    return folder


@pytest.fixture(scope="session")
def aws_up(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A small fleet on AWS, once brought up on the older image. Copy it before anything is done to it."""
    fleet = Fleet(tmp_path_factory.mktemp("up") / "aws", "aws")
    outcome = fleet.up(OLD, change=small)
    assert (outcome.error, outcome.broken) == ("", [])
    return fleet


@dataclass(frozen=True)
class Rolled:
    """A fleet after its roll, and what the roll did. Look at it, and copy it before anything else."""

    fleet: Fleet
    outcome: Outcome


@pytest.fixture(scope="session")
def once_rolled(brought_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Rolled:
    """The metal fleet, rolled once a worker to the newer image."""
    folder = tmp_path_factory.mktemp("rolled") / "metal"
    shutil.copytree(brought_up, folder)
    return Rolled(Fleet(folder), Fleet(folder).up(NEW))


@pytest.fixture(scope="session")
def rolled(once_rolled: Rolled) -> Outcome:
    """What that roll did."""
    return once_rolled.outcome


@pytest.fixture
def empty(engine: Path, tmp_path: Path) -> Fleet:
    """A rack on which nothing was done yet."""
    return Fleet(tmp_path / "metal")


@pytest.fixture
def fleet(brought_up: Path, tmp_path: Path) -> Fleet:
    """The metal fleet on the older image, this test's own."""
    folder = tmp_path / "metal"
    shutil.copytree(brought_up, folder)
    return Fleet(folder)
