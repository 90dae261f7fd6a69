"""components/images/pinning.py: releases are added to the lock; a pinned one never changes."""

from __future__ import annotations

from typing import Any

import pytest

from components.images.lock import Lock, LockError, Release
from components.images.pinning import pin


def release(version: str = "44.20260101.3.0", digit: str = "6", **more: Any) -> Release:
    facts: dict[str, Any] = {
        "os": "fedora-coreos",
        "version": version,
        "architecture": "x86_64",
        "os_image": f"Fedora CoreOS {version}",
        "artifacts": {"metal": {"url": "https://builds.example/metal", "sha256": digit * 64}},
        "amis": {"eu-central-1": "ami-0123456789abcdef0"},
        **more,
    }
    return Release.model_validate(facts)


def pinned(lock: Lock) -> Release:
    return lock.release("fedora-coreos", "44.20260101.3.0", "x86_64")


class TestAdds:
    """What was not there."""

    def test_a_release(self) -> None:
        assert pinned(pin(Lock(), [release()], "x")).artifact("metal").sha256 == "6" * 64

    def test_twice_is_once(self) -> None:
        lock = pin(Lock(), [release()], "x")
        assert pin(lock, [release()], "x").to_bytes() == lock.to_bytes()

    def test_beside_what_was_pinned_before(self) -> None:
        lock = pin(pin(Lock(), [release()], "x"), [release("44.20260202.3.0")], "x")
        assert [r.version for r in lock.releases()] == ["44.20260101.3.0", "44.20260202.3.0"]

    def test_an_architecture(self) -> None:
        lock = pin(pin(Lock(), [release()], "x"), [release(architecture="s390x")], "x")
        assert [r.architecture for r in lock.releases()] == ["s390x", "x86_64"]

    def test_amis_of_new_regions(self) -> None:
        later = release(amis={"eu-west-1": "ami-0fffffffffffffff0"})
        lock = pin(pin(Lock(), [release()], "x"), [later], "x")
        assert set(pinned(lock).amis) == {"eu-central-1", "eu-west-1"}

    def test_a_signing_key_that_was_not_known(self) -> None:
        lock = pin(pin(Lock(), [release()], "x"), [release(signing_key="A" * 40)], "x")
        assert pinned(lock).signing_key == "A" * 40

    def test_and_keeps_a_kernel_that_was_pinned_by_hand(self) -> None:
        lock = pin(Lock(), [release(kernel="6.19.4-200.fc44.x86_64")], "x")
        assert pinned(pin(lock, [release()], "x")).kernel == "6.19.4-200.fc44.x86_64"

    def test_two_schematics_of_one_version(self) -> None:
        lock = Lock()
        for digit in "ab":
            installer = f"factory.example/metal-installer/{digit * 64}:v1.13.9@sha256:{'0' * 64}"
            named = {"os": "talos", "os_image": "Talos (v1.13.9)", "schematic": digit * 64, "installer": installer}
            lock = pin(lock, [release("v1.13.9", **named)], "x")
        assert lock.release("talos", "v1.13.9", "x86_64", "b" * 64).installer == installer


class TestRefuses:
    """Another fact of a pinned release: one of the two was tampered with."""

    @pytest.mark.parametrize(
        ("other", "what"),
        [
            (release(digit="f", signing_key="A" * 40), "metal sha256: expected what is pinned, 6666"),
            (release(amis={"eu-central-1": "ami-0eeeeeeeeeeeeeee0"}, signing_key="A" * 40), "AMI of eu-central-1"),
            (release(signing_key="B" * 40), "signing_key: expected what is pinned, AAAA"),
            (release(), "signing_key: expected what is pinned, AAAA"),
            (
                release(
                    artifacts={"metal": {"url": "https://other.example/metal", "sha256": "6" * 64}},
                    signing_key="A" * 40,
                ),
                "metal url: expected what is pinned, https://builds.example/metal; found https://other.example/metal",
            ),
        ],
    )
    def test_a_change(self, other: Release, what: str) -> None:
        lock = pin(Lock(), [release(signing_key="A" * 40)], "x")
        with pytest.raises(LockError, match="1 problem;") as refused:
            pin(lock, [other], "x")
        assert what in str(refused.value)

    def test_all_at_once(self) -> None:
        lock = pin(Lock(), [release()], "x")
        with pytest.raises(LockError) as refused:
            pin(lock, [release(digit="f", amis={"eu-central-1": "ami-0eeeeeeeeeeeeeee0"})], "x")
        assert len(refused.value.problems) == 2
