"""The roster's ConfigMap: one writer wins, and a lost answer is looked up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.turns import Turns
from lifecycle.adapters.wire import ATTEMPTS
from lifecycle.errors import PortError
from tests.lifecycle.adapters.api_server import connected
from tests.lifecycle.adapters.wire_server import Asked, Reply, StillClock, Wire

MAPS = "/api/v1/namespaces/ingot-system/configmaps"
MAP = f"{MAPS}/ingot-roster"


class Store:
    """A ConfigMap as an API server keeps it."""

    def __init__(self, wire: Wire) -> None:
        self.document, self.version, self.namespace = "", 0, False
        self.lose_answers = False
        wire.on("GET", MAP, self.read)
        wire.on("POST", MAPS, self.create)
        wire.on("PUT", MAP, self.replace)
        wire.on("POST", "/api/v1/namespaces", self.make_namespace)

    def read(self, asked: Asked) -> Reply:
        if not self.version:
            return Reply(404, {"message": "not found"})
        meta = {"name": "ingot-roster", "resourceVersion": str(self.version)}
        return Reply(body={"metadata": meta, "data": {"roster.json": self.document}})

    def make_namespace(self, asked: Asked) -> Reply:
        self.namespace = True
        return Reply(201, {})

    def create(self, asked: Asked) -> Reply:
        if not self.namespace:
            return Reply(404, {"message": 'namespaces "ingot-system" not found'})
        return Reply(409, {"reason": "AlreadyExists"}) if self.version else self._write(asked.body)

    def replace(self, asked: Asked) -> Reply:
        stale = asked.body["metadata"]["resourceVersion"] != str(self.version)
        return Reply(409, {"reason": "Conflict"}) if stale else self._write(asked.body)

    def _write(self, body: dict[str, Any]) -> Reply:
        self.document, self.version = body["data"]["roster.json"], self.version + 1
        meta = {**body["metadata"], "resourceVersion": str(self.version)}
        return Reply(reset=True) if self.lose_answers else Reply(body={**body, "metadata": meta})


@pytest.fixture
def store(wire: Wire) -> Store:
    return Store(wire)


@pytest.fixture
def roster(wire: Wire, clock: StillClock) -> ConfigMapRoster:
    return ConfigMapRoster(connected(wire.url, clock))


class TestRoster:
    """Compare-and-swap on the resourceVersion."""

    def test_it_is_empty_before_the_first_write(self, store: Store, roster: ConfigMapRoster) -> None:
        assert roster.read() == ("", "")

    def test_the_first_write_makes_the_namespace(self, wire: Wire, store: Store, roster: ConfigMapRoster) -> None:
        assert roster.write("one", "")
        assert roster.read() == ("one", "1")
        assert store.namespace

    def test_a_second_first_write_loses(self, store: Store, roster: ConfigMapRoster) -> None:
        assert roster.write("one", "")
        assert not roster.write("two", "")
        assert store.document == "one"

    def test_a_write_over_an_older_version_loses(self, store: Store, roster: ConfigMapRoster) -> None:
        assert roster.write("one", "")
        assert roster.write("two", "1")
        assert not roster.write("three", "1")
        assert store.document == "two"


class TestLostAnswers:
    """The connection broke after the request: whether it was written is read, not guessed, and not written twice."""

    @pytest.mark.parametrize("version", ["", "1"])
    def test_a_write_that_took_place_counts(self, store: Store, roster: ConfigMapRoster, version: str) -> None:
        store.namespace, store.version = True, int(version or 0)
        store.lose_answers = True
        assert roster.write("mine", version)
        assert store.version == int(version or 0) + 1

    def test_a_write_that_did_not_is_an_error(self, wire: Wire, store: Store, roster: ConfigMapRoster) -> None:
        store.version = 1
        wire.on("PUT", MAP, Reply(500, {"message": "etcdserver: request timed out"}))
        with pytest.raises(PortError, match=r"roster, replace.*request timed out"):
            roster.write("mine", "1")
        asked = [line.split()[0] for line in wire.lines()]
        assert asked == ["PUT", "GET"] * ATTEMPTS  # each one looked up before the next

    def test_one_that_did_not_take_place_is_tried_again(
        self, wire: Wire, clock: StillClock, store: Store, roster: ConfigMapRoster
    ) -> None:
        store.version = 1
        wire.on("PUT", MAP, Reply(503), Reply(reset=True), store.replace)
        assert roster.write("mine", "1")
        assert (store.document, store.version) == ("mine", 2)
        assert clock.slept == [0.5, 1.0]

    def test_one_that_arrives_after_it_was_looked_up_counts(
        self, wire: Wire, store: Store, roster: ConfigMapRoster
    ) -> None:
        store.version = 1

        def too_late(asked: Asked) -> Reply:
            store.document, store.version = "mine", 2
            return store.replace(asked)

        wire.on("PUT", MAP, Reply(504), too_late)
        assert roster.write("mine", "1")
        assert store.version == 2

    def test_a_write_that_somebody_else_overtook_loses(self, wire: Wire, store: Store, roster: ConfigMapRoster) -> None:
        store.version = 1

        def overtaken(asked: Asked) -> Reply:
            store.document, store.version = "theirs", 2
            return Reply(500, {"message": "etcdserver: leader changed"})

        wire.on("PUT", MAP, overtaken)
        assert not roster.write("mine", "1")

    def test_throttling_is_waited_out(
        self, wire: Wire, clock: StillClock, store: Store, roster: ConfigMapRoster
    ) -> None:
        store.namespace = True
        wire.on("POST", MAPS, Reply(429, "", {"Retry-After": "3"}), store.create)
        assert roster.write("one", "")
        assert clock.slept == [3.0]


class Behind:
    """A watch that has seen no more of the roster than it is told to."""

    def __init__(self) -> None:
        self.seen = ("", "")

    def roster(self) -> tuple[str, str]:
        return self.seen


class TestReadFromAWatch:
    """It costs no request, and is never older than what this step wrote or lost against."""

    @pytest.fixture
    def behind(self) -> Behind:
        return Behind()

    @pytest.fixture
    def watched(self, wire: Wire, clock: StillClock, behind: Behind) -> ConfigMapRoster:
        return ConfigMapRoster(connected(wire.url, clock), behind)  # type: ignore[arg-type]  # all that it asks a Source

    def test_no_request(self, wire: Wire, behind: Behind, watched: ConfigMapRoster) -> None:
        behind.seen = ("one", "1")
        assert watched.read() == ("one", "1")
        assert wire.asked == []

    def test_that_there_is_none_is_asked_for(self, store: Store, behind: Behind, watched: ConfigMapRoster) -> None:
        store.document, store.version = "one", 1
        assert watched.read() == ("one", "1")

    def test_what_was_written_here(self, wire: Wire, store: Store, behind: Behind, watched: ConfigMapRoster) -> None:
        store.document, store.version, behind.seen = "one", 9, ("one", "9")
        assert watched.write("two", "9")
        assert watched.read() == ("two", "10")  # though the watch still shows version 9
        behind.seen = ("three", "11")
        assert watched.read() == ("three", "11")
        assert [line for line in wire.lines() if line.startswith("GET")] == []

    def test_after_a_lost_race_it_is_asked_for(self, store: Store, behind: Behind, watched: ConfigMapRoster) -> None:
        store.document, store.version, behind.seen = "theirs", 2, ("one", "1")
        assert not watched.write("mine", "1")
        assert watched.read() == ("theirs", "2")
        assert watched.write("mine", "2")

    def test_after_a_lost_answer_it_is_asked_for(self, store: Store, behind: Behind, watched: ConfigMapRoster) -> None:
        store.document, store.version, behind.seen = "one", 1, ("one", "1")
        store.lose_answers = True
        assert watched.write("mine", "1")
        assert watched.read() == ("mine", "2")


class TestInTurn:
    """Steps of one machine lose no races against each other, though no watch shows yet what the others wrote."""

    def step(self, wire: Wire, clock: StillClock, folder: Path) -> ConfigMapRoster:
        behind = Behind()
        behind.seen = ("one", "1")
        turns = Turns(lambda: folder, WallClock())
        return ConfigMapRoster(connected(wire.url, clock), behind, turns)  # type: ignore[arg-type]  # as above

    def test_each_writes_on_top_of_the_one_before(
        self, wire: Wire, clock: StillClock, store: Store, tmp_path: Path
    ) -> None:
        store.document, store.version = "one", 1
        for number in range(5):
            step = self.step(wire, clock, tmp_path)
            assert step.read() == ("one", "1")
            with step.turn():
                document, version = step.read()
                assert step.write(f"{document} {number}", version)
        assert store.document == "one 0 1 2 3 4"
        assert [line for line in wire.lines() if not line.startswith("PUT")] == []

    def test_what_another_machine_wrote_wins_all_the_same(
        self, wire: Wire, clock: StillClock, store: Store, tmp_path: Path
    ) -> None:
        store.document, store.version = "one", 1
        first, second = (self.step(wire, clock, tmp_path) for _ in range(2))
        with first.turn():
            assert first.write("two", "1")
        store.document, store.version = "theirs", 3
        with second.turn():
            assert not second.write("mine", second.read()[1])
            assert second.read() == ("theirs", "3")
