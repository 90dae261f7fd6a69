"""The wall clock, made monotonic."""

from __future__ import annotations

import time

POLL_S = 5.0
"""Between two looks at something no watch reports: a tenth of the shortest thing a step waits for."""


class WallClock:
    """Seconds since 1970 that never go back while the process runs.

    The epoch lets two machines compare what they wrote into the roster; the monotonic part keeps a
    deadline where it is when an administrator or NTP sets the system's time.
    """

    def __init__(self) -> None:
        self._epoch_s = time.time() - time.monotonic()

    def now_s(self) -> float:
        return self._epoch_s + time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Negative lengths are none at all: a deadline that has passed is not an error here."""
        time.sleep(max(0.0, seconds))

    def wait(self, about: str, until_s: float) -> None:
        """Sleep one poll, or what is left until `until_s`. `about` needs no watch here."""
        del about  # every source is polled; a watch per source may come behind the same method
        self.sleep(min(POLL_S, until_s - self.now_s()))
