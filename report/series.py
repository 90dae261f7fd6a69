"""How a step function of the record is read: its worst value, its limit, its quiet value."""

from __future__ import annotations

from collections import defaultdict, deque

from report.record import Series

SYMBOL_CHARS_MAX = 3
"""`ms`, `GiB`, `%` are symbols; `nodes` is a name."""


def measure(series: Series) -> str:
    """The unit to write behind a value: a symbol such as `ms`. What is counted has its name in the title."""
    return series.unit if len(series.unit) <= SYMBOL_CHARS_MAX else ""


def worst(series: Series) -> float:
    """The value furthest to the side that the series must not go to: lowest for a `min` limit."""
    values = [s.value for s in series.samples]
    return min(values) if series.limit_is == "min" else max(values)


def beyond(series: Series, value: float) -> bool:
    """Whether `value` is on the wrong side of the limit."""
    if series.limit is None:
        return False
    return value < series.limit if series.limit_is == "min" else value > series.limit


def crossed(series: Series) -> bool:
    """Whether the series was ever on the wrong side of its limit."""
    return any(beyond(series, s.value) for s in series.samples)


def held(series: Series, until_s: float) -> tuple[tuple[float, float, float], ...]:
    """The step function as (start, end, value): a value holds until the next sample, the last one until
    `until_s`. Of samples at one moment the last counts."""
    samples = sorted(series.samples, key=lambda s: s.at_s)
    ends = [s.at_s for s in samples[1:]] + [max(until_s, samples[-1].at_s)] if samples else []
    return tuple((s.at_s, end, s.value) for s, end in zip(samples, ends, strict=True) if end > s.at_s)


def quiet_value(series: Series, nodes_out: Series | None, until_s: float) -> float:
    """The value that the series had for most of the time while no node was out: its median there,
    weighted by time; its first value if some node was always out."""
    first = min(series.samples, key=lambda s: s.at_s).value
    calm = deque((a, b) for a, b, out in held(nodes_out, until_s) if out <= 0) if nodes_out else deque()
    weights: dict[float, float] = defaultdict(float)
    for start, end, value in held(series, until_s):
        while calm and calm[0][1] <= start:  # both go forward: what is over is looked at no more
            calm.popleft()
        for a, b in calm:
            if a >= end:
                break
            weights[value] += min(end, b) - max(start, a)
    total = sum(weights.values())
    reached = 0.0
    for value in sorted(weights):
        reached += weights[value]
        if total > 0 and reached >= total / 2:
            return value
    return first


def above_zero_s(series: Series, until_s: float) -> float:
    """How long the series was above zero."""
    return sum(end - start for start, end, value in held(series, until_s) if value > 0)
