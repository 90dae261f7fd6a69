"""components/images/talos.py: what the factory builds is recorded by digest; its identifier is our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from components.images import talos
from components.images.document import LockError
from components.images.lock import Lock, Release, parse
from components.images.pinning import pin
from components.images.publishers import TALOS
from components.images.request import Given, Request
from components.images.schematic import DEFAULT, read
from components.images.signature import NotVerified
from components.images.sources import NotFetched

VERSION = "v1.13.9"
OWN = Given("schematic.yaml", b"customization: {extraKernelArgs: [hugepages=8]}\n", "schematic.yaml")
OWN_ID = read(OWN.data, "").id
CLOUD = "https://github.com/siderolabs/talos/releases/download/v1.13.9/cloud-images.json"
MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
).encode()
FILES = {
    "x86_64": ("kernel-amd64", "initramfs-amd64.xz", "metal-amd64.raw.xz", "metal-amd64.iso"),
    "aarch64": ("kernel-arm64", "initramfs-arm64.xz", "metal-arm64.raw.xz", "metal-arm64.iso"),
}


def ami(region: str, identifier: str, **more: str) -> dict[str, str]:
    return {
        "cloud": "aws",
        "version": VERSION,
        "region": region,
        "arch": "amd64",
        "type": "hvm",
        "id": identifier,
        **more,
    }


CLOUDS = [
    ami("eu-central-1", "ami-0123456789abcdef0"),
    ami("eu-central-1", "ami-0fedcba9876543210", arch="arm64"),
    {"cloud": "azure", "region": "whatever"},
    ami("eu-central-1", "ami-x", arch="riscv64"),
]


def put(mirror: Any, schematic: str) -> None:
    """The factory's files of one schematic, as they would be mirrored."""
    for files in FILES.values():
        for name in files:
            mirror.put(f"https://factory.talos.dev/image/{schematic}/{VERSION}/{name}", name.encode())
    mirror.put(f"https://factory.talos.dev/v2/metal-installer/{schematic}/manifests/{VERSION}", MANIFEST)


@pytest.fixture
def published(mirror: Any) -> Any:
    put(mirror, DEFAULT.id)
    put(mirror, OWN_ID)
    mirror.put(CLOUD, json.dumps(CLOUDS).encode())
    return mirror


def obtain(published: Any, *, version: str = VERSION, notes: list[str] | None = None, **asked: Any) -> list[Release]:
    request = Request(version, ("x86_64", "aarch64"), **asked)
    return list(talos.obtain(request, published.of(TALOS), ([] if notes is None else notes).append))


class TestObtaining:
    """A version and a schematic make an image."""

    def test_the_default_schematic(self, published: Any) -> None:
        x86, arm = obtain(published)
        assert str(x86) == "talos v1.13.9 (x86_64, schematic 376567988ad3)"
        assert x86.os_image == "Talos (v1.13.9)"
        digest = hashlib.sha256(MANIFEST).hexdigest()
        assert x86.installer == f"factory.talos.dev/metal-installer/{DEFAULT.id}:v1.13.9@sha256:{digest}"
        assert x86.signing_key is None
        assert {n: a.url.rpartition("/")[2] for n, a in x86.artifacts.items()} == {
            "pxe-kernel": "kernel-amd64",
            "pxe-initramfs": "initramfs-amd64.xz",
            "metal": "metal-amd64.raw.xz",
            "iso": "metal-amd64.iso",
        }
        assert x86.artifact("iso").sha256 == hashlib.sha256(b"metal-amd64.iso").hexdigest()
        assert x86.amis == {"eu-central-1": "ami-0123456789abcdef0"}
        assert arm.amis == {"eu-central-1": "ami-0fedcba9876543210"}
        assert arm.artifact("metal").url.endswith(f"/image/{DEFAULT.id}/v1.13.9/metal-arm64.raw.xz")

    def test_one_of_our_own(self, published: Any) -> None:
        notes: list[str] = []
        x86, _ = obtain(published, schematic=OWN, notes=notes)
        assert x86.schematic == OWN_ID
        assert x86.amis == {}, "the publisher's AMIs hold no kernel argument of ours"
        assert any("no AMI is pinned" in n for n in notes)

    def test_both_can_be_pinned(self, published: Any) -> None:
        lock = pin(pin(Lock(), obtain(published), "x"), obtain(published, schematic=OWN), "x")
        again = parse(lock.to_bytes())
        assert again.release("talos", VERSION, "x86_64", OWN_ID).schematic == OWN_ID
        assert again.release("talos", VERSION, "x86_64", DEFAULT.id).amis

    def test_with_digests_at_hand_fetches_nothing(self, mirror: Any) -> None:
        names = [*FILES["x86_64"], *FILES["aarch64"], "metal-installer"]
        sums = "".join(f"{hashlib.sha256(n.encode()).hexdigest()}  {n}\n" for n in names)
        given = (Given("SHA256SUMS", sums.encode(), "s"), Given("cloud-images.json", json.dumps(CLOUDS).encode(), "c"))
        x86, _ = obtain(mirror, metadata=given)
        assert x86.artifact("metal").sha256 == hashlib.sha256(b"metal-amd64.raw.xz").hexdigest()
        assert str(x86.installer).endswith(hashlib.sha256(b"metal-installer").hexdigest())

    def test_says_that_nobody_signs(self, published: Any) -> None:
        notes: list[str] = []
        obtain(published, notes=notes)
        assert any("signs nothing" in n for n in notes)


