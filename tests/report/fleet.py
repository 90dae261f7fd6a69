"""Rolls whose every second is known, for what the report reckons with."""

from __future__ import annotations

from collections.abc import Sequence

from report.record import Failure, NodeRow, Pool, Roll, Span

PHASES = (
    ("slot", 50), ("gates", 10), ("cordon", 1), ("drain", 59), ("storage-out", 40),
    ("power-off", 30), ("install", 100), ("boot", 70), ("register", 60), ("attach", 40),
)  # fmt: skip
"""A node's way, in seconds: 460 in all; 400 without the wait for its turn and the gates, in which it serves."""

OUT_S = 400.0
LEAVING, JOINING = PHASES[:6], PHASES[6:]
WORKERS = Pool(name="workers", role="worker", hosts=("w1", "w2", "w3", "w4"))


def way(
    node: str, start_s: float, phases: Sequence[tuple[str, float]] = PHASES, until: str = "", slower: float = 1
) -> list[Span]:
    """The phases one after another; `until` never ended, and what follows it never came."""
    spans = []
    for phase, took_s in phases:
        end_s = start_s + took_s * slower
        spans.append(Span(node=node, phase=phase, start_s=start_s, end_s=None if phase == until else end_s))
        if phase == until:
            break
        start_s = end_s
    return spans


def rolled(
    spans: Sequence[Span], *pools: Pool, roll_s: float | None = None, failures: tuple[Failure, ...] = ()
) -> Roll:
    """A record of these spans, whose nodes belong to the pools that list them as hosts."""
    rows = [
        NodeRow(node=host, pool=pool.name, role=pool.role, fault_domain="") for pool in pools for host in pool.hosts
    ]
    return Roll(
        stack="metal",
        seed=1,
        written="now",
        succeeded=not failures,
        roll_s=max((s.end_s or s.start_s for s in spans), default=0.0) if roll_s is None else roll_s,
        nodes=tuple(rows),
        pools=pools,
        spans=tuple(spans),
        waits=(),
        failures=failures,
        journal=(),
    )
