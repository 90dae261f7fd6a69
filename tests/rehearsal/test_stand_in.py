"""rehearsal/stand_in.py: a stack can be rehearsed before its images are pinned, and whoever does is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.step_ports import declared
from components.boot.pin import pins
from components.environment import Environment
from components.images import lock as image_lock
from components.images.lock import Lock, UnknownRelease
from components.stackfile import load, validate
from rehearsal.session import IMAGES, ROOT
from rehearsal.stand_in import HOST, completed, next_revision
from tests.rehearsal.fleet import metal


@pytest.fixture
def environment() -> Environment:
    return validate(metal(), "here")


@pytest.fixture
def nothing_pinned() -> Lock:
    """The project's lock without any image."""
    return image_lock.load(IMAGES).model_copy(update={"images": {}})


class TestCompleted:
    """A lock with which the fleet can be rehearsed."""

    def test_is_the_lock_itself_where_all_is_pinned(self, environment: Environment) -> None:
        lock = image_lock.load(IMAGES)
        assert completed(environment, lock) == (lock, ())

    def test_serves_every_node_now_and_after_a_roll(self, environment: Environment, nothing_pinned: Lock) -> None:
        lock, told = completed(environment, nothing_pinned)
        before = pins(environment, lock)
        data = metal()
        data["image"]["version"] = next_revision(data["image"]["version"])
        after = pins(validate(data, "here"), lock)
        assert [n for n in before if before[n].generation == after[n].generation] == []
        assert len(told) == 1
        assert "ingot image pin fedora-coreos 44.20260621.3.1" in told[0]

    def test_serves_flatcar_its_extension_too(self) -> None:
        declared = load(ROOT / "stacks" / "Pulumi.flatcar.yaml")
        lock, told = completed(declared, image_lock.load(IMAGES))
        assert len(pins(declared, lock)) == 6
        assert [line.partition(" is not pinned")[0] for line in told] == [
            "flatcar 4593.2.4 (x86_64)",
            "the system extension of kubernetes v1.36.3 (x86_64)",
        ]

    def test_leads_nowhere(self, environment: Environment, nothing_pinned: Lock) -> None:
        lock, _ = completed(environment, nothing_pinned)
        urls = [a.url for release in lock.releases() for a in release.artifacts.values()]
        assert urls
        assert all(url.startswith(f"{HOST}/") for url in urls)

    def test_has_none_for_a_release_that_is_forgotten_among_pinned_ones(self, environment: Environment) -> None:
        data = metal()
        data["image"]["version"] = "44.20260808.3.0"
        lock = image_lock.load(IMAGES)
        with pytest.raises(UnknownRelease, match=r"44\.20260808\.3\.0"):
            pins(validate(data, "here"), completed(validate(data, "here"), lock)[0])


class TestARealRun:
    """Never meets a stand-in."""

    def test_knows_what_is_pinned_and_no_more(self, tmp_path: Path, nothing_pinned: Lock) -> None:
        (tmp_path / "stacks").mkdir()
        stack = (ROOT / "stacks" / "Pulumi.metal.yaml").read_text()
        (tmp_path / "stacks" / "Pulumi.bare.yaml").write_text(f"{stack}\n  ingot:images: elsewhere.json\n")
        (tmp_path / "stacks" / "images.lock.json").write_bytes(nothing_pinned.to_bytes())
        with pytest.raises(UnknownRelease, match=r"expected a release pinned in stacks/images\.lock\.json, found none"):
            declared(tmp_path, "bare")
