"""Two rolls side by side: how long each phase of a node took in the one and in the other.

Pure. The one is the roll that is looked at, usually a real one; the other is what it is held against, usually
its rehearsal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifecycle.evidence import PHASES
from report.figures import Axis, axis_of
from report.record import Roll, Source, Span
from report.summary import FAMILIES, by_node, came_in, percentile
from report.words import number

WHOLE = "whole turn"
"""All phases of a node together, of those that came in."""


@dataclass(frozen=True)
class Stretch:
    """How long nodes spent in a phase, each node's times added up. median_s: nearest-rank."""

    nodes: int
    median_s: float
    longest_s: float
    longest_node: str


@dataclass(frozen=True)
class Pair:
    """One phase in both rolls; None where no node went through it."""

    phase: str
    family: str
    one: Stretch | None
    other: Stretch | None

    @property
    def ratio(self) -> str:
        """The one's median as a multiple of the other's."""
        if self.one is None or self.other is None or self.other.median_s <= 0:
            return ""
        return f"{number(self.one.median_s / self.other.median_s)} ×"


def names(one: Roll, other: Roll) -> tuple[str, str]:
    """What to call them: by where they come from, if that tells them apart."""
    if one.source is other.source:
        return "this", "other"
    real = {Source.REAL: "real"}
    return real.get(one.source, "rehearsed"), real.get(other.source, "rehearsed")


def pairs(one: Roll, other: Roll) -> tuple[Pair, ...]:
    """Every phase that ended in either roll, in the order of a node's way; the whole turn last."""
    first, second = _stretches(one.spans), _stretches(other.spans)
    known = [*PHASES, *sorted((set(first) | set(second)) - {*PHASES, WHOLE}), WHOLE]
    return tuple(
        Pair(phase, FAMILIES.get(phase, "other"), first.get(phase), second.get(phase))
        for phase in known
        if phase in first or phase in second
    )


def shared_axis(one: Roll, other: Roll) -> Axis:
    """An axis of time that holds both, so that equal lengths are equally long."""
    axes = (axis_of(one), axis_of(other))
    return Axis(min(a.start_s for a in axes), max(a.end_s for a in axes))


def _stretches(spans: Sequence[Span]) -> Mapping[str, Stretch]:
    took: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, own in by_node(spans).items():
        for s in own:
            for phase in (s.phase, WHOLE) if came_in(own) else (s.phase,):
                if s.end_s is not None:
                    took[phase][name] += s.end_s - s.start_s
    found = {}
    for phase, of in took.items():
        node = max(of, key=lambda n: of[n])
        found[phase] = Stretch(len(of), percentile(of.values(), 50), of[node], node)
    return found
