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
    """How one OS's releases are read. Raises LockError, NotFetched, NotVerified, with nothing changed."""

    def __call__(self, request: Request, source: Source, note: Note) -> tuple[Release, ...]: ...


class Offers(Protocol):
    """What of one OS a document offers: exact versions; None if the document is not of this OS's publisher.

    Raises LockError if it is, and is broken.
    """

    def __call__(self, given: Given) -> tuple[str, ...] | None: ...


@dataclass(frozen=True)
class Os:
    """All that is asked of an OS's module. architectures: that it is built for. channel: where versions follow
    one another, by version: a stream, a channel, a minor."""

    name: str
    architectures: tuple[str, ...]
    obtain: Obtain
    offers: Offers
    channel: Callable[[str], str]


def oses() -> Mapping[str, Os]:
    """Every OS that can be pinned, one module each. Who publishes it is in publishers.py."""
    from components.images import fedora_coreos, flatcar, talos

    return {os.name: os for os in (fedora_coreos.RELEASES, flatcar.RELEASES, talos.RELEASES)}
