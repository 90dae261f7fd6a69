"""Fedora CoreOS: the publisher's stream metadata, read into the lock.

The publisher's format belongs to the publisher: unknown fields are ignored, missing ones are all named
at once, and no URL is ever built here. Nothing is fetched, and no signature is verified: who hands the
metadata in has done both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from components.images.lock import Artifact, Lock, LockError, Release, read_json, shown

OS: Final = "fedora-coreos"
ARCHITECTURES: Final = ("x86_64", "aarch64")
"""Of the publisher's, those that a stack file can name."""

KERNEL: Final = "pxe-kernel"
INITRAMFS: Final = "pxe-initramfs"
ROOTFS: Final = "pxe-rootfs"
METAL: Final = "metal"
METAL_4K: Final = "metal-4k"
ISO: Final = "iso"

WHERE: Final[Mapping[str, tuple[str, str]]] = {
    KERNEL: ("pxe", "kernel"),
    INITRAMFS: ("pxe", "initramfs"),
    ROOTFS: ("pxe", "rootfs"),
    METAL: ("raw.xz", "disk"),
    METAL_4K: ("4k.raw.xz", "disk"),
    ISO: ("iso", "disk"),
}
"""Our name of an artifact -> format and part under the publisher's `artifacts.metal.formats`."""

VERSION: Final = re.compile(r"[0-9]+\.[0-9]{8}\.[123]\.[0-9]+")


def os_image(version: str) -> str:
    """What a node that runs this version reports in `status.nodeInfo.osImage`."""
    return f"Fedora CoreOS {version}"


def releases_from_stream(metadata: bytes | Mapping[str, Any], where: str = "stream metadata") -> tuple[Release, ...]:
    """The release that a stream metadata document describes, one entry an architecture that we support.

    Raises LockError with every field that is missing or not as it should be; `where` names the document.
    """
    document = read_json(metadata, where) if isinstance(metadata, bytes) else metadata
    reader = _Reader()
    found: list[Release] = []
    architectures = reader.mapping(document, "architectures")
    for architecture in ARCHITECTURES:
        if architecture in architectures:
            release = _release(reader, architectures[architecture], architecture)
            if release is not None:
                found.append(release)
    if not found and not reader.problems:
        listed = ", ".join(sorted(architectures)) or "none"
        reader.problems.append(f"architectures: expected one of {', '.join(ARCHITECTURES)}, found {listed}")
    if len({r.version for r in found}) > 1:
        reader.problems.append(f"architectures: expected one release, found {', '.join(str(r) for r in found)}")
    if reader.problems:
        raise LockError(where, reader.problems)
    return tuple(found)


def pin(lock: Lock, metadata: bytes | Mapping[str, Any], where: str = "stream metadata") -> Lock:
    """`lock` with the metadata's release added. AMIs of new regions are added to a pinned release; a kernel
    that was pinned by hand stays, because the metadata names none.

    Raises LockError if the metadata is not whole, or contradicts what is pinned: a published release
    never changes, so one of the two was tampered with or garbled.
    """
    merged: list[Release] = []
    problems: list[str] = []
    pinned = {(r.os, r.version, r.architecture): r for r in lock.releases()}
    for new in releases_from_stream(metadata, where):
        old = pinned.get((new.os, new.version, new.architecture))
        problems += _contradictions(old, new) if old else []
        kept = {"amis": {**old.amis, **new.amis}, "kernel": old.kernel} if old else {}
        merged.append(new.model_copy(update=kept))
    if problems:
        raise LockError(where, problems)
    return lock.with_releases(merged)


def _contradictions(old: Release, new: Release) -> list[str]:
    pairs: list[tuple[str, object, object]] = []
    for name, artifact in new.artifacts.items():
        if name in old.artifacts:
            before, after = old.artifacts[name].model_dump(), artifact.model_dump()
            pairs += [(f"{name} {key}", before[key], after[key]) for key in before]
    pairs += [(f"AMI of {region}", old.amis[region], ami) for region, ami in new.amis.items() if region in old.amis]
    return [
        f"{new}, {what}: expected what is pinned, {before}; found {after}. Ask the publisher which is right"
        for what, before, after in pairs
        if before != after
    ]


