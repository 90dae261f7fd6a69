"""The report as one HTML page that opens from disk: no network, no script, nothing beside the file.

The page's own policy (`Content-Security-Policy`) forbids both, so that no text of a record can change
that. Same record, same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lifecycle.evidence import JOINING, LEAVING, REPLACING
from report import charts, compare, estimates, figures, spending, summary, words
from report.record import AttachTime, Law, NodeRow, Roll, Wait

TEMPLATES = Path(__file__).parent / "templates"

NODES_MAX = 300
WAITS_MAX = 25
ATTACHES_MAX = 60
FAILURES_MAX = 50
BREACHES_MAX = 20
JOURNAL_MAX = 3000
PLAN_MAX = 200
POOLS_MAX = 30
LINE_CHARS_MAX = 400
TEXT_CHARS_MAX = 4000
"""What a table or a text shows at most; the page says how much it left out."""

TOP_HALTS_MAX = 3


@dataclass(frozen=True)
class AttachRow:
    """A volume's way. widths: of its three parts, in per cent of the longest way; None: it stopped there."""

    attach: AttachTime
    way: str
    widths: tuple[str, str, str]


@dataclass(frozen=True)
class WaitRow:
    """A wait, and how much of its limit it used. tone: `near` from four fifths on, `over` when it ran out."""

    wait: Wait
    took: str
    limit: str
    share: str
    width: str
    tone: str


@dataclass(frozen=True)
class PhaseRow:
    """A phase's times. width: of its total, in per cent of the largest total."""

    time: summary.PhaseTime
    css: str
    width: str


@dataclass(frozen=True)
class Cost:
    """What the roll took, and what it would take otherwise; each cut to POOLS_MAX pools. priced: a price was given."""

    spent: tuple[spending.Spent, ...]
    compared: tuple[estimates.Compared, ...]
    settings: tuple[estimates.Setting, ...]
    more: int
    priced: bool


