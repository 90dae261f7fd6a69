"""What a roll comes down to."""

from __future__ import annotations

import pytest

from report import series as read
from report.example import example
from report.record import AttachTime, Failure, Law, Roll, Sample, Series, Span, Wait
from report.summary import Fate, Tone, by_length, by_urgency, fate, percentile, summarise, taken_apart


def span(phase: str, start_s: float, end_s: float | None, node: str = "w1") -> Span:
    return Span(node=node, phase=phase, start_s=start_s, end_s=end_s)


def failure(at_s: float, node: str = "w1", text: str = "node w1: expected, found. Remedy: do this.") -> Failure:
    return Failure(at_s=at_s, node=node, text=text)


def series(
    *samples: tuple[float, float], limit: float | None = None, limit_is: str = "max", key: str = "io_p99_ms"
) -> Series:
    made = tuple(Sample(at_s=at, value=value) for at, value in samples)
    return Series(key=key, title="T", unit="ms", samples=made, limit=limit, limit_is=limit_is)


def figure(roll: Roll, label: str) -> tuple[str, str, bool]:
    found = next(f for f in summarise(roll).figures if f.label == label)
    return found.value, found.detail, found.bad


class TestPercentile:
    """Nearest-rank: the smallest value such that at least p % of all are not above it."""

    @pytest.mark.parametrize(("p", "value"), [(5, 15), (30, 20), (40, 20), (50, 35), (99, 50), (100, 50)])
    def test_of_five(self, p: float, value: float) -> None:
        assert percentile([50, 15, 20, 40, 35], p) == value

    @pytest.mark.parametrize(
        ("count", "p", "value"), [(100, 99, 99), (101, 99, 100), (200, 99, 198), (1, 99, 1), (2, 50, 1)]
    )
    def test_of_the_numbers_from_one(self, count: int, p: float, value: float) -> None:
        assert percentile(range(1, count + 1), p) == value

    @pytest.mark.parametrize(("values", "p"), [([], 50), ([1.0], 0), ([1.0], 101)])
    def test_refuses_what_has_none(self, values: list[float], p: float) -> None:
        with pytest.raises(ValueError, match="expected p in"):
            percentile(values, p)


class TestFate:
    """What became of a node is read from its last phase and its failures."""

    def test_replaced_when_its_joining_ended(self) -> None:
        assert fate([span("boot", 0, 5), span("attach", 5, 9)], []) is Fate.REPLACED

    def test_untouched_without_a_phase(self) -> None:
        assert fate([], [failure(3)]) is Fate.UNTOUCHED

    def test_halted_when_its_last_phase_ended_in_a_failure(self) -> None:
        assert fate([span("storage-in", 0, 9)], [failure(9)]) is Fate.HALTED

    def test_halted_when_its_last_phase_never_ended(self) -> None:
        assert fate([span("drain", 0, None)], [failure(9)]) is Fate.HALTED

    def test_replaced_when_it_went_on_after_a_failure(self) -> None:
        assert fate([span("drain", 0, 9), span("drain", 9, 12), span("attach", 12, 20)], [failure(9)]) is Fate.REPLACED

    def test_unfinished_when_it_left_and_nothing_followed(self) -> None:
        assert fate([span("install", 0, 9)], []) is Fate.UNFINISHED

    def test_a_failure_of_another_node_is_not_its_own(self) -> None:
        assert fate([span("attach", 0, 9)], [failure(9, "w2")]) is Fate.REPLACED


