"""What steps left behind becomes the report's record; what cannot be read is counted and named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from report import html, markdown
from report.evidence import Known, NoEvidence, last_roll, read, roll
from report.record import Roll, Source
from report.summary import Fate, summarise
from tests.report.lines import SERVED_S, ZERO_S, Recorded

WORKER = Known("workers", "worker", "rack-a")


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "metal.jsonl")


def rolled(recorded: Recorded, *more: str, **known: Known) -> Roll:
    found = read([*recorded.lines(), *more])
    return roll("metal", found.events, found.unread, known, "now")


def moment(after_s: float) -> str:
    return f"2026-11-25T10:{int(after_s) // 60:02}:{int(after_s) % 60:02}Z"


class TestARollThatWent:
    """Two workers, one after another."""

    @pytest.fixture
    def told(self, recorded: Recorded) -> Roll:
        recorded.replaced("w1")
        recorded.replaced("w2", 600)
        return rolled(recorded, w1=WORKER, w2=WORKER)

    def test_each_phase_lasts_until_the_next_begins(self, told: Roll) -> None:
        drain = next(s for s in told.spans if (s.node, s.phase) == ("w2", "drain"))
        assert (drain.start_s, drain.end_s) == (604.0, 624.0)
        attach = next(s for s in told.spans if (s.node, s.phase) == ("w1", "attach"))
        assert attach.end_s == SERVED_S

    def test_its_verdict(self, told: Roll) -> None:
        assert (told.source, told.began, told.succeeded) == (Source.REAL, "2026-11-25 10:00:00 UTC", True)
        assert summarise(told).headline == "2 of 2 nodes replaced, in 18 min 40 s"
        assert told.image_to == "OS 2"
        assert [(r.node, r.pool, r.image_after) for r in told.nodes] == [
            ("w1", "workers", "OS 2"),
            ("w2", "workers", "OS 2"),
        ]

    def test_nothing_that_nobody_measured_is_claimed(self, told: Roll) -> None:
        assert (told.series, told.laws, told.plan) == ((), (), ())
        page, text = html.render(told), markdown.render(told)
        for shown in (page, text):
            assert "nothing was lost" not in shown
            assert "never broken" not in shown
            assert "Not in this record, and so not drawn:" in shown
            assert "I/O latency" in shown
        assert 'class="row chart' not in page
        assert "Simulated rack" not in page
        assert "NOT kept" not in page
        assert "not kept" not in text

    def test_a_declared_node_that_said_nothing_is_named(self, recorded: Recorded) -> None:
        recorded.replaced("w1")
        assert any("what became of w6" in what for what in rolled(recorded, w1=WORKER, w6=WORKER).left_out)


class TestARollThatDidNot:
    """Halted, killed, or still running: three things."""

    def test_halted(self, recorded: Recorded) -> None:
        recorded.replaced("w1", until="detach")
        recorded.at(324).waited("w1", "no volume attached", ZERO_S + 24, ZERO_S + 324, 300, False)
        recorded.at(324).end("w1", "halted: node w1: pv-7 attached. Remedy: runbooks/detach.md#stuck")
        told = rolled(recorded)
        assert not told.succeeded
        summary = summarise(told)
        assert summary.headline.startswith("Halted at w1: 0 of 1 node replaced")
        assert [(h.node, h.what, h.remedy) for h in summary.standing] == [
            ("w1", "node w1: pv-7 attached.", "runbooks/detach.md#stuck")
        ]
        assert (told.waits[0].start_s, told.waits[0].end_s, told.waits[0].met) == (24.0, 324.0, False)

    def test_halted_and_gone_on(self, recorded: Recorded) -> None:
        recorded.replaced("w1", until="detach")
        recorded.at(324).end("w1", "halted: pv-7 attached")
        recorded.replaced("w1", 400)
        told = rolled(recorded)
        assert told.succeeded
        assert "it halted 1 time on the way" in summarise(told).subline

    def test_said_nothing_further(self, recorded: Recorded) -> None:
        recorded.replaced("w1")
        recorded.replaced("w2", 600, until="boot")
        told = rolled(recorded)
        assert summarise(told).headline.startswith("Not finished: 1 of 2 nodes replaced")
        assert [f for _, f in summarise(told).fates] == [Fate.REPLACED, Fate.UNFINISHED]

    def test_a_first_bring_up_replaces_nothing(self, recorded: Recorded) -> None:
        for after_s, phase in ((0, "install"), (200, "boot"), (400, "credentials")):
            recorded.at(after_s).begin("w1", phase)
        recorded.at(500).end("w1", "served")
        assert summarise(rolled(recorded)).headline == "1 of 1 node brought in, in 8 min 20 s"


class TestVolumes:
    """A volume's way is said again as it goes on; the last word counts."""

    def line(self, **fields: object) -> str:
        of = {"at": moment(90), "node": "w1", "event": "volume", "volume": "pv-1", "pod": "a/db-0", "to": ""}
        return json.dumps({**of, "evicted": moment(10), "detached": None, "attached": None, "ready": None, **fields})

    def test_the_last_word_counts(self, recorded: Recorded) -> None:
        recorded.replaced("w1")
        on_its_way = self.line(detached=moment(20))
        there = self.line(to="w2", detached=moment(20), attached=moment(25), ready=moment(40))
        (attach,) = rolled(recorded, on_its_way, there).attaches
        assert (attach.from_node, attach.to_node) == ("w1", "w2")
        assert (attach.evicted_s, attach.detached_s, attach.attached_s, attach.ready_s) == (10, 20, 25, 40)

    def test_of_two_moves_there_are_two(self, recorded: Recorded) -> None:
        recorded.replaced("w1")
        assert len(rolled(recorded, self.line(), self.line(evicted=moment(70))).attaches) == 2