@dataclass
class _Reader:
    """Takes a document apart and remembers everything it missed."""

    problems: list[str] = field(default_factory=list)

    def mapping(self, parent: Any, path: str, key: str | None = None) -> Mapping[str, Any]:
        """The object `key` (by default: the last word of `path`) of `parent`; empty where there is none."""
        value = parent.get(key or path) if isinstance(parent, Mapping) else None
        if not isinstance(value, Mapping):
            found = "nothing" if value is None else type(value).__name__
            self.problems.append(f"{path}: expected an object, found {found}")
            return {}
        return value

    def artifact(self, part: Mapping[str, Any], path: str) -> Artifact | None:
        """The publisher's description of one file, checked as the lock checks it."""
        facts = {
            "url": part.get("location"),
            "sha256": part.get("sha256"),
            "signature": part.get("signature"),
            "uncompressed_sha256": part.get("uncompressed-sha256"),
        }
        names = {"url": "location", "uncompressed_sha256": "uncompressed-sha256"}
        # Here the signature is not optional: an image without one could not be verified when installed.
        missing = [names.get(key, key) for key in ("url", "sha256", "signature") if facts[key] is None]
        if missing:
            self.problems.extend(f"{path}.{key}: expected it, found nothing" for key in missing)
            return None
        try:
            return Artifact.model_validate(facts)
        except ValidationError as error:
            for e in error.errors(include_url=False, include_context=False):
                key = str(e["loc"][0])
                self.problems.append(f"{path}.{names.get(key, key)}: {e['msg']}, found {shown(e['input'])}")
            return None


def _release(reader: _Reader, described: Any, architecture: str) -> Release | None:
    """One architecture's release, or None after its problems were noted."""
    before = len(reader.problems)
    at = f"architectures.{architecture}"
    metal = reader.mapping(reader.mapping(described, f"{at}.artifacts", "artifacts"), f"{at}.artifacts.metal", "metal")
    version = metal.get("release")
    if metal and not (isinstance(version, str) and VERSION.fullmatch(version)):
        wrong = f"expected a version such as 44.20260621.3.1, found {shown(version)}"
        reader.problems.append(f"{at}.artifacts.metal.release: {wrong}")
    artifacts = _artifacts(reader, metal, f"{at}.artifacts.metal.formats") if metal else {}
    amis = _amis(reader, described, version, at)
    if len(reader.problems) > before:
        return None
    facts = {
        "os": OS,
        "version": version,
        "architecture": architecture,
        "os_image": os_image(str(version)),
        "artifacts": artifacts,
        "amis": amis,
    }
    try:
        return Release.model_validate(facts)
    except ValidationError as error:
        reader.problems += [f"{at}: {e['msg']}, found {shown(e['input'])}" for e in error.errors(include_url=False)]
        return None


def _artifacts(reader: _Reader, metal: Mapping[str, Any], at: str) -> dict[str, Artifact]:
    formats = reader.mapping(metal, at, "formats")
    found: dict[str, Artifact] = {}
    for name, (fmt, part) in WHERE.items() if formats else ():
        described = reader.mapping(formats, f"{at}.{fmt}", fmt)
        facts = reader.mapping(described, f"{at}.{fmt}.{part}", part) if described else {}
        artifact = reader.artifact(facts, f"{at}.{fmt}.{part}") if facts else None
        if artifact is not None:
            found[name] = artifact
    return found


def _amis(reader: _Reader, described: Any, version: Any, at: str) -> dict[str, str]:
    """AMIs by region; none where the publisher lists no images for AWS, or a region holds another release."""
    images = described.get("images") if isinstance(described, Mapping) else None
    if not isinstance(images, Mapping) or "aws" not in images:
        return {}
    regions = reader.mapping(reader.mapping(images, f"{at}.images.aws", "aws"), f"{at}.images.aws.regions", "regions")
    found: dict[str, str] = {}
    for region in sorted(regions):
        where = f"{at}.images.aws.regions.{region}"
        entry = reader.mapping(regions, where, region)
        image = entry.get("image")
        if not isinstance(image, str):
            reader.problems.append(f"{where}.image: expected an AMI, found {type(image).__name__}")
        elif entry.get("release") == version:
            found[region] = image
    return found
