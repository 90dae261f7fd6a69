"""Changes are counted by topic; a wait ends with one of its own topic, and with no other."""

from __future__ import annotations

import threading

import pytest

from lifecycle.adapters.topics import Topics, is_watched

LONG_S = 60.0
"""Nothing here lasts so long unless it is broken."""


@pytest.fixture
def lock() -> threading.RLock:
    return threading.RLock()


@pytest.fixture
def topics(lock: threading.RLock) -> Topics:
    return Topics(lock)


class TestAWait:
    """It ends when its topic changes."""

    def test_for_a_change_that_comes(self, topics: Topics, lock: threading.RLock) -> None:
        ended: list[str] = []
        waiting = {t: threading.Thread(target=self.note, args=(topics, t, ended), daemon=True) for t in ("a", "b")}
        for thread in waiting.values():
            thread.start()
        while True:
            with lock:
                if {"a", "b"} <= topics._waiting.keys():
                    break
        with lock:
            topics.publish(["a"])
        waiting["a"].join(LONG_S / 2)
        assert ended == ["a"]
        with lock:
            topics.publish(["c", "b"])
        waiting["b"].join(LONG_S / 2)
        assert ended == ["a", "b"]
        assert topics._waiting == {}

    def note(self, topics: Topics, topic: str, ended: list[str]) -> None:
        topics.wait(topic, 0, LONG_S)
        ended.append(topic)

    def test_for_a_change_that_was_already(self, topics: Topics, lock: threading.RLock) -> None:
        since = topics.wait("a", -1, 0)
        with lock:
            topics.publish(["a"])
        assert topics.wait("a", since, LONG_S) == since + 1

    def test_no_longer_than_it_may(self, topics: Topics) -> None:
        assert topics.wait("a", 0, 0) == 0


@pytest.mark.parametrize(
    ("topic", "watched"),
    [("node/w1", True), ("pods/w1", True), ("claimants", True), ("roster", True), ("etcd", False), ("host/w1", False)],
)
def test_what_the_api_announces(topic: str, watched: bool) -> None:
    assert is_watched(topic) is watched
