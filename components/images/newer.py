"""What a publisher's metadata offers beside what is pinned. Tells; resolves nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.images import fedora_coreos, flatcar, talos
from components.images.document import LockError, read_json
from components.images.lock import Lock
from components.images.request import Given


@dataclass(frozen=True)
class Newer:
    """A release that is published and newer than all that is pinned in its channel. pinned: the newest, or None."""

    os: str
    channel: str
    version: str
    pinned: str | None


def newer(lock: Lock, metadata: Sequence[Given]) -> tuple[Newer, ...]:
    """What the documents offer, newest of each channel. Raises LockError if one is no publisher's metadata."""
    offered: dict[tuple[str, str], str] = {}
    for given in metadata:
        for os, version in _offers(given):
            key = (os, channel(os, version))
            offered[key] = max(offered.get(key, version), version, key=order)
    pinned: dict[tuple[str, str], str] = {}
    for r in lock.releases():
        key = (r.os, channel(r.os, r.version))
        pinned[key] = max(pinned.get(key, r.version), r.version, key=order)
    return tuple(
        Newer(*key, version, pinned.get(key))
        for key, version in sorted(offered.items())
        if key not in pinned or order(version) > order(pinned[key])
    )


def channel(os: str, version: str) -> str:
    """Where versions follow one another: a stream, a channel, a minor."""
    parts = version.split(".")
    if os == fedora_coreos.OS:
        return fedora_coreos.STREAMS.get(parts[2], "other")
    if os == flatcar.OS:
        return flatcar.CHANNELS.get(parts[1], "other")
    return ".".join(parts[:2])


def order(version: str) -> tuple[int, ...]:
    """For sorting versions of one OS."""
    return tuple(int(part) for part in version.removeprefix("v").split("."))


def _offers(given: Given) -> list[tuple[str, str]]:
    if given.name == "version.txt":
        lines = given.data[: flatcar.TEXT_BYTES_MAX].decode("ascii", "replace").splitlines()
        found = [line.partition("=")[2] for line in lines if line.startswith("FLATCAR_VERSION=")]
        return _checked(given, flatcar.OS, [v for v in found if flatcar.VERSION.fullmatch(v)])
    document = read_json(given.data, given.where)
    entries: list[object] = []
    if isinstance(document, list):
        entries = [e.get("version") for e in document if isinstance(e, Mapping) and e.get("cloud") == "aws"]
        versions = [v for v in entries if isinstance(v, str) and talos.VERSION.fullmatch(v)]
        return _checked(given, talos.OS, versions)
    if isinstance(document, Mapping) and isinstance(document.get("releases"), list):
        entries = [e.get("version") for e in document["releases"] if isinstance(e, Mapping)]
        versions = [v for v in entries if isinstance(v, str) and fedora_coreos.VERSION.fullmatch(v)]
        return _checked(given, fedora_coreos.OS, versions)
    return [(r.os, r.version) for r in fedora_coreos.releases(document, given.where)]


def _checked(given: Given, os: str, versions: Sequence[str]) -> list[tuple[str, str]]:
    if not versions:
        raise LockError(given.where, [f"expected a version of {os}, found none"])
    return [(os, version) for version in versions]
