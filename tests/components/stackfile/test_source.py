"""components.stackfile.source and problem: a text is read without loss, a value is shown without harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.stackfile import KEY, StackFileError, environment_of, validate
from components.stackfile.problem import path_text, show
from components.stackfile.source import read

METAL = Path(__file__).resolve().parents[3] / "stacks" / "Pulumi.metal.yaml"


@pytest.fixture
def raw() -> dict[str, Any]:
    """The good environment as raw data, to be broken."""
    return environment_of(METAL)


class TestText:
    """Reading the text loses nothing and believes nothing twice."""

    def test_every_value_has_its_line(self) -> None:
        source = read(b"a:\n  b: 1\n  c:\n    - x\n    - y\n")
        assert source.data == {"a": {"b": 1, "c": ["x", "y"]}}
        assert source.lines == {("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", 0): 4, ("a", "c", 1): 5}

    def test_the_first_of_two_equal_keys_is_kept_whole(self) -> None:
        source = read(b"a: {x: 1}\na: {x: 2, y: [3]}\nb: 4\n")
        assert source.data == {"a": {"x": 1}, "b": 4}
        assert [(f.found, line) for f, line in source.flaws] == [("the key 'a' again; it is on line 1 already", 2)]

    def test_what_yaml_turns_into_something_else_is_remembered(self) -> None:
        assert read(b"a: 1_0\nb: on\nc: ~\nd: '7'\ne: e\n").written == {("a",): "1_0", ("b",): "on", ("c",): "~"}

    def test_impossible_dates_and_numbers_are_text(self) -> None:
        source = read(b"a: 2026-13-45\nb: " + b"9" * 5000 + b"\n")
        assert source.data == {"a": "2026-13-45", "b": "9" * 5000}

    def test_the_environment_is_what_other_readers_read(self) -> None:
        assert read(METAL.read_bytes()).data == yaml.safe_load(METAL.read_text())


class TestShownValue:
    """A found value is one short line without a credential."""

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (None, "nothing"),
            (True, "true"),
            (4.5, "4.5"),
            (-(10**18), "a very large number"),
            ("x", "'x'"),
            ("\x1b[31m\n", r"'\x1b[31m\n'"),
            ("a:b@c", "text with an @, not shown because it may hold a password"),
            ("y" * 500, "text of 500 characters that begins '" + "y" * 40 + "'"),
            ({}, "an empty mapping"),
            ([1], "a list of 1 item"),
            (b"x", "a value of type bytes"),
        ],
    )
    def test_is(self, value: object, shown: str) -> None:
        assert show(value) == shown

    def test_of_a_number_that_python_refuses_to_print(self, raw: dict[str, Any]) -> None:
        raw["cluster"]["name"] = 10**5000
        raw["cluster"]["endpoint_port"] = 10**5000
        with pytest.raises(StackFileError, match="a very large number, read as a number"):
            validate(raw, "here")

    def test_path_quotes_strange_keys(self) -> None:
        assert path_text(("config", KEY, "a.b", 3, None, 10**5000)) == (
            f"config.{KEY}['a.b'][3][nothing][a very large number]"
        )
