"""components/images/document.py: what others wrote is bounded before anything is built from it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.images.document import BYTES_MAX, DEPTH_MAX, LockError, Reader, read_json, shown


class TestStrictJson:
    """Each key once, finite numbers, UTF-8."""

    def test_reads(self) -> None:
        assert read_json(b'{"a": [1, 2.5, "\\u00e4{[", null]}', "x") == {"a": [1, 2.5, "ä{[", None]}

    @pytest.mark.parametrize(
        ("data", "found"),
        [
            (b'{"a": NaN}', "NaN"),
            (b'{"a": -Infinity}', "-Infinity"),
            (b'{"a": 1e999}', "'1e999' is too large"),
            (b'{"a": ' + b"9" * 5000 + b"}", "JSON"),
            (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' twice"),
            (b'{"a": "\xff"}', "not UTF-8 at offset 7"),
            (b"\xff\xfe[\x00]\x00", "not UTF-8"),
            (b'{"a": 1} {"a": 1}', "Extra data"),
            (b'{"a', "JSON"),
            (b"", "JSON"),
        ],
    )
    def test_refuses(self, data: bytes, found: str) -> None:
        with pytest.raises(LockError, match=found):
            read_json(data, "x")

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\ 0eE-.', max_size=60).map(str.encode))
    def test_refuses_any_junk_cleanly(self, data: bytes) -> None:
        with contextlib.suppress(LockError):
            read_json(data, "x")


class TestBombs:
    """Size and depth are known before a parser recurses; looking takes a time that the size bounds."""

    @pytest.mark.parametrize("opened", [b"[", b'{"a":', b'[{"a":'])
    def test_of_nesting(self, opened: bytes) -> None:
        with pytest.raises(LockError, match=f"nested too deeply, more than {DEPTH_MAX} levels"):
            read_json(opened * (BYTES_MAX // len(opened)), "x")

    def test_depth_is_of_what_is_open_at_once(self) -> None:
        assert len(read_json(b"[" + b",".join([b"[[]]"] * 1000) + b"]", "x")) == 1000
        assert read_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, "x")
        with pytest.raises(LockError, match="nested"):
            read_json(b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "x")

    def test_braces_in_texts_nest_nothing(self) -> None:
        assert read_json(b'["' + b"[" * 1000 + b'\\"[[["]', "x") == ["[" * 1000 + '"[[[']

    @pytest.mark.parametrize("data", [b'"' + b'\\"' * (BYTES_MAX // 2 - 1), b'"\\' * 100_000, b'"' * 99_999])
    def test_of_texts_that_never_end(self, data: bytes) -> None:
        with pytest.raises(LockError, match="JSON"):
            read_json(data, "x")

    def test_of_size(self) -> None:
        with pytest.raises(LockError, match=f"at most {BYTES_MAX} bytes, found more"):
            read_json(b" " * (BYTES_MAX + 1), "x")

    def test_a_long_wrong_value_is_cut_before_it_is_shown(self) -> None:
        assert len(shown("\U0001f4a3" * 3_000_000)) < 100

    def test_keys_that_repeat_a_million_times_are_named_once(self) -> None:
        with pytest.raises(LockError) as refused:
            read_json(b"{" + b",".join([b'"a":1'] * 1_000_000) + b"}", "x")
        assert len(refused.value.problems) == 1


class TestTheReader:
    """Notes everything before it gives up."""

    def test_all_at_once(self) -> None:
        reader = Reader()
        document: dict[str, Any] = {"list": [], "text": "a b"}
        assert reader.mapping(document, "list") == {}
        assert reader.mapping(document, "nothing") == {}
        reader.note("at.text", "a word", document["text"])
        with pytest.raises(LockError) as refused:
            reader.finish("a file")
        assert refused.value.problems == (
            "list: expected an object, found list",
            "nothing: expected an object, found nothing",
            "at.text: expected a word, found 'a b'",
        )
