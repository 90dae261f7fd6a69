"""A node's one-time location: an object of the boot store, there only while the node comes in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from lifecycle.adapters import layout
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.directory_objects import DirectoryObjects
from lifecycle.adapters.object_store import Objects
from lifecycle.ports import Credentials, Pin


class StoredDelivery:
    """Fulfils `lifecycle.ports.Delivery`, on whatever keeps the objects.

    find: finds that, asked on first use; may raise PortError. pin: of a node by name, None if it is not declared
    any more.
    """

    def __init__(self, find: Callable[[], Objects], pin: Callable[[str], Pin | None]) -> None:
        self._find, self._pin = find, pin

    @cached_property
    def _objects(self) -> Objects:
        return self._find()

    def deliver(self, node: str, credentials: Credentials) -> None:
        text = credentials.configuration or _document(credentials)
        pin = self._pin(node)
        self._objects.put(layout.once(node) if pin is None else layout.once_of(pin), text.encode())

    def withdraw(self, node: str) -> None:
        """Wherever they may be: the stack file may not name the node any more, or name it in another role."""
        for path in layout.every_once(node):
            self._objects.erase(path)


class DirectoryDelivery(StoredDelivery):
    """The same in a directory, asked for on first use; that may raise PortError."""

    def __init__(self, directory: Callable[[], Path]) -> None:
        super().__init__(lambda: DirectoryObjects(directory(), WallClock()), lambda node: None)


def _document(credentials: Credentials) -> str:
    """What `ingot-join` reads (components/boot/scripts.py)."""
    content = dataclasses.asdict(dataclasses.replace(credentials, pki=dict(credentials.pki)))
    del content["configuration"]
    return json.dumps(content, sort_keys=True)
