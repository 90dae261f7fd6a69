"""What happened on the rack, in order: the material of the report.

Entries are small dicts with `at` (virtual seconds) and `kind`; nothing in them depends on real time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Journal:
    """An append-only log. `entries` are what was said; samples only where a value changed. phase_of: of
    each node, the phase that it is in or the outcome of its last way in or out."""

    def __init__(self, entries: Iterable[dict[str, Any]] = ()) -> None:
        self.entries: list[dict[str, Any]] = list(entries)
        self._last: dict[str, float] = {}
        self.phase_of: dict[str, str] = {}
        for e in self.entries:
            if e["kind"] == "sample":
                self._last[e["key"]] = e["value"]

    def add(self, at_s: float, kind: str, **facts: Any) -> None:
        self.entries.append({"at": round(at_s, 1), "kind": kind, **facts})
        if kind == "begin":
            self.phase_of[facts["node"]] = facts["phase"]
        elif kind == "end":
            self.phase_of[facts["node"]] = facts["outcome"]

    def sample(self, at_s: float, key: str, value: float) -> None:
        if self._last.get(key) != value:
            self._last[key] = value
            self.add(at_s, "sample", key=key, value=value)
