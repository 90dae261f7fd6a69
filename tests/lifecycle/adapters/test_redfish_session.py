"""How controllers are asked: once, in time, by a session; and what is said of one that cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lifecycle.adapters.redfish_session import Sessions
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.adapters.wire import RETRY_AFTER_MAX_S
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Controller
from tests.lifecycle.adapters.played_controller import PASSWORD, ROOT, SESSIONS, SYSTEM, Played
from tests.lifecycle.adapters.wire_server import Asked, Reply, StillClock, Wire

CALL_S = 30.0


@pytest.fixture
def played(wire: Wire) -> Played:
    return Played(wire)


@pytest.fixture
def controller(wire: Wire) -> Controller:
    return Controller(f"{wire.url}{SYSTEM}")


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def sessions(clock: StillClock) -> Iterator[Sessions]:
    made = Sessions(lambda _: BmcCredentials("admin", PASSWORD), clock, answer_s=5, call_s=CALL_S)
    yield made
    made.close()


def name_of(sessions: Sessions, controller: Controller) -> str:
    with sessions.system("w1", controller) as system:
        return str(system.name)


class TestLogin:
    """By a session where there are any."""

    def test_a_password_goes_only_where_the_session_is_made(
        self, wire: Wire, played: Played, sessions: Sessions, controller: Controller
    ) -> None:
        assert name_of(sessions, controller) == "w1"
        assert not any("Authorization" in asked.headers for asked in wire.asked)

    def test_one_that_is_refused_is_sent_once_in_all(self, wire: Wire, played: Played, controller: Controller) -> None:
        wrong = Sessions(lambda _: BmcCredentials("admin", "wr0ng"), StillClock())
        with pytest.raises(NeedsAttention, match="HTTP 401: the credentials are refused"):
            name_of(wrong, controller)
        sent = [a for a in wire.asked if "Authorization" in a.headers or (a.method == "POST" and a.path == SESSIONS)]
        assert len(sent) == 1

    def test_a_controller_without_sessions_gets_it_with_each_request(
        self, wire: Wire, played: Played, sessions: Sessions, controller: Controller
    ) -> None:
        wire.on("GET", ROOT, Reply(body={"@odata.id": ROOT, "Id": "R", "Name": "R"}))
        wire.on("GET", SYSTEM, with_password(played))
        assert name_of(sessions, controller) == "w1"
        assert f"POST {SESSIONS}" not in wire.lines()

    def test_one_whose_sessions_are_all_taken_too(
        self, wire: Wire, played: Played, sessions: Sessions, controller: Controller
    ) -> None:
        wire.on("POST", SESSIONS, Reply(400, {"error": {"message": "session limit exceeded"}}))
        wire.on("GET", SYSTEM, with_password(played))
        assert name_of(sessions, controller) == "w1"

    def test_one_that_is_busy_is_asked_for_a_session_again(
        self, wire: Wire, played: Played, sessions: Sessions, controller: Controller
    ) -> None:
        wire.on("POST", SESSIONS, Reply(503, {}, {"Retry-After": "9"}), played.log_in)
        with pytest.raises(PortError) as busy:
            name_of(sessions, controller)
        assert busy.value.retry_after_s == 9
        assert name_of(sessions, controller) == "w1"
        assert not any("Authorization" in asked.headers for asked in wire.asked)


def with_password(played: Played) -> Reply:
    return Reply(body=played.system())


class TestOneCall:
    """A request is sent once, and none after the call's time."""

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_what_fails_is_not_sent_again(
        self, wire: Wire, played: Played, sessions: Sessions, controller: Controller, status: int
    ) -> None:
        name_of(sessions, controller)
        before = wire.lines().count(f"GET {SYSTEM}")
        wire.on("GET", SYSTEM, Reply(status, {"error": {"message": "it starts"}}))
        with pytest.raises(PortError, match="it starts"):
            name_of(sessions, controller)
        assert wire.lines().count(f"GET {SYSTEM}") == before + 1

    def test_nothing_is_asked_once_its_time_is_over(
        self, wire: Wire, played: Played, sessions: Sessions, controller: Controller, clock: StillClock
    ) -> None:
        def slow(asked: Asked) -> Reply:
            clock.sleep(CALL_S)
            return played.log_in(asked)

        wire.on("POST", SESSIONS, slow)
        with pytest.raises(PortError, match=f"no time left for GET {SYSTEM}"):
            name_of(sessions, controller)
        assert f"GET {SYSTEM}" not in wire.lines()
        assert name_of(sessions, controller) == "w1"  # the next call has its own

    @pytest.mark.parametrize(
        ("header", "asked_s"),
        [
            ({}, 0.0),
            ({"Retry-After": "7"}, 7.0),
            ({"Retry-After": "86400"}, RETRY_AFTER_MAX_S),
            ({"Retry-After": "soon"}, 0),
        ],
    )
    def test_how_long_it_asks_to_be_left_alone(
        self,
        wire: Wire,
        played: Played,
        sessions: Sessions,
        controller: Controller,
        header: dict[str, str],
        asked_s: float,
    ) -> None:
        wire.on("GET", SYSTEM, Reply(503, {}, header))
        with pytest.raises(PortError) as busy:
            name_of(sessions, controller)
        assert busy.value.retry_after_s == asked_s
