"""docs/faults.md names tests and safeguards; what it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from symtable import SymbolTable, symtable

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "faults.md"
ROWS = [
    (cells[0].strip(), cells[1], cells[2])
    for text in PAGE.read_text(encoding="utf-8").splitlines()
    if text.startswith("| ") and len(cells := text.strip("|").split("|")) == 3 and "`" in cells[1]
]


@cache
def defined(path: Path) -> frozenset[str]:
    """Every name that a module defines, by its way from the top: `Class.method`. Empty where there is no such file."""

    def names(table: SymbolTable, above: str) -> Iterator[str]:
        yield from (above + symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned())
        for inner in table.get_children():
            if inner.get_type() == "class":
                yield from names(inner, f"{above}{inner.get_name()}.")

    return frozenset(names(symtable(path.read_text("utf-8"), path.name, "exec"), "")) if path.is_file() else frozenset()


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
