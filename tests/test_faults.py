"""docs/faults.md names tests and safeguards; what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "faults.md"
ROWS = [
    (cells[0].strip(), cells[1], cells[2])
    for text in PAGE.read_text(encoding="utf-8").splitlines()
    if text.startswith("| ") and len(cells := text.strip("|").split("|")) == 3 and "`" in cells[1]
]


def defined(path: Path) -> set[str]:
    """Every name that a module defines, by its way from the top: `Class.method`."""

    def names(body: list[ast.stmt], above: str) -> set[str]:
        found: set[str] = set()
        for node in body:
            if isinstance(node, ast.ClassDef):
                found |= {above + node.name} | names(node.body, f"{above}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                found.add(above + node.name)
            elif isinstance(node, ast.Assign):
                found |= {above + target.id for target in node.targets if isinstance(target, ast.Name)}
        return found

    return names(ast.parse(path.read_text(encoding="utf-8")).body, "") if path.is_file() else set()


def missing(reference: str) -> bool:
    """Whether a reference, `tests/x.py::Class::test` or `adapters.module.function` in lifecycle/, leads nowhere."""
    if "::" in reference:
        path, _, name = reference.partition("::")
        return name.replace("::", ".") not in defined(PROJECT / path)
    parts = reference.split(".")
    at = 2 if parts[0] == "adapters" else 1
    return ".".join(parts[at:]) not in defined(PROJECT / "lifecycle" / f"{'/'.join(parts[:at])}.py")


@pytest.mark.parametrize(("fault", "tests", "safeguards"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_leads_somewhere(fault: str, tests: str, safeguards: str) -> None:
    named = re.findall(r"`([^`]+)`", tests), re.findall(r"`([^`]+)`", safeguards)
    assert all(named), f"{fault}: a test and a safeguard are needed"
    assert [reference for references in named for reference in references if missing(reference)] == []


def test_the_page_is_read() -> None:
    assert len(ROWS) > 20
    assert missing("power.nothing")
    assert missing("tests/test_faults.py::nothing")
