"""The report as Markdown for a pull request: the same verdict and figures, short enough for one comment.

Texts of the record are escaped, so that a node's name can neither break a table nor mention a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from report import compare, estimates, spending, summary, words
from report.figures import Axis, axis_of
from report.record import Failure, Roll, Source, Span
from report.summary import FAMILIES, Fate, Summary, Tone

COLUMNS = 72
"""Of the timeline: with a node's name beside it, it fits a comment without a scroll bar."""

NAME_CHARS_MAX = 14
ROWS_MAX = 120
NODES_MAX = 120
POOLS_MAX = 12
SETTINGS_MAX = 40
WAITS_MAX = 10
FAILURES_MAX = 5
LOUD_MAX = 3
PLAN_MAX = 40
UNREAD_MAX = 10
TEXT_CHARS_MAX = 1500
CELL_CHARS_MAX = 90

CHARS_MAX = 60_000
"""A comment on GitHub holds 65,536 characters. The tables' limits above keep well below it; where texts
are long none the less, sections are left out from the end, and the report says so."""

MARKS = {"leaving": "-", "replacing": "#", "joining": "+", "other": "?"}
OLD, NEW, OUT, HALT = "·", "=", " ", "X"


def render(roll: Roll) -> str:
    """The whole report, `CHARS_MAX` characters at most. Same record, same text."""
    told = summary.summarise(roll)
    sections = [
        _head(roll, told),
        _loud(roll, told),
        _figures(told),
        _timeline(roll, told, axis_of(roll)),
        _stand_ins(roll),
        _left_out(roll),
        _unread(roll),
        _cost(roll),
        _attaches(told, len(roll.attaches)),
        _waits(roll),
        _laws(roll),
        _failures(roll.failures),
        _nodes(told),
        _plan(roll),
    ]
    return _joined(sections)


def render_pair(one: Roll, other: Roll) -> str:
    """Both rolls, phase by phase. Same records, same text."""
    first, second = compare.names(one, other)
    told = [
        f"**{name}**: {escaped(summary.summarise(roll).headline, 300)} ({_facts(roll)})."
        for name, roll in ((first, one), (second, other))
    ]
    rows = [
        (escaped(pair.phase), *_stretch(pair.one), *_stretch(pair.other), pair.ratio or "–")
        for pair in compare.pairs(one, other)
    ]
    heads = [f"{name}, {what}" for name in (first, second) for what in ("median", "longest")]
    axis = compare.shared_axis(one, other)
    return _joined(
        [
            f"## {escaped(one.stack)}: two rolls side by side",
            *told,
            _table(("Phase", *heads, f"Median, {first} : {second}"), rows, (1, 2, 3, 4, 5)),
            *(
                _timeline(roll, summary.summarise(roll), axis, f"Timeline, {name}")
                for name, roll in ((first, one), (second, other))
            ),
            *(_unread(roll, name) for name, roll in ((first, one), (second, other))),
            _left_out(one),
        ]
    )


def _stretch(found: compare.Stretch | None) -> tuple[str, str]:
    if found is None:
        return "–", "–"
    return words.duration(found.median_s), f"{words.duration(found.longest_s)} ({escaped(found.longest_node)})"


def _joined(sections: Sequence[str]) -> str:
    kept = [s for s in sections if s]
    left_out = 0
    while len(kept) > 1 and sum(len(s) + 2 for s in kept) > CHARS_MAX - 100:
        kept.pop()
        left_out += 1
    if left_out:
        kept.append(f"{words.counted(left_out, 'section')} left out: too long for a comment.")
    return "\n\n".join(kept) + "\n"


def escaped(text: str, chars_max: int = CELL_CHARS_MAX) -> str:
    """`text` on one line, with everything that Markdown or HTML would act on made harmless."""
    line = " ".join(words.printable(words.clip(text, chars_max)).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_{}\[\]|~$])", r"\\\1", line)
    return re.sub(r"([@#])(?=\w)|(?<=://)(?=\S)", lambda m: f"{m.group(1) or ''}\u200b", line)


