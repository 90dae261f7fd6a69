"""Where a machine's own objects are in the boot store: what components/boot/layout.py tells the machine.

A machine that signs its requests may read and write below its role alone, as its instance profile says; the others
are told apart by nothing, so their paths are as short as they were.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from lifecycle.adapters.files import safe_name
from lifecycle.adapters.object_store import ONCE, PROGRESS
from lifecycle.ports import Pin, Role

SIGNING = "ec2"
"""The scheme of the controllers whose machines sign their requests."""


def once(node: str, role: Role | None = None) -> str:
    """A node's one-time location. role: of one that signs its requests."""
    return _path(ONCE, node, role)


def once_of(pin: Pin) -> str:
    """The same, of a declared node."""
    return once(pin.node, _role(pin))


def every_once(node: str) -> tuple[str, ...]:
    """Wherever a node's credentials may be."""
    return tuple(once(node, role) for role in (None, *Role))


def progress_of(pin: Pin) -> str:
    """Where a declared node's machine says how far it has come."""
    return _path(PROGRESS, pin.node, _role(pin))


def _role(pin: Pin) -> Role | None:
    return pin.role if urlsplit(pin.controller.url).scheme == SIGNING else None


def _path(place: str, node: str, role: Role | None) -> str:
    return "/".join(filter(None, (place, role, safe_name(node))))