class TestLinesThatCannotBeRead:
    """They are counted and named, and all others are drawn."""

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ('{"at": "2026-11-25T10', "not JSON"),
            ("\x00\x00", "not JSON"),
            ("[1]", "not a JSON object"),
            ('"text"', "not a JSON object"),
            ("[" * 5000, "not JSON"),
            ('{"event": "gauge"}', "an event 'gauge' that this version does not know"),
            ("{}", "an event None that this version does not know"),
            ('{"event": ["begin"]}', "an event ['begin'] that this version"),
            ('{"event": "begin", "node": "w1", "phase": "drain"}', "begin with at"),
            ('{"event": "begin", "at": "yesterday", "node": "w1", "phase": "drain"}', "begin with at"),
            ('{"event": "begin", "at": "2026-11-25T10:00:00", "node": "w1", "phase": "drain"}', "begin with at"),
            ('{"event": "begin", "at": "2026-11-25T10:00:00Z", "node": 1, "phase": "drain"}', "begin with node"),
            ('{"event": "end", "at": "2026-11-25T10:00:00Z", "node": "w1"}', "end with outcome"),
            (
                '{"event": "waited", "at": "2026-11-25T10:00:00Z", "node": "w1", "what": "x", "start": '
                '"2026-11-25T10:00:00Z", "end": "2026-11-25T10:00:00Z", "limit_s": NaN, "met": true}',
                "waited with limit_s",
            ),
            ("x" * 200_000, "longer than"),
        ],
    )
    def test_is_named(self, recorded: Recorded, line: str, why: str) -> None:
        recorded.replaced("w1")
        found = read([*recorded.lines(), line])
        (unread,) = found.unread
        assert (unread.number, unread.why[: len(why)]) == (len(recorded.lines()) + 1, why)
        assert len(found.events) == len(recorded.lines())
        told = roll("metal", found.events, found.unread, {}, "now")
        assert "Lines that could not be read" in html.render(told)
        assert "Lines that could not be read (1)" in markdown.render(told)

    def test_empty_lines_are_no_matter(self) -> None:
        assert read(["", "\n", "  \n"]).unread == ()

    def test_what_a_newer_version_adds_to_an_event_is_no_matter(self) -> None:
        assert read(['{"event":"note","at":"2026-11-25T10:00:00Z","node":"w1","text":"x","more":1}']).unread == ()

    def test_texts_of_the_file_are_no_code(self, recorded: Recorded) -> None:
        evil = "<script>alert(1)</script>"
        recorded.at(0).begin(evil, evil, evil)
        recorded.at(5).note(evil, evil)
        recorded.at(9).end(evil, f"halted: {evil}")
        page = html.render(rolled(recorded, f'{{"event": "{evil}"}}'))
        assert "<script>" not in page


class TestWhichRoll:
    """A file holds months; the last roll begins after the last long silence."""

    def test_the_last(self, recorded: Recorded) -> None:
        recorded.replaced("w1")
        recorded.replaced("w1", 90_000)
        recorded.replaced("w2", 90_600)
        found = last_roll(read(recorded.lines()).events)
        assert found[0].at_s == ZERO_S + 90_000
        assert {e.node for e in found} == {"w1", "w2"}

    @pytest.mark.parametrize(("gap_s", "events"), [(7200, 2), (7201, 1)])
    def test_two_hours_of_silence_end_one(self, recorded: Recorded, gap_s: float, events: int) -> None:
        recorded.at(0).note("w1", "a")
        recorded.at(gap_s).note("w1", "b")
        assert len(last_roll(read(recorded.lines()).events)) == events

    def test_a_long_wait_is_no_silence(self, recorded: Recorded) -> None:
        recorded.at(0).begin("w1", "storage-in")
        done_s = ZERO_S + 14_000
        recorded.at(14_000).waited("w1", "storage is redundant again", ZERO_S + 1, done_s, 20_000, True)
        recorded.at(14_000).end("w1", "served")
        assert len(last_roll(read(recorded.lines()).events)) == 3

    def test_none_of_nothing(self) -> None:
        assert last_roll(()) == ()
        with pytest.raises(NoEvidence, match="expected the events of a roll, found none"):
            roll("metal", (), (), {}, "now")

    def test_events_of_several_steps_are_put_in_order(self, recorded: Recorded) -> None:
        recorded.replaced("w1")
        lines = recorded.lines()
        assert read(lines[::-1]).events[0].at_s == ZERO_S
        assert read(lines).events == read(lines).events


class TestWhereItComesFrom:
    """A rack's clock begins at zero."""

    @pytest.mark.parametrize(("zero_s", "source"), [(0.0, Source.REHEARSED), (ZERO_S, Source.REAL)])
    def test_source(self, tmp_path: Path, zero_s: float, source: Source) -> None:
        recorded = Recorded(tmp_path / "x.jsonl", zero_s)
        recorded.replaced("w1")
        assert rolled(recorded).source is source
