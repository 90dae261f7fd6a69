"""Waiting for a condition of a real cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

LIMIT_S = 60.0
"""Most things take a second; a loaded machine is still in time."""

POLL_S = 0.1

T = TypeVar("T")


def eventually(ask: Callable[[], T], what: str, limit_s: float = LIMIT_S) -> T:
    """What `ask` returns, once it is true; asked again and again. Fails the test at the deadline."""
    until_s = time.monotonic() + limit_s
    while True:
        found = ask()
        if found:
            return found
        if time.monotonic() > until_s:
            pytest.fail(f"expected {what} within {limit_s:.0f} s, last found {found!r}")
        time.sleep(POLL_S)
