"""Fedora CoreOS: the publisher's stream metadata, and its metadata of one release, read into the lock.

A stream's metadata describes its current release only; an older one is found in the stream's release index,
which leads to a file of its own in another form. Unknown fields are ignored, missing ones are all named at
once, and no URL of an artifact is ever built here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import ValidationError

from components.images.artifacts import INITRAMFS, ISO, KERNEL, METAL, METAL_4K, ROOTFS
from components.images.document import BYTES_MAX, LockError, Reader, problems_of, read_json, shown
from components.images.lock import Artifact, Release
from components.images.publishers import FEDORA_COREOS, Publisher
from components.images.sources import Source

__all__ = ["INITRAMFS", "ISO", "KERNEL", "METAL", "METAL_4K", "OS", "ROOTFS", "WHERE", "find", "os_image", "releases"]

OS: Final = "fedora-coreos"
ARCHITECTURES: Final = ("x86_64", "aarch64", "ppc64le", "s390x")
"""Of the publisher's, those that the lock can hold."""
STREAMS: Final[Mapping[str, str]] = {"1": "next", "2": "testing", "3": "stable"}
"""The third part of a version -> its stream."""
BASE: Final = "https://builds.coreos.fedoraproject.org"

WHERE: Final[Mapping[str, tuple[str, str]]] = {
    KERNEL: ("pxe", "kernel"),
    INITRAMFS: ("pxe", "initramfs"),
    ROOTFS: ("pxe", "rootfs"),
    METAL: ("raw.xz", "disk"),
    METAL_4K: ("4k.raw.xz", "disk"),
    ISO: ("iso", "disk"),
}
"""Our name of an artifact -> format and part in the publisher's description of the platform `metal`."""

VERSION: Final = re.compile(r"[0-9]{1,4}\.[0-9]{8}\.[123]\.[0-9]{1,6}")
_NAMES: Final = {"url": "location", "uncompressed_sha256": "uncompressed-sha256"}


def os_image(version: str) -> str:
    """What a node that runs this version reports in `status.nodeInfo.osImage`."""
    return f"Fedora CoreOS {version}"


def order(version: str) -> tuple[int, ...]:
    """For sorting: versions of one stream are released in this order."""
    return tuple(int(part) for part in version.split("."))


def releases(
    metadata: bytes | Mapping[str, Any],
    where: str = "stream metadata",
    architectures: Collection[str] = ARCHITECTURES,
    publisher: Publisher = FEDORA_COREOS,
) -> tuple[Release, ...]:
    """What a stream's metadata, or a release's own, describes: one entry for each of `architectures` in it.

    Raises LockError with every field that is missing or not as it should be; `where` names the document.
    """
    document = read_json(metadata, where) if isinstance(metadata, bytes) else metadata
    reader = _Description(publisher, document)
    described = reader.mapping(document, "architectures")
    wanted = [a for a in ARCHITECTURES if a in architectures]
    found = [r for a in wanted if a in described and (r := reader.release(described[a], a)) is not None]
    if not found and not reader.problems:
        listed = ", ".join(sorted(map(shown, described))) or "none"
        reader.problems.append(f"architectures: expected one of {', '.join(wanted)}, found {listed}")
    if len({r.version for r in found}) > 1:
        reader.problems.append(f"architectures: expected one release, found {', '.join(str(r) for r in found)}")
    reader.finish(where)
    return tuple(found)


def find(version: str, architectures: Collection[str], source: Source) -> tuple[Release, ...]:
    """The release `version`, wherever the publisher describes it. Raises LockError, NotFetched."""
    if not VERSION.fullmatch(version):
        raise LockError(f"{OS} {shown(version)}", ["expected a version such as 44.20260621.3.1. Remedy: name one"])
    stream = STREAMS[version.split(".")[2]]
    at = f"{BASE}/streams/{stream}.json"
    found = releases(source.read(at, bytes_max=BYTES_MAX), at, architectures)
    if found[0].version == version:
        return require(found, version, architectures, at)
    at = f"{BASE}/prod/streams/{stream}/releases.json"
    return from_index(source.read(at, bytes_max=BYTES_MAX), at, version, architectures, source)


def from_metadata(
    metadata: bytes, where: str, version: str, architectures: Collection[str], source: Source
) -> tuple[Release, ...]:
    """The release `version` in a document of any of the three forms. Raises LockError, NotFetched."""
    document = read_json(metadata, where)
    if isinstance(document, Mapping) and "releases" in document:
        return from_index(metadata, where, version, architectures, source)
    return require(releases(document, where, architectures), version, architectures, where)


def from_index(
    index: bytes, where: str, version: str, architectures: Collection[str], source: Source
) -> tuple[Release, ...]:
    """The release `version`, whose own metadata the index leads to. Raises LockError, NotFetched."""
    document, reader = read_json(index, where), Reader()
    listed = document.get("releases") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        reader.note("releases", "a list", listed)
        reader.finish(where)
    entries = [e for e in listed or () if isinstance(e, Mapping) and e.get("version") == version]
    if not entries:
        known = [shown(e.get("version")) for e in listed or () if isinstance(e, Mapping)]
        reader.problems.append(f"releases: expected {version}, found {', '.join(known[-5:]) or 'none'}")
        reader.finish(where)
    at = entries[-1].get("metadata")
    if not isinstance(at, str) or not FEDORA_COREOS.owns(at):
        reader.note(f"releases.{version}.metadata", "a URL on the publisher's hosts", at)
        reader.finish(where)
    data = source.read(str(at), bytes_max=BYTES_MAX)
    return require(releases(data, str(at), architectures), version, architectures, str(at))


