"""Getting the lab's parts: what is there stays, what is missing is built, and nothing is kept that was not proven."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tools.lab.obtain import RECORD, PartUnobtainable, build, examine, look
from tools.lab.parts import PARTS, Part
from tools.running import CommandFailed

ETCD = PARTS[0]


def saying(text: str, code: int = 0) -> str:
    return f"#!/bin/sh\necho '{text}'\nexit {code}\n"


class Compiler:
    """Makes scripts instead of binaries."""

    def __init__(self, script: str = saying("etcd Version: 3.6.8")) -> None:
        self.script, self.built = script, 0

    def __call__(self, part: Part, made: Path) -> None:
        self.built += 1
        made.write_text(self.script, encoding="utf-8")
        made.chmod(0o755)


def built(cache: Path, part: Part = ETCD) -> Path:
    build(part, cache, Compiler())
    return examine(part, cache / "lab").path


class TestBuilt:
    """A part that says the pinned version is kept and recorded."""

    def test_is_there(self, tmp_path: Path) -> None:
        assert examine(ETCD, tmp_path / "lab").trouble == "3.6.8 is not in the cache"
        built(tmp_path)
        assert examine(ETCD, tmp_path / "lab").present

    def test_leaves_nothing_else(self, tmp_path: Path) -> None:
        folder = built(tmp_path).parent
        assert sorted(entry.name for entry in folder.parent.iterdir()) == [folder.name]
        assert sorted(entry.name for entry in folder.iterdir()) == ["etcd", RECORD]


class TestNotKept:
    """Whatever is not proven to be the pinned part."""

    @pytest.mark.parametrize(
        ("script", "found"),
        [
            (saying("etcd Version: 3.5.0"), "a binary that says 'etcd Version: 3.5.0'"),
            (saying("etcd Version: 3.6.8", code=3), "a binary that exits 3"),
            ("", "a binary that does not run"),
        ],
    )
    def test_another_binary(self, tmp_path: Path, script: str, found: str) -> None:
        with pytest.raises(PartUnobtainable, match=f"etcd: expected version 3.6.8 from .*, found {found}") as caught:
            build(ETCD, tmp_path, Compiler(script))
        assert "Remedy: " in str(caught.value)
        assert not examine(ETCD, tmp_path / "lab").path.exists()

    def test_none(self, tmp_path: Path) -> None:
        def fail(part: Part, made: Path) -> None:
            raise CommandFailed(f"`go build -o {made.name} {part.name}` exited 1; last output:\nno such module")

        with pytest.raises(PartUnobtainable, match="no such module"):
            build(ETCD, tmp_path, fail)


class TestTrusted:
    """Only what is as it was recorded, from the pins of today."""

    def test_not_if_it_was_changed(self, tmp_path: Path) -> None:
        built(tmp_path).write_text("another", encoding="utf-8")
        assert examine(ETCD, tmp_path / "lab").trouble.startswith("its SHA-256 is ")

    def test_not_if_a_requirement_was_changed(self, tmp_path: Path) -> None:
        built(tmp_path)
        other = dataclasses.replace(ETCD, module="kwok")  # another go.mod and go.sum
        assert examine(other, tmp_path / "lab").trouble.startswith("its go.mod, go.sum and source's SHA-256 is ")

    @pytest.mark.parametrize("record", ["", "[]", "{}", '{"version": "3.6.8"}'])
    def test_not_without_a_whole_record(self, tmp_path: Path, record: str) -> None:
        (built(tmp_path).parent / RECORD).write_text(record, encoding="utf-8")
        assert "cannot be read" in examine(ETCD, tmp_path / "lab").trouble


class TestLook:
    """Names every part, there or not."""

    def test_in_an_empty_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INGOT_CACHE", str(tmp_path))
        found = look()
        assert list(found) == [part.name for part in PARTS]
        assert not any(kept.present for kept in found.values())
        assert list(tmp_path.iterdir()) == []
