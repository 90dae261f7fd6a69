"""Lines of evidence, as the adapter writes them."""

from __future__ import annotations

import io
from pathlib import Path

from lifecycle.adapters.evidence import FileEvidence

ZERO_S = 1_795_600_800.0
"""2026-11-25T10:00:00Z."""

WAY = (
    ("slot", 0), ("gates", 2), ("cordon", 3), ("drain", 4), ("detach", 24), ("storage-out", 34),
    ("power-off", 35), ("install", 40), ("boot", 240), ("credentials", 400), ("register", 401), ("storage-in", 440),
    ("attach", 500),
)  # fmt: skip
"""When each phase of a worker begins, in seconds."""
SERVED_S = 520


class At:
    """A clock that a test sets."""

    def __init__(self, now_s: float) -> None:
        self.at_s = now_s

    def now_s(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.at_s += seconds

    def wait(self, about: str, until_s: float) -> None:
        self.at_s = until_s


class Recorded:
    """A file of evidence that grows."""

    def __init__(self, path: Path, zero_s: float = ZERO_S) -> None:
        self.path, self.zero_s, self.clock = path, zero_s, At(zero_s)
        self.evidence = FileEvidence(lambda: path, self.clock, io.StringIO())

    def at(self, after_s: float) -> FileEvidence:
        self.clock.at_s = self.zero_s + after_s
        return self.evidence

    def replaced(self, node: str, start_s: float = 0.0, slower: float = 1.0, until: str = "") -> None:
        """The node's whole way, or up to the beginning of phase `until`."""
        for phase, after_s in WAY:
            self.at(start_s + after_s * slower).begin(node, phase, "OS 2" if phase == "install" else "")
            if phase == until:
                return
        self.at(start_s + SERVED_S * slower).end(node, "served")

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()
