"""What another way to roll would take, against sums that anybody can do by hand."""

from __future__ import annotations

import pytest

from components.rollout.planner import PoolOrder, Standing, plan
from report.estimates import Estimate, compared, estimate, lanes, refused, settings, times
from report.record import Pool
from tests.report.fleet import JOINING, LEAVING, OUT_S, WORKERS, rolled, way

TURN_S = OUT_S + 10
"""With the gates; without the wait for the turn, which is the others' doing."""
IN_S, AWAY_S = 270.0, 140.0
"""A new machine until it serves; an old one from its gates until it is off."""


def like(pool: Pool, **changes: object) -> Pool:
    return pool.model_copy(update=changes)


def all_alike(pool: Pool) -> Estimate:
    """What the pool takes where each of its nodes took one way."""
    return estimate(pool, times(rolled([s for host in pool.hosts for s in way(host, 0)], pool), pool))


class TestTimes:
    """What a node took is its own; the rest take what is usual."""

    def test_of_a_node_that_came_in(self) -> None:
        found = times(rolled(way("w1", 0), WORKERS), WORKERS)["w1"]
        assert (found.gates_s, found.leave_s, found.off_s, found.install_s, found.join_s) == (10, 100, 30, 170, 100)
        assert (found.turn_s, found.out_s, found.in_s, found.away_s) == (TURN_S, OUT_S, IN_S, AWAY_S)

    def test_the_wait_for_a_turn_and_the_soak_are_not_its_own(self) -> None:
        soaked = [*way("w1", 0), *way("w1", 460, (("soak", 900),))]
        assert times(rolled(soaked, WORKERS), WORKERS)["w1"].turn_s == TURN_S

    def test_of_others_the_median(self) -> None:
        spans = [*way("w1", 0), *way("w2", 500, slower=2), *way("w3", 2000, slower=3)]
        found = times(rolled(spans, WORKERS), WORKERS)
        assert found["w4"] == found["w2"]
        assert found["w3"].turn_s == 3 * TURN_S

    def test_a_try_that_halted_does_not_count_beside_the_one_that_went(self) -> None:
        spans = [*way("w1", 0, LEAVING[:4], slower=10), *way("w1", 9000)]
        assert times(rolled(spans, WORKERS), WORKERS)["w1"].turn_s == TURN_S

    def test_a_halted_node_is_not_what_is_usual(self) -> None:
        spans = [*way("w1", 0), *way("w2", 500, until="boot")]
        assert times(rolled(spans, WORKERS), WORKERS)["w2"].turn_s == TURN_S

    def test_where_none_came_in_nothing_is_known(self) -> None:
        assert times(rolled(way("w1", 0, until="boot"), WORKERS), WORKERS) == {}

    def test_old_and_new_node_of_one_host_are_one_way(self) -> None:
        spans = [*way("w1-4e5f6a7b", 0, JOINING), *way("w1-0a1b2c3d", 270, LEAVING)]
        assert times(rolled(spans, WORKERS), WORKERS)["w1"].turn_s == TURN_S


class TestRolling:
    """Turns add up in each lane; the longest lane is the pool's time."""

    @pytest.mark.parametrize(
        ("changes", "wall_s", "headroom"),
        [
            ({}, 4 * TURN_S, 1),
            ({"max_unavailable": 2}, 2 * TURN_S, 2),
            ({"max_unavailable": 3}, 2 * TURN_S, 3),
            ({"max_unavailable": 9}, TURN_S, 4),
            ({"canary": True, "soak_s": 300.0}, 4 * TURN_S + 300, 1),
            ({"canary": True, "soak_s": 300.0, "max_unavailable": 3}, 2 * TURN_S + 300, 3),
        ],
    )
    def test_takes(self, changes: dict[str, object], wall_s: float, headroom: int) -> None:
        found = all_alike(like(WORKERS, **changes))
        assert (found.wall_s, found.headroom) == (wall_s, headroom)
        assert (found.out_s, found.surge_s, found.surge) == (4 * OUT_S, 0, 0)

    def test_a_slow_node_holds_up_its_lane_only(self) -> None:
        spans = [*way("w1", 0, slower=5), *way("w2", 0), *way("w3", 0), *way("w4", 0)]
        pool = like(WORKERS, max_unavailable=2)
        assert estimate(pool, times(rolled(spans, pool), pool)).wall_s == 6 * TURN_S

    def test_control_planes_go_one_at_a_time_whatever_is_set(self) -> None:
        found = all_alike(like(WORKERS, role="control-plane", max_unavailable=3))
        assert (found.wall_s, found.headroom) == (4 * TURN_S, 1)