def fenced(text: str) -> str:
    """`text` as a code block whose fence is longer than any run of backticks in it."""
    body = words.printable(words.clip(text, TEXT_CHARS_MAX)).replace("\r", "")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", body)), default=0))
    return f"{fence}text\n{body}\n{fence}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    rule = ["---:" if i in numbers else "---" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _head(roll: Roll, told: Summary) -> str:
    sign = {Tone.GOOD: "✅", Tone.HALTED: "⚠️", Tone.BROKEN: "❌"}[told.tone]
    lines = [f"## {sign} {escaped(told.headline, 300)}"]
    if told.subline:
        lines.append(escaped(told.subline, 600))
    images = " → ".join(f"**{escaped(image)}**" for image in (roll.image_from, roll.image_to) if image)
    lines.append(f"Stack **{escaped(roll.stack)}**{', ' + images if images else ''} ({_facts(roll)}).")
    return "\n\n".join(lines)


def _facts(roll: Roll) -> str:
    if roll.source is Source.REAL:
        return f"what the steps of a real roll said; began {roll.began}"
    if roll.source is Source.REHEARSED:
        return "what the steps of a rehearsal said"
    faults = f"; injected: {escaped('; '.join(roll.faults), 400)}" if roll.faults else ""
    return f"simulated rack, real engine, seed {roll.seed}; brought up in {words.duration(roll.bring_up_s)}{faults}"


def _stand_ins(roll: Roll) -> str:
    return "\n".join(f"- {escaped(what, 400)}" for what in roll.stand_ins)


def _left_out(roll: Roll) -> str:
    lines = [f"- {escaped(what, 300)}" for what in roll.left_out]
    return "\n".join(["Not in this record, and so not drawn:", "", *lines]) if lines else ""


def _unread(roll: Roll, name: str = "") -> str:
    if not roll.unread:
        return ""
    shown = fenced("\n".join(roll.unread[:UNREAD_MAX]))
    return _folded(f"Lines that could not be read{': ' + name if name else ''} ({len(roll.unread):,})", shown)


def _loud(roll: Roll, told: Summary) -> str:
    broken = [law for law in roll.laws if law.broken]
    parts = [
        f"**Law broken: {escaped(law.name)}.** {escaped(law.text, 300)}\n\n{fenced(law.broken[0])}"
        for law in broken[:LOUD_MAX]
    ]
    for halt in told.standing[:LOUD_MAX]:
        parts.append(f"**{escaped(halt.node) or 'The fleet'} halted at {halt.at}.**\n\n{fenced(halt.what)}")
        if halt.remedy:
            parts.append(f"**What to do**\n\n{fenced(halt.remedy)}")
    return "\n\n".join(parts)


def _figures(told: Summary) -> str:
    rows = [(f.label, f"**{f.value}**{' ❌' if f.bad else ''}", escaped(f.detail, 200)) for f in told.figures]
    return _table(("", "", ""), rows) if rows else ""


def _timeline(roll: Roll, told: Summary, axis: Axis, title: str = "Timeline") -> str:
    spans = summary.by_node(roll.spans)
    names = [row.node for row in roll.nodes]
    names += [node for node in spans if node not in set(names)]
    fates = {row.node: fate for row, fate in told.fates}
    if not roll.spans:
        return ""
    width = min(NAME_CHARS_MAX, max(len(words.printable(name)) for name in names))
    lines = [f"{'':{width}} 0{words.duration(axis.end_s):>{COLUMNS - 1}}"]
    for name in names[:ROWS_MAX]:
        shown = " ".join(words.printable(name).replace("`", "'").split())[:width]
        fate = fates.get(name, summary.fate(spans.get(name, ()), roll.failures))
        lines.append(f"{shown:{width}} {_strip(spans.get(name, ()), fate, axis)}")
    if len(names) > ROWS_MAX:
        lines.append(f"{len(names) - ROWS_MAX:,} more nodes")
    legend = f"{OLD} old image   - leaving   # replacing   + joining   {NEW} new image   {HALT} halted"
    return f"### {title}\n\n```text\n{chr(10).join(line.rstrip() for line in lines)}\n\n{legend}\n```"


