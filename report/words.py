"""Numbers, lengths and moments in words: one way to write each, the same on every machine."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86400
TENTHS_BELOW_S = 10
"""Below it tenths of a second matter to a reader (attach times); above it they are noise."""

UNPRINTABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), "�")
"""Control characters but for tab, line feed and carriage return: no name or error text needs one."""

UNPRINTABLE |= dict.fromkeys((*range(8234, 8239), *range(8294, 8298), *range(55296, 57344)), "�")
"""Overrides of the writing direction, which can make a text read as another one, and lone surrogates,
which no file can hold."""


def printable(text: str) -> str:
    """`text` with each control character and each direction override replaced by U+FFFD."""
    return text.translate(UNPRINTABLE)


def names(os_image: str, version: str) -> bool:
    """Whether what a node reports as its image is of that version, wherever its system says it."""
    return version in os_image.replace("(", " ").replace(")", " ").split()


def clip(text: str, chars_max: int) -> str:
    """`text`, or its beginning and how much is missing, when it is longer than `chars_max`."""
    return text if len(text) <= chars_max else f"{text[:chars_max]}… ({len(text) - chars_max:,} more characters)"


def rounded(value: float, places: int = 0) -> Decimal:
    """`value` rounded half away from zero, as people do it (the built-in rounds half to even)."""
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def number(value: float, unit: str = "", places: int = 2) -> str:
    """`1,234.5 ms`: at most `places` decimals, no trailing zeros, no minus before a zero."""
    text = f"{rounded(value, places):,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    text = "0" if text == "-0" else text
    return f"{text} {unit}" if unit else text


def percent(share: float) -> str:
    """`20 %` of a share of 0.2; `< 1 %` for what is little but not nothing."""
    whole = int(rounded(share * 100))
    return "< 1 %" if whole == 0 and share > 0 else f"{whole} %"


def duration(seconds: float) -> str:
    """`0.4 s`, `36 s`, `4 min 10 s`, `1 h 52 min`, `1 d 3 h`: two units at most, rounded to the smaller."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < TENTHS_BELOW_S and rounded(seconds, 1) < TENTHS_BELOW_S:
        return number(seconds, "s", places=1)
    whole_s, minutes = int(rounded(seconds)), int(rounded(seconds / MINUTE_S))
    if whole_s < MINUTE_S:
        return f"{whole_s} s"
    if whole_s < HOUR_S:
        return _two_units(whole_s, MINUTE_S, "min", "s")
    if minutes < DAY_S // MINUTE_S:
        return _two_units(minutes, MINUTE_S, "h", "min")
    return _two_units(int(rounded(seconds / HOUR_S)), DAY_S // HOUR_S, "d", "h")


def difference(seconds: float) -> str:
    """`+ 4 min`, `- 36 s`, `none`."""
    if rounded(seconds) == 0:
        return "none"
    return f"{'+' if seconds > 0 else '-'} {duration(abs(seconds))}"


def _two_units(count: int, per_big: int, big: str, small: str) -> str:
    whole, rest = divmod(count, per_big)
    return f"{whole} {big} {rest} {small}" if rest else f"{whole} {big}"


def moment(at_s: float) -> str:
    """`0:34:10`, hours, minutes and seconds from the start of the roll."""
    whole = int(rounded(abs(at_s)))
    minutes, seconds = divmod(whole, MINUTE_S)
    hours, minutes = divmod(minutes, MINUTE_S)
    return f"{'-' if at_s < 0 and whole else ''}{hours}:{minutes:02}:{seconds:02}"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 node`, `9 nodes`, `1,000 nodes`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: list[str], most: int = 5) -> str:
    """`w1, w2 and w3`; after `most` names: `and 7 more`."""
    shown = names[:most]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
