"""What is wrong with a stack file: flaws as the checks find them, problems as a reader sees them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Path = tuple[object, ...]
"""Keys and indices from a root to a value. Keys of junk may be anything."""

SHOWN_MAX: Final = 200  # problems in one text; beyond it nobody reads on, and a junk file has hundreds of thousands
WIDTH_MAX: Final = 80  # characters of a found value; enough for any sane one
LARGE: Final = 10**18  # a number above it is junk, and Python refuses to print the largest ones
SECRET: Final = re.compile(r"pass|secret|token|credential|private|key", re.IGNORECASE)


@dataclass(frozen=True)
class Flaw:
    """Something wrong at `path`, which counts from the root of what was checked."""

    path: Path
    found: str
    expected: str
    fix: str


@dataclass(frozen=True)
class Problem:
    """Something wrong, for a reader. path: in the file. line: from 1, None where there is no text to count in."""

    path: str
    line: int | None
    found: str
    expected: str
    fix: str

    def __str__(self) -> str:
        at = self.path if self.line is None else f"{self.path} (line {self.line})"
        return f"{at}\n  found     {self.found}\n  expected  {self.expected}\n  fix       {self.fix}"


class StackFileError(Exception):
    """A stack file is refused. `str()` lists every problem; nothing was touched.

    where: the file, or what stands for it. problems: in the order of the file, never empty.
    """

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.where, self.problems = where, tuple(problems)
        count = len(self.problems)
        head = f"{where} is refused, {counted(count, 'problem')}; nothing was touched:"
        blocks = [str(p) for p in self.problems[:SHOWN_MAX]]
        if count > SHOWN_MAX:
            blocks.append(f"and {count - SHOWN_MAX} more problems after these")
        super().__init__("\n\n".join([head, *blocks]))


def path_text(path: Path) -> str:
    """`config.ingot:environment.storage.nodes[0]`; a key that is not a plain word is quoted in brackets."""
    text = ""
    for key in path:
        if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < LARGE:
            text += f"[{key}]"
        elif isinstance(key, str) and re.fullmatch(r"[A-Za-z0-9_:/-]{1,80}", key):
            text += f".{key}" if text else key
        else:
            text += f"[{show(key)}]"
    return text or "the file"


def counted(count: int, noun: str) -> str:
    """`1 host`, `2 hosts`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def show(value: object, written: str | None = None, *, as_what: bool = False) -> str:
    """A found value in words, one short line; never a whole collection, never what may hold a credential.

    written: how the file writes it, where a reader of YAML makes something else of it. as_what: say also
    what kind of value it is, because text was expected.
    """
    match value:
        case None:
            plain, kind = "nothing", "nothing"
        case bool():
            plain, kind = str(value).lower(), str(value).lower()
        case int() if abs(value) >= LARGE:
            plain, kind = "a very large number", "a number"
        case int() | float():
            plain, kind = str(value), "a number"
        case datetime.date():
            plain, kind = value.isoformat(), "a date"
        case str():
            return _quoted(value)
        case Mapping():
            return f"a mapping of {counted(len(value), 'key')}" if value else "an empty mapping"
        case Sequence() if not isinstance(value, bytes | bytearray):
            return f"a list of {counted(len(value), 'item')}" if value else "an empty list"
        case _:
            return f"a value of type {type(value).__name__}"
    stands = written[:WIDTH_MAX] if written else plain
    return f"{stands}, read as {kind}" if kind != stands and (as_what or stands != plain) else stands


def _quoted(value: str) -> str:
    if "@" in value:
        return "text with an @, not shown because it may hold a password"
    if len(value) > WIDTH_MAX:
        return f"text of {len(value)} characters that begins {value[: WIDTH_MAX // 2]!a}"
    return repr(value) if value.isprintable() else ascii(value)
