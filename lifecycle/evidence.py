"""What a step tells of itself, and the phases of a node's way out and in: the report draws them."""

from __future__ import annotations

from typing import Protocol

from lifecycle.facts import Move

LEAVING = ("slot", "gates", "cordon", "drain", "detach", "etcd-out", "storage-out")
"""Phases of `leave`. slot: waits for its budget. gates: quorum, redundancy, budgets."""

REPLACING = ("power-off", "install", "boot")
"""Phases of `release` and `provision`."""

JOINING = ("credentials", "register", "etcd-in", "storage-in", "attach", "soak")
"""Phases of `join`."""

PHASES = (*LEAVING, *REPLACING, *JOINING)


class Evidence(Protocol):
    """What happened, for the log, the report and the timeline. Carries no secret."""

    def begin(self, node: str, phase: str, detail: str = "") -> None:
        """A phase of a node's way out or in begins; it ends where the next begins or `end` is said.
        phase: one of PHASES."""
        ...

    def end(self, node: str, outcome: str) -> None:
        """The node's way out or in is over: `served`, `left`, `halted: <first line>`, `stopped: <first line>`."""
        ...

    def waited(self, node: str, what: str, start_s: float, end_s: float, limit_s: float, met: bool) -> None:
        """A wait ended. limit_s: its length at most."""
        ...

    def volume(self, node: str, move: Move) -> None:
        """How far a volume that left the node has come. Said again when more is known: the last counts."""
        ...

    def note(self, node: str, text: str) -> None: ...
