"""The wall clock, made monotonic; and one that knows what the cluster's watches announce."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from lifecycle.adapters.topics import is_watched
from lifecycle.errors import LifecycleError

POLL_S = 5.0
"""Between two looks at something no watch reports: a tenth of the shortest thing a step waits for."""


class WallClock:
    """Seconds since 1970 that never go back while the process runs.

    The epoch lets two machines compare what they wrote into the roster; the monotonic part keeps a
    deadline where it is when an administrator or NTP sets the system's time.

    wall: the system's time, seconds since 1970.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._epoch_s = wall() - time.monotonic()

    def now_s(self) -> float:
        return self._epoch_s + time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Negative lengths are none at all: a deadline that has passed is not an error here."""
        time.sleep(max(0.0, seconds))

    def wait(self, about: str, until_s: float) -> None:
        """Sleep one poll, or what is left until `until_s`, whatever it is about."""
        del about
        self.sleep(min(POLL_S, until_s - self.now_s()))


class Announcer(Protocol):
    """Who counts changes by topic (lifecycle.adapters.topics)."""

    def wait(self, topic: str, since: int, limit_s: float) -> int: ...


class WatchingClock(WallClock):
    """A clock whose waits end when a watch shows a change. What no watch shows is polled.

    For one step, that is one thread. A change between a look and the wait after it is not missed: each wait
    goes on from the count at which the one before it ended, which is older than the look.
    """

    def __init__(self, announcer: Announcer, wall: Callable[[], float] = time.time) -> None:
        super().__init__(wall)
        self._announcer = announcer
        self._since = -1

    def wait(self, about: str, until_s: float) -> None:
        if not is_watched(about):
            super().wait(about, until_s)
            return
        try:
            self._since = self._announcer.wait(about, self._since, max(0.0, until_s - self.now_s()))
        except LifecycleError:  # whoever looks next says what is wrong
            super().wait(about, until_s)
