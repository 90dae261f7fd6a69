"""components.stackfile under junk: whatever stands anywhere, a refusal is all that is raised."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.stackfile import StackFileError, example, load, validate
from components.stackfile.source import Source, read

METAL = Path(__file__).resolve().parents[3] / "stacks" / "Pulumi.metal.yaml"

KEYS = st.one_of(st.text(max_size=8), st.integers(-3, 99), st.none(), st.booleans())
JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.binary(max_size=8), st.dates(),
        st.sampled_from(["https://[", "http://a@b", "52:54:00:12:34:56", "10.0.0.0/33", "fe80::1%e", "/"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
PROPERTY = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def paths_of(data: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(data, dict):
        for key, value in data.items():
            yield from paths_of(value, (*at, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from paths_of(value, (*at, index))


SMALL = example(3, 1, 1)
PATHS = list(paths_of(SMALL))


def accepted_or_refused(data: object) -> None:
    """Neither crashes nor accepts silently: an Environment, or problems that can be printed."""
    try:
        validate(data, "junk")
    except StackFileError as error:
        problems, text = error.problems, str(error)
    else:
        return
    assert problems
    assert all(p.found and p.expected and p.fix for p in problems)
    assert text.encode()


class TestJunk:
    """Whatever stands anywhere, only StackFileError is raised."""

    @PROPERTY
    @given(path=st.sampled_from(PATHS), junk=JUNK)
    def test_in_place_of_a_value(self, path: tuple[Any, ...], junk: object) -> None:
        data: Any = copy.deepcopy(SMALL)
        if not path:
            accepted_or_refused(junk)
            return
        here = data
        for key in path[:-1]:
            here = here[key]
        here[path[-1]] = junk
        accepted_or_refused(data)

    @PROPERTY
    @given(path=st.sampled_from(PATHS), key=KEYS, junk=JUNK)
    def test_beside_a_value(self, path: tuple[Any, ...], key: object, junk: object) -> None:
        data: Any = copy.deepcopy(SMALL)
        here = data
        for step in path:
            here = here[step]
        if isinstance(here, dict):
            here[key] = junk
        accepted_or_refused(data)

    @PROPERTY
    @given(
        raw=st.one_of(
            st.binary(max_size=60), st.text("ab:-?[]{}&*!|>'\"%@#,~<= \n\t0.:\\", max_size=60).map(str.encode)
        )
    )
    def test_as_text(self, raw: bytes) -> None:
        source = read(raw)
        assert isinstance(source, Source)
        assert source.data is not None or source.flaws or raw.strip()

    @PROPERTY
    @given(at=st.integers(0, len(METAL.read_bytes())), cut=st.integers(0, 40), put=st.binary(max_size=6))
    def test_in_the_middle_of_a_good_file(
        self, tmp_path_factory: pytest.TempPathFactory, at: int, cut: int, put: bytes
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "Pulumi.junk.yaml"
        whole = METAL.read_bytes()
        path.write_bytes(whole[:at] + put + whole[at + cut :])
        with contextlib.suppress(StackFileError):
            load(path)
