"""The same verdict and figures, in one comment of a pull request."""

from __future__ import annotations

import re

import pytest

from report import markdown
from report.example import example
from report.record import Failure
from report.summary import summarise


def strips(text: str) -> dict[str, str]:
    """Node -> its line of the timeline."""
    block = text.split("### Timeline")[1].split("```")[1]
    return dict(re.findall(r"^(cp\d|w\d)\s+(.*)$", block, re.MULTILINE))


class TestComment:
    """It says what the page says."""

    def test_begins_with_the_verdict(self) -> None:
        roll = example()
        assert markdown.render(roll).splitlines()[0] == f"## ✅ {summarise(roll).headline}"

    def test_of_a_halt_says_what_to_do_before_the_figures(self) -> None:
        text = markdown.render(example(halt_at="w4"))
        assert text.startswith("## ⚠️ Halted at w4")
        assert (
            text.index("still attached: pv-7")
            < text.index("runbooks/detach.md#stuck")
            < text.index("Lowest etcd margin")
        )

    def test_of_a_broken_law_is_loud(self) -> None:
        text = markdown.render(example(law_broken=True))
        assert text.startswith("## ❌ A law was broken: redundancy")
        assert "- ❌ **redundancy**" in text

    def test_same_record_same_text(self) -> None:
        assert markdown.render(example(halt_at="w4")) == markdown.render(example(halt_at="w4"))


class TestTimeline:
    """A character a column: what the node did for most of it."""

    def test_goes_from_the_old_image_to_the_new_one(self) -> None:
        lines = strips(markdown.render(example()))
        assert list(lines) == ["cp1", "cp2", "cp3", "w1", "w2", "w3", "w4", "w5", "w6"]
        assert all(len(line) == markdown.COLUMNS for line in lines.values())
        assert re.fullmatch(r"·+-+#+\++=+", lines["w3"])

    def test_ends_where_the_node_halted(self) -> None:
        lines = strips(markdown.render(example(halt_at="w4")))
        assert re.fullmatch(r"·+-+X", lines["w4"])
        assert lines["w5"] == "·" * markdown.COLUMNS


class TestTextsAreHarmless:
    """No name breaks a table, mentions a person, links, or becomes HTML."""

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a|b", r"a\|b"),
            ("a\nb", "a b"),
            ("<b>&", "&lt;b&gt;&amp;"),
            ("[x](y)", r"\[x\](y)"),
            ("`rm`", r"\`rm\`"),
            ("@team", "@\u200bteam"),
            ("#12", "#\u200b12"),
            ("https://x.example", "https://\u200bx.example"),
        ],
    )
    def test_escaped(self, text: str, shown: str) -> None:
        assert markdown.escaped(text) == shown

    def test_no_text_closes_its_code_block(self) -> None:
        block = markdown.fenced("a\n```\n<script>\n````\nb").splitlines()
        assert block[0] == "`````text"
        assert block[-1] == "`````"


class TestLength:
    """A comment holds 65,536 characters."""

    def test_of_a_thousand_nodes_fits(self) -> None:
        text = markdown.render(example(workers=997, lanes=40))
        assert len(text) <= markdown.CHARS_MAX
        assert "880 more nodes" in text

    def test_of_texts_without_end_fits_and_says_what_is_missing(self) -> None:
        roll = example()
        rows = tuple(
            r.model_copy(update={"pool": "<" * 90, "role": "<" * 90, "fault_domain": "<" * 90}) for r in roll.nodes * 13
        )
        text = markdown.render(roll.model_copy(update={"nodes": rows}))
        assert len(text) <= markdown.CHARS_MAX
        assert text.endswith("2 sections left out: too long for a comment.\n")

    def test_of_many_failures_shows_some_and_counts_the_rest(self) -> None:
        failures = tuple(Failure(at_s=i, node="w1", text="z" * 9000) for i in range(50))
        text = markdown.render(example().model_copy(update={"failures": failures}))
        assert len(text) <= markdown.CHARS_MAX
        assert "45 more." in text
