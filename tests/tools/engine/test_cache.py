"""The cache: what is recorded, what is trusted, who may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.engine import cache
from tools.engine.choice import Source


def engine_in(root: Path, content: str = "an engine") -> Path:
    binary = root / "bin" / "pulumi"
    binary.parent.mkdir(parents=True)
    binary.write_text(content, encoding="utf-8")
    cache.write_record(root, Source.MODULE, "v3.259.0")
    return binary


class TestOnlyWhatWasRecordedIsTrusted:
    """A cached binary is compared with the digest recorded when it was got."""

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert cache.examine(tmp_path) is None

    def test_as_recorded(self, tmp_path: Path) -> None:
        engine_in(tmp_path)
        found = cache.examine(tmp_path)
        assert found is not None
        assert (found.reports, found.trouble, found.origin) == ("v3.259.0", "", "module")

    def test_changed_since(self, tmp_path: Path) -> None:
        engine_in(tmp_path).write_text("another engine", encoding="utf-8")
        found = cache.examine(tmp_path)
        assert found is not None
        assert "its SHA-256 is" in found.trouble

    @pytest.mark.parametrize("record", ["", "{", "[]", '{"version": "v3.259.0"}'])
    def test_without_a_whole_record(self, tmp_path: Path, record: str) -> None:
        engine_in(tmp_path)
        (tmp_path / cache.RECORD).write_text(record, encoding="utf-8")
        found = cache.examine(tmp_path)
        assert found is not None
        assert "cannot be read" in found.trouble


class TestPuttingInPlace:
    """A reader sees the old engine or the new one, never a part."""

    def test_replaces_what_was_there(self, tmp_path: Path) -> None:
        engine_in(tmp_path / "kept", "old")
        engine_in(tmp_path / "made", "new")
        cache.put_in_place(tmp_path / "made", tmp_path / "kept")
        assert (tmp_path / "kept" / "bin" / "pulumi").read_text(encoding="utf-8") == "new"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


class TestWhatAKilledCallerLeft:
    """The next one removes it, and nothing else."""

    def test_is_removed(self, tmp_path: Path) -> None:
        for name in ("new-abc", "pulumi.old-17", "pulumi"):
            (tmp_path / "engine" / name).mkdir(parents=True)
        cache.sweep(tmp_path / "engine")
        assert [path.name for path in (tmp_path / "engine").iterdir()] == ["pulumi"]


class TestOneWriterAtATime:
    """Two callers never build twice."""

    def test_the_second_waits_and_names_the_first(self, tmp_path: Path) -> None:
        told: list[str] = []
        with (
            cache.lock(tmp_path, 0, told.append),
            pytest.raises(cache.LockTimeout, match=r"still held by process \d+"),
            cache.lock(tmp_path, 0, told.append),
        ):
            pytest.fail("two held the lock")
        with cache.lock(tmp_path, 0, told.append):
            pass