class TestBlueGreen:
    """In each lane the new machine comes before the old one goes."""

    @pytest.mark.parametrize(("at_once", "turns"), [(1, 4), (2, 2), (4, 1)])
    def test_takes(self, at_once: int, turns: int) -> None:
        found = all_alike(like(WORKERS, strategy="blue-green", max_unavailable=at_once))
        assert found.wall_s == turns * (IN_S + AWAY_S)
        assert (found.out_s, found.headroom, found.surge) == (0, 0, at_once)
        assert found.surge_s == 4 * (IN_S + AWAY_S)

    def test_the_canarys_old_machine_stays_while_it_is_watched(self) -> None:
        found = all_alike(like(WORKERS, strategy="blue-green", max_unavailable=3, canary=True, soak_s=300.0))
        assert found.wall_s == 2 * (IN_S + AWAY_S) + 300
        assert found.surge_s == 4 * (IN_S + AWAY_S) + 300


class TestLanes:
    """As the planner lays them."""

    @pytest.mark.parametrize("max_unavailable", [1, 2, 3, 7])
    @pytest.mark.parametrize("canary", [False, True])
    def test_are_the_planners(self, max_unavailable: int, canary: bool) -> None:
        hosts = tuple(f"w{i}" for i in range(1, 8))
        order = PoolOrder("workers", False, hosts, max_unavailable, canary)
        planned: dict[tuple[int, str], list[str]] = {}
        for node in plan([order], dict.fromkeys(hosts, Standing.IN)).nodes:
            planned.setdefault((node.wave, node.lane), []).append(node.node)
        first, others = lanes(like(WORKERS, hosts=hosts, max_unavailable=max_unavailable, canary=canary))
        assert [tuple(lane) for lane in planned.values()] == [lane for lane in (first, *others) if lane]


class TestCompared:
    """Both ways beside each other, where both are allowed."""

    def test_a_pool_that_may_choose(self) -> None:
        (found,) = compared(rolled(way("w1", 0), WORKERS))
        assert found.new is not None
        assert (found.in_place.wall_s, found.new.wall_s) == (4 * TURN_S, 4 * TURN_S)
        assert (found.in_place.headroom, found.new.headroom) == (1, 0)

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"role": "control-plane"}, "one at a time"),
            ({"keeps": True}, "stays with them"),
            ({"doubles": False}, "is one machine"),
        ],
    )
    def test_a_pool_that_may_not(self, changes: dict[str, object], why: str) -> None:
        pool = like(WORKERS, **changes)
        assert why in refused(pool)
        (found,) = compared(rolled(way("w1", 0), pool))
        assert (found.new, found.why) == (None, refused(pool))

    def test_a_pool_that_nothing_is_known_of_is_left_out(self) -> None:
        assert compared(rolled([], WORKERS)) == ()


class TestSettings:
    """What one change of the stack file is worth."""

    def test_each_of_a_pool(self) -> None:
        pool = like(WORKERS, canary=True, soak_s=300.0)
        found = {s.change: (s.difference_s, s.estimate.headroom) for s in settings(rolled(way("w1", 0), pool))}
        assert found == {
            "": (0, 1),
            "max_unavailable: 2": (-TURN_S, 2),
            "max_unavailable: 3": (-2 * TURN_S, 3),
            "canary: false": (-300, 1),
            "soak_s: 0": (-300, 1),
        }

    def test_a_soak_goes_with_its_canary(self) -> None:
        found = {s.change: s.difference_s for s in settings(rolled(way("w1", 0), like(WORKERS, max_unavailable=4)))}
        assert found["canary: true"] == TURN_S

    def test_control_planes_have_no_choice(self) -> None:
        pool = like(WORKERS, role="control-plane")
        assert settings(rolled(way("w1", 0), pool)) == ()
