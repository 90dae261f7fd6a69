"""components/images/fedora_coreos.py: the publisher's stream metadata becomes the lock's release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.images import fedora_coreos
from components.images.lock import Artifact, Lock, LockError, Release, load, parse
from components.images.pinning import pin
from components.images.publishers import PUBLISHERS, Publisher
from components.images.request import Given, Request

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT.parent / "shared" / "data" / "fedora-coreos"
BUILDS = "https://builds.example/44.20260101.3.0"


def part(name: str, digit: str, **more: str) -> dict[str, str]:
    return {"location": f"{BUILDS}/{name}", "signature": f"{BUILDS}/{name}.sig", "sha256": digit * 64, **more}


def stream() -> dict[str, Any]:
    """What a publisher sends: more than we read, in its own words."""
    formats = {
        "4k.raw.xz": {"disk": part("metal4k", "1", **{"uncompressed-sha256": "9" * 64})},
        "iso": {"disk": part("iso", "2")},
        "pxe": {"kernel": part("kernel", "3"), "initramfs": part("initramfs", "4"), "rootfs": part("rootfs", "5")},
        "raw.xz": {"disk": part("metal", "6")},
        "tar.zst": {"disk": {"location": 7}},
    }
    regions = {"eu-central-1": {"release": "44.20260101.3.0", "image": "ami-0123456789abcdef0"}}
    described = {
        "artifacts": {"metal": {"release": "44.20260101.3.0", "formats": formats}, "hal9000": {}},
        "images": {"aws": {"regions": regions}, "gcp": {"name": "x"}},
    }
    return {
        "stream": "stable",
        "metadata": {"last-modified": "2026-01-02"},
        "architectures": {"x86_64": described, "s390x": {"artifacts": "of no interest"}},
    }


def read(metadata: Any, where: str = "stream metadata") -> tuple[Release, ...]:
    """Read for the architectures that a stack file can name, with the host of these examples for the publisher's."""
    publisher = Publisher(hosts=frozenset({"builds.example"}))
    return fedora_coreos.releases(metadata, where, ("x86_64", "aarch64"), publisher)


class TestReading:
    """Known fields are read, unknown ones ignored, missing ones named."""

    def test_a_stream(self) -> None:
        (release,) = read(json.dumps(stream()).encode())
        assert str(release) == "fedora-coreos 44.20260101.3.0 (x86_64)"
        assert release.os_image == "Fedora CoreOS 44.20260101.3.0"
        digests = {name: a.sha256[0] for name, a in release.artifacts.items()}
        assert digests == {
            "metal-4k": "1",
            "iso": "2",
            "pxe-kernel": "3",
            "pxe-initramfs": "4",
            "pxe-rootfs": "5",
            "metal": "6",
        }
        assert release.artifact("metal-4k").uncompressed_sha256 == "9" * 64
        assert release.artifact("iso").signature == f"{BUILDS}/iso.sig"
        assert release.amis == {"eu-central-1": "ami-0123456789abcdef0"}

    def test_both_architectures(self) -> None:
        metadata = stream()
        metadata["architectures"]["aarch64"] = metadata["architectures"]["x86_64"]
        assert [r.architecture for r in read(metadata)] == ["x86_64", "aarch64"]

    def test_leaves_out_amis_of_another_release(self) -> None:
        metadata = stream()
        regions = metadata["architectures"]["x86_64"]["images"]["aws"]["regions"]
        regions["eu-west-1"] = {"release": "43.1", "image": "ami-00000000"}
        assert set(read(metadata)[0].amis) == {"eu-central-1"}

    def test_does_without_amis(self) -> None:
        metadata = stream()
        del metadata["architectures"]["x86_64"]["images"]
        assert read(metadata)[0].amis == {}

    def test_names_everything_that_is_missing(self) -> None:
        metadata = stream()
        formats = metadata["architectures"]["x86_64"]["artifacts"]["metal"]["formats"]
        del formats["pxe"]["kernel"]["sha256"], formats["iso"], formats["raw.xz"]["disk"]["signature"]
        formats["pxe"]["rootfs"]["location"] = "ftp://builds.example/rootfs"
        metadata["architectures"]["x86_64"]["images"]["aws"]["regions"]["eu-central-1"]["image"] = None
        with pytest.raises(LockError) as refused:
            read(metadata, "stable.json")
        at = "architectures.x86_64.artifacts.metal.formats"
        assert str(refused.value).startswith("stable.json is refused, 5 problems")
        for named in (
            f"{at}.pxe.kernel.sha256",
            f"{at}.iso:",
            f"{at}.raw.xz.disk.signature",
            f"{at}.pxe.rootfs.location",
            "architectures.x86_64.images.aws.regions.eu-central-1.image",
        ):
            assert any(p.startswith(named) for p in refused.value.problems), named

    @pytest.mark.parametrize(
        ("metadata", "found"),
        [
            ({}, "architectures: expected an object, found nothing"),
            ({"architectures": {"s390x": {}}}, "expected one of x86_64, aarch64, found 's390x'"),
            ({"architectures": {"x86_64": []}}, "artifacts: expected an object"),
            ({"architectures": {"x86_64": {"artifacts": {"metal": {"release": "latest", "formats": {}}}}}}, "'latest'"),
            (b"{", "JSON"),
            (b"[]", "architectures"),
        ],
    )
    def test_refuses_what_is_no_stream(self, metadata: Any, found: str) -> None:
        with pytest.raises(LockError, match=found):
            read(metadata)

    def test_refuses_two_releases_in_one_stream(self) -> None:
        metadata = stream()
        other = json.dumps(metadata["architectures"]["x86_64"]).replace("44.20260101.3.0", "44.20260102.3.0")
        metadata["architectures"]["aarch64"] = json.loads(other)
        with pytest.raises(LockError, match="expected one release"):
            read(metadata)


