"""One page, from one file, with nothing in it that the record could turn into code."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from report import html
from report.example import example
from report.record import AttachTime, Failure, Law, NodeRow, Roll, Sample, Series, Span, Wait

EVIL = "</style></title><script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='x"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would make of it: tags, attributes, text; and whether all tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            raise AssertionError(f"</{tag}> closes nothing at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All words, a space between those of different tags."""
        return " ".join(" ".join(self.words).split())


def hostile() -> Roll:
    """A record in which every text is an attack."""
    row = NodeRow(
        node=EVIL,
        pool=EVIL,
        role=EVIL,
        fault_domain=EVIL,
        image_before=EVIL,
        image_after=EVIL,
        boots=1,
        data_disks_kept=False,
    )
    moved = AttachTime(
        volume=EVIL, pod=EVIL, from_node=EVIL, to_node=EVIL, evicted_s=0, detached_s=1, attached_s=2, ready_s=3
    )
    return Roll(
        stack=EVIL,
        seed=1,
        image_from=EVIL,
        image_to=EVIL,
        written=EVIL,
        succeeded=False,
        bring_up_s=1,
        roll_s=10,
        faults=(EVIL,),
        plan=(EVIL,),
        nodes=(row,),
        spans=(
            Span(node=EVIL, phase=EVIL, start_s=0, end_s=5, detail=EVIL),
            Span(node="x\x00\u202ey", phase="boot", start_s=5, end_s=None),
        ),
        series=(Series(key=EVIL, title=EVIL, unit=EVIL, samples=(Sample(at_s=0, value=1),), limit=0, limit_is=EVIL),),
        attaches=(moved,),
        waits=(Wait(node=EVIL, what=EVIL, start_s=0, end_s=1, limit_s=0, met=False),),
        laws=(Law(name=EVIL, text=EVIL, broken=(EVIL,)),),
        failures=(Failure(at_s=5, node=EVIL, text=f"{EVIL} `{EVIL}` Remedy: {EVIL}"),),
        journal=(EVIL,),
    )


@pytest.fixture(scope="module")
def thousand() -> str:
    return html.render(example(workers=997, lanes=40))


class TestPageIsSelfContained:
    """It opens from disk without a network and runs nothing."""

    @pytest.mark.parametrize("roll", [example(), example(halt_at="w4"), example(law_broken=True), hostile()])
    def test_fetches_nothing_and_has_no_script(self, roll: Roll) -> None:
        page = Page(html.render(roll))
        assert page.stack == []
        assert {"script", "link", "img", "iframe", "object", "embed", "base", "form"}.isdisjoint(
            t for t, _ in page.tags
        )
        for tag, attributes in page.tags:
            assert not [name for name in attributes if name.startswith("on") or name in {"src", "xlink:href"}], tag
            assert (attributes.get("href") or "#").startswith("#")
            assert "url(" not in (attributes.get("style") or "")

    def test_its_own_policy_forbids_both(self) -> None:
        policy = [
            a["content"]
            for t, a in Page(html.render(example())).tags
            if a.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]

    def test_its_style_fetches_nothing(self) -> None:
        page = html.render(example())
        style = page[page.index("<style>") : page.index("</style>")]
        assert "url(" not in style
        assert "@import" not in style


class TestTextsAreEscaped:
    """Whatever a name or an error holds, the page shows it as text."""

    def test_an_attack_is_only_shown(self) -> None:
        page = html.render(hostile())
        assert "<script" not in page
        assert "<img" not in page
        assert "<script>alert(1)</script>" in Page(page).text

    def test_control_characters_and_direction_overrides_do_not_pass(self) -> None:
        page = html.render(hostile())
        assert not {"\x00", "\u202e"} & set(page)

    def test_the_page_can_be_written_as_utf_8(self) -> None:
        roll = example().model_copy(update={"journal": ("\ud800",)})
        html.render(roll).encode()


class TestSameRecordSameBytes:
    """A report is a function of its record."""

    def test_twice(self) -> None:
        assert html.render(example(halt_at="w4")) == html.render(example(halt_at="w4"))

    def test_only_the_date_differs_if_only_the_date_does(self) -> None:
        later = example().model_copy(update={"written": "LATER"})
        assert html.render(later).replace("LATER", example().written) == html.render(example())


