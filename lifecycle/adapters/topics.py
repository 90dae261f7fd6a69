"""Who waits for what: changes are counted by topic, and only those who wait for a topic are woken."""

from __future__ import annotations

import threading
from collections.abc import Iterable

WATCHED = ("node/", "pods/", "claimants", "budgets", "roster")
"""The topics, or their beginnings, that a watch of the API announces. The others nobody does."""


def is_watched(topic: str) -> bool:
    return topic.startswith(WATCHED)


class Topics:
    """Counts of changes. Every method but `wait` expects `lock` to be held."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._count = 0
        self._last: dict[str, int] = {}
        self._waiting: dict[str, list[threading.Condition]] = {}

    @property
    def count(self) -> int:
        """Of all changes so far."""
        return self._count

    def publish(self, topics: Iterable[str]) -> None:
        """Something about these changed just now."""
        for topic in topics:
            self._count += 1
            self._last[topic] = self._count
            for waiting in self._waiting.get(topic, ()):
                waiting.notify()

    def wait(self, topic: str, since: int, limit_s: float) -> int:
        """Return once `topic` changed after `since`, a count returned earlier, or after `limit_s` of real time.

        Returns the count as it is then: what is read afterwards is no older.
        """
        with self._lock:
            if self._last.get(topic, 0) <= since and limit_s > 0:
                own = threading.Condition(self._lock)
                self._waiting.setdefault(topic, []).append(own)
                try:
                    own.wait_for(lambda: self._last.get(topic, 0) > since, limit_s)
                finally:
                    self._waiting[topic].remove(own)
                    if not self._waiting[topic]:
                        del self._waiting[topic]
            return self._count
