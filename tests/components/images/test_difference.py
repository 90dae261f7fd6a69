"""components/images/difference.py: what a bump changes, fact by fact."""

from __future__ import annotations

from typing import Any

from components.images.difference import Change, between_locks, between_releases
from components.images.lock import Lock, Release
from components.images.pinning import pin

A, B = "a" * 64, "b" * 64


def release(version: str, sha256: str, amis: dict[str, str], **more: Any) -> Release:
    facts: dict[str, Any] = {
        "os": "fedora-coreos",
        "version": version,
        "architecture": "x86_64",
        "os_image": f"Fedora CoreOS {version}",
        "artifacts": {"metal": {"url": "https://builds.example/metal", "sha256": sha256}},
        "amis": amis,
    }
    return Release.model_validate({**facts, **more})


OLD = release("44.20260101.3.0", A, {"eu-central-1": "ami-00000001", "eu-west-1": "ami-00000002"})
NEW = release("44.20260202.3.0", B, {"eu-central-1": "ami-00000003", "us-east-1": "ami-00000004"})


class TestBetweenReleases:
    """Everything that is another, gained or lost; nothing that is the same."""

    def test_names_each_fact(self) -> None:
        changes = between_releases(OLD, NEW)
        assert [(c.what, c.kind) for c in changes] == [
            ("os_image", "changed"),
            ("metal sha256", "changed"),
            ("AMI eu-central-1", "changed"),
            ("AMI eu-west-1", "lost"),
            ("AMI us-east-1", "gained"),
        ]
        assert changes[1] == Change(f"{OLD} -> {NEW}", "metal sha256", A, B)

    def test_of_one_and_the_same(self) -> None:
        assert between_releases(OLD, OLD) == ()

    def test_an_artifact_gained(self) -> None:
        artifacts = {"iso": {"url": "https://builds.example/iso", "sha256": A}, **OLD.model_dump()["artifacts"]}
        more = release(OLD.version, A, dict(OLD.amis), artifacts=artifacts)
        assert [(c.what, c.kind) for c in between_releases(OLD, more)] == [
            ("iso url", "gained"),
            ("iso sha256", "gained"),
        ]


class TestBetweenLocks:
    """Releases gained and lost; a change of one is shown as what it is."""

    def test_a_bump(self) -> None:
        changes = between_locks(pin(Lock(), [OLD], "x"), pin(Lock(), [NEW], "x"))
        assert [(c.release, c.what, c.kind) for c in changes] == [
            ("fedora-coreos 44.20260101.3.0 (x86_64)", "release", "lost"),
            ("fedora-coreos 44.20260202.3.0 (x86_64)", "release", "gained"),
        ]
        assert changes[1].after == "1 artifacts, 2 AMIs"

    def test_a_pinned_release_that_was_tampered_with(self) -> None:
        forged = release(OLD.version, B, dict(OLD.amis))
        (change,) = between_locks(pin(Lock(), [OLD], "x"), pin(Lock(), [forged], "x"))
        assert change == Change("fedora-coreos 44.20260101.3.0 (x86_64)", "metal sha256", A, B)

    def test_kubernetes(self) -> None:
        names = ("kubeadm", "kubelet", "kubectl", "crictl", "cni_plugins")
        programs = {name: {"url": f"https://k8s.example/{name}", "sha256": A} for name in names}
        lock = Lock.model_validate({"kubernetes": {"v1.36.3": {"x86_64": programs}}})
        assert [c.release for c in between_locks(Lock(), lock)] == ["kubernetes v1.36.3 (x86_64)"]
