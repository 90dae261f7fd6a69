"""What a roll comes down to: the verdict, the key figures, and the numbers of each table.

A pure function of the record; the HTML page and the Markdown say the same because both start here.
It claims no more than the record shows: "nothing was lost" needs laws that were checked and held.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lifecycle.evidence import JOINING, LEAVING, PHASES, REPLACING
from report.record import AttachTime, Failure, NodeRow, Roll, Series, Source, Span, Wait
from report.series import above_zero_s, crossed, measure, quiet_value, worst
from report.words import counted, duration, listed, moment, number, percent

REMEDY = "Remedy:"
"""Every error of a step says what to do next behind this word (house style, rule 4)."""

CHOSEN = ("soak",)
"""First words of waits whose length somebody chose: using all of it is no sign of trouble."""

STILL_SERVING = frozenset({"slot", "gates"})
"""Phases in which nothing of the node has been touched yet: a halt there leaves it in service."""

FAMILIES = {
    phase: family
    for family, phases in (("leaving", LEAVING), ("replacing", REPLACING), ("joining", JOINING))
    for phase in phases
}


class Fate(StrEnum):
    """What became of a node."""

    REPLACED = "replaced"
    HALTED = "halted"
    UNFINISHED = "unfinished"
    UNTOUCHED = "untouched"


class Tone(StrEnum):
    """How loud the verdict is: all is well, the roll halted as it should, or a law was broken."""

    GOOD = "good"
    HALTED = "halted"
    BROKEN = "broken"


@dataclass(frozen=True)
class Halt:
    """A failure, taken apart for a reader. remedy: empty if its text names none."""

    at: str
    node: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Figure:
    """One key figure. bad: it is on the wrong side of its limit."""

    label: str
    value: str
    detail: str
    bad: bool = False


@dataclass(frozen=True)
class Stage:
    """How long one part of a volume's way took, over all volumes that got through it."""

    name: str
    count: int
    p50: str
    p99: str
    longest: str


@dataclass(frozen=True)
class PhaseTime:
    """How long one phase took. Seconds; per time it was gone through; only phases that ended."""

    phase: str
    family: str
    count: int
    p50_s: float
    longest_s: float
    longest_node: str
    total_s: float


@dataclass(frozen=True)
class Summary:
    """A roll in figures. fates: in the order of the record's nodes. standing: the halts that the roll
    ended with, none if it succeeded; halts: all of them."""

    tone: Tone
    headline: str
    subline: str
    standing: tuple[Halt, ...]
    halts: tuple[Halt, ...]
    figures: tuple[Figure, ...]
    fates: tuple[tuple[NodeRow, Fate], ...]
    stages: tuple[Stage, ...]
    phases: tuple[PhaseTime, ...]


def percentile(values: Iterable[float], p: float) -> float:
    """The nearest-rank percentile: the smallest value such that at least p % of all are <= it.

    It is always one of the values; nothing is interpolated. p: in (0, 100]. Raises ValueError for
    another p and for no values.
    """
    ordered = sorted(values)
    if not ordered or not 0 < p <= 100:
        raise ValueError(f"percentile {p} of {len(ordered)} values: expected p in (0, 100] and at least one value")
    return ordered[math.ceil(len(ordered) * p / 100) - 1]


def summarise(roll: Roll) -> Summary:
    """Everything the report says in figures. Depends on nothing but the record."""
    spans = by_node(roll.spans)
    fates = tuple((row, fate(spans.get(row.node, ()), roll.failures)) for row in roll.nodes)
    tone, headline = _headline(roll, fates)
    return Summary(
        tone=tone,
        headline=headline,
        subline=_subline(roll, fates),
        standing=tuple(taken_apart(f) for f in standing_failures(roll, fates)),
        halts=tuple(taken_apart(f) for f in roll.failures),
        figures=tuple(_figures(roll)),
        fates=fates,
        stages=tuple(_stages(roll.attaches)),
        phases=tuple(_phase_times(roll.spans)),
    )


def by_node(spans: Iterable[Span]) -> dict[str, tuple[Span, ...]]:
    """The spans of each node, in order of time."""
    found: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        found[span.node].append(span)
    return {node: tuple(sorted(own, key=lambda s: s.start_s)) for node, own in found.items()}


def fate(spans: Sequence[Span], failures: Sequence[Failure]) -> Fate:
    """What became of the node whose spans, in order, these are.

    Halted: its last phase never ended, or ended with a failure of the node. Replaced: its last phase
    is one of joining, and ended otherwise.
    """
    if not spans:
        return Fate.UNTOUCHED
    last = spans[-1]
    since = last.start_s if last.end_s is None else last.end_s
    if any(f.node == last.node and f.at_s >= since for f in failures):
        return Fate.HALTED
    return Fate.REPLACED if came_in(spans) else Fate.UNFINISHED


