"""The geometry of the figures: the axis of time they share, and where each bar and label of the timeline stands.

Computes numbers only; templates/figures.svg.j2 writes them as SVG. All figures share one axis of time.
Across, they use `UNITS` that the browser stretches to the width there is, so that text and lines keep
their size on a phone and on paper; down, they use pixels.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lifecycle.evidence import PHASES
from report.record import Failure, NodeRow, Roll, Span
from report.summary import FAMILIES, STILL_SERVING, Fate, by_node, fate
from report.words import clip, duration, moment, number

UNITS = 10000
"""Across a figure. A tenth of a pixel on a wide screen, and short to write."""

THIN_ABOVE = 120
"""Nodes. Above it a row is too low for sixteen colours: phases merge into their three families."""

TITLE_CHARS_MAX = 240
"""Of a tooltip. A detail of any length may come from the rack."""

TICKS_MAX = 9
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
LABEL_PX = 13
TURN_FROM_PX = 18
"""Rows from this height on have room for the length of the node's turn."""

HEADING_PX = 22


@dataclass(frozen=True)
class Tick:
    """A labelled moment. minor: left out where there is little room. at_end: its text would
    reach beyond the figure."""

    x: int
    label: str
    minor: bool
    at_end: bool


@dataclass(frozen=True)
class Axis:
    """The time that all figures share, in seconds."""

    start_s: float
    end_s: float

    def x(self, at_s: float) -> int:
        """Where a moment stands, in units; held inside the figure."""
        share = (at_s - self.start_s) / (self.end_s - self.start_s)
        return round(UNITS * min(1.0, max(0.0, share)))

    def ticks(self) -> tuple[Tick, ...]:
        """Round moments, `TICKS_MAX` at most, each second one minor."""
        length_s = self.end_s - self.start_s
        step = next(
            (s for s in TICK_STEPS_S if length_s / s <= TICKS_MAX),
            TICK_STEPS_S[-1] * math.ceil(length_s / TICK_STEPS_S[-1] / TICKS_MAX),
        )
        first, last = math.ceil(self.start_s / step), math.floor(self.end_s / step)
        places = [(self.x(i * step), i) for i in range(first, last + 1)]
        return tuple(Tick(x, duration(i * step) if i else "0", bool(i % 2), x > 0.94 * UNITS) for x, i in places)


@dataclass(frozen=True)
class Bar:
    """A stretch of time in a row. css: its class; title: its tooltip, empty for none."""

    x: int
    width: int
    css: str
    title: str


@dataclass(frozen=True)
class Row:
    """A node. top, height: of its bars; tracks: what it was between them."""

    node: str
    top: str
    height: str
    bars: tuple[Bar, ...]
    tracks: tuple[Bar, ...]
    track_top: str
    track_height: str
    turn: Turn | None


@dataclass(frozen=True)
class Turn:
    """How long a node's way out and in took, written beside its last bar. before: left of its first bar
    instead, because there is no room to the right."""

    x: int
    y: str
    before: bool
    text: str


@dataclass(frozen=True)
class Label:
    """A text beside the timeline, at its upper edge. kind: `pool` or `node`."""

    top: str
    text: str
    kind: str
    halted: bool = False


@dataclass(frozen=True)
class Mark:
    """A failure: across in units, down in pixels (None: it belongs to no row)."""

    x: int
    y: str | None
    title: str


@dataclass(frozen=True)
class Timeline:
    """The rows of all nodes. merged: phases are drawn as their families."""

    height: int
    label_px: int
    merged: bool
    labels: tuple[Label, ...]
    rows: tuple[Row, ...]
    marks: tuple[Mark, ...]


def axis_of(roll: Roll) -> Axis:
    """From the start of the roll to the last thing that happened in it."""
    starts = [s.start_s for s in roll.spans] + [f.at_s for f in roll.failures]
    ends = [s.start_s if s.end_s is None else s.end_s for s in roll.spans] + [f.at_s for f in roll.failures]
    start = min([0.0, *starts])
    return Axis(start, max([start + 1.0, roll.roll_s, *ends]))


def px(value: float) -> str:
    """A length in pixels, to a tenth."""
    return number(value, places=1).replace(",", "")


def phase_class(phase: str) -> str:
    """The CSS class of a phase; never text from the record."""
    return f"p-{phase}" if phase in PHASES else "p-other"


# ---------------------------------------------------------------- the timeline


def timeline(roll: Roll, axis: Axis) -> Timeline:
    """A row a node, in the order of the record, pool by pool; nodes that only the spans name come last."""
    spans = by_node(roll.spans)
    pools: dict[str, list[str]] = defaultdict(list)
    for row in roll.nodes:
        pools[row.pool].append(row.node)
    if strangers := [node for node in spans if node not in {row.node for row in roll.nodes}]:
        pools["not in the table"] += strangers
    count = sum(len(nodes) for nodes in pools.values())
    merged, pitch = count > THIN_ABOVE, pitch_px(count)
    rows: list[Row] = []
    labels: list[Label] = []
    tops: dict[str, float] = {}
    top = 0.0
    known = {row.node: row for row in roll.nodes}
    for pool, nodes in pools.items():
        labels.append(Label(px(top), pool, "pool"))
        top += HEADING_PX
        shown_until = top
        for node in nodes:
            own = spans.get(node, ())
            rows.append(_row(node, known.get(node), own, roll.failures, axis, top, pitch, merged))
            tops[node] = top
            if top >= shown_until:
                labels.append(Label(px(top), node, "node", fate(own, roll.failures) is Fate.HALTED))
                shown_until = top + max(pitch, LABEL_PX if merged else pitch)
            top += pitch
        top += 4
    return Timeline(
        math.ceil(top),
        max(math.floor(pitch), LABEL_PX if merged else 0),
        merged,
        tuple(labels),
        tuple(rows),
        _marks(roll.failures, tops, pitch, axis),
    )


