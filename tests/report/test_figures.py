"""Where bars, lines and labels stand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lifecycle.evidence import PHASES
from report.charts import COLUMNS_MAX, charts
from report.example import example
from report.figures import THIN_ABOVE, UNITS, Axis, axis_of, phase_class, timeline
from report.record import Failure, NodeRow, Roll, Sample, Series, Span


def roll_of(
    *spans: Span, nodes: tuple[str, ...] = ("w1",), failures: tuple[Failure, ...] = (), series: tuple[Series, ...] = ()
) -> Roll:
    rows = tuple(
        NodeRow(
            node=n,
            pool="p",
            role="worker",
            fault_domain="a",
            image_before="1",
            image_after="2",
            boots=1,
            data_disks_kept=True,
        )
        for n in nodes
    )
    made = {"nodes": rows, "spans": spans, "failures": failures, "series": series, "roll_s": 100.0}
    return example().model_copy(update=made)


def span(phase: str, start_s: float, end_s: float | None, node: str = "w1") -> Span:
    return Span(node=node, phase=phase, start_s=start_s, end_s=end_s)


def drawn(roll: Roll) -> list[tuple[str, int, int]]:
    return [(b.css, b.x, b.x + b.width) for b in timeline(roll, Axis(0, 100)).rows[0].bars]


def tracks(roll: Roll) -> list[tuple[str, int, int]]:
    return [(b.css, b.x, b.x + b.width) for b in timeline(roll, Axis(0, 100)).rows[0].tracks]


class TestAxis:
    """All figures share one axis; it holds everything that happened."""

    def test_reaches_the_last_thing_that_happened(self) -> None:
        axis = axis_of(roll_of(span("boot", -5, 250), failures=(Failure(at_s=260, node="w1", text=""),)))
        assert (axis.start_s, axis.end_s) == (-5, 260)

    def test_of_a_roll_of_no_length_still_has_one(self) -> None:
        axis = axis_of(roll_of().model_copy(update={"roll_s": 0.0}))
        assert axis.end_s > axis.start_s

    @pytest.mark.parametrize("length_s", [0.5, 59, 60, 3600, 7300, 90000, 5e6])
    def test_has_few_ticks_at_round_moments(self, length_s: float) -> None:
        ticks = Axis(0, length_s).ticks()
        assert 1 <= len(ticks) <= 10
        assert ticks[0].label == "0"
        assert [t.minor for t in ticks[:2]] == [False, True][: len(ticks)]

    def test_holds_what_lies_outside(self) -> None:
        assert (Axis(0, 100).x(-1), Axis(0, 100).x(25), Axis(0, 100).x(101)) == (0, UNITS // 4, UNITS)


class TestRow:
    """A bar per phase; between them what the node was."""

    def test_bars_have_the_place_and_the_colour_of_their_phase(self) -> None:
        assert drawn(roll_of(span("drain", 10, 20), span("boot", 20, 50))) == [
            ("p-drain", 1000, 2000),
            ("p-boot", 2000, 5000),
        ]

    def test_a_phase_that_never_ended_reaches_the_end(self) -> None:
        assert drawn(roll_of(span("drain", 10, None))) == [("p-drain open", 1000, UNITS)]

    def test_a_bar_never_vanishes(self) -> None:
        assert drawn(roll_of(span("slot", 10, 10))) == [("p-slot", 1000, 1001)]

    def test_tooltip_says_node_phase_and_length(self) -> None:
        (row,) = timeline(roll_of(span("drain", 10, 95.4)), Axis(0, 100)).rows
        assert row.bars[0].title == "w1 · drain: 1 min 25 s (0:00:10 to 0:01:35)"

    def test_serves_the_old_image_before_and_the_new_one_after(self) -> None:
        assert tracks(roll_of(span("drain", 10, 20), span("attach", 20, 50))) == [
            ("t-old", 0, 1000),
            ("t-new", 5000, UNITS),
        ]

    def test_is_out_after_a_halt(self) -> None:
        roll = roll_of(span("drain", 10, 20), failures=(Failure(at_s=20, node="w1", text=""),))
        assert tracks(roll) == [("t-old", 0, 1000), ("t-out", 2000, UNITS)]

    def test_still_serves_if_it_halted_before_anything_was_touched(self) -> None:
        roll = roll_of(span("gates", 10, 20), failures=(Failure(at_s=20, node="w1", text=""),))
        assert tracks(roll) == [("t-old", 0, 1000), ("t-old", 2000, UNITS)]

    def test_of_a_node_that_came_in_was_out_before(self) -> None:
        assert tracks(roll_of(span("install", 10, 20), span("attach", 20, 100))) == [("t-out", 0, 1000)]

    def test_of_a_node_that_was_not_reached_serves_throughout(self) -> None:
        assert tracks(roll_of()) == [("t-old", 0, UNITS)]

    def test_no_text_of_the_record_becomes_a_class(self) -> None:
        assert phase_class('"><script>') == "p-other"
        assert [phase_class(p) for p in PHASES] == [f"p-{p}" for p in PHASES]


class TestManyNodes:
    """Readable for a hundred, and not exploding for a thousand."""

    def test_up_to_the_threshold_each_phase_has_its_bar(self) -> None:
        figure = timeline(example(workers=THIN_ABOVE - 3, lanes=5), Axis(0, 30000))
        assert not figure.merged
        assert len([label for label in figure.labels if label.kind == "node"]) == THIN_ABOVE
        assert len(figure.rows[5].bars) == 13

    def test_above_it_phases_merge_into_families(self) -> None:
        figure = timeline(example(workers=THIN_ABOVE - 2, lanes=5), Axis(0, 30000))
        assert figure.merged
        assert [b.css for b in figure.rows[5].bars] == ["f-leaving", "f-replacing", "f-joining"]

    def test_labels_never_overlap(self) -> None:
        tops = [
            float(label.top)
            for label in timeline(example(workers=997, lanes=40), Axis(0, 30000)).labels
            if label.kind == "node"
        ]
        assert min(b - a for a, b in pairwise(tops)) >= 13

    def test_a_node_that_only_the_spans_name_is_drawn(self) -> None:
        figure = timeline(roll_of(span("boot", 1, 2, "stranger")), Axis(0, 100))
        assert [row.node for row in figure.rows] == ["w1", "stranger"]


class TestChart:
    """A step function with its limit; beyond it is loud."""

    @staticmethod
    def series(*samples: tuple[float, float], limit: float | None = None, limit_is: str = "max") -> Series:
        made = tuple(Sample(at_s=at, value=value) for at, value in samples)
        return Series(key="nodes_out", title="T", unit="nodes", samples=made, limit=limit, limit_is=limit_is)

    def test_steps_and_does_not_slope(self) -> None:
        (chart,) = charts(roll_of(series=(self.series((0, 0), (50, 2)),)), Axis(0, 100))
        assert chart.line == "M0 66H5000L5000 2H10000"
        assert (chart.top_text, chart.stat, chart.bad) == ("2", "highest 2", False)

    def test_marks_each_stretch_beyond_its_limit(self) -> None:
        (chart,) = charts(roll_of(series=(self.series((0, 1), (20, 3), (30, 1), (60, 2.5), limit=2),)), Axis(0, 100))
        assert chart.bad
        assert [(b.x, b.width) for b in chart.breaches] == [(2000, 1000), (6000, 4000)]

    def test_below_a_lower_limit_is_beyond_it(self) -> None:
        (chart,) = charts(roll_of(series=(self.series((0, 1), (20, -1), limit=0, limit_is="min"),)), Axis(0, 100))
        assert (chart.bad, chart.stat, chart.bottom_text) == (True, "lowest -1", "-1")

    def test_of_many_samples_keeps_the_one_peak_and_every_breach(self) -> None:
        samples = [(i / 100, 9.0 if i in (5555, 9001) else 1.0) for i in range(10000)]
        (chart,) = charts(roll_of(series=(self.series(*samples, limit=2),)), Axis(0, 100))
        assert chart.condensed
        assert chart.line.count("H") <= COLUMNS_MAX
        assert chart.line.count(" 8.4H") == 2
        assert len(chart.breaches) == 2

    def test_known_ones_come_first_in_a_fixed_order(self) -> None:
        assert [c.key for c in charts(example(), Axis(0, 100))] == [
            "nodes_out",
            "etcd_margin",
            "volumes_degraded",
            "replicas_missing",
            "io_p99_ms",
        ]

    def test_without_samples_is_left_out(self) -> None:
        assert charts(roll_of(series=(self.series(),)), Axis(0, 100)) == ()