def _strip(spans: Sequence[Span], fate: Fate, axis: Axis) -> str:
    """One character a column: what the node did for the largest part of it."""
    if not spans:
        return OLD * COLUMNS
    step_s = (axis.end_s - axis.start_s) / COLUMNS
    after = {Fate.REPLACED: NEW, Fate.HALTED: HALT}.get(fate, OUT)
    last_s = axis.end_s if spans[-1].end_s is None else spans[-1].end_s
    strip = []
    for i in range(COLUMNS):
        start_s, end_s = axis.start_s + i * step_s, axis.start_s + (i + 1) * step_s
        shares = {OLD: max(0.0, min(end_s, spans[0].start_s) - start_s), after: max(0.0, end_s - max(start_s, last_s))}
        for span in spans:
            overlap = min(end_s, axis.end_s if span.end_s is None else span.end_s) - max(start_s, span.start_s)
            if overlap > 0:
                mark = MARKS[FAMILIES.get(span.phase, "other")]
                shares[mark] = shares.get(mark, 0.0) + overlap
        best = max(shares, key=lambda mark: shares[mark])
        strip.append(best if shares[best] > 0 else OUT)
    if fate is Fate.HALTED:
        strip[min(COLUMNS - 1, int((last_s - axis.start_s) / step_s))] = HALT
    return "".join(strip)


def _cost(roll: Roll) -> str:
    spent = spending.spent(roll)
    if not spent:
        return ""
    rows = [
        (
            escaped(s.pool),
            f"{s.replaced:,}" + (f" of {s.declared:,}" if s.declared is not None else ""),
            words.duration(s.wall_s),
            spending.hours(s.out_s),
            str(s.out_most),
            spending.hours(s.surge_s) + (f" ({escaped(s.surge_cost)})" if s.surge_cost else ""),
        )
        for s in [*spent[:POOLS_MAX], *(s for s in spent[POOLS_MAX:] if s.pool == spending.ALL)]
    ]
    head = ("Pool", "Nodes replaced", "Time", "Node-hours out of service", "Out at once", "Machine-hours of surge")
    return f"### Cost and time\n\n{_table(head, rows, (1, 2, 3, 4, 5))}{_otherwise(roll)}"


def _otherwise(roll: Roll) -> str:
    """What other ways to roll would take, as far as the times are known."""
    rows = []
    for c in estimates.compared(roll)[:POOLS_MAX]:
        rows += [_way(c, found) for found in (c.in_place, c.new) if found]
        rows += [("", "blue-green", f"not here: {escaped(c.why)}", "", "", "")] if c.why else []
    if not rows:
        return ""
    head = ("Pool", "Strategy", "Time", "Node-hours out of service", "Headroom", "Machine-hours of surge")
    settings = [
        (
            escaped(s.pool.name) if s.as_set else "",
            f"`{s.change}`" if s.change else "as it is set",
            words.duration(s.estimate.wall_s),
            "" if s.as_set else words.difference(s.difference_s),
            words.counted(s.estimate.headroom, "node"),
        )
        for s in estimates.settings(roll)[:SETTINGS_MAX]
    ]
    parts = [_table(head, rows, (2, 3, 4, 5))]
    if settings:
        parts.append(_table(("Pool", "Setting", "Time", "Difference", "Headroom"), settings, (2, 3, 4)))
    return "\n\n" + _folded("What other ways to roll would take", "\n\n".join([*parts, estimates.ASSUMPTIONS]))


