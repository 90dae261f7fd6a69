"""Ends an engine that waits for nothing.

With `--continue-on-error` the engine (seen with 3.259) never answers the program after a delete failed, and
waits for the program, which waits for that answer. On a rack that shows: a step failed, none runs, and
nothing is asked any more. Then, and only then, the engine is told to stop, as a person would with Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

IDLE_S = 5.0
"""Real seconds. An engine that goes on asks for its next step within a fraction of one (rack/clock.py, QUIET_S)."""

LOOK_S = 0.25


@contextmanager
def ended_if_stuck(
    failed: Callable[[], bool], idle_s: Callable[[], float], engine_pid: Callable[[], int | None]
) -> Iterator[None]:
    """While inside: once a step has failed, interrupt the engine when it is idle for IDLE_S, until it ends."""
    over = threading.Event()

    def watch() -> None:
        told = 0.0
        while not over.wait(LOOK_S):
            now = time.monotonic()
            pid = engine_pid() if failed() and idle_s() >= IDLE_S and now - told >= IDLE_S else None
            if pid is not None:
                told = now
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)

    watcher = threading.Thread(target=watch, name="rack-stuck", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
