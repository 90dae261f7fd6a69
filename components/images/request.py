"""What a person asks to have pinned, the same for every OS, and the list of OSes that can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from components.images.lock import Release
from components.images.sources import Source

Note = Callable[[str], None]
"""Called with what a user should know and no error is."""


@dataclass(frozen=True)
class Given:
    """A document at hand. name: its last path component, under which its publisher has it. where: for errors."""

    name: str
    data: bytes = field(repr=False)
    where: str


@dataclass(frozen=True)
class Request:
    """One exact release. metadata: instead of what the source has. schematic, key: where an OS needs one."""

    version: str
    architectures: tuple[str, ...]
    metadata: tuple[Given, ...] = ()
    schematic: Given | None = None
    key: Given | None = None


class Obtain(Protocol):
    """How one OS's releases are read: Raises LockError, NotFetched, NotVerified, with nothing changed."""

    def __call__(self, request: Request, source: Source, note: Note) -> tuple[Release, ...]: ...


def oses() -> Mapping[str, Obtain]:
    """Every OS that can be pinned: one line each."""
    from components.images import fedora_coreos, flatcar, talos

    return {
        fedora_coreos.OS: fedora_coreos.obtain,
        flatcar.OS: flatcar.obtain,
        talos.OS: talos.obtain,
    }
