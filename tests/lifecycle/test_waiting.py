"""Waits end: by success, by an error that names what blocked last, never by themselves."""

from __future__ import annotations

import pytest

from lifecycle.errors import ClusterSilent, FleetNotReady, NeverReady, PortError
from lifecycle.ports import Ports
from lifecycle.waiting import LOOK_AGAIN_S, OBSERVE_S, WATCHED_S, Blocked, wait_for_api, wait_until
from tests.lifecycle.fakes import ports
from tests.lifecycle.fleets import serving
from tests.lifecycle.world import World


@pytest.fixture
def world() -> World:
    return serving()


def wait(at: Ports, check: object, limit_s: float = 100, consecutive: int = 1) -> object:
    return wait_until(
        check,  # type: ignore[arg-type]  # tests hand in what they like
        what="it",
        node="w1",
        about="node/w1",
        ports=at,
        limit_s=limit_s,
        error=NeverReady,
        consecutive=consecutive,
    )


class TestAWaitEnds:
    """At once if nothing blocks; else at the first look after it is gone."""

    def test_at_once_and_unrecorded(self, world: World) -> None:
        assert wait(ports(world), lambda: "done") == "done"
        assert world.waits == []

    def test_when_something_changed(self, world: World) -> None:
        at, seen = ports(world), []
        world.later(7, lambda: seen.append(1))
        wait(at, lambda: True if seen else Blocked("not yet"))
        assert world.waits == [("w1", "it", 7.0, True)]

    def test_when_nobody_announced_the_change(self, world: World) -> None:
        at, start_s = ports(world), world.now_s
        wait(at, lambda: True if world.now_s > start_s + 1 else Blocked("not yet"))
        assert world.now_s == start_s + LOOK_AGAIN_S

    def test_with_a_last_look_at_the_deadline(self, world: World) -> None:
        at, start_s = ports(world), world.now_s
        wait(at, lambda: True if world.now_s >= start_s + 100 else Blocked("not yet"), limit_s=100)
        assert world.now_s == start_s + 100


class TestADeadlineIsAbsolute:
    """However often it looks, and whatever the far side answers."""

    def test_names_what_blocked_last(self, world: World) -> None:
        at, start_s = ports(world), world.now_s
        said = "node w1: expected the node to be Ready, with its DaemonSets, found after 100 s: pv-7"
        with pytest.raises(NeverReady, match=said) as e:
            wait(at, lambda: Blocked("pv-7 sits", ("pv-7",)))
        assert (world.now_s, e.value.names, e.value.limit_s) == (start_s + 100, ("pv-7",), 100)
        assert world.waits == [("w1", "it", 100.0, False)]

    def test_raises_the_error_of_what_blocked_last(self, world: World) -> None:
        with pytest.raises(FleetNotReady, match="worse"):
            wait(ports(world), lambda: Blocked("worse", error=FleetNotReady))

    def test_a_silent_port_is_no_verdict(self, world: World) -> None:
        at = ports(world)
        world.failing["kubernetes.nodes"] = 3
        assert len(wait(at, at.kubernetes.nodes)) == 7  # type: ignore[arg-type]  # a tuple
        world.failing["kubernetes.nodes"] = 999
        with pytest.raises(NeverReady, match="503 from the fake"):
            wait(at, at.kubernetes.nodes)

    def test_other_errors_pass_at_once(self, world: World) -> None:
        def broken() -> bool:
            raise ClusterSilent("w1", "other", (), 0)

        start_s = world.now_s
        with pytest.raises(ClusterSilent, match="other"):
            wait(ports(world), broken)
        assert world.now_s == start_s

    def test_of_an_api_that_stays_silent(self, world: World) -> None:
        world.api_up = False
        with pytest.raises(ClusterSilent, match="the API does not answer"):
            wait_for_api(ports(world), "w1", 30)


class TestObservationsInARow:
    """One good look is luck."""

    def test_apart(self, world: World) -> None:
        at, start_s = ports(world), world.now_s
        wait(at, lambda: True, consecutive=2)
        assert world.now_s == start_s + OBSERVE_S

    def test_closer_where_a_watch_announces_every_change(self, world: World) -> None:
        at, start_s = ports(world), world.now_s
        wait_until(
            lambda: True,
            what="it",
            node="w1",
            about="node/w1",
            ports=at,
            limit_s=100,
            error=NeverReady,
            consecutive=2,
            observe_s=WATCHED_S,
        )
        assert world.now_s == start_s + WATCHED_S

    def test_count_from_nought_after_a_bad_one(self, world: World) -> None:
        answers = iter([True, Blocked("bad"), True, True, True])
        at = ports(world)
        wait(at, lambda: next(answers), consecutive=2)
        assert list(answers) == [True]

    def test_end_at_the_deadline(self, world: World) -> None:
        with pytest.raises(NeverReady, match="only 1 good observation of 2"):
            wait(ports(world), lambda: True, limit_s=0, consecutive=2)


def test_a_port_error_says_who_and_what() -> None:
    error = PortError("BMC of w3", "a closed connection", "look at it")
    assert str(error) == "BMC of w3: expected an answer, found a closed connection. Remedy: look at it"


class TestRetryAfter:
    """A far side that asks to be left alone is, within the limit."""

    def test_no_sooner_than_it_says(self) -> None:
        world, asked_s = World(), list[float]()

        def check() -> bool:
            asked_s.append(world.now_s)
            if len(asked_s) == 1:
                raise PortError("BMC of w1", "HTTP 503", "wait", retry_after_s=40)
            return True

        at = ports(world)
        wait_until(check, what="it", node="w1", about="host/w1", ports=at, limit_s=60, error=NeverReady)
        assert asked_s[1] - asked_s[0] == 40
