"""Asking the validator: an answer for each question, and a word where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.lab.verdicts import ValidatorFailed, Verdict, validator, verdicts

ANSWERS = """#!/bin/sh
while read -r asked; do
  echo "{\\"valid\\": false, \\"report\\": [\\"$asked\\"]}"
done
"""


def program(folder: Path, text: str) -> Path:
    path = folder / "validator"
    path.write_text(text)
    path.chmod(0o755)
    return path


class TestValidator:
    """One process answers as often as it is asked."""

    def test_answers_in_order(self, tmp_path: Path) -> None:
        with validator(program(tmp_path, ANSWERS)) as running:
            assert running.judge(b"{}\n") == Verdict(valid=False, report=("e30K",))
            assert running.judge(b"") == Verdict(valid=False, report=("",))

    @pytest.mark.parametrize(
        "text", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\nread a\necho '[]'\n", "#!/bin/sh\nread a\necho {\n"]
    )
    def test_says_when_there_is_no_answer(self, text: str, tmp_path: Path) -> None:
        with (
            validator(program(tmp_path, text)) as running,
            pytest.raises(ValidatorFailed, match="expected a verdict, found none"),
        ):
            running.judge(b"{}" * 100_000)


class TestVerdicts:
    """All at once."""

    def test_one_a_configuration_in_order(self, tmp_path: Path) -> None:
        found = verdicts(program(tmp_path, ANSWERS), [b"{}\n", b""])
        assert found == (Verdict(valid=False, report=("e30K",)), Verdict(valid=False, report=("",)))

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("#!/bin/sh\nexit 1\n", r"none \(CalledProcessError\)"),
            ("#!/bin/sh\ncat > /dev/null\necho '[]'\n", r"none \(TypeError\)"),
            ("#!/bin/sh\ncat > /dev/null\n", "0"),
        ],
    )
    def test_says_when_one_is_missing(self, text: str, found: str, tmp_path: Path) -> None:
        with pytest.raises(ValidatorFailed, match=f"expected 1 verdicts, found {found}"):
            verdicts(program(tmp_path, text), [b"{}"])
