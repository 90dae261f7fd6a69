"""Getting an engine: source after source, and nothing is kept that was not proven."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.engine import kept
from tools.engine.choice import PINNED, Found, NoEngine, Source
from tools.engine.obtain import Unobtainable, keep, settle
from tools.engine.probes import Machine, ask_version
from tools.running import CommandFailed


@dataclass
class World:
    """A machine without an engine, on which each source does as it is told."""

    works: frozenset[Source] = frozenset()
    asked: list[Source] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    cache: Found | None = None

    def on_path(self) -> Found | None:
        return None

    def cached(self) -> Found | None:
        return self.cache

    def destination(self) -> Path:
        return Path("/cache/bin/pulumi")

    def language_host_beside(self, engine: Path) -> bool:
        return False

    def obtain(self, source: Source) -> None:
        self.asked.append(source)
        if source not in self.works:
            raise Unobtainable(f"{source} is not to be had\nat all")
        self.cache = Found(self.destination(), f"v{PINNED}", origin=source.value)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


class TestSourceAfterSource:
    """Each source is asked once, in order, until one yields an engine that is read back."""

    def test_the_installer_is_enough(self) -> None:
        world = World(works=frozenset({Source.INSTALLER}))
        assert settle(world, world.obtain, world.said.append).source is Source.CACHE
        assert world.asked == [Source.INSTALLER]

    def test_the_module_when_the_installer_refuses(self) -> None:
        world = World(works=frozenset({Source.MODULE}))
        assert settle(world, world.obtain, world.said.append).present
        assert world.asked == [Source.INSTALLER, Source.MODULE]
        assert "installer failed: installer is not to be had" in world.said

    def test_none_is_an_error_that_names_both(self) -> None:
        world = World()
        with pytest.raises(NoEngine, match="installer is not to be had") as caught:
            settle(world, world.obtain, world.said.append)
        assert "module is not to be had" in str(caught.value)
        assert world.asked == [Source.INSTALLER, Source.MODULE]

    def test_a_source_that_yields_nothing_is_not_asked_for_ever(self) -> None:
        world = World()
        with pytest.raises(NoEngine, match="not usable from the cache"):
            settle(world, world.asked.append, world.said.append)
        assert world.asked == [Source.INSTALLER, Source.MODULE]


class TestOnlyTheRightEngineIsKept:
    """What was got must run, and must be the pinned version."""

    def test_the_pinned_one_is(self, tmp_path: Path) -> None:
        script(tmp_path / "made" / "bin" / "pulumi", f"echo v{PINNED}")
        keep(tmp_path / "made", tmp_path / "kept", Source.MODULE)
        found = kept.examine(tmp_path / "kept")
        assert found is not None
        assert (found.reports, found.trouble) == (f"v{PINNED}", "")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [("echo v3.1.0", "found 'v3.1.0'"), ("echo broken >&2; exit 3", "exited 3: broken")],
    )
    def test_another_is_not(self, tmp_path: Path, text: str, reason: str) -> None:
        script(tmp_path / "made" / "bin" / "pulumi", text)
        with pytest.raises(Unobtainable, match=reason):
            keep(tmp_path / "made", tmp_path / "kept", Source.MODULE)
        assert not (tmp_path / "kept").exists()

    def test_none_is_not(self, tmp_path: Path) -> None:
        with pytest.raises(Unobtainable, match="does not start"):
            keep(tmp_path / "made", tmp_path / "kept", Source.INSTALLER)


class TestTheMachineIsSeenAsItIs:
    """The real probes, on real files."""

    def test_a_file_that_cannot_run_is_said_so(self, tmp_path: Path) -> None:
        binary = tmp_path / "pulumi"
        binary.write_bytes(b"\0")
        binary.chmod(0o755)
        reports, trouble = ask_version(binary)
        assert (reports, bool(trouble)) == ("", True)

    def test_the_language_host_beside_the_engine_counts(self, tmp_path: Path) -> None:
        machine = Machine(tmp_path)
        script(machine.destination().parent / "pulumi-language-python", "true")
        assert machine.language_host_beside(machine.destination())

    def test_an_empty_cache_has_nothing(self, tmp_path: Path) -> None:
        assert Machine(tmp_path).cached() is None


def test_command_failed_is_one_of_the_reasons_a_source_may_give() -> None:
    """The compiler's complaint leads on to the next source, it does not end the search."""
    world = World()

    def obtain(source: Source) -> None:
        raise CommandFailed(f"`go build` exited 1 for {source}")

    with pytest.raises(NoEngine, match="go build"):
        settle(world, obtain, world.said.append)
