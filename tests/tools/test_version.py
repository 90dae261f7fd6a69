"""Versions, as tools print them."""

from __future__ import annotations

import pytest

from tools.version import Version


class TestVersions:
    """Versions are read as the tools print them, and compared by number."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("v3.259.0\n", Version(3, 259, 0)),
            ("3.9.10", Version(3, 9, 10)),
            ("go1.26", Version(1, 26, 0)),
            ("go1.26.8", Version(1, 26, 8)),
            ("v3.260.0-dev.0", Version(3, 260, 0)),
            ("devel", None),
            ("", None),
        ],
    )
    def test_as_printed(self, text: str, expected: Version | None) -> None:
        assert Version.parse(text) == expected

    def test_by_number(self) -> None:
        assert Version(3, 9, 0) < Version(3, 10, 0)