def _way(found: estimates.Compared, way: estimates.Estimate) -> tuple[str, ...]:
    cost = found.cost(way)
    return (
        escaped(found.pool.name),
        f"{way.strategy}{', as set' if way.strategy == found.pool.strategy else ''}",
        words.duration(way.wall_s),
        spending.hours(way.out_s),
        words.counted(way.headroom, "node"),
        spending.hours(way.surge_s) + (f" ({escaped(cost)})" if cost else ""),
    )


def _attaches(told: Summary, moves: int) -> str:
    if not moves:
        return ""
    rows = [(s.name, f"{s.count:,}", s.p50, s.p99, s.longest) for s in told.stages]
    head = ("Part of the way", "Moves", "p50", "p99", "Longest")
    return f"### Volumes that moved\n\n{_table(head, rows, (1, 2, 3, 4))}\n\nPercentiles are nearest-rank."


def _waits(roll: Roll) -> str:
    if not roll.waits:
        return ""
    rows = [
        (
            escaped(w.node),
            escaped(w.what),
            words.duration(w.end_s - w.start_s),
            words.duration(w.limit_s),
            words.percent(summary.share_of(w)) + ("" if w.met else ", **ran out**"),
        )
        for w in summary.by_urgency(roll.waits)[:WAITS_MAX]
    ]
    more = f"\n\n{len(roll.waits) - WAITS_MAX:,} more, all shorter." if len(roll.waits) > WAITS_MAX else ""
    table = _table(("Node", "For", "Waited", "Limit", "Share of the limit"), rows, (2, 3, 4))
    return f"### What was waited for\n\n{table}{more}"


def _laws(roll: Roll) -> str:
    if roll.source is not Source.RACK:
        return ""
    if not roll.laws:
        return "### Laws\n\nNo law was checked: this report proves nothing about them."
    lines = []
    for law in sorted(roll.laws, key=lambda law: not law.broken):
        checked = f"; checked {law.checks:,} times" if law.checks else ""
        times = f"broken {words.counted(len(law.broken), 'time')}" if law.broken else "never broken"
        sign = "❌" if law.broken else "✅"
        lines.append(f"- {sign} **{escaped(law.name)}** {escaped(law.text, 300)} ({times}{checked})")
    return "### Laws\n\n" + "\n".join(lines)


def _failures(failures: Sequence[Failure]) -> str:
    if not failures:
        return ""
    parts = [f"{words.moment(f.at_s)} **{escaped(f.node)}**\n\n{fenced(f.text)}" for f in failures[:FAILURES_MAX]]
    if len(failures) > FAILURES_MAX:
        parts.append(f"{len(failures) - FAILURES_MAX:,} more.")
    return _folded(f"Failures ({len(failures):,})", "\n\n".join(parts))


def _nodes(told: Summary) -> str:
    rows = [
        (
            escaped(row.node),
            escaped(row.pool),
            escaped(row.role),
            escaped(row.fault_domain),
            escaped(row.image_before) or "–",
            escaped(row.image_after) or "–",
            "–" if row.boots is None else str(row.boots),
            {True: "kept", False: "**not kept**", None: "–"}[row.data_disks_kept],
            fate.value,
        )
        for row, fate in told.fates[:NODES_MAX]
    ]
    head = ("Node", "Pool", "Role", "Fault domain", "Image before", "Image after", "Boots", "Data disks", "Outcome")
    more = f"\n\n{len(told.fates) - NODES_MAX:,} more." if len(told.fates) > NODES_MAX else ""
    return _folded(f"Nodes ({len(told.fates):,})", _table(head, rows, (6,)) + more)


def _plan(roll: Roll) -> str:
    lines = [f"{i}. {escaped(line, 400)}" for i, line in enumerate(roll.plan[:PLAN_MAX], 1)]
    more = f"\n\n{len(roll.plan) - PLAN_MAX:,} more." if len(roll.plan) > PLAN_MAX else ""
    return _folded("Plan", "\n".join(lines) + more) if lines else ""
