"""The order of an up, in words, and what holds for every fleet."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.rollout.planner import Plan, PoolOrder, Standing, plan

CONTROL = PoolOrder("control-plane", True, ("cp1", "cp2", "cp3"))
WORKERS = PoolOrder("workers", False, ("w1", "w2", "w3", "w4", "w5", "w6"), max_unavailable=2, canary=True)
BIG = PoolOrder("big", False, ("b1", "b2"))
ALL_IN = {h: Standing.IN for p in (CONTROL, WORKERS, BIG) for h in p.hosts}


def waves(made: Plan) -> list[set[str]]:
    return [{n.node for n in made.nodes if n.wave == wave} for wave in range(1 + max(n.wave for n in made.nodes))]


class TestPlanInWords:
    """What a reader of a pull request sees."""

    def test_first_bring_up_is_one_wave(self) -> None:
        assert plan([WORKERS, CONTROL], {}).in_words() == (
            "wave 0 control-plane control-plane: cp1 cp2 cp3 (new)",
            "wave 0 workers w1: w1 (new)",
            "wave 0 workers w2: w2 (new)",
            "wave 0 workers w3: w3 (new)",
            "wave 0 workers w4: w4 (new)",
            "wave 0 workers w5: w5 (new)",
            "wave 0 workers w6: w6 (new)",
        )

    def test_roll_of_a_fleet_that_serves(self) -> None:
        assert plan([CONTROL, WORKERS, BIG], ALL_IN).in_words() == (
            "wave 0 control-plane control-plane: cp1 cp2 cp3 (control planes one at a time)",
            "wave 1 workers canary: w1 (canary)",
            "wave 2 workers lane 1: w2 w4 w6 (2 out at most)",
            "wave 2 workers lane 2: w3 w5 (2 out at most)",
            "wave 3 big lane 1: b1 b2 (1 out at most)",
        )

    def test_after_a_halt_it_heals_before_it_takes(self) -> None:
        standing = {**ALL_IN, "w3": Standing.OUT, "cp2": Standing.OUT}
        assert plan([CONTROL, WORKERS, BIG], standing).in_words() == (
            "wave 0 control-plane control-plane: cp2 (out: heals first)",
            "wave 0 workers w3: w3 (out: heals first)",
            "wave 1 control-plane control-plane: cp1 cp3 (control planes one at a time)",
            "wave 2 workers canary: w1 (canary)",
            "wave 3 workers lane 1: w2 w5 (2 out at most)",
            "wave 3 workers lane 2: w4 w6 (2 out at most)",
            "wave 4 big lane 1: b1 b2 (1 out at most)",
        )

    def test_growth_comes_before_the_roll(self) -> None:
        standing = {h: s for h, s in ALL_IN.items() if h not in {"w5", "w6"}}
        assert plan([CONTROL, WORKERS], standing).in_words()[:2] == (
            "wave 0 workers w5: w5 (new)",
            "wave 0 workers w6: w6 (new)",
        )


class TestBringUp:
    """Machines boot in parallel; nodes come in where something is there to come into."""

    def test_machines_of_new_nodes_wait_for_nobody(self) -> None:
        assert {n.machine_after for n in plan([CONTROL, WORKERS], {}).nodes} == {None}

    def test_control_planes_come_in_one_after_another(self) -> None:
        made = plan([CONTROL, WORKERS], {}).nodes
        assert [(n.node, n.member_after) for n in made if n.pool == "control-plane"] == [
            ("cp1", None),
            ("cp2", "cp1"),
            ("cp3", "cp2"),
        ]

    def test_workers_come_in_after_the_last_control_plane(self) -> None:
        made = plan([WORKERS, CONTROL], {}).nodes
        assert {n.member_after for n in made if n.pool == "workers"} == {"cp3"}

    def test_control_planes_that_are_out_heal_singly_before_new_ones_join(self) -> None:
        made = plan([CONTROL], {"cp2": Standing.OUT, "cp3": Standing.OUT}).nodes
        assert [(n.node, n.machine_after, n.member_after) for n in made] == [
            ("cp2", None, None),
            ("cp3", "cp2", "cp2"),
            ("cp1", None, "cp3"),
        ]


class TestCanary:
    """One node of a pool goes before the others, alone."""

    def test_is_no_barrier_where_only_one_node_is_left_to_roll(self) -> None:
        pool = PoolOrder("p", False, ("a", "b"), canary=True)
        assert plan([pool], {"a": Standing.IN, "b": Standing.OUT}).in_words() == (
            "wave 0 p b: b (out: heals first)",
            "wave 1 p lane 1: a (1 out at most)",
        )

    def test_of_a_pool_waits_for_the_pool_before(self) -> None:
        second = PoolOrder("second", False, ("s1", "s2"), canary=True)
        made = plan([CONTROL, WORKERS, second], {**ALL_IN, "s1": Standing.IN, "s2": Standing.IN})
        assert waves(made)[-2:] == [{"s1"}, {"s2"}]


BLUE = PoolOrder("web", False, ("b1", "b2", "b3"), 2, nodes={h: f"{h}-{'2' * 8}" for h in ("b1", "b2", "b3")})
OLDER, NEWER = [f"b{i}-{'1' * 8}" for i in (1, 2, 3)], [f"b{i}-{'2' * 8}" for i in (1, 2, 3)]


class TestBlueGreen:
    """A node that succeeds one that serves is no new one: its turn comes, and ends with the other's leave."""

    def test_takes_turns_in_lanes(self) -> None:
        made = plan([CONTROL, BLUE], dict.fromkeys((*CONTROL.hosts, *OLDER), Standing.IN))
        assert made.in_words()[1:] == (
            "wave 1 web lane 1: b1-22222222 b3-22222222 (2 out at most)",
            "wave 1 web lane 2: b2-22222222 (2 out at most)",
        )
        assert [n.succeeds for n in made.nodes if n.pool == "web"] == [(OLDER[0],), (OLDER[2],), (OLDER[1],)]

    def test_canary_goes_alone(self) -> None:
        pool = PoolOrder("web", False, BLUE.hosts, 2, canary=True, nodes=BLUE.nodes)
        assert waves(plan([pool], dict.fromkeys(OLDER, Standing.IN))) == [{NEWER[0]}, set(NEWER[1:])]

    def test_comes_up_at_once_the_first_time(self) -> None:
        assert waves(plan([BLUE], {})) == [set(NEWER)]

    def test_heals_a_host_whose_node_is_out(self) -> None:
        made = plan([BLUE], {**dict.fromkeys(OLDER, Standing.IN), OLDER[1]: Standing.OUT})
        assert made.in_words()[0] == "wave 0 web b2-22222222: b2-22222222 (out: heals first)"

    def test_goes_on_with_one_that_came_half_way(self) -> None:
        made = plan([BLUE], {**dict.fromkeys(OLDER, Standing.IN), NEWER[2]: Standing.OUT})
        assert (made.nodes[0].node, made.nodes[0].succeeds) == (NEWER[2], (OLDER[2],))

    def test_takes_all_that_its_host_ever_left(self) -> None:
        standing = {OLDER[0]: Standing.OUT, "b1": Standing.IN, NEWER[0]: Standing.IN, "b10-11111111": Standing.IN}
        made = plan([BLUE], standing)
        assert {n.node: n.succeeds for n in made.nodes}[NEWER[0]] == ("b1", OLDER[0])

    def test_changes_nothing_for_other_pools(self) -> None:
        known = {**ALL_IN, **dict.fromkeys(OLDER, Standing.IN)}
        with_it = [n for n in plan([CONTROL, WORKERS, BLUE], known).nodes if n.pool != "web"]
        assert tuple(with_it) == plan([CONTROL, WORKERS], ALL_IN).nodes


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[PoolOrder], dict[str, Standing]]:
    """Some pools in file order, control planes anywhere among them, and what is known of their hosts."""
    count = draw(st.integers(1, 4))
    control = draw(st.integers(0, count - 1))
    pools = [
        PoolOrder(
            f"p{i}",
            i == control,
            tuple(f"p{i}h{j}" for j in range(draw(st.integers(1, 8)))),
            draw(st.integers(1, 4)),
            draw(st.booleans()),
        )
        for i in range(count)
    ]
    hosts = [h for p in pools for h in p.hosts]
    standing = draw(st.dictionaries(st.sampled_from(hosts), st.sampled_from(Standing)))
    return pools, standing


