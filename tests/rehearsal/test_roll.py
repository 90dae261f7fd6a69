"""A roll of the example fleet, on the real engine: in the planner's order, with nothing lost."""

from __future__ import annotations

from pathlib import Path

from rehearsal.rehearse import rehearse
from rehearsal.session import Options
from report import html, markdown
from tests.rehearsal.fleet import CONTROL_PLANES, NEW, NODES, OLD, WORKERS, Fleet, Outcome


class TestRoll:
    """One up replaces every node, one after another."""

    def test_every_node_serves_on_the_new_image(self, rolled: Outcome) -> None:
        assert rolled.error == ""
        rolled.assert_whole(NEW)

    def test_leaves_follow_the_plan(self, rolled: Outcome) -> None:
        assert rolled.nodes_asked("leave") == CONTROL_PLANES + WORKERS

    def test_the_engine_saw_the_same_order(self, rolled: Outcome) -> None:
        left = [s.split()[-1] for s in rolled.steps if s.startswith("delete") and s.endswith(".membership")]
        joined = [s.split()[-1] for s in rolled.steps if s.startswith("create") and s.endswith(".readiness")]
        assert left == [f"{n}.membership" for n in NODES]
        assert joined == [f"{n}.readiness" for n in NODES]

    def test_each_node_leaves_before_its_machine_goes_and_the_next_waits_for_it(self, rolled: Outcome) -> None:
        verbs = ("leave", "release", "provision", "enrol", "join")
        of_nodes = [v for v in rolled.verbs if v.split()[0] in verbs]
        assert of_nodes == [f"{verb} {node}" for node in NODES for verb in verbs]

    def test_data_disks_keep_what_they_held(self, rolled: Outcome) -> None:
        held = {disk: marker for n in WORKERS for disk, marker in rolled.world.hosts[n].markers.items()}
        assert len(held) == 12
        assert [d for d, marker in held.items() if not marker.endswith(" data")] == []


class TestSecondUp:
    """What is as declared is left alone."""

    def test_nothing_runs_again(self, fleet: Fleet) -> None:
        again = fleet.up(OLD)
        assert again.error == ""
        assert again.verbs == []


class TestSeed:
    """One seed, one report."""

    def test_two_rehearsals_write_the_same_bytes(self, engine: Path, tmp_path: Path) -> None:
        pages = []
        for name in ("first", "second"):
            found = rehearse("metal", image_from=OLD, image_to=NEW, options=Options(seed=7), folder=tmp_path / name)
            roll = found.roll.model_copy(update={"written": "the same moment"})
            assert roll.succeeded, found.error
            pages.append(html.render(roll) + markdown.render(roll))
        assert pages[0] == pages[1]
