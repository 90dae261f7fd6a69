"""When nodes may leave: the windows of the stack file, on the clocks of their own time zones. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from lifecycle.ports import Window

DAYS_AHEAD = 16
"""A window that opens on one day a week, and falls into the hour that clocks skip, opens a week later."""


def next_opening(windows: Sequence[Window], at: datetime) -> datetime:
    """`at` if a window is open then, or there is none; else when the first of them opens next.

    at: with a time zone, which the answer has too.
    """
    opens = [begin for window in windows for begin, end in _openings(window, at) if end > at]
    return max(at, min(opens, default=at)).astimezone(at.tzinfo)


def _openings(window: Window, at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When the window opens and closes, from the day before `at` on, in UTC."""
    zone = ZoneInfo(window.timezone)
    first = at.astimezone(zone).date() - timedelta(days=1)
    start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    for days in range(DAYS_AHEAD):
        day = first + timedelta(days=days)
        if day.weekday() in window.days:
            begin = _moment(day, start, zone)
            over = _moment(day + timedelta(days=1) if end <= start else day, end, zone)
            if begin < over:
                yield begin, over


def _moment(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """When the zone's clocks show that time: the first of two, and where they skip it, when they do."""
    local = datetime.combine(day, clock, zone)
    moment = local.astimezone(UTC)
    shown = moment.astimezone(zone)
    if shown.replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # Skipped: read with the offset from before the jump it lies after the jump, with the later one before it.
    return _jump(local.replace(fold=1).astimezone(UTC), moment, zone)


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment between the two, to the second, at which the zone's offset changes."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
