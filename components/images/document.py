"""Documents that others wrote, read with suspicion: bounded, whole or refused, every problem at once.

A publisher's format belongs to the publisher, so a field that we do not know is no problem, and one that
we need and do not find is named. What the text itself must be is strict: UTF-8, each key once, finite
numbers, and a size and a depth that are checked before anything is built from it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

BYTES_MAX: Final = 8 * 1024 * 1024
"""A lock's release of both architectures takes 8 KiB, a stream's metadata 60; a larger file is neither."""
DEPTH_MAX: Final = 32
"""Stream metadata nests 8 deep. Checked before parsing: a parser recurses."""
PROBLEMS_MAX: Final = 50
"""Problems shown at once; beyond it nobody reads on."""
FOUND_MAX: Final = 60
"""Characters shown of a wrong value."""

# Strings are taken whole, also one that never ends, so that a brace in a text counts for nothing and no
# text is looked at twice.
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.|\\\Z)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


class LockError(ValueError):
    """A lock file or a publisher's metadata is refused. problems: one line each, never empty."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where, self.problems = where, tuple(problems)
        shown = [f"  {p}" for p in self.problems[:PROBLEMS_MAX]]
        if len(self.problems) > PROBLEMS_MAX:
            shown.append(f"  and {len(self.problems) - PROBLEMS_MAX} more")
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__("\n".join([f"{where} is refused, {count}; nothing was changed:", *shown]))


def shown(value: object) -> str:
    """A wrong value for a reader: ASCII, never long."""
    if isinstance(value, str | bytes):
        value = value[: FOUND_MAX + 1]  # before it is escaped: a value may be megabytes
    text = ascii(value)
    return text if len(text) <= FOUND_MAX else f"{text[:FOUND_MAX]}..."


def read_json(data: bytes, where: str, bytes_max: int = BYTES_MAX) -> Any:
    """Strict JSON: UTF-8, no key twice, no NaN, of a sane size and depth. Raises LockError."""
    if len(data) > bytes_max:
        raise LockError(where, [f"expected at most {bytes_max} bytes, found more"])
    twice: list[str] = []

    def one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            count = Counter(key for key, _ in pairs)
            twice.extend(key for key, times in count.items() if times > 1)
        return seen

    def no_constant(text: str) -> Any:
        raise ValueError(f"{text} is no JSON")

    def finite(text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise ValueError(f"the number {shown(text)} is too large")
        return number

    try:
        text = data.decode("utf-8")
        _refuse_depth(text)
        document = json.loads(text, object_pairs_hook=one_of_each, parse_constant=no_constant, parse_float=finite)
    except ValueError as error:
        raise LockError(where, [f"expected JSON in UTF-8, found: {_reason(error)}"]) from None
    if twice:
        problems = [
            f"expected each key once, found {shown(key)} twice in one object. Keep one" for key in sorted(set(twice))
        ]
        raise LockError(where, problems)
    return document


def _refuse_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise ValueError(f"nested too deeply, more than {DEPTH_MAX} levels")
        elif first in "]}":
            depth -= 1


def _reason(error: ValueError) -> str:
    """What is wrong, without the text itself: json's own words are short, a codec's quote the bytes."""
    if isinstance(error, UnicodeDecodeError):
        return f"a byte that is not UTF-8 at offset {error.start}"
    return str(error)[:200]


def problems_of(error: ValidationError, at: str, names: Mapping[str, str] | None = None) -> list[str]:
    """A model's complaints, a line each. at: the path they are below. names: theirs for our fields."""
    lines = []
    for e in error.errors(include_url=False, include_context=False):
        path = ".".join((names or {}).get(str(key), str(key)) for key in e["loc"])
        lines.append(f"{'.'.join(filter(None, (at, path))) or 'the file'}: {e['msg']}, found {shown(e['input'])}")
    return lines


@dataclass
class Reader:
    """Takes a document apart and remembers everything it missed."""

    problems: list[str] = field(default_factory=list)

    def note(self, path: str, expected: str, found: object) -> None:
        """One thing that is not as it should be."""
        said = "nothing" if found is None else shown(found) if isinstance(found, str | int) else type(found).__name__
        self.problems.append(f"{path}: expected {expected}, found {said}")

    def mapping(self, parent: Any, path: str, key: str | None = None) -> Mapping[str, Any]:
        """The object `key` (by default: the last word of `path`) of `parent`; empty where there is none."""
        value = parent.get(key or path) if isinstance(parent, Mapping) else None
        if not isinstance(value, Mapping):
            self.note(path, "an object", value)
            return {}
        return value

    def text(self, parent: Mapping[str, Any], path: str, key: str, shape: re.Pattern[str], expected: str) -> str | None:
        """The text `key` of `parent`; None, and noted, where it does not have this shape."""
        value = parent.get(key)
        if isinstance(value, str) and shape.fullmatch(value):
            return value
        self.note(path, expected, value)
        return None

    def finish(self, where: str) -> None:
        """Raises LockError if anything was noted."""
        if self.problems:
            raise LockError(where, self.problems)