def release_metadata() -> dict[str, Any]:
    """The same release in the publisher's other form, in which it describes an older one."""
    described = stream()["architectures"]["x86_64"]
    metal = described["artifacts"]["metal"]
    aws = {"artifacts": {}, "images": {"eu-central-1": {"image": "ami-0123456789abcdef0"}}}
    media = {"metal": {"artifacts": metal["formats"]}, "aws": aws, "qemu": None}
    architectures = {"x86_64": {"media": media, "commit": "0" * 64}}
    return {"release": metal["release"], "stream": "stable", "architectures": architectures}


class TestAReleasesOwnMetadata:
    """Says the same as the stream's did."""

    def test_is_read(self) -> None:
        assert read(release_metadata()) == read(stream())

    def test_does_without_amis(self) -> None:
        metadata = release_metadata()
        del metadata["architectures"]["x86_64"]["media"]["aws"]
        assert read(metadata)[0].amis == {}

    def test_names_everything_that_is_missing(self) -> None:
        metadata = release_metadata()
        media = metadata["architectures"]["x86_64"]["media"]
        del media["metal"]["artifacts"]["iso"], media["aws"]["images"]["eu-central-1"]["image"]
        metadata["release"] = "stable"
        with pytest.raises(LockError) as refused:
            read(metadata)
        assert len(refused.value.problems) == 3


STABLE = "https://builds.coreos.fedoraproject.org/streams/stable.json"
INDEX = "https://builds.coreos.fedoraproject.org/prod/streams/stable/releases.json"
OLDER = "https://builds.coreos.fedoraproject.org/prod/streams/stable/builds/44.20260101.3.0/release.json"


def published(document: Any) -> bytes:
    """As the publisher would have it: on its own host."""
    return json.dumps(document).replace("builds.example", "builds.coreos.fedoraproject.org").encode()


def index(version: str = "44.20260101.3.0", at: str = OLDER) -> dict[str, Any]:
    older = {"version": "43.20251201.3.0", "metadata": "https://elsewhere.example/release.json"}
    entry = {"commits": [{"architecture": "x86_64", "checksum": "0"}], "version": version, "metadata": at}
    return {"note": "for tooling", "releases": [older, entry], "stream": "stable"}


def obtain(mirror: Any, version: str = "44.20260101.3.0", *metadata: Any, arch: str = "x86_64") -> list[Release]:
    given = tuple(Given(f"{i}.json", published(m), f"file {i}") for i, m in enumerate(metadata))
    source = mirror.of(PUBLISHERS["fedora-coreos"])
    return list(fedora_coreos.obtain(Request(version, (arch,), given), source, lambda _: None))


