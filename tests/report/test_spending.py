"""What a roll took: counted in node-seconds that anybody can add up by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from report import html, markdown
from report.estimates import compared
from report.evidence import read, roll
from report.example import example
from report.record import Failure, Pool, Span
from report.spending import Price, hours, most_at_once, out_of_service, spent, surplus
from tests.report.fleet import JOINING, LEAVING, OUT_S, PHASES, WORKERS, rolled, way
from tests.report.lines import SERVED_S, Recorded
from tests.report.test_html import Page

CONTROL_PLANE = Pool(name="control-plane", role="control-plane", hosts=("cp1",))
BLUE_GREEN = WORKERS.model_copy(update={"strategy": "blue-green", "max_unavailable": 2})
OLD, NEW = "-0a1b2c3d", "-4e5f6a7b"


class TestOutOfService:
    """From the cordon until the node serves again; never while it only waits for its turn."""

    def test_a_whole_turn(self) -> None:
        assert out_of_service(way("w1", 0), 999) == ((60, 460),)

    def test_a_soak_is_served(self) -> None:
        assert out_of_service(way("w1", 0, (*PHASES, ("soak", 120))), 999) == ((60, 460),)

    def test_a_node_that_did_not_come_back_is_out_until_the_end(self) -> None:
        assert out_of_service(way("w1", 0, until="boot"), 999) == ((60, 999),)

    def test_a_node_that_only_waited_was_never_out(self) -> None:
        assert out_of_service(way("w1", 0, until="gates"), 999) == ()

    def test_a_halt_in_the_last_phase_is_no_return(self) -> None:
        assert out_of_service(way("w1", 0), 999, halts=[460]) == ((60, 999),)

    def test_a_halt_and_what_went_on_later_are_one_absence(self) -> None:
        halted = way("w1", 0, LEAVING[:4])
        assert out_of_service([*halted, *way("w1", 1000)], 1450, halts=[120]) == ((60, 1460),)

    def test_two_turns_are_two(self) -> None:
        assert out_of_service([*way("w1", 0), *way("w1", 1000)], 1460) == ((60, 460), (1060, 1460))


class TestSurplus:
    """Machines beyond the declared ones, from the first phase of a new one until an old one is gone."""

    def test_each_new_machine_stands_beside_an_old_one_until_that_is_gone(self) -> None:
        ways = {"w1" + NEW: way("w1" + NEW, 0, JOINING), "w1" + OLD: way("w1" + OLD, 270, LEAVING)}
        assert surplus(ways, 999) == ((0, 460),)

    def test_an_old_one_that_has_not_gone_counts_until_the_end(self) -> None:
        ways = {"w1" + NEW: way("w1" + NEW, 0, JOINING), "w1" + OLD: way("w1" + OLD, 270, until="drain")}
        assert surplus(ways, 999) == ((0, 999),)

    def test_what_ends_as_another_begins_does_not_overlap(self) -> None:
        assert most_at_once([(0, 10), (10, 20), (15, 25), (5, 5)]) == 2


class TestSpent:
    """A line a pool, and one for all."""

    def test_rolling_takes_no_machine_more(self) -> None:
        spans = [*way("cp1", 0), *way("w1", 460), *way("w2", 460), *way("w3", 920)]
        workers = WORKERS.model_copy(update={"price": 2.0, "currency": "EUR"})
        control_plane, pool, everything = spent(rolled(spans, CONTROL_PLANE, workers))
        assert (control_plane.pool, control_plane.replaced, control_plane.out_s) == ("control-plane", 1, OUT_S)
        assert (pool.declared, pool.replaced, pool.wall_s) == (4, 3, 920)
        assert (pool.out_s, pool.out_most) == (3 * OUT_S, 2)
        assert (pool.surge_s, pool.surge_most, pool.surge_cost) == (0, 0, "0 EUR")
        assert (everything.replaced, everything.declared) == (4, 5)
        assert (everything.out_s, everything.wall_s) == (4 * OUT_S, 1380)

    def test_blue_green_takes_machines_and_nobody_is_missed(self) -> None:
        spans = []
        for i, host in enumerate(("w1", "w2")):
            spans += way(host + NEW, i * 100, JOINING)
            spans += way(host + OLD, 400, LEAVING)
        pool = BLUE_GREEN.model_copy(update={"hosts": ("w1", "w2"), "price": 3.6, "currency": "EUR"})
        (found,) = spent(rolled(spans, pool))
        assert (found.out_s, found.out_most) == (0, 0)
        assert (found.surge_s, found.surge_most) == (590 + 490, 2)
        assert found.surge_cost == "1.08 EUR"

    def test_a_first_bring_up_takes_nobody_out(self) -> None:
        (found,) = spent(rolled(way("w1", 0, JOINING), WORKERS))
        assert (found.replaced, found.out_s) == (1, 0)

    def test_a_halted_node_counts_until_the_end(self) -> None:
        halt = Failure(at_s=120, node="w1", text="pv-7 attached")
        (found,) = spent(rolled(way("w1", 0, LEAVING[:4]), WORKERS, roll_s=500, failures=(halt,)))
        assert (found.replaced, found.out_s) == (0, 440)

    def test_prices_of_two_currencies_are_not_added(self) -> None:
        pools = (
            CONTROL_PLANE.model_copy(update={"price": 1.0, "currency": "EUR"}),
            WORKERS.model_copy(update={"price": 1.0, "currency": "USD"}),
        )
        everything = spent(rolled([*way("cp1", 0), *way("w1", 460)], *pools))[-1]
        assert everything.surge_cost == ""

    def test_without_a_stack_file_it_is_still_counted(self, tmp_path: Path) -> None:
        recorded = Recorded(tmp_path / "metal.jsonl")
        recorded.replaced("w1")
        told = roll("metal", read(recorded.lines()).events, (), {}, "now")
        (found,) = spent(told)
        assert (found.declared, found.out_s) == (None, SERVED_S - 3)
        assert "The stack file is not known here" in Page(html.render(told)).text

    def test_nothing_happened(self) -> None:
        assert spent(rolled([], WORKERS)) == ()
        assert 'id="cost"' not in html.render(rolled([], WORKERS))


class TestInWords:
    """Hours beside each other, and amounts in the currency that was said."""

    @pytest.mark.parametrize(
        ("seconds", "said"), [(0, "0 h"), (5400, "1.5 h"), (3, "< 0.01 h"), (7_200_000, "2,000 h")]
    )
    def test_hours(self, seconds: float, said: str) -> None:
        assert hours(seconds) == said

    @pytest.mark.parametrize(("currency", "said"), [("EUR", "0.32 EUR"), ("", "0.32")])
    def test_a_price(self, currency: str, said: str) -> None:
        assert Price(0.21, currency).of(5400) == said


class TestInTheReport:
    """The page and the comment say the same; without a price neither speaks of money."""

    def test_both(self) -> None:
        page, text = Page(html.render(example())).text, markdown.render(example())
        for shown in (page, text):
            assert "Cost and time" in shown
            assert "0.46 h" in shown
            assert "what its hosts keep on their disks stays with them" in shown
            assert "Price" not in shown

    def test_the_price_that_was_given(self) -> None:
        told = example()
        pools = tuple(p.model_copy(update={"price": 0.21, "currency": "EUR", "keeps": False}) for p in told.pools)
        priced = told.model_copy(update={"pools": pools})
        page, text = Page(html.render(priced)).text, markdown.render(priced)
        workers = next(c for c in compared(priced) if c.new)
        assert workers.new is not None
        assert workers.cost(workers.new) == Price(0.21, "EUR").of(workers.new.surge_s)
        assert "Price of the surge" in page
        assert workers.cost(workers.new) in page
        assert f"({workers.cost(workers.new)})" in text

    def test_an_open_phase_of_a_stranger(self) -> None:
        told = example()
        stranger = Span(node="x", phase="drain", start_s=1, end_s=None)
        html.render(told.model_copy(update={"spans": (*told.spans, stranger)}))
