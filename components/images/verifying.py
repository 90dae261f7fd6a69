"""Whether a file is what is pinned: its digest, and its publisher's signature where there is one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from components.images.artifacts import INSTALLER
from components.images.lock import Release, UnknownRelease
from components.images.publishers import PUBLISHERS, Publisher
from components.images.request import Given
from components.images.signature import KEYS_BYTES_MAX, SIGNATURE_BYTES_MAX, Keys, NotVerified, check_digest
from components.images.sources import Source

MANIFEST_BYTES_MAX = 256 << 10
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""What a registry may answer for an image. Its digest is of the answer's bytes, whichever it is."""


@dataclass(frozen=True)
class Verified:
    """One artifact that is what is pinned. signed_by: the key's fingerprint; None where nobody signs."""

    release: str
    artifact: str
    sha256: str
    signed_by: str | None


def keys_for(
    os: str, version: str, source: Source, given: Given | None, publishers: Mapping[str, Publisher] = PUBLISHERS
) -> Keys | None:
    """The key that signs this version, from `given` or from its publisher; None where nobody signs.

    Raises NotVerified if no such key is known or found, NotFetched.
    """
    publisher = publishers[os]
    if not publisher.keys:
        return None
    fingerprint = publisher.signing_key(version)
    if fingerprint is None:
        known = ", ".join(sorted(publisher.keys))
        remedy = "look the fingerprint up in two places and add it to components/images/publishers.py"
        raise NotVerified(f"{os} {version}", f"one of the majors whose key is known ({known})", "another", remedy)
    if given is None:
        url = publisher.keys_url
        given = Given(url.rpartition("/")[2], source.read(url, bytes_max=KEYS_BYTES_MAX), url)
    return Keys(given.data, fingerprint, given.where)


def verify(
    release: Release,
    name: str,
    source: Source,
    keys: Keys | None,
    *,
    file: Path | None = None,
    signature: bytes | None = None,
) -> Verified:
    """Return if the artifact, or `file` in its place, has the pinned digest and a signature that counts.

    signature: instead of the source's. Raises NotVerified, NotFetched, UnknownRelease, OSError.
    """
    artifact = release.artifact(name)
    what = f"{release}, {name}"
    if keys is not None and artifact.signature is None:
        raise NotVerified(what, "a signature's URL in the lock", "none", "pin the release again")
    if keys is not None and release.signing_key not in (None, keys.fingerprint):
        remedy = "one of the two was tampered with: see the lock's history, and runbooks/images.md#signature"
        raise NotVerified(what, f"signing key {keys.fingerprint}", f"{release.signing_key} in the lock", remedy)
    with nullcontext(file) if file else source.file(artifact.url) as path:
        check_digest(path, artifact.sha256, f"{what} ({file or artifact.url})")
        if keys is not None:
            found = signature or source.read(str(artifact.signature), bytes_max=SIGNATURE_BYTES_MAX)
            keys.check(path, found, f"{what} ({file or artifact.url})")
    return Verified(str(release), name, artifact.sha256, keys.fingerprint if keys else None)


def verify_installer(release: Release, source: Source) -> Verified:
    """Return if the installer's tag still leads to the manifest that is pinned.

    Raises NotVerified, NotFetched; UnknownRelease if the release has no installer.
    """
    if release.installer is None:
        raise UnknownRelease(f"artifact {INSTALLER} of {release}", sorted(release.artifacts))
    name, _, pinned = release.installer.partition("@sha256:")
    repository, _, tag = name.partition(":")
    host, _, path = repository.partition("/")
    url = f"https://{host}/v2/{path}/manifests/{tag}"
    data = source.read(url, bytes_max=MANIFEST_BYTES_MAX, headers={"Accept": ", ".join(MANIFESTS)})
    if (found := hashlib.sha256(data).hexdigest()) != pinned:
        remedy = "machines go on using the pinned one, by its digest; ask the publisher why. runbooks/images.md#digest"
        raise NotVerified(f"{release}, {INSTALLER} ({url})", f"sha256 {pinned}", found, remedy)
    return Verified(str(release), INSTALLER, pinned, None)