class Factory:
    """A source that answers the one question as it is told to."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bytes]] = []

    def post(self, url: str, body: bytes, *, bytes_max: int) -> bytes:
        self.asked.append((url, body))
        return json.dumps(self.answer).encode()

    def read(self, url: str, *, bytes_max: int, headers: Mapping[str, str] | None = None) -> bytes:
        raise AssertionError(url)

    def file(self, url: str) -> Any:
        raise AssertionError(url)


class TestTheFactorysAnswer:
    """Is compared with the identifier that was computed here; it is never believed."""

    def test_that_agrees(self) -> None:
        factory = Factory({"id": OWN_ID, "schematic": "more"})
        talos.ask_factory(read(OWN.data, ""), factory, lambda _: None)
        assert factory.asked == [("https://factory.talos.dev/schematics", read(OWN.data, "").canonical())]

    @pytest.mark.parametrize("answer", [{"id": "0" * 64}, {"id": "../.."}, {}, [], None, {"id": None}, {"id": 7}])
    def test_that_does_not(self, answer: object) -> None:
        with pytest.raises(NotVerified, match=f"expected {OWN_ID}, found"):
            talos.ask_factory(read(OWN.data, ""), Factory(answer), lambda _: None)

    def test_that_was_not_asked_for(self, published: Any) -> None:
        notes: list[str] = []
        obtain(published, schematic=OWN, notes=notes)
        assert any("the factory was not asked" in n for n in notes)


class TestRefuses:
    """And nothing is recorded."""

    @pytest.mark.parametrize("version", ["1.13.9", "latest", "v1.13", "v1.14.0-alpha.1", "v1.13.9/..", ""])
    def test_what_is_no_exact_version(self, published: Any, version: str) -> None:
        with pytest.raises(LockError, match="expected a version such as"):
            obtain(published, version=version)

    def test_a_file_that_is_not_there(self, published: Any) -> None:
        published.drop(f"https://factory.talos.dev/image/{DEFAULT.id}/{VERSION}/metal-arm64.iso")
        with pytest.raises(NotFetched, match=r"metal-arm64\.iso"):
            obtain(published)

    @pytest.mark.parametrize(
        "manifest",
        [b"{}", b"[]", b"<html>", b'{"schemaVersion": 1}', b'{"schemaVersion": 2, "mediaType": "text/html"}'],
    )
    def test_an_installer_that_is_no_image(self, published: Any, manifest: bytes) -> None:
        published.put(f"https://factory.talos.dev/v2/metal-installer/{DEFAULT.id}/manifests/{VERSION}", manifest)
        with pytest.raises(LockError, match="manifests/v1"):
            obtain(published)

    @pytest.mark.parametrize(
        ("entries", "found"),
        [
            ({}, "expected a list"),
            ([7], "0: expected an object"),
            ([{"cloud": "aws"}], "0.version"),
            ([ami("eu-west-1", "ami-00000000", version="v1.13.8")], "0.version: expected v1.13.9, found 'v1.13.8'"),
            ([ami("eu-west-1", "ami-00000000"), ami("eu-west-1", "ami-11111111")], "found two AMIs of it"),
            ([ami("../x", "ami-00000000")], "amis"),
            ([ami("eu-west-1", "ami-x; reboot")], "amis"),
        ],
    )
    def test_amis_that_are_none(self, published: Any, entries: Any, found: str) -> None:
        published.put(CLOUD, json.dumps(entries).encode())
        with pytest.raises(LockError) as refused:
            obtain(published)
        assert found in str(refused.value)

    def test_names_all_that_is_missing_of_an_ami(self) -> None:
        with pytest.raises(LockError) as refused:
            talos.read_amis(b'[{"cloud": "aws"}, {"cloud": "aws", "id": 7}]', VERSION, "x")
        assert len(refused.value.problems) == 8

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (b"abc  kernel-amd64\n", "line 1: expected 64 hexadecimal digits"),
            (b"0" * 64 + b"  ../kernel\n", "line 1: expected 64"),
            (b"0" * 64 + b"  k\n" + b"1" * 64 + b"  k\n", "line 2: expected one digest of k"),
            (b"\xff\xfe", "line 1"),
        ],
    )
    def test_digests_that_are_none(self, text: bytes, found: str) -> None:
        with pytest.raises(LockError, match=found):
            talos.read_digests(text, "SHA256SUMS")
