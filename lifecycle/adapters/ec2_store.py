"""The boot store, as far as instances have to do with it: what is too long for user data, and what they report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from lifecycle.adapters import layout
from lifecycle.adapters.boot_store import reported
from lifecycle.adapters.object_store import Objects
from lifecycle.ports import Pin, Progress


class InstanceStore:
    """Fulfils `lifecycle.adapters.ec2.Store`. find: finds what keeps the objects, when it is first needed."""

    def __init__(self, find: Callable[[], Objects]) -> None:
        self._find = find

    @cached_property
    def _objects(self) -> Objects:
        return self._find()

    def put(self, files: Mapping[str, bytes]) -> None:
        for path, data in sorted(files.items()):
            self._objects.write_once(path, data)

    def forget(self, pin: Pin) -> None:
        self._objects.erase(layout.progress_of(pin))

    def progress(self, pin: Pin) -> Progress:
        return reported(self._objects, pin)
