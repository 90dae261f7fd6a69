"""How hosts are written: what a URL and a comparison need."""

from __future__ import annotations

import pytest

from lifecycle.address import authority, plain


class TestAuthority:
    """An IPv6 address stands in brackets, or its last part would be read as the port."""

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("api.metal.example", "api.metal.example:6443"),
            ("10.0.0.7", "10.0.0.7:6443"),
            ("fd00::10", "[fd00::10]:6443"),
            ("FD00:0:0::10", "[fd00::10]:6443"),
        ],
    )
    def test_of(self, host: str, expected: str) -> None:
        assert authority(host, 6443) == expected


class TestPlain:
    """Two ways to write one host compare equal."""

    @pytest.mark.parametrize("host", ["fd00::4", "FD00:0::4", "fd00:0:0:0:0:0:0:4"])
    def test_one_form_of_an_address(self, host: str) -> None:
        assert plain(host) == "fd00::4"

    def test_names_are_left_but_for_capitals(self) -> None:
        assert plain("CP1.example") == "cp1.example"
