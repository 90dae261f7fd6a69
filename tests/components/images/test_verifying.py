"""components/images/verifying.py: an artifact is verified by its pinned digest and its publisher's pinned key."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from components.images.lock import Release, UnknownRelease
from components.images.publishers import Publisher
from components.images.request import Given
from components.images.signature import Keys, NotVerified
from components.images.sources import NotFetched
from components.images.verifying import Verified, keys_for, verify, verify_installer

DATA = b"an image"
URL = "https://files.example/metal"
PUBLISHER = Publisher(hosts=frozenset({"files.example"}), keys_url="https://files.example/keys.asc")


def release(**more: Any) -> Release:
    facts: dict[str, Any] = {"url": URL, "sha256": hashlib.sha256(DATA).hexdigest(), "signature": f"{URL}.sig"}
    named: dict[str, Any] = {"os": "flatcar", "version": "4593.2.4", "architecture": "x86_64"}
    image = {"os_image": "Flatcar 4593.2.4", "artifacts": {"metal": {**facts, **more.pop("artifact", {})}}}
    return Release.model_validate({**named, **image, **more})


@pytest.fixture
def source(mirror: Any, signer: Any) -> Any:
    mirror.put(URL, DATA)
    mirror.put(f"{URL}.sig", signer.signed(DATA))
    mirror.put(PUBLISHER.keys_url, signer.public)
    return mirror.of(PUBLISHER)


@pytest.fixture
def keys(signer: Any) -> Keys:
    return Keys(signer.public, signer.fingerprint, "a key")


class TestVerifies:
    """Digest and signature, of a file that is fetched or at hand."""

    def test_one_that_is_fetched(self, source: Any, keys: Keys) -> None:
        digest = hashlib.sha256(DATA).hexdigest()
        assert verify(release(), "metal", source, keys) == Verified(str(release()), "metal", digest, keys.fingerprint)

    def test_one_at_hand(self, source: Any, keys: Keys, signer: Any, mirror: Any, tmp_path: Path) -> None:
        mirror.drop(URL)
        mirror.drop(f"{URL}.sig")
        (tmp_path / "local").write_bytes(DATA)
        signature = signer.signed(DATA)
        assert verify(release(), "metal", source, keys, file=tmp_path / "local", signature=signature).signed_by

    def test_one_that_nobody_signs(self, source: Any) -> None:
        assert verify(release(artifact={"signature": None}), "metal", source, None).signed_by is None


class TestRefuses:
    """What is not what is pinned."""

    def test_other_bytes(self, source: Any, keys: Keys, mirror: Any) -> None:
        mirror.put(URL, b"forged")
        with pytest.raises(NotVerified, match=r"metal \(https://files\.example/metal\): expected sha256"):
            verify(release(), "metal", source, keys)

    def test_other_bytes_of_the_right_digest_in_the_lock(self, source: Any, keys: Keys, mirror: Any) -> None:
        """Whoever can change the lock and the mirror still cannot sign."""
        mirror.put(URL, b"forged")
        forged = release(artifact={"sha256": hashlib.sha256(b"forged").hexdigest()})
        with pytest.raises(NotVerified, match="one that does not verify"):
            verify(forged, "metal", source, keys)

    def test_a_lock_that_names_another_key(self, source: Any, keys: Keys) -> None:
        with pytest.raises(NotVerified, match=r"expected signing key .*, found AAAA.* in the lock"):
            verify(release(signing_key="A" * 40), "metal", source, keys)

    def test_a_lock_that_names_no_signature(self, source: Any, keys: Keys) -> None:
        with pytest.raises(NotVerified, match="expected a signature's URL in the lock, found none"):
            verify(release(artifact={"signature": None}), "metal", source, keys)

    def test_an_artifact_that_is_not_pinned(self, source: Any, keys: Keys) -> None:
        with pytest.raises(UnknownRelease, match="artifact iso"):
            verify(release(), "iso", source, keys)

    def test_a_signature_that_is_not_there(self, source: Any, keys: Keys, mirror: Any) -> None:
        mirror.drop(f"{URL}.sig")
        with pytest.raises(NotFetched, match=r"metal\.sig"):
            verify(release(), "metal", source, keys)


class TestTheInstaller:
    """Is pinned by its manifest's digest; its tag must lead there."""

    URL = f"https://files.example/v2/metal-installer/{'c' * 64}/manifests/v1.13.9"

    def release(self, manifest: bytes) -> Release:
        digest = hashlib.sha256(manifest).hexdigest()
        installer = f"files.example/metal-installer/{'c' * 64}:v1.13.9@sha256:{digest}"
        return release(os="talos", version="v1.13.9", schematic="c" * 64, installer=installer)

    def test_is_the_pinned_one(self, source: Any, mirror: Any) -> None:
        mirror.put(self.URL, b"{}")
        assert verify_installer(self.release(b"{}"), source).artifact == "installer"

    def test_whose_tag_moved(self, source: Any, mirror: Any) -> None:
        mirror.put(self.URL, b"{ }")
        with pytest.raises(NotVerified, match=r"installer \(https://files\.example/v2/.*\): expected sha256"):
            verify_installer(self.release(b"{}"), source)

    def test_that_there_is_none(self, source: Any) -> None:
        with pytest.raises(UnknownRelease, match="artifact installer of flatcar"):
            verify_installer(release(), source)


class TestTheKey:
    """Is the one that the code names for the OS and the version's major."""

    def test_from_the_publisher(self, source: Any, signer: Any) -> None:
        publisher = Publisher(PUBLISHER.hosts, PUBLISHER.keys_url, {"4593": signer.fingerprint})
        keys = keys_for("flatcar", "4593.2.4", source, None, {"flatcar": publisher})
        assert keys is not None
        assert keys.fingerprint == signer.fingerprint

    def test_at_hand(self, source: Any, signer: Any, mirror: Any) -> None:
        mirror.drop(PUBLISHER.keys_url)
        publisher = Publisher(PUBLISHER.hosts, PUBLISHER.keys_url, {"": signer.fingerprint})
        given = Given("key.asc", signer.public, "key.asc")
        assert keys_for("flatcar", "4593.2.4", source, given, {"flatcar": publisher})

    def test_of_nobody(self, source: Any) -> None:
        assert keys_for("talos", "v1.13.9", source, None) is None

    def test_of_a_major_that_nobody_looked_up(self, source: Any) -> None:
        with pytest.raises(
            NotVerified, match=r"fedora-coreos 99\.1\.3\.0: expected one of the majors whose key is known"
        ):
            keys_for("fedora-coreos", "99.1.3.0", source, None)
