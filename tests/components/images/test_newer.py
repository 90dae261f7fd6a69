"""components/images/newer.py: what a publisher offers beside what is pinned."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.images.lock import Lock, LockError, Release
from components.images.newer import Newer, newer
from components.images.pinning import pin
from components.images.request import Given


def locked(*named: tuple[str, str, str]) -> Lock:
    lock = Lock()
    for os, version, os_image in named:
        facts: dict[str, Any] = {
            "os": os,
            "version": version,
            "architecture": "x86_64",
            "os_image": os_image,
            "artifacts": {"metal": {"url": "https://builds.example/metal", "sha256": "a" * 64}},
        }
        lock = pin(lock, [Release.model_validate(facts)], "x")
    return lock


LOCK = locked(
    ("fedora-coreos", "44.20260101.3.0", "Fedora CoreOS 44.20260101.3.0"),
    ("flatcar", "4593.2.4", "Flatcar 4593.2.4"),
    ("talos", "v1.13.9", "Talos (v1.13.9)"),
)


def offered(name: str, document: Any) -> tuple[Newer, ...]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return newer(LOCK, [Given(name, data, name)])


class TestTells:
    """The newest of each channel, if it is newer than the newest that is pinned of it."""

    def test_of_a_release_index(self) -> None:
        versions = ("44.20260101.3.0", "44.20260303.3.0", "44.20260202.3.1")
        found = offered("releases.json", {"releases": [{"version": v} for v in versions]})
        assert found == (Newer("fedora-coreos", "stable", "44.20260303.3.0", "44.20260101.3.0"),)

    def test_of_another_stream(self) -> None:
        found = offered("releases.json", {"releases": [{"version": "43.20250101.2.0"}]})
        assert found == (Newer("fedora-coreos", "testing", "43.20250101.2.0", None),)

    def test_of_flatcar(self) -> None:
        assert offered("version.txt", b"FLATCAR_VERSION=4593.2.10\n") == (
            Newer("flatcar", "stable", "4593.2.10", "4593.2.4"),
        )

    def test_of_talos(self) -> None:
        clouds = [{"cloud": "aws", "version": "v1.13.10"}, {"cloud": "aws", "version": "v1.13.10"}]
        assert offered("cloud-images.json", clouds) == (Newer("talos", "v1.13", "v1.13.10", "v1.13.9"),)

    @pytest.mark.parametrize("version", ["4593.2.4", "4593.2.3", "3510.2.9"])
    def test_nothing_of_what_is_not_newer(self, version: str) -> None:
        assert offered("version.txt", f"FLATCAR_VERSION={version}\n".encode()) == ()


class TestRefuses:
    """What is no publisher's metadata."""

    @pytest.mark.parametrize(
        ("name", "document"),
        [("version.txt", b"<html>"), ("x.json", []), ("x.json", {"releases": [{}]}), ("x.json", {}), ("x.json", b"{")],
    )
    def test_it(self, name: str, document: Any) -> None:
        with pytest.raises(LockError, match=name):
            offered(name, document)
