"""components/images/flatcar.py: every file is verified before the digest of its bytes is recorded."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from components.images import flatcar
from components.images.document import LockError
from components.images.lock import Lock, Release, parse
from components.images.pinning import pin
from components.images.publishers import FLATCAR, Publisher
from components.images.request import Given, Request
from components.images.signature import NotVerified
from components.images.sources import NotFetched

VERSION = "4593.2.4"
BASE = "https://stable.release.flatcar-linux.net/amd64-usr/4593.2.4"
NAMES = tuple(flatcar.FILES.values())
VERSION_TXT = (
    b"FLATCAR_BUILD=4593\nFLATCAR_BRANCH=2\nFLATCAR_PATCH=4\nFLATCAR_VERSION=4593.2.4\n"
    b'FLATCAR_VERSION_ID=4593.2.4\nFLATCAR_BUILD_ID="2026-06-30-1200"\nFLATCAR_SDK_VERSION=4593.0.0\n'
)
AMIS = {"amis": [{"name": "eu-central-1", "hvm": "ami-0123456789abcdef0"}, {"name": "us-east-1", "hvm": "ami-0a"}]}


def data(name: str) -> bytes:
    return f"the bytes of {name}".encode()


def listed(name: str, content: bytes) -> bytes:
    """A DIGESTS file in the publisher's form: sections, and sections for a listing of the file's content too."""
    sections = {"MD5": hashlib.md5, "SHA1": hashlib.sha1, "SHA512": hashlib.sha512}
    lines = [f"# {title} HASH\n{algorithm(content).hexdigest()}  {name}" for title, algorithm in sections.items()]
    return "\n".join([*lines, f"# SHA512 HASH\n{'0' * 128}  other.file", ""]).encode()


@pytest.fixture
def published(mirror: Any, signer: Any) -> Any:
    """A release as the publisher has it, signed by our key."""
    mirror.put(f"{BASE}/version.txt", VERSION_TXT)
    amis = {"amis": [AMIS["amis"][0], {"name": "us-east-1", "hvm": "ami-0a0a0a0a", "pv": "ami-1"}], "more": 1}
    mirror.put(f"{BASE}/flatcar_production_ami_all.json", json.dumps(amis).encode())
    for name in NAMES:
        mirror.put(f"{BASE}/{name}", data(name))
        mirror.put(f"{BASE}/{name}.sig", signer.signed(data(name)))
        mirror.put(f"{BASE}/{name}.DIGESTS", listed(name, data(name)))
    mirror.put(FLATCAR.keys_url, signer.public)
    return mirror


def obtain(
    published: Any, signer: Any, *, version: str = VERSION, notes: list[str] | None = None, **asked: Any
) -> Release:
    publisher = Publisher(FLATCAR.hosts, FLATCAR.keys_url, {"": signer.fingerprint})
    request = Request(version, ("x86_64",), **asked)
    found = flatcar.obtain(request, published.of(publisher), (notes or []).append, {"flatcar": publisher})
    return found[0]


class TestObtaining:
    """What a machine boots, with the digest of what was verified."""

    def test_a_release(self, published: Any, signer: Any) -> None:
        release = obtain(published, signer)
        assert str(release) == "flatcar 4593.2.4 (x86_64)"
        assert release.os_image == "Flatcar Container Linux by Kinvolk 4593.2.4 (Oklo)"
        assert release.signing_key == signer.fingerprint
        assert release.amis == {"eu-central-1": "ami-0123456789abcdef0", "us-east-1": "ami-0a0a0a0a"}
        assert set(release.artifacts) == {"pxe-kernel", "pxe-initramfs", "metal"}
        metal = release.artifact("metal")
        assert metal.url == f"{BASE}/flatcar_production_image.bin.bz2"
        assert metal.signature == f"{metal.url}.sig"
        assert metal.sha256 == hashlib.sha256(data("flatcar_production_image.bin.bz2")).hexdigest()

    def test_can_be_pinned(self, published: Any, signer: Any) -> None:
        lock = pin(Lock(), [obtain(published, signer)], "x")
        assert parse(lock.to_bytes()).release("flatcar", VERSION, "x86_64").artifact("pxe-kernel").signature

    def test_of_arm(self, published: Any, signer: Any) -> None:
        assert flatcar.base("4593.0.0", "aarch64") == "https://alpha.release.flatcar-linux.net/arm64-usr/4593.0.0"
        assert flatcar.base("4081.3.5", "x86_64") == "https://lts.release.flatcar-linux.net/amd64-usr/4081.3.5"

    def test_without_digests(self, published: Any, signer: Any) -> None:
        """The signature is what counts; a digest file may be missing, never wrong."""
        for name in NAMES:
            published.drop(f"{BASE}/{name}.DIGESTS")
        assert obtain(published, signer).artifact("metal").sha256

    def test_without_amis_says_so(self, published: Any, signer: Any) -> None:
        published.drop(f"{BASE}/flatcar_production_ami_all.json")
        notes: list[str] = [""]
        assert obtain(published, signer, notes=notes).amis == {}
        assert "no AMI is pinned" in notes[-1]

    def test_with_metadata_and_key_at_hand(self, published: Any, signer: Any) -> None:
        for gone in ("version.txt", "flatcar_production_ami_all.json"):
            published.drop(f"{BASE}/{gone}")
        published.drop(FLATCAR.keys_url)
        given = (
            Given("version.txt", VERSION_TXT, "version.txt"),
            Given("flatcar_production_ami_all.json", b'{"amis": []}', "amis"),
        )
        key = Given("key.asc", str(signer.certificate).encode(), "key.asc")
        assert obtain(published, signer, metadata=given, key=key).amis == {}


class TestRefuses:
    """And nothing is recorded."""

    @pytest.mark.parametrize("name", NAMES)
    def test_other_bytes_than_were_signed(self, published: Any, signer: Any, name: str) -> None:
        published.put(f"{BASE}/{name}", b"forged")
        published.drop(f"{BASE}/{name}.DIGESTS")
        with pytest.raises(NotVerified, match=f"{name}: expected a signature by {signer.fingerprint}"):
            obtain(published, signer)

    def test_a_signature_by_another_key(self, published: Any, signer: Any, stranger: Any) -> None:
        published.put(f"{BASE}/{NAMES[0]}.sig", stranger.signed(data(NAMES[0])))
        with pytest.raises(NotVerified, match="one that does not verify"):
            obtain(published, signer)

    def test_a_key_that_is_not_the_pinned_one(self, published: Any, signer: Any, stranger: Any) -> None:
        published.put(FLATCAR.keys_url, stranger.public)
        with pytest.raises(NotVerified, match=f"expected the key {signer.fingerprint}, found other keys"):
            obtain(published, signer)

    def test_a_signature_that_is_not_there(self, published: Any, signer: Any) -> None:
        published.drop(f"{BASE}/{NAMES[0]}.sig")
        with pytest.raises(NotFetched, match=r"vmlinuz\.sig: expected it at"):
            obtain(published, signer)

    def test_another_digest(self, published: Any, signer: Any) -> None:
        published.put(f"{BASE}/{NAMES[0]}.DIGESTS", listed(NAMES[0], b"other"))
        with pytest.raises(NotVerified, match=r"by .*DIGESTS: expected sha512 .*, found"):
            obtain(published, signer)

    @pytest.mark.parametrize("text", [b"", b"\xff" * 100, b"# SHA512 HASH\n" + b"0" * 128 + b"  ../../other\n"])
    def test_digests_of_something_else(self, published: Any, signer: Any, text: bytes) -> None:
        published.put(f"{BASE}/{NAMES[0]}.DIGESTS", text)
        with pytest.raises(LockError, match=r"expected a SHA-512 of flatcar_production_pxe\.vmlinuz, found none"):
            obtain(published, signer)

    @pytest.mark.parametrize("version", ["current", "stable", "4593.2", "4593.9.4", "../4593.2.4", "4593.2.4+x", ""])
    def test_what_is_no_exact_version(self, published: Any, signer: Any, version: str) -> None:
        with pytest.raises(LockError, match="expected a version such as"):
            obtain(published, signer, version=version)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (VERSION_TXT.replace(b"4593.2.4", b"4593.2.3"), "FLATCAR_VERSION: expected 4593.2.4, found '4593.2.3'"),
            (b"FLATCAR_VERSION=4593.2.4\n", "FLATCAR_VERSION_ID: expected 4593.2.4, found nothing"),
            (VERSION_TXT + b"FLATCAR_VERSION=4593.2.5\n", "'FLATCAR_VERSION': expected one value, found two"),
            (b"<html>", "FLATCAR_VERSION: expected 4593.2.4, found nothing"),
            (b"\xff", "expected lines KEY=VALUE"),
        ],
    )
    def test_the_files_of_another_version(self, published: Any, signer: Any, text: bytes, found: str) -> None:
        published.put(f"{BASE}/version.txt", text)
        with pytest.raises(LockError) as refused:
            obtain(published, signer)
        assert found in str(refused.value)

    def test_metadata_of_two_architectures_at_once(self, published: Any, signer: Any) -> None:
        request = Request(VERSION, ("x86_64", "aarch64"), (Given("version.txt", VERSION_TXT, "x"),))
        with pytest.raises(LockError, match="expected one --arch"):
            flatcar.obtain(request, published.of(FLATCAR), lambda _: None)


class TestTheAmiList:
    """Unknown fields are ignored, everything missing is named at once."""

    def test_names_all(self) -> None:
        broken = {
            "amis": [{"hvm": "ami-0"}, {"name": "eu-west-1"}, 7, {"name": "a", "hvm": "b"}, {"name": "a", "hvm": "c"}]
        }
        with pytest.raises(LockError) as refused:
            flatcar.read_amis(json.dumps(broken).encode(), "amis.json")
        assert [p.partition(":")[0] for p in refused.value.problems] == [
            "amis.0.name",
            "amis.1.hvm",
            "amis.2.name",
            "amis.4.name",
        ]

    @pytest.mark.parametrize("text", [b"{}", b"[]", b'{"amis": {}}', b'{"amis": null}'])
    def test_that_is_none(self, text: bytes) -> None:
        with pytest.raises(LockError, match="amis: expected a list"):
            flatcar.read_amis(text, "amis.json")

    @pytest.mark.parametrize("entry", [{"name": "../x", "hvm": "ami-00000000"}, {"name": "eu-west-1", "hvm": "ami-x"}])
    def test_with_odd_values(self, published: Any, signer: Any, entry: Any) -> None:
        published.put(f"{BASE}/flatcar_production_ami_all.json", json.dumps({"amis": [entry]}).encode())
        with pytest.raises(LockError, match=r"amis\."):
            obtain(published, signer)
