"""What a publisher's metadata offers beside what is pinned. Tells; resolves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.images.document import LockError
from components.images.lock import Lock
from components.images.request import Given, Os, oses


@dataclass(frozen=True)
class Newer:
    """A release that is published and newer than all that is pinned in its channel. pinned: the newest, or None."""

    os: str
    channel: str
    version: str
    pinned: str | None


def newer(lock: Lock, metadata: Sequence[Given]) -> tuple[Newer, ...]:
    """What the documents offer, newest of each channel. Raises LockError if one is no publisher's metadata."""
    known = oses()
    offered: dict[tuple[str, str], str] = {}
    for given in metadata:
        for os, version in _offers(given, known.values()):
            key = (os.name, os.channel(version))
            offered[key] = max(offered.get(key, version), version, key=order)
    pinned: dict[tuple[str, str], str] = {}
    for r in lock.releases():
        if os_of := known.get(r.os):
            key = (r.os, os_of.channel(r.version))
            pinned[key] = max(pinned.get(key, r.version), r.version, key=order)
    return tuple(
        Newer(*key, version, pinned.get(key))
        for key, version in sorted(offered.items())
        if key not in pinned or order(version) > order(pinned[key])
    )


def order(version: str) -> tuple[int, ...]:
    """For sorting versions of one OS."""
    return tuple(int(part) for part in version.removeprefix("v").split("."))


def _offers(given: Given, known: Iterable[Os]) -> list[tuple[Os, str]]:
    for os in known:
        if (versions := os.offers(given)) is not None:
            if not versions:
                raise LockError(given.where, [f"expected a version of {os.name}, found none"])
            return [(os, version) for version in versions]
    raise LockError(given.where, ["expected a publisher's metadata, found something else"])
