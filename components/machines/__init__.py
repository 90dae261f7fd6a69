"""The kinds of machine a pool may be made of; each fulfils components.machines.contract."""

from __future__ import annotations

from collections.abc import Mapping

from components.machines import bare_metal
from components.machines.contract import RegisterMachine

KINDS: Mapping[str, RegisterMachine] = {
    "bare-metal": bare_metal.register,
}
"""`machines.kind` of a pool -> what registers its machines."""
