"""Pausing: one mark, by its first author, that stays until somebody takes it away."""

from __future__ import annotations

import pytest

from lifecycle.errors import ClusterSilent
from lifecycle.pause import ANSWER_S, NothingToPause, pause, resume
from lifecycle.roster import Paused
from tests.lifecycle.fakes import ports
from tests.lifecycle.fleets import fresh, roster, serving
from tests.lifecycle.world import World


def asked(world: World, by: str, reason: str = "") -> str:
    return pause(ports(world), world.stack, Paused(by=by, since_s=60, reason=reason))


def test_it_says_what_it_did() -> None:
    world = serving()
    assert asked(world, "ann@laptop") == "metal paused by ann@laptop since 1970-01-01 00:01:00 UTC; no node is out"
    assert roster(world).paused is not None


def test_the_first_mark_stays() -> None:
    world = serving()
    asked(world, "ann@laptop", "the freeze")
    version = world.version
    assert asked(world, "bob@ci") == "metal paused by ann@laptop since 1970-01-01 00:01:00 UTC: the freeze already"
    assert world.version == version


def test_resuming_names_who_paused() -> None:
    world = serving()
    asked(world, "ann@laptop")
    assert "it paused by ann@laptop" in resume(ports(world), "metal")
    assert resume(ports(world), "metal") == "metal is not paused"
    assert roster(world).paused is None


def test_nodes_and_slots_stay_as_they_are() -> None:
    world = serving()
    before = roster(world)
    asked(world, "ann@laptop")
    resume(ports(world), "metal")
    assert roster(world) == before


def test_before_there_is_a_cluster() -> None:
    with pytest.raises(NothingToPause, match="none was ever initialised"):
        asked(fresh(), "ann@laptop")


def test_an_api_that_is_away_is_named() -> None:
    world = serving()
    world.api_up = False
    with pytest.raises(ClusterSilent, match=f"after {ANSWER_S:g} s"):
        asked(world, "ann@laptop")