class TestPageShows:
    """What an engineer wants to see, the most important thing first."""

    @pytest.mark.parametrize(
        "sections",
        [
            [
                "nodes replaced",
                "44.20260621.3.1",
                "Lowest etcd margin",
                "Timeline",
                "Where the time of a node goes",
                "Volumes that moved",
                "What was waited for",
                "Laws",
                "Nodes",
                "Plan",
                "Failures",
                "Journal",
            ]
        ],
    )
    def test_in_order(self, sections: list[str]) -> None:
        text = Page(html.render(example())).text
        body = text[text.index("ingot rehearsal") :]
        places = [
            body.index(s) if s not in {"Laws", "Nodes", "Plan", "Failures", "Journal"} else body.rindex(s)
            for s in sections
        ]
        assert places == sorted(places)

    def test_a_halt_before_everything_but_the_verdict(self) -> None:
        text = Page(html.render(example(halt_at="w4"))).text
        assert text.index("w4 halted at 1:24:26") < text.index("What to do") < text.index("Lowest etcd margin")

    def test_a_broken_law_before_a_halt(self) -> None:
        text = Page(html.render(example(halt_at="w4", law_broken=True))).text
        assert text.index("Law broken: redundancy") < text.index("w4 halted at") < text.index("Lowest etcd margin")

    def test_a_broken_law_first_among_the_laws(self) -> None:
        laws = Page(html.render(example(law_broken=True))).text.split("Checked whenever")[1]
        assert laws.index("redundancy") < laws.index("broken 1 time; checked 18,402 times") < laws.index("quorum")

    def test_a_tooltip_for_each_phase_of_each_node(self) -> None:
        roll = example()
        assert len([t for t, _ in Page(html.render(roll)).tags if t == "title"]) == 1 + len(roll.spans)

    def test_that_a_wait_ran_out(self) -> None:
        assert "100 %, ran out" in Page(html.render(example(halt_at="w4"))).text

    def test_that_a_wait_came_near_its_limit_unless_it_was_meant_to(self) -> None:
        def meters(what: str, end_s: float) -> int:
            wait = Wait(node="w1", what=what, start_s=0, end_s=end_s, limit_s=10, met=True)
            page = Page(html.render(example().model_copy(update={"waits": (wait,)})))
            return len([1 for _, attributes in page.tags if attributes.get("class") == "meter near"])

        assert [meters("boot", 8), meters("boot", 7.9), meters("soak", 10)] == [1, 0, 0]

    def test_how_often_laws_were_checked(self) -> None:
        assert "never broken; checked 18,402 times" in Page(html.render(example())).text

    def test_that_nothing_was_checked(self) -> None:
        page = Page(html.render(example().model_copy(update={"laws": ()})))
        assert "this report proves nothing about them" in page.text


class TestLargeRollsStayReadable:
    """What is left out is said."""

    def test_a_thousand_nodes_stay_below_five_megabytes(self, thousand: str) -> None:
        assert len(thousand.encode()) < 5_000_000

    def test_tables_say_how_much_more_there_is(self, thousand: str) -> None:
        text = Page(thousand).text
        assert "700 more: 700 replaced" in text
        assert "4,925 more, all shorter" in text

    def test_halted_nodes_are_never_among_those_left_out(self) -> None:
        page = Page(html.render(example(workers=310, lanes=40, halt_at="w300")))
        assert page.text.split("Data disks Outcome")[1].split()[0] == "w300"

    def test_a_long_journal_keeps_its_beginning_and_its_end(self) -> None:
        lines = tuple(f"[{i}] line" for i in range(5000))
        text = Page(html.render(example().model_copy(update={"journal": lines}))).text
        assert "[0] line" in text
        assert "[4999] line" in text
        assert "[2000] line" not in text
        assert "2,000 more lines left out here" in text

    def test_texts_without_end_are_cut(self) -> None:
        huge = Failure(at_s=1, node="w1", text="x" * 5_000_000)
        roll = example().model_copy(update={"succeeded": False, "failures": (huge,), "journal": ("y" * 5_000_000,)})
        page = html.render(roll)
        assert len(page) < 500_000
        assert "more characters)" in page
