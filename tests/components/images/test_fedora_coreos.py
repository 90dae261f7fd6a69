"""components/images/fedora_coreos.py: the publisher's stream metadata becomes the lock's release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.images import __main__ as command
from components.images import fedora_coreos
from components.images.fedora_coreos import pin, releases_from_stream
from components.images.lock import Lock, LockError, load, parse

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


class TestReading:
    """Known fields are read, unknown ones ignored, missing ones named."""

    def test_a_stream(self) -> None:
        (release,) = releases_from_stream(json.dumps(stream()).encode())
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
        assert [r.architecture for r in releases_from_stream(metadata)] == ["x86_64", "aarch64"]

    def test_leaves_out_amis_of_another_release(self) -> None:
        metadata = stream()
        regions = metadata["architectures"]["x86_64"]["images"]["aws"]["regions"]
        regions["eu-west-1"] = {"release": "43.1", "image": "ami-00000000"}
        assert set(releases_from_stream(metadata)[0].amis) == {"eu-central-1"}

    def test_does_without_amis(self) -> None:
        metadata = stream()
        del metadata["architectures"]["x86_64"]["images"]
        assert releases_from_stream(metadata)[0].amis == {}

    def test_names_everything_that_is_missing(self) -> None:
        metadata = stream()
        formats = metadata["architectures"]["x86_64"]["artifacts"]["metal"]["formats"]
        del formats["pxe"]["kernel"]["sha256"], formats["iso"], formats["raw.xz"]["disk"]["signature"]
        formats["pxe"]["rootfs"]["location"] = "ftp://builds.example/rootfs"
        metadata["architectures"]["x86_64"]["images"]["aws"]["regions"]["eu-central-1"]["image"] = None
        with pytest.raises(LockError) as refused:
            releases_from_stream(metadata, "stable.json")
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
            ({"architectures": {"s390x": {}}}, "expected one of x86_64, aarch64, found s390x"),
            ({"architectures": {"x86_64": []}}, "artifacts: expected an object"),
            ({"architectures": {"x86_64": {"artifacts": {"metal": {"release": "latest", "formats": {}}}}}}, "'latest'"),
            (b"{", "JSON"),
            (b"[]", "architectures"),
        ],
    )
    def test_refuses_what_is_no_stream(self, metadata: Any, found: str) -> None:
        with pytest.raises(LockError, match=found):
            releases_from_stream(metadata)

    def test_refuses_two_releases_in_one_stream(self) -> None:
        metadata = stream()
        other = json.dumps(metadata["architectures"]["x86_64"]).replace("44.20260101.3.0", "44.20260102.3.0")
        metadata["architectures"]["aarch64"] = json.loads(other)
        with pytest.raises(LockError, match="expected one release"):
            releases_from_stream(metadata)


class TestPinning:
    """Adds a release; never changes one."""

    def test_adds(self) -> None:
        lock = pin(Lock(), stream())
        assert lock.release("fedora-coreos", "44.20260101.3.0", "x86_64").artifact("metal").sha256 == "6" * 64

    def test_twice_is_once(self) -> None:
        lock = pin(Lock(), stream())
        assert pin(lock, stream()).to_bytes() == lock.to_bytes()

    def test_keeps_a_kernel_that_was_pinned_by_hand(self) -> None:
        known = pin(Lock(), stream()).model_dump(exclude_none=True)
        known["images"]["fedora-coreos"]["44.20260101.3.0"]["x86_64"]["kernel"] = "6.19.4-200.fc44.x86_64"
        again = pin(Lock.model_validate(known), stream())
        assert again.release("fedora-coreos", "44.20260101.3.0", "x86_64").kernel == "6.19.4-200.fc44.x86_64"

    def test_keeps_what_was_pinned_before(self) -> None:
        later = json.loads(json.dumps(stream()).replace("20260101", "20260202"))
        lock = pin(pin(Lock(), stream()), later)
        assert [r.version for r in lock.releases()] == ["44.20260101.3.0", "44.20260202.3.0"]

    def test_adds_amis_of_new_regions(self) -> None:
        later = stream()
        regions = later["architectures"]["x86_64"]["images"]["aws"]["regions"]
        regions["eu-west-1"] = {"release": "44.20260101.3.0", "image": "ami-0fffffffffffffff0"}
        del regions["eu-central-1"]
        lock = pin(pin(Lock(), stream()), later)
        assert set(lock.release("fedora-coreos", "44.20260101.3.0", "x86_64").amis) == {"eu-central-1", "eu-west-1"}

    def test_refuses_another_digest_for_a_pinned_release(self) -> None:
        lock, forged = pin(Lock(), stream()), stream()
        described = forged["architectures"]["x86_64"]
        described["artifacts"]["metal"]["formats"]["raw.xz"]["disk"]["sha256"] = "f" * 64
        described["images"]["aws"]["regions"]["eu-central-1"]["image"] = "ami-0eeeeeeeeeeeeeee0"
        with pytest.raises(LockError, match=r"expected what is pinned, 6666.*found ffff") as refused:
            pin(lock, forged)
        assert len(refused.value.problems) == 2


class TestTheCommand:
    """`python -m components.images` writes the lock, or leaves it as it was."""

    def test_pins(self, tmp_path: Path) -> None:
        lock, metadata = tmp_path / "lock.json", tmp_path / "stable.json"
        lock.write_bytes(Lock().to_bytes())
        metadata.write_text(json.dumps(stream()))
        assert command.main([str(metadata)], lock) == 0
        assert load(lock) == pin(Lock(), stream())

    def test_refuses(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        lock, metadata = tmp_path / "lock.json", tmp_path / "stable.json"
        lock.write_bytes(Lock().to_bytes())
        metadata.write_text("{}")
        assert command.main([str(metadata)], lock) == 1
        assert lock.read_bytes() == Lock().to_bytes()
        assert "architectures" in capsys.readouterr().err

    def test_says_how_it_is_used(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main([], tmp_path / "lock.json") == 2
        assert "STREAM.json" in capsys.readouterr().err


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

    @pytest.mark.parametrize("name", ["stable-44.20260621.3.1.json", "stable.json"])
    def test_agrees_with_the_published_metadata_field_by_field(self, name: str) -> None:
        if not PUBLISHED.is_dir():
            pytest.skip("the publisher's files are not beside this checkout (../shared/data)")
        published = json.loads((PUBLISHED / name).read_bytes())
        lock = load(ROOT / "stacks" / "images.lock.json")
        for architecture in ("x86_64", "aarch64"):
            described = published["architectures"][architecture]
            metal, regions = described["artifacts"]["metal"], described["images"]["aws"]["regions"]
            release = lock.release("fedora-coreos", metal["release"], architecture)
            for ours, (fmt, key) in fedora_coreos.WHERE.items():
                theirs, pinned = metal["formats"][fmt][key], release.artifact(ours)
                assert (pinned.url, pinned.sha256) == (theirs["location"], theirs["sha256"])
                assert pinned.signature == theirs["signature"]
                assert pinned.uncompressed_sha256 == theirs.get("uncompressed-sha256")
            assert release.amis == {r: found["image"] for r, found in regions.items()}
            assert all(found["release"] == metal["release"] for found in regions.values())

    @pytest.mark.parametrize("name", ["next.json", "testing.json"])
    def test_other_streams_can_be_read(self, name: str) -> None:
        if not PUBLISHED.is_dir():
            pytest.skip("the publisher's files are not beside this checkout (../shared/data)")
        assert len(releases_from_stream((PUBLISHED / name).read_bytes())) == 2
