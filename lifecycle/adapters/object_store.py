"""What keeps a boot store's objects: bytes under a path, each with a version, whatever is behind it.

A path is relative, with `/` between its parts, each of them safe (files.safe_name). What is written is there
whole or not at all. A version is the adapter's own: it says nothing but whether an object is still the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from lifecycle.errors import NeedsAttention

RECORDS, ONCE, PROGRESS, BOOT, NEXT = "records", "once", "progress", "boot", "next"
"""The first parts of all paths. `records` is the steps' own, `once` holds secrets, machines write `progress`."""

Fetch = Callable[[], AbstractContextManager[Path]]
"""Gives a large file, on disk while the context lasts, not verified yet; raises what explains itself."""
KEEP_LIMIT_S: Final = 4500.0
"""How long one step waits for another that fetches the same file: an hour to fetch it
(components/images/sources.py), and time to write it."""


@dataclass(frozen=True)
class Stored:
    """An object as it was read. The bytes may be secret, so they have no repr."""

    data: bytes = field(repr=False)
    version: str


class Objects(Protocol):
    """A boot store's objects. Every method may raise PortError, when no answer came in time, and NeedsAttention,
    when the store is not there or refuses; a store that is not there never looks like an empty one."""

    def where(self, path: str) -> str:
        """The object's own full name, for whoever has to look."""
        ...

    def read(self, path: str) -> Stored | None: ...

    def write(self, path: str, data: bytes, expected: str | None) -> bool:
        """Put `data` in the place of the version that was read; None: of nothing. False, and nothing changed, if
        something else is there."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """The same, whatever is there."""
        ...

    def write_once(self, path: str, data: bytes) -> None:
        """Make sure that exactly these bytes are there. Raises NeedsAttention, and changes nothing, if others are: the
        path says what they have to be, so somebody changed them or the digest is wrong."""
        ...

    def keep(self, path: str, sha256: str, fetch: Fetch) -> None:
        """Make sure that a large file of this digest is there, and none other, whoever put it there.

        fetch: not called if it is there, nor while another step that may be seen from here fetches it. Raises
        NeedsAttention, and leaves nothing, if what is fetched has another digest; likewise, and changes nothing, if
        another file is there. Raises what `fetch` raises.
        """
        ...

    def remove(self, path: str, expected: str) -> bool:
        """Take away the version that was read. False, and nothing changed, if it is not there any more."""
        ...

    def erase(self, path: str) -> None:
        """Take away what is there, and every earlier version that the store keeps. Idempotent."""
        ...

    def below(self, prefix: str) -> tuple[str, ...]:
        """The paths of all objects below `prefix`, which ends in `/`, sorted."""
        ...

    def takes_reports(self) -> bool:
        """Whether machines may write below `progress`."""
        ...


def other_digest(where: str, found: str, sha256: str) -> NeedsAttention:
    """What `keep` raises of what was fetched."""
    return NeedsAttention(
        f"artifact {where}",
        f"a file of digest {found}, not {sha256}",
        "runbooks/images.md#digest: the publisher's file is not the one that was pinned",
    )


def other_bytes(where: str) -> NeedsAttention:
    """What `write_once` raises."""
    return NeedsAttention(
        f"boot store file {where}",
        "other bytes than this generation's",
        "find out who changed it; move it away once no machine boots from it, then run `pulumi up` again",
    )
