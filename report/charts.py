"""The geometry of the charts: one step function each, on the timeline's axis of time, with its limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from report.figures import UNITS, Axis, Bar, bar, px
from report.record import Roll, Series
from report.series import beyond, held, measure, worst
from report.words import moment, number

CHART_PX = 68
CHART_ORDER = ("nodes_out", "etcd_margin", "volumes_degraded", "replicas_missing", "io_p99_ms")

COLUMNS_MAX = 1200
"""Steps that a chart draws at most: more than the pixels it has across."""


@dataclass(frozen=True)
class Chart:
    """A step function. line, area: SVG paths; limit_y: where its limit stands; breaches: stretches beyond it."""

    key: str
    title: str
    stat: str
    bad: bool
    height: int
    line: str
    area: str
    limit_y: str
    limit_text: str
    top_text: str
    bottom_text: str
    breaches: tuple[Bar, ...]
    condensed: bool


def charts(roll: Roll, axis: Axis) -> tuple[Chart, ...]:
    """A chart a series: the known ones in a fixed order, then any other in the order of the record."""
    order = {key: i for i, key in enumerate(CHART_ORDER)}
    ordered = sorted((s for s in roll.series if s.samples), key=lambda s: order.get(s.key, len(order)))
    return tuple(_chart(s, axis) for s in ordered)


def _chart(series: Series, axis: Axis) -> Chart:
    top_value = _round_up(max([s.value for s in series.samples] + [series.limit or 0.0]))
    low_value = min([0.0] + [s.value for s in series.samples])

    def y(value: float) -> str:
        return px(2 + (CHART_PX - 4) * (1 - (value - low_value) / (top_value - low_value)))

    steps = held(series, axis.end_s)
    drawn = (
        _condensed(series, steps, axis)
        if len(steps) > COLUMNS_MAX
        else [(axis.x(a), axis.x(b), v) for a, b, v in steps]
    )
    line = "".join(f"{'M' if i == 0 else 'L'}{a} {y(v)}H{b}" for i, (a, b, v) in enumerate(drawn))
    area = f"{line}V{y(low_value)}H{drawn[0][0]}Z" if drawn else ""
    breaches = tuple(_breaches(series, steps, axis))
    side = "at least" if series.limit_is == "min" else "at most"
    return Chart(
        key=series.key if series.key in CHART_ORDER else "other",
        title=series.title,
        stat=f"{'lowest' if series.limit_is == 'min' else 'highest'} {number(worst(series), measure(series))}",
        bad=bool(breaches),
        height=CHART_PX,
        line=line,
        area=area,
        limit_y=y(series.limit) if series.limit is not None else "",
        limit_text=f"limit: {side} {number(series.limit, measure(series))}" if series.limit is not None else "",
        top_text=number(top_value),
        bottom_text=number(low_value),
        breaches=breaches,
        condensed=len(steps) > COLUMNS_MAX,
    )


def _breaches(series: Series, steps: Sequence[tuple[float, float, float]], axis: Axis) -> Iterable[Bar]:
    """Stretches beyond the limit; those that a screen could not tell apart are drawn as one."""
    runs: list[tuple[float, float, float]] = []
    choose = min if series.limit_is == "min" else max
    for start, end, value in steps:
        if not beyond(series, value):
            continue
        if runs and axis.x(start) - axis.x(runs[-1][1]) <= UNITS // COLUMNS_MAX:
            runs[-1] = (runs[-1][0], end, choose(runs[-1][2], value))
        else:
            runs.append((start, end, value))
    for start, end, value in runs:
        title = f"{number(value, measure(series))} at worst, from {moment(start)} to {moment(end)}"
        yield bar(start, end, "breach", title, axis)


def _condensed(series: Series, steps: Sequence[tuple[float, float, float]], axis: Axis) -> list[tuple[int, int, float]]:
    """`COLUMNS_MAX` columns, each as high as the worst value in it, so that no peak is lost."""
    choose = min if series.limit_is == "min" else max
    columns: dict[int, float] = {}
    for start, end, value in steps:
        first = axis.x(start) * COLUMNS_MAX // UNITS
        last = max(first, math.ceil(axis.x(end) * COLUMNS_MAX / UNITS) - 1)
        for i in range(min(first, COLUMNS_MAX - 1), min(last, COLUMNS_MAX - 1) + 1):
            columns[i] = choose(columns.get(i, value), value)
    width = UNITS / COLUMNS_MAX
    return [(round(i * width), round((i + 1) * width), columns[i]) for i in sorted(columns)]


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = math.floor(math.log10(value))
    for digit in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if digit * 10.0**power >= value * (1 - 1e-9):
            return float(f"{digit}e{power}")
    return float(f"1e{power + 1}")
