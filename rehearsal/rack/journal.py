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
        self.entries: list[dict[str, Any]] = []
        self._last: dict[str, float] = {}
        self.phase_of: dict[str, str] = {}
        for entry in entries:
            self._take(entry)

    def add(self, at_s: float, kind: str, **facts: Any) -> None:
        self._take({"at": round(at_s, 1), "kind": kind, **facts})

    def sample(self, at_s: float, key: str, value: float) -> None:
        if self._last.get(key) != value:
            self.add(at_s, "sample", key=key, value=value)

    def _take(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        if entry["kind"] == "sample":
            self._last[entry["key"]] = entry["value"]
        elif entry["kind"] == "begin":
            self.phase_of[entry["node"]] = entry["phase"]
        elif entry["kind"] == "end":
            self.phase_of[entry["node"]] = entry["outcome"]
