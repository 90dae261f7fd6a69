"""Clock, delivery, evidence and pins."""

from __future__ import annotations

import io
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.adapters.clock import POLL_S, WallClock, WatchingClock
from lifecycle.adapters.delivery import DirectoryDelivery
from lifecycle.adapters.evidence import FileEvidence
from lifecycle.adapters.pins import Declared, StackFilePins, project_root, stack_file_name
from lifecycle.adapters.place import Folder
from lifecycle.errors import LifecycleError, NeedsAttention
from lifecycle.ports import Claim, ClaimState, Credentials, Erasure, Limits, Move, Pin
from tests.lifecycle.adapters.pinned import pin_of
from tests.lifecycle.adapters.wire_server import StillClock
from tests.lifecycle.fleets import claim

CREDENTIALS = Credentials(
    init=False, endpoint="api.example:6443", token="abcdef.0123456789abcdef", pki={"ca.crt": "PEM"}
)


class TestWallClock:
    """Time that never goes back, and never waits for what is past."""

    def test_it_goes_on(self) -> None:
        clock = WallClock()
        assert clock.now_s() <= clock.now_s()
        assert clock.now_s() > 1_700_000_000

    def test_what_is_past_is_not_waited_for(self) -> None:
        clock = WallClock()
        before_s = clock.now_s()
        clock.wait("pods", before_s - 60)
        clock.sleep(-1)
        assert clock.now_s() - before_s < POLL_S / 2


class Announced:
    """Counts of changes, as a view keeps them; `waits` are those that were asked for."""

    def __init__(self, *counts: int) -> None:
        self.counts, self.waits = list(counts), list[tuple[str, int]]()

    def wait(self, topic: str, since: int, limit_s: float) -> int:
        self.waits.append((topic, since))
        if not self.counts:
            raise NeedsAttention("kubeconfig x", "nothing", "name another")
        return self.counts.pop(0)


class TestWatchingClock:
    """A wait ends with the change; what changed since the last look is not waited for once more."""

    def test_each_wait_goes_on_from_the_one_before(self) -> None:
        view = Announced(7, 9, 9)
        clock = WatchingClock(view)
        for topic in ("node/w1", "pods/w1", "roster"):
            clock.wait(topic, clock.now_s() + 60)
        assert view.waits == [("node/w1", -1), ("pods/w1", 7), ("roster", 9)]

    @pytest.mark.parametrize("topic", ["storage", "etcd", "host/w1"])
    def test_what_no_watch_shows_is_polled(self, topic: str) -> None:
        view = Announced()
        clock = WatchingClock(view)
        clock.wait(topic, clock.now_s())
        assert view.waits == []

    def test_a_view_that_cannot_tell_is_left_aside(self) -> None:
        clock = WatchingClock(Announced())
        clock.wait("node/w1", clock.now_s())  # whoever looks next says what is wrong


class TestDelivery:
    """Join credentials: readable for the web server's group, gone after use, never in a text."""

    def test_they_are_there_as_json(self, tmp_path: Path) -> None:
        DirectoryDelivery(lambda: tmp_path).deliver("cp1", CREDENTIALS)
        file = tmp_path / "once/cp1"
        found = json.loads(file.read_text())
        assert found == {
            "init": False,
            "endpoint": "api.example:6443",
            "token": "abcdef.0123456789abcdef",
            "pki": {"ca.crt": "PEM"},
        }
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert stat.S_IMODE(file.parent.stat().st_mode) & 0o007 == 0

    def test_new_ones_replace_them(self, tmp_path: Path) -> None:
        delivery = DirectoryDelivery(lambda: tmp_path)
        delivery.deliver("cp1", CREDENTIALS)
        delivery.deliver("cp1", Credentials(init=True, endpoint="e"))
        assert json.loads((tmp_path / "once/cp1").read_text())["token"] == ""
        assert [p.name for p in (tmp_path / "once").iterdir()] == ["cp1"]

    def test_withdrawn_twice(self, tmp_path: Path) -> None:
        delivery = DirectoryDelivery(lambda: tmp_path)
        delivery.withdraw("cp1")
        delivery.deliver("cp1", CREDENTIALS)
        delivery.withdraw("cp1")
        delivery.withdraw("cp1")
        assert list((tmp_path / "once").iterdir()) == []

    def test_they_have_no_repr(self) -> None:
        assert "0123456789abcdef" not in repr(CREDENTIALS)
        assert "PEM" not in repr(CREDENTIALS)


