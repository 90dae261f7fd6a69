"""A rehearsal leaves the same lines as a real roll, and both are read alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.evidence import events, write
from rehearsal.rehearse import rehearse
from rehearsal.session import Options
from report.compare import pairs
from report.evidence import read, roll
from report.record import Source
from tests.rehearsal.fleet import NEW, NODES, OLD

ENTRIES = (
    {"at": 10.0, "kind": "phase", "name": "roll"},
    {"at": 10.0, "kind": "begin", "node": "w1", "phase": "drain", "detail": "3 pods"},
    {"at": 12.5, "kind": "sample", "key": "nodes_out", "value": 1},
    {
        "at": 31.3,
        "kind": "waited",
        "node": "w1",
        "what": "pods gone",
        "start_s": 10.04,
        "end_s": 31.25,
        "limit_s": 900,
        "met": True,
    },
    {
        "at": 31.3,
        "kind": "volume",
        "node": "w1",
        "volume": "pv-7",
        "claim": "default/data-db-0",
        "from_node": "w1",
        "pod": "default/db-0",
        "evicted_s": 11.0,
        "unmounted_s": 12.0,
        "detached_s": 14.25,
        "to_node": "w2",
        "attached_s": None,
        "ready_s": None,
    },
    {"at": 31.3, "kind": "note", "node": "w1", "text": "a note"},
    {"at": 40.1, "kind": "failure", "node": "w1", "verb": "leave", "text": "halted"},
    {"at": 40.1, "kind": "end", "node": "w1", "outcome": "halted: pv-7"},
)


class TestLines:
    """What is written is what the rehearsal's own report is made from."""

    def test_the_file_reads_as_the_journal_does(self, tmp_path: Path) -> None:
        write(ENTRIES, tmp_path / "x.jsonl")
        found = read((tmp_path / "x.jsonl").read_text().splitlines())
        assert found.unread == ()
        assert found.events == events(ENTRIES)
        assert [e.event for e in found.events] == ["begin", "waited", "volume", "note", "end"]

    def test_a_second_rehearsal_replaces_the_first(self, tmp_path: Path) -> None:
        for _ in range(2):
            write(ENTRIES, tmp_path / "x.jsonl")
        assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 5


class TestARehearsal:
    """Both readers give the same phases and waits for the same roll."""

    @pytest.mark.faults
    def test_gives_one_record_either_way(self, engine: Path, tmp_path: Path) -> None:
        found = rehearse("metal", image_from=OLD, image_to=NEW, options=Options(seed=3), folder=tmp_path / "rack")
        write(found.entries, tmp_path / "metal.jsonl")
        lines = read((tmp_path / "metal.jsonl").read_text().splitlines())
        again = roll("metal", lines.events, lines.unread, {}, "now")
        assert (again.source, again.succeeded, again.unread) == (Source.REHEARSED, True, ())
        assert again.spans == found.roll.spans
        assert again.waits == found.roll.waits
        assert again.roll_s == pytest.approx(found.roll.roll_s)
        assert sorted(row.node for row in again.nodes) == sorted(NODES)
        assert {row.image_after for row in again.nodes} == {f"Fedora CoreOS {NEW}"}
        assert again.attaches
        assert {a.volume for a in again.attaches} <= {a.volume for a in found.roll.attaches}
        assert {p.ratio for p in pairs(again, found.roll)} <= {"1 ×", ""}