def require(
    found: tuple[Release, ...], version: str, architectures: Collection[str], where: str
) -> tuple[Release, ...]:
    """`found`, if it is this version for all of these architectures. Raises LockError."""
    problems = []
    if found[0].version != version:
        problems.append(f"expected {version}, found {found[0].version}. Remedy: pin that, or give its own metadata")
    if missing := [a for a in architectures if a not in {r.architecture for r in found}]:
        have = ", ".join(r.architecture for r in found)
        problems.append(f"architectures: expected {', '.join(missing)}, found {have}")
    if problems:
        raise LockError(where, problems)
    return found


class _Description(Reader):
    """Both forms of metadata: a stream's has `artifacts` and `images`, a release's `media` with both inside."""

    def __init__(self, publisher: Publisher, document: Any) -> None:
        super().__init__()
        self.publisher = publisher
        version = document.get("release") if isinstance(document, Mapping) else None
        self.version = version if isinstance(version, str) else None
        """Of a release's own metadata, which says it once, at the top."""

    def release(self, described: Any, architecture: str) -> Release | None:
        """One architecture's release, or None after its problems were noted."""
        before, at = len(self.problems), f"architectures.{architecture}"
        media = self.version is not None and isinstance(described, Mapping) and "artifacts" not in described
        platforms = "media" if media else "artifacts"
        metal = self.mapping(
            self.mapping(described, f"{at}.{platforms}", platforms), f"{at}.{platforms}.metal", "metal"
        )
        version = self.version if media else metal.get("release")
        if metal and not (isinstance(version, str) and VERSION.fullmatch(version)):
            where = "release" if media else f"{at}.{platforms}.metal.release"
            self.note(where, "a version such as 44.20260621.3.1", version)
        formats = "artifacts" if media else "formats"
        artifacts = self.artifacts(metal, f"{at}.{platforms}.metal.{formats}", formats) if metal else {}
        amis = self.amis_of_release(described, at) if media else self.amis_of_stream(described, version, at)
        if len(self.problems) > before:
            return None
        facts = {
            "os": OS,
            "version": version,
            "architecture": architecture,
            "os_image": os_image(str(version)),
            "signing_key": self.publisher.signing_key(str(version)),
            "artifacts": artifacts,
            "amis": amis,
        }
        try:
            return Release.model_validate(facts)
        except ValidationError as error:
            self.problems += problems_of(error, at)
            return None

    def artifacts(self, metal: Mapping[str, Any], at: str, key: str) -> dict[str, Artifact]:
        formats = self.mapping(metal, at, key)
        found: dict[str, Artifact] = {}
        for name, (fmt, part) in WHERE.items() if formats else ():
            described = self.mapping(formats, f"{at}.{fmt}", fmt)
            facts = self.mapping(described, f"{at}.{fmt}.{part}", part) if described else {}
            artifact = self.artifact(facts, f"{at}.{fmt}.{part}") if facts else None
            if artifact is not None:
                found[name] = artifact
        return found

    def artifact(self, part: Mapping[str, Any], path: str) -> Artifact | None:
        """The publisher's description of one file, checked as the lock checks it."""
        facts = {
            "url": part.get("location"),
            "sha256": part.get("sha256"),
            "signature": part.get("signature"),
            "uncompressed_sha256": part.get("uncompressed-sha256"),
        }
        # Here the signature is not optional: an image without one could not be verified when installed.
        missing = [_NAMES.get(key, key) for key in ("url", "sha256", "signature") if facts[key] is None]
        if missing:
            self.problems.extend(f"{path}.{key}: expected it, found nothing" for key in missing)
            return None
        try:
            made = Artifact.model_validate(facts)
        except ValidationError as error:
            self.problems += problems_of(error, path, _NAMES)
            return None
        for key, url in (("location", made.url), ("signature", str(made.signature))):
            if not self.publisher.owns(url):
                self.note(f"{path}.{key}", f"a URL on {', '.join(sorted(self.publisher.hosts))}", url)
        return made

    def amis_of_stream(self, described: Any, version: Any, at: str) -> dict[str, str]:
        """AMIs by region; none where the publisher lists none, or a region holds another release."""
        images = described.get("images") if isinstance(described, Mapping) else None
        if not isinstance(images, Mapping) or "aws" not in images:
            return {}
        regions = self.mapping(self.mapping(images, f"{at}.images.aws", "aws"), f"{at}.images.aws.regions", "regions")
        return self.amis(regions, f"{at}.images.aws.regions", version)

    def amis_of_release(self, described: Mapping[str, Any], at: str) -> dict[str, str]:
        aws = described["media"].get("aws") if isinstance(described.get("media"), Mapping) else None
        if not isinstance(aws, Mapping) or "images" not in aws:
            return {}
        return self.amis(self.mapping(aws, f"{at}.media.aws.images", "images"), f"{at}.media.aws.images", None)

    def amis(self, regions: Mapping[str, Any], at: str, version: Any) -> dict[str, str]:
        """version: the release that an entry must be of to count; None where entries do not say."""
        found: dict[str, str] = {}
        for region in sorted(regions):
            where = f"{at}.{shown(region)[1:-1]}"
            entry = self.mapping(regions, where, region)
            image = entry.get("image")
            if not isinstance(image, str):
                self.note(f"{where}.image", "an AMI", image)
            elif version is None or entry.get("release") == version:
                found[region] = image
        return found
