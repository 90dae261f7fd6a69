"""Two rolls side by side: the same phases, one scale of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from report import html, markdown
from report.compare import WHOLE, names, pairs, shared_axis
from report.evidence import read, roll
from report.example import example
from report.record import Roll
from tests.report.lines import SERVED_S, ZERO_S, Recorded
from tests.report.test_html import Page


def recorded(path: Path, zero_s: float, slower: float, nodes: int = 3, until: str = "") -> Roll:
    """Nodes one after another; the last one only up to the beginning of phase `until`."""
    file = Recorded(path, zero_s)
    for i in range(nodes):
        file.replaced(f"w{i + 1}", i * 600 * slower, slower + i * 0.1, until if i == nodes - 1 else "")
    found = read(file.lines())
    return roll("metal", found.events, found.unread, {}, "now")


@pytest.fixture
def real(tmp_path: Path) -> Roll:
    return recorded(tmp_path / "real.jsonl", ZERO_S, 2.0)


@pytest.fixture
def rehearsed(tmp_path: Path) -> Roll:
    return recorded(tmp_path / "rehearsed.jsonl", 0.0, 1.0)


class TestPairs:
    """Median and longest over the nodes, phase by phase."""

    def test_of_a_phase(self, real: Roll, rehearsed: Roll) -> None:
        install = next(p for p in pairs(real, rehearsed) if p.phase == "install")
        assert install.one is not None
        assert install.other is not None
        assert (install.one.nodes, round(install.one.median_s), install.one.longest_node) == (3, 420, "w3")
        assert (round(install.other.median_s), round(install.other.longest_s)) == (220, 240)
        assert install.ratio == "1.91 ×"

    def test_the_whole_turn_comes_last(self, real: Roll, rehearsed: Roll) -> None:
        whole = pairs(real, rehearsed)[-1]
        assert whole.phase == WHOLE
        assert whole.one is not None
        assert round(whole.one.longest_s) == round(SERVED_S * 2.2)

    def test_a_node_that_went_twice_counts_once_with_both(self, tmp_path: Path, rehearsed: Roll) -> None:
        file = Recorded(tmp_path / "twice.jsonl")
        file.replaced("w1", until="detach")
        file.at(100).end("w1", "halted: x")
        file.replaced("w1", 1000)
        twice = roll("metal", read(file.lines()).events, (), {}, "now")
        drain = next(p for p in pairs(twice, rehearsed) if p.phase == "drain")
        assert drain.one is not None
        assert (drain.one.nodes, drain.one.median_s) == (1, 40.0)

    def test_a_turn_that_did_not_end_is_no_whole_turn(self, tmp_path: Path, rehearsed: Roll) -> None:
        halfway = recorded(tmp_path / "half.jsonl", ZERO_S, 1.0, nodes=2, until="boot")
        whole = pairs(halfway, rehearsed)[-1]
        assert whole.one is not None
        assert whole.one.nodes == 1

    def test_a_phase_of_one_of_them_only(self, tmp_path: Path, rehearsed: Roll) -> None:
        early = recorded(tmp_path / "early.jsonl", ZERO_S, 1.0, nodes=1, until="boot")
        boot = next(p for p in pairs(early, rehearsed) if p.phase == "boot")
        assert (boot.one, boot.ratio) == (None, "")


class TestNames:
    """By where they come from, if that tells them apart."""

    def test_a_real_and_a_rehearsed_one(self, real: Roll, rehearsed: Roll) -> None:
        assert names(real, rehearsed) == ("real", "rehearsed")
        assert names(rehearsed, real) == ("rehearsed", "real")
        assert names(real, example()) == ("real", "rehearsed")

    def test_two_of_a_kind(self, real: Roll) -> None:
        assert names(real, real) == ("this", "other")


class TestPage:
    """Both timelines under one another, on one scale."""

    def test_whole(self, real: Roll, rehearsed: Roll) -> None:
        page = Page(html.render_pair(real, rehearsed))
        assert page.stack == []
        assert page.text.count("serves, old image") == 1
        assert page.text.count("w3") >= 4
        assert "3 of 3 nodes replaced" in page.text
        assert [dict(a).get("src") for t, a in page.tags if t in ("script", "img", "link")] == []

    def test_equal_lengths_are_equally_long(self, real: Roll, rehearsed: Roll) -> None:
        axis = shared_axis(real, rehearsed)
        assert axis == shared_axis(rehearsed, real)
        assert axis.end_s == max(real.roll_s, rehearsed.roll_s)

    def test_same_records_same_bytes(self, real: Roll, rehearsed: Roll) -> None:
        assert html.render_pair(real, rehearsed) == html.render_pair(real, rehearsed)
        assert markdown.render_pair(real, rehearsed) == markdown.render_pair(real, rehearsed)

    def test_markdown_says_the_same(self, real: Roll, rehearsed: Roll) -> None:
        text = markdown.render_pair(real, rehearsed)
        assert "| install | 7 min | 7 min 20 s (w3) | 3 min 40 s | 4 min (w3) | 1.91 × |" in text
        assert "### Timeline, real" in text
        assert "### Timeline, rehearsed" in text

    def test_a_thousand_nodes_stay_a_page(self) -> None:
        large = example(workers=997)
        assert len(html.render_pair(large, large)) < 4_000_000
