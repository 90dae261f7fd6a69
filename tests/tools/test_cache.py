"""The cache folder: what is put in place, what is swept away, who may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import cache


def folder_with(root: Path, content: str) -> None:
    root.mkdir()
    (root / "file").write_text(content, encoding="utf-8")


class TestPuttingInPlace:
    """A reader sees the old folder or the new one, never a part."""

    def test_replaces_what_was_there(self, tmp_path: Path) -> None:
        folder_with(tmp_path / "kept", "old")
        folder_with(tmp_path / "made", "new")
        cache.put_in_place(tmp_path / "made", tmp_path / "kept")
        assert (tmp_path / "kept" / "file").read_text(encoding="utf-8") == "new"
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
