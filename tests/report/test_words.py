"""One way to write each number, length and moment."""

from __future__ import annotations

import pytest

from report import words


class TestDuration:
    """Two units at most, rounded to the smaller one."""

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [
            (0, "0 s"),
            (0.04, "0 s"),
            (0.35, "0.4 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (36.5, "37 s"),
            (59.6, "1 min"),
            (60, "1 min"),
            (250, "4 min 10 s"),
            (3599.4, "59 min 59 s"),
            (3599.6, "1 h"),
            (6720, "1 h 52 min"),
            (6749, "1 h 52 min"),
            (6750, "1 h 53 min"),
            (86369, "23 h 59 min"),
            (86399, "1 d"),
            (97200, "1 d 3 h"),
            (-250, "-4 min 10 s"),
        ],
    )
    def test_in_words(self, seconds: float, said: str) -> None:
        assert words.duration(seconds) == said


class TestMoment:
    """Hours, minutes and seconds from the start of the roll."""

    @pytest.mark.parametrize(
        ("at_s", "said"),
        [(0, "0:00:00"), (2050.4, "0:34:10"), (3599.5, "1:00:00"), (360000, "100:00:00"), (-3, "-0:00:03")],
    )
    def test_as_a_clock_shows_it(self, at_s: float, said: str) -> None:
        assert words.moment(at_s) == said


class TestNumber:
    """No trailing zeros, no minus before a zero, half away from zero."""

    @pytest.mark.parametrize(
        ("value", "said"),
        [(2.0, "2"), (2.5, "2.5"), (1234.5, "1,234.5"), (0.125, "0.13"), (-0.001, "0"), (100, "100"), (2.675, "2.68")],
    )
    def test_at_most_two_decimals(self, value: float, said: str) -> None:
        assert words.number(value) == said

    def test_has_its_unit(self) -> None:
        assert words.number(2.5, "ms") == "2.5 ms"

    @pytest.mark.parametrize(
        ("share", "said"), [(0, "0 %"), (0.004, "< 1 %"), (0.2, "20 %"), (0.995, "100 %"), (1.2, "120 %")]
    )
    def test_as_a_share(self, share: float, said: str) -> None:
        assert words.percent(share) == said


class TestDifferences:
    """More, less, or nothing that matters."""

    @pytest.mark.parametrize(("seconds", "said"), [(300, "+ 5 min"), (-36, "- 36 s"), (0.2, "none"), (-0.2, "none")])
    def test_said(self, seconds: float, said: str) -> None:
        assert words.difference(seconds) == said


class TestNames:
    """Lists stay short; what is left out is counted."""

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            ([], ""),
            (["a"], "a"),
            (["a", "b"], "a and b"),
            (list("abcde"), "a, b, c, d and e"),
            (list("abcdefg"), "a, b, c, d, e and 2 more"),
        ],
    )
    def test_listed(self, names: list[str], said: str) -> None:
        assert words.listed(names) == said

    def test_clipped_with_how_much_is_missing(self) -> None:
        assert words.clip("x" * 1500, 200) == "x" * 200 + "… (1,300 more characters)"

    def test_without_what_changes_how_a_text_reads(self) -> None:
        assert words.printable("w1\u202e\x1b[2J\x00\n\tw2\ud800") == "w1\ufffd\ufffd[2J\ufffd\n\tw2\ufffd"


class TestNamesAVersion:
    """An image is known by its version, whatever else its publisher says beside it."""

    @pytest.mark.parametrize(
        ("image", "version"),
        [
            ("Fedora CoreOS 44.20260621.3.1", "44.20260621.3.1"),
            ("Flatcar Container Linux by Kinvolk 4593.2.4 (Oklo)", "4593.2.4"),
            ("Talos (v1.13.9)", "v1.13.9"),
        ],
    )
    def test_its_own(self, image: str, version: str) -> None:
        assert words.names(image, version)
        assert not words.names(image, version[:-1])
        assert not words.names(image, version + "1")