class TestHeadline:
    """One sentence, and it claims no more than the record shows."""

    def test_of_a_roll_that_went_through(self) -> None:
        told = summarise(example().model_copy(update={"roll_s": 6720}))
        assert (told.tone, told.headline) == (Tone.GOOD, "9 of 9 nodes replaced, nothing was lost, in 1 h 52 min")
        assert told.subline == ""
        assert told.standing == ()

    def test_of_a_halt_names_the_node(self) -> None:
        told = summarise(example(halt_at="w4"))
        assert told.tone is Tone.HALTED
        assert told.headline.startswith("Halted at w4: 6 of 9 nodes replaced, nothing was lost, after 1 h")
        assert told.subline == "w4 stands halted; w5 and w6 were not reached."

    def test_a_halt_says_what_to_do(self) -> None:
        (halt,) = summarise(example(halt_at="w4")).standing
        assert "still attached: pv-7" in halt.what
        assert halt.remedy.startswith("runbooks/detach.md#stuck")

    def test_a_broken_law_comes_first_even_if_the_roll_went_through(self) -> None:
        told = summarise(example(law_broken=True))
        assert told.tone is Tone.BROKEN
        assert told.headline.startswith("A law was broken: redundancy.")
        assert "nothing was lost" not in told.headline

    def test_does_not_say_that_nothing_was_lost_if_no_law_was_checked(self) -> None:
        assert "lost" not in summarise(example().model_copy(update={"laws": ()})).headline

    def test_a_data_disk_that_was_not_kept_is_loud(self) -> None:
        roll = example()
        rows = tuple(r.model_copy(update={"data_disks_kept": r.node != "w2"}) for r in roll.nodes)
        told = summarise(roll.model_copy(update={"nodes": rows}))
        assert told.tone is Tone.BROKEN
        assert "data disks of w2 were not kept" in told.headline
        assert "nothing was lost" not in told.headline

    def test_of_a_roll_with_nothing_to_do(self) -> None:
        nothing = example().model_copy(update={"spans": (), "roll_s": 4.0})
        assert summarise(nothing).headline == "Nothing to replace: every node is as pinned"

    def test_of_a_roll_that_halted_and_went_on(self) -> None:
        roll = example()
        w2 = next(s for s in roll.spans if s.node == "w2")
        told = summarise(roll.model_copy(update={"failures": (failure(w2.start_s, "w2"),)}))
        assert told.tone is Tone.GOOD
        assert told.subline == "it halted 1 time on the way and went on once the cause was gone."
        assert told.standing == ()

    def test_a_limit_that_was_crossed_is_said(self) -> None:
        roll = example()
        tight = tuple(s.model_copy(update={"limit": 1.0}) if s.key == "io_p99_ms" else s for s in roll.series)
        told = summarise(roll.model_copy(update={"series": tight}))
        assert "I/O latency, 99th percentile: 2.89 ms, where at most 1 ms was allowed" in told.subline

    def test_of_a_roll_that_failed_without_a_word(self) -> None:
        told = summarise(example().model_copy(update={"succeeded": False}))
        assert told.tone is Tone.HALTED
        assert told.headline.startswith("Halted: 9 of 9 nodes replaced")


class TestHalt:
    """A failure's text is what the user saw; the remedy stands behind its word."""

    def test_is_taken_apart(self) -> None:
        halt = taken_apart(failure(3661, "w2", "node w2: no.\nRemedy: look at\nRemedy: twice"))
        assert (halt.at, halt.node, halt.what, halt.remedy) == (
            "1:01:01",
            "w2",
            "node w2: no.",
            "look at\nRemedy: twice",
        )

    def test_without_a_remedy_keeps_its_text(self) -> None:
        halt = taken_apart(failure(0, "w2", "bare text"))
        assert (halt.what, halt.remedy) == ("bare text", "")

    def test_only_the_last_one_of_a_node_still_stands(self) -> None:
        roll = example(halt_at="w4")
        early = failure(roll.failures[0].at_s - 100, "w4", "earlier")
        told = summarise(roll.model_copy(update={"failures": (early, *roll.failures)}))
        assert [h.what == "earlier" for h in told.standing] == [False]
        assert len(told.halts) == 2