def pitch_px(nodes: int) -> float:
    """From one row to the next: comfortable for few nodes, lower for many, never below a pixel."""
    if nodes <= 24:
        return 26
    if nodes <= 60:
        return 18
    if nodes <= THIN_ABOVE:
        return LABEL_PX
    return max(1.0, min(6.0, 1400 / nodes))


def _row(
    node: str,
    known: NodeRow | None,
    spans: Sequence[Span],
    failures: Sequence[Failure],
    axis: Axis,
    top: float,
    pitch: float,
    merged: bool,
) -> Row:
    gap = 0 if pitch < 4 else max(1.0, pitch * 0.16)
    height = pitch - 2 * gap
    track = pitch if merged else max(1.0, min(4.0, height * 0.22))
    return Row(
        node=node,
        top=px(top + gap),
        height=px(height),
        bars=tuple(_merged_bars(spans, axis) if merged else _bars(spans, axis)),
        tracks=tuple(_tracks(known, spans, fate(spans, failures), axis)),
        track_top=px(top + pitch / 2 - track / 2),
        track_height=px(track),
        turn=_turn(spans, axis, top + pitch / 2) if pitch >= TURN_FROM_PX else None,
    )


def _turn(spans: Sequence[Span], axis: Axis, y: float) -> Turn | None:
    if not spans or spans[-1].end_s is None:
        return None
    before = axis.x(spans[-1].end_s) > 0.9 * UNITS
    at_s = spans[0].start_s if before else spans[-1].end_s
    return Turn(axis.x(at_s), px(y), before, duration(sum((s.end_s or s.start_s) - s.start_s for s in spans)))


def bar(start_s: float, end_s: float, css: str, title: str, axis: Axis) -> Bar:
    """A stretch of time, one unit wide at least."""
    x = axis.x(start_s)
    return Bar(x, max(axis.x(end_s) - x, 1), css, clip(title, TITLE_CHARS_MAX))


def _bars(spans: Sequence[Span], axis: Axis) -> Iterable[Bar]:
    for s in spans:
        if s.end_s is None:
            took, css = f"from {moment(s.start_s)}, never ended", f"{phase_class(s.phase)} open"
        else:
            took, css = (
                f"{duration(s.end_s - s.start_s)} ({moment(s.start_s)} to {moment(s.end_s)})",
                phase_class(s.phase),
            )
        detail = f"\n{s.detail}" if s.detail else ""
        yield bar(
            s.start_s, axis.end_s if s.end_s is None else s.end_s, css, f"{s.node} · {s.phase}: {took}{detail}", axis
        )


def _merged_bars(spans: Sequence[Span], axis: Axis) -> Iterable[Bar]:
    runs: list[list[Span]] = []
    for s in spans:
        before = runs[-1][-1] if runs else None
        if before and before.end_s == s.start_s and FAMILIES.get(before.phase) == FAMILIES.get(s.phase):
            runs[-1].append(s)
        else:
            runs.append([s])
    for run in runs:
        start_s, end_s, family = run[0].start_s, run[-1].end_s, FAMILIES.get(run[0].phase, "other")
        took = "never ended" if end_s is None else f"{duration(end_s - start_s)}"
        css = f"f-{family}" + (" open" if end_s is None else "")
        yield bar(
            start_s,
            axis.end_s if end_s is None else end_s,
            css,
            f"{run[0].node} · {family}: {took} (from {moment(start_s)})",
            axis,
        )


def _tracks(known: NodeRow | None, spans: Sequence[Span], became: Fate, axis: Axis) -> Iterable[Bar]:
    """What the node was while no phase of it ran: serving its old or its new image, or out."""
    if not spans:
        if known:
            yield bar(axis.start_s, axis.end_s, "t-old", "", axis)
        return
    first, last = spans[0], spans[-1]
    if first.start_s > axis.start_s:
        yield bar(axis.start_s, first.start_s, "t-old" if FAMILIES.get(first.phase) == "leaving" else "t-out", "", axis)
    image = "t-old"
    for before, after in pairwise(spans):
        served = FAMILIES.get(before.phase) == "joining" and FAMILIES.get(after.phase) == "leaving"
        image = "t-new" if served else image
        if before.end_s is not None and after.start_s > before.end_s:
            serves = served or (before.phase in STILL_SERVING and after.phase in STILL_SERVING)
            yield bar(before.end_s, after.start_s, image if serves else "t-out", "", axis)
    if last.end_s is not None and last.end_s < axis.end_s:
        css = "t-new" if became is Fate.REPLACED else image if last.phase in STILL_SERVING else "t-out"
        yield bar(last.end_s, axis.end_s, css, "", axis)


def _marks(failures: Sequence[Failure], tops: dict[str, float], pitch: float, axis: Axis) -> tuple[Mark, ...]:
    return tuple(
        Mark(
            axis.x(f.at_s),
            px(tops[f.node] + pitch / 2) if f.node in tops else None,
            clip(f"{moment(f.at_s)} {f.node} halted: {f.text}", TITLE_CHARS_MAX),
        )
        for f in failures[:100]
    )