def came_in(spans: Sequence[Span]) -> bool:
    """Whether the last of these phases of one node is one of joining, and ended."""
    return spans[-1].end_s is not None and FAMILIES.get(spans[-1].phase) == "joining"


def taken_apart(failure: Failure) -> Halt:
    """What went wrong, and what to do, as the failure's own text has it."""
    what, _, remedy = failure.text.partition(REMEDY)
    return Halt(moment(failure.at_s), failure.node, what.strip(), remedy.strip())


def standing_failures(roll: Roll, fates: Sequence[tuple[NodeRow, Fate]]) -> tuple[Failure, ...]:
    """The failures that the roll ended with: the last one of each node that stands halted, or the last
    one of all where none of them names such a node. None if the roll succeeded."""
    if roll.succeeded or not roll.failures:
        return ()
    halted = {row.node for row, f in fates if f is Fate.HALTED}
    last = {f.node: f for f in sorted(roll.failures, key=lambda f: f.at_s)}
    return tuple(f for node, f in last.items() if node in halted) or (list(last.values())[-1],)


def _headline(roll: Roll, fates: Sequence[tuple[NodeRow, Fate]]) -> tuple[Tone, str]:
    replaced = sum(f is Fate.REPLACED for _, f in fates)
    new = bool(roll.spans) and not any(FAMILIES.get(s.phase) == "leaving" for s in roll.spans)
    of_all = f"{replaced:,} of {counted(len(fates), 'node')} {'brought in' if new else 'replaced'}"
    took = duration(roll.roll_s)
    broken = [law.name for law in roll.laws if law.broken]
    kept = [row.node for row, f in fates if f is not Fate.UNTOUCHED and row.data_disks_kept is False]
    unhurt = f"data disks of {listed(kept)} were not kept" if kept else "nothing was lost" if roll.laws else ""
    if broken:
        laws = "A law was" if len(broken) == 1 else f"{len(broken)} laws were"
        return Tone.BROKEN, f"{laws} broken: {listed(broken)}. {of_all} in {took}"
    if roll.succeeded and not roll.spans:
        return Tone.GOOD, "Nothing to replace: every node is as pinned"
    if roll.succeeded:
        return Tone.BROKEN if kept else Tone.GOOD, ", ".join(part for part in (of_all, unhurt, f"in {took}") if part)
    now = standing_failures(roll, fates)
    at = f" at {now[0].node}" if now and now[0].node else ""
    # Steps that said nothing further may still run, or were killed: that is no halt.
    word = "Not finished" if roll.source is not Source.RACK and not now else f"Halted{at}"
    return Tone.BROKEN if kept else Tone.HALTED, f"{word}: " + ", ".join(
        part for part in (of_all, unhurt, f"after {took}") if part
    )


def _subline(roll: Roll, fates: Sequence[tuple[NodeRow, Fate]]) -> str:
    untouched = "was already as pinned" if roll.succeeded else "was not reached"
    groups = {Fate.HALTED: "stands halted", Fate.UNFINISHED: "did not come back", Fate.UNTOUCHED: untouched}
    said = []
    for which, words in groups.items():
        names = [row.node for row, f in fates if f is which]
        if names and roll.spans:
            said.append(f"{listed(names)} {_agree(words, len(names))}")
    if roll.succeeded and roll.failures:
        times = counted(len(roll.failures), "time")
        said.append(f"it halted {times} on the way and went on once the cause was gone")
    for s in roll.series:
        if s.limit is not None and crossed(s):
            allowed = f"at {'least' if s.limit_is == 'min' else 'most'} {number(s.limit, measure(s))}"
            said.append(f"{s.title}: {number(worst(s), measure(s))}, where {allowed} was allowed")
    return ("; ".join(said) + ".") if said else ""


def _agree(words: str, count: int) -> str:
    verb, _, rest = words.partition(" ")
    return words if count == 1 else f"{ {'was': 'were', 'stands': 'stand', 'did': 'did'}[verb] } {rest}"


# ---------------------------------------------------------------- key figures