class TestKeyFigures:
    """Each figure is the worst of its series, beside its limit."""

    def test_of_the_example(self) -> None:
        roll = example()
        assert figure(roll, "Lowest etcd margin") == ("0", "members that could still fail; limit: at least 0", False)
        assert figure(roll, "Most nodes out") == ("1", "of 9 nodes; limit: at most 1", False)
        assert figure(roll, "I/O p99, quiet → worst")[0] == "0.9 → 2.9 ms"
        assert figure(roll, "Most volumes degraded")[1].startswith("14 replicas missing; for 1 h")

    def test_beyond_its_limit_is_bad(self) -> None:
        roll = example().model_copy(
            update={"series": (series((0, 1), (5, -1), (9, 1), limit=0, limit_is="min", key="etcd_margin"),)}
        )
        assert figure(roll, "Lowest etcd margin")[0] == "-1"
        assert figure(roll, "Lowest etcd margin")[2]

    def test_a_volume_that_never_got_ready_is_bad(self) -> None:
        moved = AttachTime(
            volume="v", pod="p", from_node="a", to_node="b", evicted_s=0, detached_s=8, attached_s=12, ready_s=30
        )
        stuck = moved.model_copy(update={"ready_s": None})
        value, detail, bad = figure(example().model_copy(update={"attaches": (moved, stuck)}), "Volume back, p50 / p99")
        assert (value, bad) == ("30 s / 30 s", True)
        assert detail == "eviction to ready, 1 of 2 moves; attach alone 4 s / 4 s"

    def test_a_soak_is_not_the_longest_wait(self) -> None:
        soak = Wait(node="w1", what="soak", start_s=0, end_s=600, limit_s=600, met=True)
        boot = Wait(node="w2", what="boot", start_s=0, end_s=60, limit_s=600, met=True)
        roll = example().model_copy(update={"waits": (soak, boot)})
        assert figure(roll, "Longest wait") == ("1 min", "w2: boot, 10 % of its limit", False)

    def test_are_left_out_where_nothing_was_measured(self) -> None:
        bare = example().model_copy(update={"series": (), "attaches": (), "waits": ()})
        assert summarise(bare).figures == ()


class TestSeries:
    """A value holds until the next sample."""

    def test_the_last_sample_of_a_moment_counts(self) -> None:
        assert read.held(series((0, 1), (5, 2), (5, 3)), 9) == ((0, 5, 1), (5, 9, 3))

    def test_worst_is_on_the_side_of_the_limit(self) -> None:
        assert read.worst(series((0, 1), (5, 3))) == 3
        assert read.worst(series((0, 1), (5, 3), limit=0, limit_is="min")) == 1

    def test_at_its_limit_is_not_beyond_it(self) -> None:
        assert not read.crossed(series((0, 2), limit=2))
        assert read.crossed(series((0, 2.1), (1, 0), limit=2))

    def test_quiet_is_weighted_by_time_while_no_node_is_out(self) -> None:
        io = series((0, 5), (1, 0.9), (20, 3), (30, 1.1))
        out = series((0, 0), (20, 1), (30, 0), key="nodes_out")
        assert read.quiet_value(io, out, 32) == 0.9

    def test_quiet_is_the_first_value_if_a_node_is_always_out(self) -> None:
        assert read.quiet_value(series((0, 5), (9, 1)), series((0, 1), key="nodes_out"), 20) == 5


class TestOrder:
    """What a reader must look at comes first."""

    def test_waits_that_ran_out_then_the_longest(self) -> None:
        def wait(node: str, start_s: float, end_s: float, met: bool = True) -> Wait:
            return Wait(node=node, what="x", start_s=start_s, end_s=end_s, limit_s=60, met=met)

        waits = [wait("a", 0, 5), wait("b", 0, 50), wait("c", 0, 9, met=False), wait("d", 10, 15)]
        assert [w.node for w in by_urgency(waits)] == ["c", "b", "a", "d"]

    def test_volumes_that_never_got_ready_then_the_longest_way(self) -> None:
        def move(volume: str, evicted_s: float, ready_s: float | None) -> AttachTime:
            return AttachTime(
                volume=volume,
                pod="p",
                from_node="a",
                to_node="b",
                evicted_s=evicted_s,
                detached_s=None,
                attached_s=None,
                ready_s=ready_s,
            )

        assert [a.volume for a in by_length([move("a", 0, 5), move("b", 0, 9), move("c", 3, None)])] == ["c", "b", "a"]


class TestPhases:
    """How long each phase took, in the order in which a node goes through them."""

    def test_only_those_that_ended(self) -> None:
        spans = (span("boot", 0, 10), span("boot", 0, 30, "w2"), span("drain", 0, None), span("slot", 0, 1))
        told = summarise(example().model_copy(update={"spans": spans}))
        assert [(p.phase, p.count, p.p50_s, p.longest_s, p.longest_node, p.total_s) for p in told.phases] == [
            ("slot", 1, 1, 1, "w1", 1),
            ("boot", 2, 10, 30, "w2", 40),
        ]

    def test_laws_counted_or_not_make_the_same_summary(self) -> None:
        roll = example()
        plain = tuple(Law(name=law.name, text=law.text) for law in roll.laws)
        assert summarise(roll.model_copy(update={"laws": plain})) == summarise(roll)
