"""When nodes may leave, on clocks that are set forward and back."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.ports import Window
from lifecycle.windows import next_opening

BERLIN = "Europe/Berlin"
MON, TUE, WED, THU, FRI, SAT, SUN = range(7)
DAILY = tuple(range(7))

NIGHT = Window((SAT,), "22:00", "04:00", BERLIN)
NOON = Window((TUE, THU), "12:00", "13:00", BERLIN)
DAY = Window((WED,), "00:00", "00:00", BERLIN)
LATE = Window((SUN,), "02:30", "05:00", BERLIN)  # clocks show no 02:30 on 2026-03-29, and two on 2026-10-25
SHORT = Window((SUN,), "02:10", "02:50", BERLIN)
UNTIL = Window((SUN,), "01:00", "02:30", BERLIN)


@pytest.mark.parametrize(
    ("windows", "at", "opens"),
    [
        ((), "2026-11-25 10:00", "2026-11-25 10:00"),  # a Wednesday
        ((NIGHT,), "2026-11-25 10:00", "2026-11-28 22:00"),
        ((NIGHT,), "2026-11-28 21:59", "2026-11-28 22:00"),
        ((NIGHT,), "2026-11-28 22:00", "2026-11-28 22:00"),
        ((NIGHT,), "2026-11-29 03:59", "2026-11-29 03:59"),  # Sunday, in the window of Saturday
        ((NIGHT,), "2026-11-29 04:00", "2026-12-05 22:00"),
        ((NIGHT, NOON), "2026-11-25 10:00", "2026-11-26 12:00"),  # the first of two
        ((NOON,), "2026-11-26 13:00", "2026-12-01 12:00"),
        ((DAY,), "2026-11-25 23:59", "2026-11-25 23:59"),
        ((DAY,), "2026-11-26 00:00", "2026-12-02 00:00"),
        # clocks go from 02:00 to 03:00
        ((LATE,), "2026-03-29 01:59", "2026-03-29 03:00"),
        ((SHORT,), "2026-03-28 12:00", "2026-04-05 02:10"),  # nothing is left of it that night
        ((UNTIL,), "2026-03-29 01:59", "2026-03-29 01:59"),
        ((UNTIL,), "2026-03-29 03:00", "2026-04-05 01:00"),
        # clocks go from 03:00 back to 02:00
        ((UNTIL,), "2026-10-25 02:29", "2026-10-25 02:29"),
        ((UNTIL,), "2026-10-25 02:30", "2026-11-01 01:00"),
        ((LATE,), "2026-10-25 02:00", "2026-10-25 02:30"),
    ],
)
def test_next_opening(windows: tuple[Window, ...], at: str, opens: str) -> None:
    moment, expected = (datetime.fromisoformat(t).replace(tzinfo=ZoneInfo(BERLIN)).astimezone(UTC) for t in (at, opens))
    assert next_opening(windows, moment) == expected


def test_a_window_is_as_long_as_clocks_say_in_autumn() -> None:
    """22:00 to 04:00 lasts seven hours when the clocks are set back."""
    last = datetime(2026, 10, 25, 2, 59, 59, tzinfo=UTC)
    assert next_opening([NIGHT], last) == last
    over = datetime(2026, 10, 25, 3, 0, tzinfo=UTC)
    assert next_opening([NIGHT], over) == datetime(2026, 10, 31, 21, 0, tzinfo=UTC)


@given(
    st.integers(1_767_225_600, 1_893_456_000),  # 2026 to 2029
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Pacific/Apia"]),
    st.sets(st.sampled_from(DAILY), min_size=1),
    st.times(),
    st.times(),
)
def test_an_opening_is_open_and_never_before(at_s: int, zone: str, days: set[int], start: object, end: object) -> None:
    at = datetime.fromtimestamp(at_s, UTC)
    window = Window(tuple(days), f"{start:%H:%M}", f"{end:%H:%M}", zone)
    opens = next_opening([window], at)
    assert opens >= at
    assert next_opening([window], opens) == opens
    assert (opens - at).days < 15