def render(roll: Roll) -> str:
    """The whole page. Raises nothing for a record that validates, whatever its texts hold."""
    told = summary.summarise(roll)
    axis = figures.axis_of(roll)
    shown = _nodes_first_to_look_at(told.fates)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            roll=roll,
            told=told,
            axis_ticks=axis.ticks(),
            units=figures.UNITS,
            timeline=figures.timeline(roll, axis),
            charts=charts.charts(roll, axis),
            families={"leaving": LEAVING, "replacing": REPLACING, "joining": JOINING},
            phases=_phase_rows(told.phases),
            cost=_cost(roll),
            assumptions=estimates.ASSUMPTIONS,
            attaches=_attach_rows(roll)[:ATTACHES_MAX],
            attaches_more=max(0, len(roll.attaches) - ATTACHES_MAX),
            waits=_wait_rows(roll)[:WAITS_MAX],
            waits_more=max(0, len(roll.waits) - WAITS_MAX),
            laws=sorted(roll.laws, key=lambda law: not law.broken),
            broken=[law for law in roll.laws if law.broken],
            nodes=shown[:NODES_MAX],
            nodes_more=_left_out(shown[NODES_MAX:]),
            plan=[words.clip(line, LINE_CHARS_MAX) for line in roll.plan[:PLAN_MAX]],
            plan_more=max(0, len(roll.plan) - PLAN_MAX),
            failures=[(f, words.clip(f.text, TEXT_CHARS_MAX)) for f in roll.failures[:FAILURES_MAX]],
            failures_more=max(0, len(roll.failures) - FAILURES_MAX),
            journal_head=_journal(
                roll.journal[: JOURNAL_MAX // 2] if len(roll.journal) > JOURNAL_MAX else roll.journal
            ),
            journal_tail=_journal(roll.journal[-(JOURNAL_MAX // 2) :] if len(roll.journal) > JOURNAL_MAX else ()),
            journal_more=max(0, len(roll.journal) - JOURNAL_MAX),
            top_halts_max=TOP_HALTS_MAX,
            breaches_max=BREACHES_MAX,
        )
    )


@dataclass(frozen=True)
class Shown:
    """One of two rolls on a page."""

    name: str
    roll: Roll
    told: summary.Summary
    timeline: figures.Timeline


@dataclass(frozen=True)
class PairRow:
    """A phase in both. widths: of the medians, in per cent of the longest one of any phase; () for the sum."""

    pair: compare.Pair
    css: str
    widths: tuple[str, ...]


def render_pair(one: Roll, other: Roll) -> str:
    """A page with both. Same records, same bytes."""
    axis = compare.shared_axis(one, other)
    shown = [
        Shown(name, roll, summary.summarise(roll), figures.timeline(roll, axis))
        for name, roll in zip(compare.names(one, other), (one, other), strict=True)
    ]
    return (
        _environment()
        .get_template("compare.html.j2")
        .render(
            rolls=shown,
            rows=_pair_rows(compare.pairs(one, other)),
            axis_ticks=axis.ticks(),
            units=figures.UNITS,
            families={"leaving": LEAVING, "replacing": REPLACING, "joining": JOINING},
        )
    )


def _pair_rows(found: tuple[compare.Pair, ...]) -> list[PairRow]:
    phases = [p for p in found if p.phase != compare.WHOLE]
    longest = max((s.median_s for p in phases for s in (p.one, p.other) if s), default=0.0)
    return [
        PairRow(p, "", ())
        if p.phase == compare.WHOLE
        else PairRow(
            p,
            figures.phase_class(p.phase),
            tuple(_share(s.median_s if s else 0.0, longest) for s in (p.one, p.other)),
        )
        for p in found
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: words.printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        duration=words.duration,
        moment=words.moment,
        number=words.number,
        hours=spending.hours,
        difference=words.difference,
        clip=words.clip,
        permille=lambda x: words.number(x * 100 / figures.UNITS),
        broken_times=_broken_times,
        unbroken=_unbroken,
    )
    return environment


def _unbroken(text: str) -> str:
    """`text` whose numbers stay on one line with their units."""
    return re.sub(r"(?<=\d) (?=(?:d|h|min|s|ms|%|/)(?!\w))|(?<=/) (?=\d)|(?<=most|east) (?=\d)", "\u00a0", text)


def _broken_times(law: Law) -> str:
    checks = f"; checked {law.checks:,} times" if law.checks else ""
    return f"broken {words.counted(len(law.broken), 'time')}{checks}" if law.broken else f"never broken{checks}"


def _nodes_first_to_look_at(fates: tuple[tuple[NodeRow, summary.Fate], ...]) -> list[tuple[NodeRow, summary.Fate]]:
    """The record's order if all nodes are shown; else those that stand halted or out come first."""
    if len(fates) <= NODES_MAX:
        return list(fates)
    calm = {summary.Fate.REPLACED, summary.Fate.UNTOUCHED}
    return sorted(fates, key=lambda known: known[1] in calm)


def _left_out(rest: list[tuple[NodeRow, summary.Fate]]) -> str:
    """`700 more: 650 replaced, 50 untouched`, or nothing."""
    counts = [(fate.value, sum(f is fate for _, f in rest)) for fate in summary.Fate]
    return f"{len(rest):,} more: {', '.join(f'{n:,} {name}' for name, n in counts if n)}" if rest else ""


def _journal(lines: tuple[str, ...]) -> str:
    return "\n".join(words.clip(line, LINE_CHARS_MAX) for line in lines)


def _share(part: float, whole: float) -> str:
    return words.number(min(100.0, max(0.0, 100 * part / whole))) if whole > 0 else "0"


def _phase_rows(times: tuple[summary.PhaseTime, ...]) -> list[PhaseRow]:
    largest = max((t.total_s for t in times), default=0.0)
    return [PhaseRow(t, figures.phase_class(t.phase), _share(t.total_s, largest)) for t in times]


def _cost(roll: Roll) -> Cost:
    spent, compared = spending.spent(roll), estimates.compared(roll)
    shown = {c.pool.name for c in compared[:POOLS_MAX]}
    return Cost(
        spent=(*spent[:POOLS_MAX], *(s for s in spent[POOLS_MAX:] if s.pool == spending.ALL)),
        compared=compared[:POOLS_MAX],
        settings=tuple(s for s in estimates.settings(roll) if s.pool.name in shown),
        more=max(0, len(compared) - POOLS_MAX),
        priced=any(pool.price is not None for pool in roll.pools),
    )


def _attach_rows(roll: Roll) -> list[AttachRow]:
    longest = max((a.ready_s - a.evicted_s for a in roll.attaches if a.ready_s is not None), default=0.0)
    rows = []
    for a in summary.by_length(roll.attaches)[:ATTACHES_MAX]:
        stops = [a.evicted_s, a.detached_s, a.attached_s, a.ready_s]
        parts = [e - s if s is not None and e is not None else 0.0 for s, e in pairwise(stops)]
        first, second, third = (_share(part, longest) for part in parts)
        way = words.duration(a.ready_s - a.evicted_s) if a.ready_s is not None else "never ready"
        rows.append(AttachRow(a, way, (first, second, third)))
    return rows


def _wait_rows(roll: Roll) -> list[WaitRow]:
    rows = []
    for w in summary.by_urgency(roll.waits)[:WAITS_MAX]:
        share = summary.share_of(w)
        tone = "over" if not w.met else "near" if share >= 0.8 and not summary.chosen(w) else ""
        took = words.duration(w.end_s - w.start_s)
        rows.append(WaitRow(w, took, words.duration(w.limit_s), words.percent(share), _share(share, 1), tone))
    return rows