def known_in(pool: PoolOrder, standing: Mapping[str, Standing]) -> list[str]:
    return [h for h in pool.hosts if standing.get(h) is Standing.IN]


class TestEveryPlan:
    """Laws of the order, for any fleet in any state."""

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(fleets())
    def test_plans_every_host_exactly_once(self, fleet: tuple[list[PoolOrder], dict[str, Standing]]) -> None:
        pools, standing = fleet
        planned = Counter(n.node for n in plan(pools, standing).nodes)
        assert planned == Counter(h for p in pools for h in p.hosts)

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(fleets())
    def test_gives_a_known_pool_no_more_lanes_than_its_budget(
        self, fleet: tuple[list[PoolOrder], dict[str, Standing]]
    ) -> None:
        pools, standing = fleet
        made = plan(pools, standing)
        for pool in pools:
            known = set(known_in(pool, standing))
            heads = Counter(n.wave for n in made.nodes if n.node in known and n.machine_after is None)
            budget = 1 if pool.control_plane else pool.max_unavailable
            assert all(count <= budget for count in heads.values())

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(fleets())
    def test_heals_and_grows_before_it_takes(self, fleet: tuple[list[PoolOrder], dict[str, Standing]]) -> None:
        pools, standing = fleet
        made = plan(pools, standing)
        absent = {n.node for n in made.nodes if standing.get(n.node) is not Standing.IN}
        first_known = min((n.wave for n in made.nodes if n.node not in absent), default=1)
        assert all(n.wave < first_known for n in made.nodes if n.node in absent)

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(fleets())
    def test_takes_control_planes_before_pools_and_pools_in_file_order(
        self, fleet: tuple[list[PoolOrder], dict[str, Standing]]
    ) -> None:
        pools, standing = fleet
        wave = {n.node: n.wave for n in plan(pools, standing).nodes}
        ordered = sorted(pools, key=lambda p: not p.control_plane)
        spans = [[wave[h] for h in known_in(p, standing)] for p in ordered]
        spans = [s for s in spans if s]
        assert all(max(before) < min(after) for before, after in itertools.pairwise(spans))

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(fleets())
    def test_waits_only_for_nodes_planned_earlier(self, fleet: tuple[list[PoolOrder], dict[str, Standing]]) -> None:
        pools, standing = fleet
        seen: set[str | None] = {None}
        for n in plan(pools, standing).nodes:
            assert {n.machine_after, n.member_after} <= seen
            seen.add(n.node)

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(fleets())
    def test_counts_waves_from_zero_without_gaps(self, fleet: tuple[list[PoolOrder], dict[str, Standing]]) -> None:
        counted = [n.wave for n in plan(*fleet).nodes]
        assert counted == sorted(counted)
        assert set(counted) == set(range(max(counted) + 1))

    @pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
    def test_depends_on_the_order_of_pools_not_of_what_is_known(self, order: list[int]) -> None:
        pools = [(CONTROL, WORKERS, BIG)[i] for i in order]
        assert plan(pools, ALL_IN) == plan(pools, dict(reversed(ALL_IN.items())))
