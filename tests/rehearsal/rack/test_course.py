"""Which nodes the plan expects to act: the clock must never wait for one that cannot come."""

from __future__ import annotations

from components.rollout.planner import PoolOrder, Standing, plan
from rehearsal.rack.course import FLEET, Course

POOLS = [
    PoolOrder("control-plane", True, ("cp1", "cp2")),
    PoolOrder("workers", False, ("w1", "w2", "w3"), max_unavailable=2, canary=True),
]


class TestBringUp:
    """New machines boot together; who may come in is decided by the plan."""

    def test_every_machine_is_due_at_once(self) -> None:
        assert Course(plan(POOLS, {})).due == {"cp1", "cp2", "w1", "w2", "w3"}

    def test_a_booted_worker_is_not_due_before_the_control_planes_serve(self) -> None:
        course = Course(plan(POOLS, {}))
        course.machine_done("w1")
        assert "w1" not in course.due
        course.node_done("cp1")
        course.machine_done("cp2")
        course.node_done("cp2")
        assert "w1" in course.due

    def test_the_barrier_comes_last(self) -> None:
        course = Course(plan(POOLS, {}))
        for name in ("cp1", "cp2", "w1", "w2", "w3"):
            assert FLEET not in course.due
            course.node_done(name)
        assert course.due == {FLEET}
        course.node_done(FLEET)
        assert course.finished


class TestRoll:
    """A wave opens when the one before serves; a lane goes node by node."""

    def test_control_planes_then_canary_then_lanes(self) -> None:
        course = Course(plan(POOLS, dict.fromkeys(("cp1", "cp2", "w1", "w2", "w3"), Standing.IN)))
        seen = []
        while not course.finished:
            seen.append(sorted(course.due))
            for name in seen[-1]:
                course.node_done(name)
        assert seen == [["cp1"], ["cp2"], ["w1"], ["w2", "w3"], [FLEET]]

    def test_a_node_that_the_plan_does_not_know_changes_nothing(self) -> None:
        course = Course(plan(POOLS, {}))
        before = set(course.due)
        course.node_done("removed")
        course.machine_done("removed")
        assert course.due == before


class TestSuccession:
    """The turn goes on in the old node's lane, and ends there."""

    def test_old_nodes_are_due_after_the_new_one_serves(self) -> None:
        pool = PoolOrder("web", False, ("b1", "b2"), nodes={h: f"{h}-{'2' * 8}" for h in ("b1", "b2")})
        course = Course(plan([pool], {f"b{i}-{'1' * 8}": Standing.IN for i in (1, 2)}))
        assert (course.due, course.knows("b1-11111111")) == ({"b1-22222222"}, True)
        course.node_done("b1-22222222")
        assert course.due == {"b1-11111111"}
        course.node_left("b1-11111111")
        assert course.due == {"b2-22222222"}
        course.node_left("b1-11111111")
        course.node_left("unheard-of")
        assert course.due == {"b2-22222222"}
