"""Which engine is used: every source in its order, each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.engine.choice import MINIMUM, PINNED, Engine, Found, NoEngine, Source, decide

ON_PATH = Path("/usr/bin/pulumi")
CACHED = Path("/cache/engine/pulumi/bin/pulumi")


@dataclass(frozen=True)
class Seen:
    """A machine as a test wants it seen."""

    path: Found | None = None
    cache: Found | None = None
    host_beside: Path | None = None

    def on_path(self) -> Found | None:
        return self.path

    def cached(self) -> Found | None:
        return self.cache

    def destination(self) -> Path:
        return CACHED

    def language_host_beside(self, engine: Path) -> bool:
        return engine == self.host_beside


def why(engine: Engine, source: Source) -> str:
    return next(option.why for option in engine.considered if option.source is source)


class TestOnPathComesFirst:
    """A recent `pulumi` on PATH is used as it is, whatever else there is."""

    @pytest.mark.parametrize("reports", [f"v{MINIMUM}", "v3.300.1", "v3.260.0-dev.0+abc"])
    def test_when_it_is_recent_enough(self, reports: str) -> None:
        engine = decide(Seen(path=Found(ON_PATH, reports), cache=Found(CACHED, f"v{PINNED}")), {})
        assert (engine.path, engine.version, engine.source, engine.present) == (ON_PATH, reports, Source.PATH, True)
        assert engine.root is None

    @pytest.mark.parametrize(
        ("found", "reason"),
        [
            (None, "no `pulumi` on PATH"),
            (Found(ON_PATH, "v3.219.9"), f"{ON_PATH} is 3.219.9, older than {MINIMUM}"),
            (Found(ON_PATH, "v2.300.0"), "expected major version 3"),
            (Found(ON_PATH, "v4.0.0"), "expected major version 3"),
            (Found(ON_PATH, "hello"), "it reports 'hello'"),
            (Found(ON_PATH, "", "it does not start"), "it does not start"),
            (Found(ON_PATH, f"v{PINNED}", "it exited 1"), "it exited 1"),
        ],
    )
    def test_but_not_when_it_is_unfit(self, found: Found | None, reason: str) -> None:
        engine = decide(Seen(path=found, cache=Found(CACHED, f"v{PINNED}")), {})
        assert engine.source is Source.CACHE
        assert reason in why(engine, Source.PATH)


class TestCachedComesNext:
    """What was got once is used again, as long as it is still what was recorded."""

    def test_when_its_digest_holds(self) -> None:
        engine = decide(Seen(cache=Found(CACHED, f"v{PINNED}", origin="module")), {})
        assert (engine.path, engine.source, engine.present) == (CACHED, Source.CACHE, True)
        assert engine.root == CACHED.parent.parent
        assert "got from module" in engine.why

    def test_but_not_when_it_was_changed(self) -> None:
        engine = decide(Seen(cache=Found(CACHED, f"v{PINNED}", "its SHA-256 is another")), {})
        assert (engine.source, engine.present) == (Source.INSTALLER, False)
        assert "its SHA-256 is another" in why(engine, Source.CACHE)

    def test_but_not_when_its_version_is_another(self) -> None:
        engine = decide(Seen(cache=Found(CACHED, "v3.258.0")), {})
        assert engine.source is Source.INSTALLER


class TestThenItIsGot:
    """The installer first, its own module last; a source that failed is not asked again."""

    def test_from_the_installer(self) -> None:
        engine = decide(Seen(), {})
        assert (engine.source, engine.path, engine.version) == (Source.INSTALLER, CACHED, f"v{PINNED}")
        assert not engine.present

    def test_from_its_module_once_the_installer_refused(self) -> None:
        engine = decide(Seen(), {Source.INSTALLER: "no route to host"})
        assert engine.source is Source.MODULE
        assert why(engine, Source.INSTALLER) == "no route to host"

    def test_and_none_left_names_every_source(self) -> None:
        refused = {Source.INSTALLER: "no route to host", Source.MODULE: "no Go"}
        with pytest.raises(NoEngine) as caught:
            decide(Seen(), refused)
        for text in ("no `pulumi` on PATH", "is cached", "no route to host", "no Go", "Remedy:"):
            assert text in str(caught.value)


class TestEverySourceIsAccountedFor:
    """The list a person reads names each source once, in order, and takes one."""

    @pytest.mark.parametrize(
        "seen", [Seen(), Seen(cache=Found(CACHED, f"v{PINNED}")), Seen(path=Found(ON_PATH, "v3.260.0"))]
    )
    def test_once(self, seen: Seen) -> None:
        engine = decide(seen, {})
        assert [option.source for option in engine.considered] == list(Source)
        assert [option.source for option in engine.considered if option.taken] == [engine.source]

    def test_with_the_language_host_of_the_engine_taken(self) -> None:
        assert decide(Seen(path=Found(ON_PATH, "v3.260.0"), host_beside=ON_PATH), {}).language_host
        assert not decide(Seen(cache=Found(CACHED, f"v{PINNED}"), host_beside=ON_PATH), {}).language_host


class TestThePinnedOne:
    """The code and go.mod name the same release."""

    def test_is_what_go_mod_requires(self) -> None:
        text = (Path(__file__).parents[3] / "tools" / "engine" / "go.mod").read_text(encoding="utf-8")
        assert re.findall(r"^require github.com/pulumi/pulumi/pkg/v3 v(\S+)$", text, re.MULTILINE) == [str(PINNED)]