def _figures(roll: Roll) -> Iterable[Figure]:
    series = {s.key: s for s in roll.series if s.samples}
    if etcd := series.get("etcd_margin"):
        yield Figure(
            "Lowest etcd margin",
            number(worst(etcd)),
            _limit_text(etcd, "members that could still fail"),
            crossed(etcd),
        )
    if storage := series.get("volumes_degraded"):
        missing = series.get("replicas_missing")
        detail = f"{counted(int(worst(missing)), 'replica')} missing; " if missing else ""
        bad = crossed(storage) or (missing is not None and crossed(missing))
        yield Figure(
            "Most volumes degraded",
            number(worst(storage)),
            f"{detail}for {duration(above_zero_s(storage, roll.roll_s))} in all",
            bad,
        )
    if io := series.get("io_p99_ms"):
        quiet = quiet_value(io, series.get("nodes_out"), roll.roll_s)
        yield Figure(
            "I/O p99, quiet → worst",
            f"{number(quiet, places=1)} → {number(worst(io), io.unit, places=1)}",
            _limit_text(io, f"{number(worst(io) / quiet, places=1)} times the quiet value" if quiet > 0 else ""),
            crossed(io),
        )
    if roll.attaches:
        yield _attach_figure(roll.attaches)
    if out := series.get("nodes_out"):
        yield Figure(
            "Most nodes out",
            number(worst(out)),
            _limit_text(out, f"of {counted(len(roll.nodes), 'node')}"),
            crossed(out),
        )
    if roll.source is not Source.RACK and (turn := _turn_figure(roll.spans)):
        yield turn
    if waits := [w for w in roll.waits if not chosen(w)]:
        wait = by_urgency(waits)[0]
        share = f", {percent(share_of(wait))} of its limit" if wait.limit_s > 0 else ""
        yield Figure(
            "Longest wait" if wait.met else "Wait that ran out",
            duration(wait.end_s - wait.start_s),
            f"{wait.node}: {wait.what}{share}",
            not wait.met,
        )


def _attach_figure(attaches: Sequence[AttachTime]) -> Figure:
    back = [a.ready_s - a.evicted_s for a in attaches if a.ready_s is not None]
    attach = [a.attached_s - a.detached_s for a in attaches if a.attached_s is not None and a.detached_s is not None]
    value = f"{duration(percentile(back, 50))} / {duration(percentile(back, 99))}" if back else "none came back"
    detail = f"eviction to ready, {len(back):,} of {counted(len(attaches), 'move')}"
    if attach:
        detail += f"; attach alone {duration(percentile(attach, 50))} / {duration(percentile(attach, 99))}"
    return Figure("Volume back, p50 / p99", value, detail, len(back) < len(attaches))


def _turn_figure(spans: Sequence[Span]) -> Figure | None:
    """How long nodes were on their way, of those that came in."""
    took = {
        node: sum(s.end_s - s.start_s for s in own if s.end_s is not None)
        for node, own in by_node(spans).items()
        if came_in(own)
    }
    if not took:
        return None
    node = max(took, key=lambda n: took[n])
    value = f"{duration(percentile(took.values(), 50))} / {duration(took[node])}"
    return Figure("A node's turn, p50 / longest", value, f"the longest: {node}; of {counted(len(took), 'node')}")


def _limit_text(series: Series, says: str) -> str:
    if series.limit is None:
        return says
    limit = f"limit: at {'least' if series.limit_is == 'min' else 'most'} {number(series.limit, measure(series))}"
    return f"{says}; {limit}" if says else limit


# ---------------------------------------------------------------- tables


STAGES = (
    ("Evicted → detached", "evicted_s", "detached_s"),
    ("Detached → attached", "detached_s", "attached_s"),
    ("Attached → ready", "attached_s", "ready_s"),
    ("Evicted → ready, in all", "evicted_s", "ready_s"),
)


def _stages(attaches: Sequence[AttachTime]) -> Iterable[Stage]:
    for name, start, end in STAGES:
        ways = [(getattr(a, start), getattr(a, end)) for a in attaches]
        took = [b - a for a, b in ways if a is not None and b is not None]
        p50, p99, longest = (duration(percentile(took, p)) if took else "–" for p in (50, 99, 100))
        yield Stage(name, len(took), p50, p99, longest)


def _phase_times(spans: Sequence[Span]) -> Iterable[PhaseTime]:
    took: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for s in spans:
        if s.end_s is not None:
            took[s.phase].append((s.end_s - s.start_s, s.node))
    for phase in (*PHASES, *sorted(set(took) - set(PHASES))):
        if own := took.get(phase):
            longest_s, node = max(own, key=lambda way: way[0])
            seconds = [s for s, _ in own]
            yield PhaseTime(
                phase, FAMILIES.get(phase, "other"), len(own), percentile(seconds, 50), longest_s, node, sum(seconds)
            )


def share_of(wait: Wait) -> float:
    """How much of its limit a wait used."""
    return (wait.end_s - wait.start_s) / wait.limit_s if wait.limit_s > 0 else 0.0


def chosen(wait: Wait) -> bool:
    """Whether the wait was meant to take this long, and did."""
    return wait.met and wait.what.startswith(CHOSEN)


def by_urgency(waits: Sequence[Wait]) -> list[Wait]:
    """Waits whose limit ran out, then all others, the longest first."""
    return sorted(waits, key=lambda w: (w.met, w.start_s - w.end_s, w.start_s, w.node, w.what))


def by_length(attaches: Sequence[AttachTime]) -> list[AttachTime]:
    """Volumes that did not get ready, then all others, the longest way first."""
    return sorted(
        attaches, key=lambda a: (a.ready_s is not None, a.evicted_s - (a.ready_s or 0), a.evicted_s, a.volume, a.pod)
    )