class TestObtaining:
    """An exact version, wherever the publisher describes it."""

    def test_the_current_one_of_its_stream(self, mirror: Any) -> None:
        mirror.put(STABLE, published(stream()))
        (release,) = obtain(mirror)
        assert release.version == "44.20260101.3.0"
        assert release.signing_key == "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6"

    def test_an_older_one_by_the_index(self, mirror: Any) -> None:
        newer = json.loads(json.dumps(stream()).replace("20260101", "20260202"))
        for url, document in ((STABLE, newer), (INDEX, index()), (OLDER, release_metadata())):
            mirror.put(url, published(document))
        assert obtain(mirror)[0].version == "44.20260101.3.0"

    @pytest.mark.parametrize("document", [stream(), release_metadata()])
    def test_from_a_document_at_hand(self, mirror: Any, document: Any) -> None:
        assert obtain(mirror, "44.20260101.3.0", document)[0].version == "44.20260101.3.0"

    def test_from_an_index_at_hand(self, mirror: Any) -> None:
        mirror.put(OLDER, published(release_metadata()))
        assert obtain(mirror, "44.20260101.3.0", index())[0].version == "44.20260101.3.0"

    @pytest.mark.parametrize("version", ["stable", "latest", "44", "44.20260101.9.0", "../44.20260101.3.0", "v1.13.9"])
    def test_refuses_what_is_no_exact_version(self, mirror: Any, version: str) -> None:
        with pytest.raises(LockError, match="expected a version such as"):
            obtain(mirror, version)

    def test_refuses_another_version_than_asked_for(self, mirror: Any) -> None:
        with pytest.raises(LockError, match=r"expected 44\.20260202\.3\.0, found 44\.20260101\.3\.0"):
            obtain(mirror, "44.20260202.3.0", stream())

    def test_refuses_two_documents(self, mirror: Any) -> None:
        with pytest.raises(LockError, match="expected one document, found 2"):
            obtain(mirror, "44.20260101.3.0", stream(), stream())

    def test_names_an_architecture_that_is_not_there(self, mirror: Any) -> None:
        with pytest.raises(LockError, match=r"expected one of aarch64, found 's390x', 'x86_64'"):
            obtain(mirror, "44.20260101.3.0", stream(), arch="aarch64")

    @pytest.mark.parametrize(
        ("broken", "found"),
        [
            ({"releases": []}, "expected 44.20260101.3.0, found none"),
            ({"releases": {}}, "releases: expected a list, found dict"),
            ({"releases": [7, None, {}]}, "expected 44.20260101.3.0, found None"),
            (index(at="https://evil.example/release.json"), "metadata: expected a URL on the publisher's hosts"),
            (index(at="http://builds.coreos.fedoraproject.org/r.json"), "metadata: expected a URL"),
            (index("44.20260101.3.1"), "found '43.20251201.3.0', '44.20260101.3.1'"),
        ],
    )
    def test_refuses_a_broken_index(self, mirror: Any, broken: Any, found: str) -> None:
        with pytest.raises(LockError) as refused:
            obtain(mirror, "44.20260101.3.0", broken)
        assert found in str(refused.value)


class TestHostileMetadata:
    """Is refused, and every lie is named."""

    @pytest.mark.parametrize(
        ("key", "value", "found"),
        [
            ("location", "https://evil.example/metal", "location: expected a URL on builds.example"),
            ("location", "http://builds.example/metal", "location"),
            ("location", "https://builds.example/../../etc/passwd", "location"),
            ("location", "https://builds.example/%2e%2e/metal", "location"),
            ("location", "https://builds.example/a b", "location"),
            ("location", "https://builds.example/$(reboot)", "location"),
            ("location", "https://builds.example/a\nb", "location"),
            ("location", "https://builds.example@evil.example/a", "location"),
            ("location", "https://127.0.0.1/metal", "location: expected a URL on builds.example"),
            ("location", "https://169.254.169.254/metal", "location: expected a URL on builds.example"),
            ("location", {"url": "x"}, "location"),
            ("location", "https://builds.example/" + "a" * 3000, "location"),
            ("signature", "https://evil.example/metal.sig", "signature: expected a URL on builds.example"),
            ("signature", "", "signature"),
            ("sha256", "6" * 63, "sha256"),
            ("sha256", "G" * 64, "sha256"),
            ("sha256", 6, "sha256"),
            ("sha256", ["6" * 64], "sha256"),
            ("uncompressed-sha256", "x", "uncompressed-sha256"),
        ],
    )
    def test_of_an_artifact(self, key: str, value: Any, found: str) -> None:
        metadata = stream()
        metadata["architectures"]["x86_64"]["artifacts"]["metal"]["formats"]["raw.xz"]["disk"][key] = value
        with pytest.raises(LockError, match=r"1 problem;") as refused:
            read(metadata)
        assert f"architectures.x86_64.artifacts.metal.formats.raw.xz.disk.{found}" in str(refused.value)

    @pytest.mark.parametrize("region", ["../etc", "eu central", "EU", "eu-central-1\u202e", "a" * 5000])
    def test_of_a_region(self, region: str) -> None:
        metadata = stream()
        regions = metadata["architectures"]["x86_64"]["images"]["aws"]["regions"]
        regions[region] = {"release": "44.20260101.3.0", "image": "ami-00000000"}
        with pytest.raises(LockError) as refused:
            read(metadata)
        assert str(refused.value).isascii()
        assert len(str(refused.value)) < 7000

    @pytest.mark.parametrize("ami", ["ami-latest", "", "ami-0; reboot", 7, None, {}])
    def test_of_an_ami(self, ami: Any) -> None:
        metadata = stream()
        metadata["architectures"]["x86_64"]["images"]["aws"]["regions"]["eu-central-1"]["image"] = ami
        with pytest.raises(LockError, match="eu-central-1"):
            read(metadata)


