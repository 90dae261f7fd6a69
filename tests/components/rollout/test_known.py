"""What is believed of answers about nodes, whoever gives them."""

from __future__ import annotations

import json

import pytest

from components.rollout.known import read_roster, read_standing
from components.rollout.planner import Standing


class TestReadRoster:
    """Only a roster that says it answered is believed."""

    def test_that_answered(self) -> None:
        said = json.dumps({"answered": True, "nodes": {"w1": "in", "w2": "out"}})
        assert read_roster(said) == {"w1": Standing.IN, "w2": Standing.OUT}

    def test_that_answered_with_no_nodes_is_no_silence(self) -> None:
        assert read_roster('{"answered": true, "nodes": {}}') == {}

    @pytest.mark.parametrize(
        "said",
        [
            "",
            "Traceback (most recent call last):",
            "null",
            "[]",
            '{"answered": false, "nodes": {"w1": "in"}}',
            '{"nodes": {"w1": "in"}}',
            '{"answered": "true", "nodes": {}}',
        ],
    )
    def test_that_did_not_answer(self, said: str) -> None:
        assert read_roster(said) is None


class TestReadStanding:
    """A word from another version heals a node too much, never takes one too many."""

    def test_takes_an_unknown_word_for_out(self) -> None:
        assert read_standing({"w1": "draining", "w2": None}) == {"w1": Standing.OUT, "w2": Standing.OUT}

    @pytest.mark.parametrize("nothing", [None, "in", 3, ["w1"]])
    def test_takes_anything_else_for_nothing_known(self, nothing: object) -> None:
        assert read_standing(nothing) == {}
