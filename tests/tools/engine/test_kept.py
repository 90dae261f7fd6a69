"""Kept engines: what is recorded of them, and what is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.engine import kept
from tools.engine.choice import Source


def engine_in(root: Path, content: str = "an engine") -> Path:
    binary = root / "bin" / "pulumi"
    binary.parent.mkdir(parents=True)
    binary.write_text(content, encoding="utf-8")
    kept.write_record(root, Source.MODULE, "v3.259.0")
    return binary


class TestOnlyWhatWasRecordedIsTrusted:
    """A cached binary is compared with the digest recorded when it was got."""

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert kept.examine(tmp_path) is None

    def test_as_recorded(self, tmp_path: Path) -> None:
        engine_in(tmp_path)
        found = kept.examine(tmp_path)
        assert found is not None
        assert (found.reports, found.trouble, found.origin) == ("v3.259.0", "", "module")

    def test_changed_since(self, tmp_path: Path) -> None:
        engine_in(tmp_path).write_text("another engine", encoding="utf-8")
        found = kept.examine(tmp_path)
        assert found is not None
        assert "its SHA-256 is" in found.trouble

    @pytest.mark.parametrize("record", ["", "{", "[]", '{"version": "v3.259.0"}'])
    def test_without_a_whole_record(self, tmp_path: Path, record: str) -> None:
        engine_in(tmp_path)
        (tmp_path / kept.RECORD).write_text(record, encoding="utf-8")
        found = kept.examine(tmp_path)
        assert found is not None
        assert "cannot be read" in found.trouble
