"""The program that Talos' configurations are asked of: every answer, or a failure that shows no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.lab.talos_config import TalosConfigFailed, TalosRefused, answered, ask

SECRET = "abcdef.0123456789abcdef"


def program(folder: Path, body: str) -> Path:
    path = folder / "talos-config"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


class TestAsked:
    """Many requests in one run of it."""

    def test_every_request_has_its_answer(self, tmp_path: Path) -> None:
        told = program(tmp_path, 'while read -r line; do echo "$line"; done')
        assert ask(told, [{"n": 1}, {"n": 2}]) == [{"n": 1}, {"n": 2}]

    def test_a_refusal_is_talos_own_words(self) -> None:
        assert answered({"valid": True}) == {"valid": True}
        with pytest.raises(TalosRefused, match="no such disk"):
            answered({"error": "no such disk"})


class TestFails:
    """Whatever is not one answer a request."""

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            ("cat; exit 3", "found exit code 3"),
            ("cat >/dev/null; echo '{'", "found JSONDecodeError"),
            ("cat >/dev/null; echo '{}'; echo '{}'", "found 2 answers"),
        ],
    )
    def test_without_showing_what_was_asked(self, body: str, found: str, tmp_path: Path) -> None:
        with pytest.raises(TalosConfigFailed, match=found) as failed:
            ask(program(tmp_path, body), [{"token": SECRET}])
        assert SECRET not in str(failed.value)
        assert failed.value.__context__ is None or SECRET not in str(failed.value.__context__)

    def test_if_it_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(TalosConfigFailed, match="found FileNotFoundError"):
            ask(tmp_path / "gone", [{}])
