"""The steps of one machine change the roster one after another, and each hands on what it wrote.

A courtesy among the lanes of one run, which would else lose each other's races: the API server's compare-and-swap
decides, also against another machine. So nothing here may fail a step: without a folder, or with a neighbour that
hangs, it goes on as if it were alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lifecycle.adapters.files import locked
from lifecycle.errors import LifecycleError
from lifecycle.ports import Clock

LOCK, LAST = "roster.lock", "roster.last"

FRESH_S = 30.0
"""A copy older than this is not looked at: every watch shows it by now, unless it is of a cluster that is no more."""


class Turns:
    """folder: where the steps of this stack, API and identity meet; only its owner may enter it."""

    def __init__(self, folder: Callable[[], Path], clock: Clock) -> None:
        self._folder, self._clock = folder, clock

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """While inside, no other step of this machine is, as far as that can be had."""
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError, LifecycleError):
                held.enter_context(locked(self._folder() / LOCK, self._clock))
            yield

    def last(self) -> tuple[str, str]:
        """(document, version) that was written here last; ("", "") if that is not known or long ago."""
        try:
            with (self._folder() / LAST).open(encoding="utf-8") as file:
                if time.time() - os.fstat(file.fileno()).st_mtime > FRESH_S:
                    return "", ""
                version, _, digest = file.readline().strip().partition(" ")
                document = file.read()
                return (document, version) if _digest(document) == digest else ("", "")
        except (OSError, ValueError, LifecycleError):
            return "", ""

    def keep(self, document: str, version: str) -> None:
        """For whoever is next. Not synced: a copy that a power cut tore does not fit its digest."""
        with contextlib.suppress(OSError, LifecycleError):
            folder = self._folder()
            handle, new = tempfile.mkstemp(prefix=".new-", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{version} {_digest(document)}\n{document}")
            os.replace(new, folder / LAST)


def _digest(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()