class TestEvidence:
    """One line a fact for machines, one for people."""

    def test_lines(self, tmp_path: Path) -> None:
        people, file = io.StringIO(), tmp_path / "evidence/metal.jsonl"
        evidence = FileEvidence(lambda: file, StillClock(1_800_000_000.5), people)
        evidence.begin("w1", "drain", "4 pods")
        evidence.waited("w1", "pods gone", 1_800_000_000, 1_800_000_012, 900, True)
        evidence.waited("w1", "detached", 1_800_000_000, 1_800_000_300, 300, False)
        evidence.note("", "all of the fleet")
        evidence.end("w1", "left")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert lines[0] == {
            "at": "2027-01-15T08:00:00.500Z",
            "node": "w1",
            "event": "begin",
            "phase": "drain",
            "detail": "4 pods",
        }
        assert [line["event"] for line in lines] == ["begin", "waited", "waited", "note", "end"]
        assert (lines[1]["start"], lines[1]["limit_s"], lines[1]["met"]) == ("2027-01-15T08:00:00.000Z", 900, True)
        assert people.getvalue().splitlines() == [
            "w1 drain: 4 pods",
            "w1 waited 12 s for pods gone",
            "w1 gave up after 300 s of 300 s: detached",
            "fleet all of the fleet",
            "w1 left",
        ]

    def test_how_far_a_volume_has_come(self, tmp_path: Path) -> None:
        people, file, start_s = io.StringIO(), tmp_path / "metal.jsonl", 1_800_000_000
        evidence = FileEvidence(lambda: file, StillClock(), people)
        stages = (start_s, start_s + 2.5, start_s + 4)
        evidence.volume("w1", Move("pv-1", "shop/data", "w1", "shop/db-0", *stages, to_node="w2"))
        (line,) = [json.loads(line) for line in file.read_text().splitlines()]
        assert {
            key: line[key] for key in ("event", "volume", "claim", "pod", "to", "evicted", "detached", "ready")
        } == {
            "event": "volume",
            "volume": "pv-1",
            "claim": "shop/data",
            "pod": "shop/db-0",
            "to": "w2",
            "evicted": "2027-01-15T08:00:00.000Z",
            "detached": "2027-01-15T08:00:04.000Z",
            "ready": None,
        }
        assert people.getvalue() == "w1 volume pv-1 after its eviction: unmounted 2.5 s, detached 4.0 s\n"

    def test_two_steps_share_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "metal.jsonl"
        for node in ("w1", "w2", "w1"):
            FileEvidence(lambda: file, StillClock(), io.StringIO()).end(node, "left")
        assert [json.loads(line)["node"] for line in file.read_text().splitlines()] == ["w1", "w2", "w1"]

    def test_half_a_line_spoils_no_other(self, tmp_path: Path) -> None:
        file = tmp_path / "metal.jsonl"
        file.write_text('{"at": "2027-01-15T08:00:00.000Z", "node": "w')
        for node in ("w1", "w2"):
            FileEvidence(lambda: file, StillClock(), io.StringIO()).end(node, "left")
        assert [json.loads(line)["node"] for line in file.read_text().splitlines()[1:]] == ["w1", "w2"]

    def test_a_disk_that_refuses_stops_no_step(self, tmp_path: Path) -> None:
        (tmp_path / "evidence").write_text("in the way")
        people = io.StringIO()
        evidence = FileEvidence(lambda: tmp_path / "evidence/metal.jsonl", StillClock(), people)
        evidence.note("w1", "one")
        evidence.note("w1", "two")
        assert people.getvalue().count("evidence is not kept") == 1
        assert "w1 two" in people.getvalue()

    def test_no_project_stops_no_step(self) -> None:
        def nowhere() -> Path:
            raise NeedsAttention("project", "none", "")

        FileEvidence(nowhere, StillClock(), io.StringIO()).note("w1", "one")


class TestPins:
    """The stack file is read once, from the project around the working directory."""

    def declared(self, root: Path) -> Declared:
        pins = {name: pin_of(name) for name in ("w2", "w1")}
        return Declared(
            pins, Limits(drain_s=7), "api.example:6443", Folder(root / "store"), "https://boot.example", "c"
        )

    def test_what_it_declares(self, tmp_path: Path) -> None:
        asked: list[tuple[Path, str]] = []
        (tmp_path / "Pulumi.yaml").touch()
        (tmp_path / "deep/er").mkdir(parents=True)

        def read(root: Path, stack: str) -> Declared:
            asked.append((root, stack))
            return self.declared(root)

        pins = StackFilePins(tmp_path / "deep/er", "org/ingot/metal", read)
        assert pins.declared() == ("w2", "w1")
        assert pins.pin("w1") == pin_of("w1")
        assert pins.pin("w9") is None
        assert pins.limits().drain_s == 7
        assert pins.rollout().stop_after is None
        assert asked == [(tmp_path, "org/ingot/metal")]

    def test_what_erases_a_disk_is_made_by_whoever_reads_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.yaml").touch()
        left, erasure = claim("w1", ClaimState.LEFT), Erasure("/dev/disk/by-id/os", (), "")

        def refuses(claim: Claim, erasure: Erasure) -> Pin:
            raise ValueError("no image")

        def eraser(made: Declared) -> Pin:
            return StackFilePins(tmp_path, "metal", lambda root, stack: made).eraser(left, erasure)

        declared = self.declared(tmp_path)
        with pytest.raises(NeedsAttention, match="eraser of w1: found nobody who makes it"):
            eraser(declared)
        with pytest.raises(NeedsAttention, match=r"eraser of w1: found no image.*runbooks/boot\.md#erase"):
            eraser(replace(declared, eraser=refuses))
        assert eraser(replace(declared, eraser=lambda claim, erasure: pin_of(claim.node))) == pin_of("w1")

    def test_a_stack_is_named_by_its_last_part(self) -> None:
        assert stack_file_name("org/ingot/metal") == stack_file_name("metal") == "Pulumi.metal.yaml"

    def test_no_project_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsAttention, match=r"no Pulumi\.yaml there or above"):
            project_root(tmp_path)

    def test_every_problem_of_the_file_arrives(self, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.yaml").touch()

        def read(root: Path, stack: str) -> Declared:
            raise ValueError("2 problems:\n  a\n  b")

        with pytest.raises(NeedsAttention, match=r"stack file of metal[\s\S]*2 problems:\n  a\n  b"):
            StackFilePins(tmp_path, "metal", read).declared()

    def test_an_error_of_ours_stays_what_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.yaml").touch()

        def read(root: Path, stack: str) -> Declared:
            raise LifecycleError("as it is")

        with pytest.raises(LifecycleError, match=r"^as it is$"):
            StackFilePins(tmp_path, "metal", read).declared()