class TestTheCommittedLock:
    """stacks/images.lock.json holds what the publishers say."""

    def test_is_as_its_writer_writes_it(self) -> None:
        data = (ROOT / "stacks" / "images.lock.json").read_bytes()
        assert parse(data).to_bytes() == data

    @pytest.mark.parametrize("version", ["44.20260621.3.1", "44.20260707.3.1"])
    @pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
    def test_pins_what_the_metal_example_needs(self, version: str, architecture: str) -> None:
        lock = load(ROOT / "stacks" / "images.lock.json")
        release = lock.release("fedora-coreos", version, architecture)
        assert set(release.artifacts) == set(fedora_coreos.WHERE)
        assert all(architecture in a.url and version in a.url and a.signature for a in release.artifacts.values())
        assert len({a.sha256 for a in release.artifacts.values()}) == len(release.artifacts)
        kubernetes = lock.kubernetes_release("v1.36.3", architecture)
        assert kubernetes.kubelet.url.startswith("https://dl.k8s.io/release/v1.36.3/")


STREAMS = ("stable-44.20260621.3.1.json", "stable.json", "testing.json", "next.json")


@pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the publisher's files are not beside this checkout (../shared/data)"
)
@pytest.mark.parametrize("name", STREAMS)
class TestThePublishersFiles:
    """What is pinned from them is what they say, field by field, for every stream and architecture."""

    @pytest.mark.parametrize("architecture", fedora_coreos.ARCHITECTURES)
    def test_field_by_field(self, name: str, architecture: str) -> None:
        data = (PUBLISHED / name).read_bytes()
        described = json.loads(data)["architectures"][architecture]
        metal = described["artifacts"]["metal"]
        regions = described.get("images", {}).get("aws", {}).get("regions", {})
        lock = pin(Lock(), fedora_coreos.releases(data, name), name)
        release = parse(lock.to_bytes()).release("fedora-coreos", metal["release"], architecture)
        assert release.os_image == f"Fedora CoreOS {metal['release']}"
        assert release.signing_key == PUBLISHERS["fedora-coreos"].keys[metal["release"].split(".")[0]]
        assert set(release.artifacts) == set(fedora_coreos.WHERE)
        for ours, (fmt, key) in fedora_coreos.WHERE.items():
            assert metal["formats"][fmt][key] == theirs(release.artifact(ours))
        files = {(fmt, part) for fmt, parts in metal["formats"].items() for part in parts}
        assert files == set(fedora_coreos.WHERE.values()), "the publisher has files for metal that we leave out"
        assert release.amis == {region: found["image"] for region, found in regions.items()}
        assert bool(regions) == (architecture in {"x86_64", "aarch64"})

    def test_the_committed_lock_agrees(self, name: str) -> None:
        lock = load(ROOT / "stacks" / "images.lock.json")
        pinned = {r.version for r in lock.releases() if r.os == "fedora-coreos"}
        found = fedora_coreos.releases((PUBLISHED / name).read_bytes(), name, ("x86_64", "aarch64"))
        if found[0].version not in pinned:
            pytest.skip(f"{found[0].version} is not pinned")
        assert [lock.release(r.os, r.version, r.architecture) for r in found] == list(found)


def theirs(artifact: Artifact) -> dict[str, str]:
    """An artifact in the publisher's words."""
    found = {"location": artifact.url, "sha256": artifact.sha256, "signature": str(artifact.signature)}
    inner = artifact.uncompressed_sha256
    return {**found, "uncompressed-sha256": inner} if inner else found
