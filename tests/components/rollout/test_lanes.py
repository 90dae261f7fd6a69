"""Whose turn it is: lanes on a registrar that notes what is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.rollout.lanes import Lanes
from components.rollout.planner import PoolOrder, Standing, plan

CONTROL = PoolOrder("control-plane", True, ("cp1", "cp2", "cp3"))
WORKERS = PoolOrder("workers", False, ("w1", "w2", "w3", "w4"), max_unavailable=2)
SERVING = {h: Standing.IN for p in (CONTROL, WORKERS) for h in p.hosts}


class Broken(Exception):
    """A step or the program failed."""


@dataclass
class World:
    """A registrar in which a step ends when `end_one` says so. log: every turn taken, in order."""

    machine_breaks: frozenset[str] = frozenset()
    serve_breaks: frozenset[str] = frozenset()
    leave_breaks: frozenset[str] = frozenset()
    network_breaks: bool = False
    log: list[str] = field(default_factory=list)
    after: dict[str, list[str]] = field(default_factory=dict)
    steps: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    out_most: dict[str, int] = field(default_factory=dict)

    def machine(self, host: str, pool: str, *, machine_after: Sequence[str]) -> str:
        if host in self.machine_breaks:
            raise Broken(host)
        self.log.append(f"{host}.machine")
        self.after[f"{host}.machine"] = list(machine_after)
        self.out.add(host)
        self.out_most[pool] = max(self.out_most.get(pool, 0), sum(h.startswith(host[:1]) for h in self.out))
        return f"{host}.machine"

    async def ended(self, machine: str) -> None:
        await self._step(f"{machine} ended")

    async def serve(
        self, host: str, pool: str, machine: str, *, member_after: Sequence[str], ready_after: Sequence[str]
    ) -> str:
        self.log.append(f"{host}.membership")
        self.after[f"{host}.membership"] = list(member_after)
        self.after[f"{host}.readiness"] = list(ready_after)
        await self._step(host)
        if host in self.serve_breaks:
            raise Broken(host)
        self.log.append(f"{host} serves")
        self.out.discard(host)
        return f"urn:{host}"

    async def leave(self, node: str, pool: str, *, after: Sequence[str]) -> None:
        self.log.append(f"{node} leaves")
        self.after[f"{node}.gone"] = list(after)
        await self._step(f"{node} gone")
        if node in self.leave_breaks:
            raise Broken(node)
        self.log.append(f"{node} gone")

    async def network(self, api: str) -> str:
        self.log.append(f"network after {api}")
        if self.network_breaks:
            raise Broken("network")
        return "urn:network"

    async def _step(self, name: str) -> None:
        self.steps[name] = asyncio.get_running_loop().create_future()
        await self.steps[name]
        del self.steps[name]


def roll(
    world: World,
    pools: Sequence[PoolOrder],
    standing: dict[str, Standing],
    choose: Callable[[list[str]], str] = min,
) -> dict[str, str]:
    """Run the plan; whenever every lane waits, end the one step that `choose` picks."""

    async def run() -> dict[str, str]:
        control = frozenset(h for p in pools if p.control_plane for h in p.hosts)
        lanes: asyncio.Task[dict[str, str]] = asyncio.ensure_future(
            Lanes(plan(pools, standing), world, world.network, control).run()
        )
        while not lanes.done():
            for _ in range(20):  # every lane goes as far as it can: a few turns of the loop each
                await asyncio.sleep(0)
            waiting = sorted(name for name, step in world.steps.items() if not step.done())
            if waiting:
                world.steps[choose(waiting)].set_result(None)
            elif not lanes.done():
                pytest.fail(f"nothing runs and nobody's turn comes; so far: {world.log}")
        return lanes.result()

    return asyncio.run(run())


class TestTurns:
    """A machine is not registered before its turn."""

    def test_control_planes_singly_then_workers_in_lanes(self) -> None:
        world = World()
        roll(world, [CONTROL, WORKERS], SERVING)
        machines = [line for line in world.log if line.endswith(("machine", "serves"))]
        assert machines == [
            *("cp1.machine", "cp1 serves", "cp2.machine", "cp2 serves", "cp3.machine", "cp3 serves"),
            *("w1.machine", "w2.machine", "w1 serves", "w3.machine", "w2 serves", "w4.machine"),
            *("w3 serves", "w4 serves"),
        ]

    def test_first_bring_up_boots_everything_at_once(self) -> None:
        world = World()
        roll(world, [CONTROL, WORKERS], {})
        before_any_serves = world.log[: world.log.index("cp1 serves")]
        assert {f"{h}.machine" for p in (CONTROL, WORKERS) for h in p.hosts} <= set(before_any_serves)

    def test_network_comes_once_after_the_first_control_plane(self) -> None:
        world = World()
        roll(world, [CONTROL, WORKERS], {})
        assert [line for line in world.log if line.startswith("network")] == ["network after urn:cp1"]
        assert world.log.index("network after urn:cp1") < world.log.index("w1 serves")

    def test_what_heals_before_the_control_planes_does_not_wait_for_the_network(self) -> None:
        world = World()
        roll(world, [CONTROL, WORKERS], {**SERVING, "w2": Standing.OUT})
        assert world.log[:3] == ["w2.machine", "w2.membership", "w2 serves"]
        assert world.after["w2.readiness"] == []
        assert world.after["w1.readiness"] == ["urn:network"]

    def test_returns_every_readiness_in_the_plans_order(self) -> None:
        assert list(roll(World(), [WORKERS, CONTROL], SERVING).items())[:4] == [
            ("cp1", "urn:cp1"),
            ("cp2", "urn:cp2"),
            ("cp3", "urn:cp3"),
            ("w1", "urn:w1"),
        ]


BLUE = PoolOrder("web", False, ("b1", "b2"), nodes={"b1": f"b1-{'2' * 8}", "b2": f"b2-{'2' * 8}"})
OLD_IN = {**SERVING, f"b1-{'1' * 8}": Standing.IN, f"b2-{'1' * 8}": Standing.IN}


class TestSuccession:
    """A turn ends once the node before has left; the next in the lane waits for that."""

    def test_new_before_old_and_host_after_host(self) -> None:
        world = World()
        roll(world, [CONTROL, BLUE], OLD_IN)
        assert [line for line in world.log if line.startswith("b")] == [
            *("b1-22222222.machine", "b1-22222222.membership", "b1-22222222 serves"),
            *("b1-11111111 leaves", "b1-11111111 gone"),
            *("b2-22222222.machine", "b2-22222222.membership", "b2-22222222 serves"),
            *("b2-11111111 leaves", "b2-11111111 gone"),
        ]

    def test_the_old_one_goes_after_the_new_ones_readiness(self) -> None:
        world = World()
        roll(world, [CONTROL, BLUE], OLD_IN)
        assert world.after["b1-11111111.gone"] == ["urn:b1-22222222"]

    def test_a_new_one_that_fails_keeps_the_old_one(self) -> None:
        world = World(serve_breaks=frozenset({"b1-22222222"}))
        with pytest.raises(Broken):
            roll(world, [CONTROL, BLUE], OLD_IN)
        assert [line for line in world.log if "leaves" in line or line.startswith("b2")] == []

    def test_an_old_one_that_will_not_leave_stops_the_lane(self) -> None:
        world = World(leave_breaks=frozenset({"b1-11111111"}))
        with pytest.raises(Broken):
            roll(world, [CONTROL, BLUE], OLD_IN)
        assert [line for line in world.log if line.startswith("b2")] == []

    def test_none_leaves_once_another_lane_failed(self) -> None:
        two = PoolOrder("web", False, BLUE.hosts, 2, nodes=BLUE.nodes)
        world = World(serve_breaks=frozenset({"b1-22222222"}))
        with pytest.raises(Broken):
            roll(world, [CONTROL, two], OLD_IN)
        assert "b2-22222222 serves" in world.log
        assert [line for line in world.log if "leaves" in line] == []


class TestRecordedDependencies:
    """Destroy and scale-down go the other way: later nodes of a lane first, control planes last."""

    def test_of_a_lane_name_the_node_before(self) -> None:
        world = World()
        roll(world, [CONTROL, WORKERS], SERVING)
        assert world.after["w3.machine"] == ["urn:w1"]
        assert world.after["cp2.machine"] == ["urn:cp1"]

    def test_of_a_lanes_head_name_the_last_control_plane(self) -> None:
        world = World()
        roll(world, [CONTROL, WORKERS], SERVING)
        assert (world.after["w1.machine"], world.after["w2.machine"]) == (["urn:cp3"], ["urn:cp3"])

    def test_of_new_nodes_are_on_the_membership_so_that_machines_boot_at_once(self) -> None:
        world = World()
        roll(world, [CONTROL, WORKERS], {})
        assert (world.after["w1.machine"], world.after["w1.membership"]) == ([], ["urn:cp3"])

    def test_of_control_planes_name_what_must_stand_as_long_as_they_do(self) -> None:
        world = World()
        lanes = Lanes(
            plan([CONTROL], {}), AtOnce(after=world.after), world.network, frozenset(CONTROL.hosts), ["urn:pki"]
        )
        asyncio.run(lanes.run())
        assert world.after["cp1.machine"] == world.after["cp3.machine"] == ["urn:pki"]

    def test_are_few_however_many_nodes_there_are(self) -> None:
        world = World()
        pool = PoolOrder("w", False, tuple(f"w{i}" for i in range(60)), max_unavailable=20)
        roll(world, [CONTROL, pool], {**SERVING, **dict.fromkeys(pool.hosts, Standing.IN)})
        assert max(len(urns) for urns in world.after.values()) == 1


class TestFailure:
    """What was never registered would count as removed: the first failure ends the program, and every lane."""

    def test_of_a_registration_is_raised_and_no_lane_goes_on(self) -> None:
        world = World(machine_breaks=frozenset({"w3"}))
        with pytest.raises(Broken, match="w3"):
            roll(world, [CONTROL, WORKERS], SERVING)
        assert "w4.machine" not in world.log

    def test_stops_a_lane_whose_turn_comes_at_the_same_moment(self) -> None:
        world = World(machine_breaks=frozenset({"w1"}))
        with pytest.raises(Broken, match="w1"):
            roll(world, [CONTROL, WORKERS], SERVING)
        assert "w2.machine" not in world.log

    def test_of_a_step_is_raised_and_no_lane_goes_on(self) -> None:
        world = World(serve_breaks=frozenset({"cp2"}))
        with pytest.raises(Broken, match="cp2"):
            roll(world, [CONTROL, WORKERS], SERVING)
        assert [line for line in world.log if line.endswith("machine")] == ["cp1.machine", "cp2.machine"]

    def test_of_the_network_is_raised(self) -> None:
        world = World(network_breaks=True)
        with pytest.raises(Broken, match="network"):
            roll(world, [CONTROL, WORKERS], SERVING)
        assert not [line for line in world.log if line.startswith("w")]

    def test_lets_a_node_whose_turn_had_come_end_it(self) -> None:
        world = World(serve_breaks=frozenset({"w1"}))
        with pytest.raises(Broken, match="w1"):
            roll(world, [CONTROL, WORKERS], SERVING)
        assert "w2 serves" in world.log
        assert "w4.machine" not in world.log

    def test_waits_for_machines_that_boot_before_it_is_raised(self) -> None:
        world = World(serve_breaks=frozenset({"cp1"}))
        ended: list[str] = []

        def choose(waiting: list[str]) -> str:
            ended.append(waiting[0])
            return waiting[0]

        with pytest.raises(Broken, match="cp1"):
            roll(world, [CONTROL, WORKERS], {}, choose)
        assert ended == ["cp1", *(f"{h}.machine ended" for h in ("cp2", "cp3", "w1", "w2", "w3", "w4"))]

    def test_that_came_first_is_the_one_raised(self) -> None:
        world = World(serve_breaks=frozenset({"w1", "w2"}))
        with pytest.raises(Broken, match="w2"):
            roll(world, [CONTROL, WORKERS], SERVING, choose=max)


class TestAnyOrderOfEnds:
    """However fast each node is, the budgets hold and everybody's turn comes."""

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(st.data(), st.integers(1, 3), st.booleans(), st.lists(st.sampled_from(Standing), min_size=9, max_size=9))
    def test_keeps_budgets_and_serves_all(
        self, data: st.DataObject, budget: int, canary: bool, stands: list[Standing]
    ) -> None:
        pool = PoolOrder("workers", False, tuple(f"w{i}" for i in range(6)), budget, canary)
        hosts = [*CONTROL.hosts, *pool.hosts]
        standing = dict(zip(hosts, stands, strict=True))
        world = World()
        served = roll(world, [CONTROL, pool], standing, lambda waiting: data.draw(st.sampled_from(waiting)))
        assert sorted(served) == sorted(hosts)
        machines = [line for line in world.log if line.endswith("machine")]
        assert len(machines) == len(set(machines)) == len(hosts)
        if all(s is Standing.IN for s in stands):
            assert world.out_most["workers"] <= budget
            assert world.out_most["control-plane"] == 1

    def test_of_a_thousand_nodes_in_one_lane(self) -> None:
        pool = PoolOrder("w", False, tuple(f"w{i}" for i in range(1000)))
        world = AtOnce()
        lanes = Lanes(plan([pool], dict.fromkeys(pool.hosts, Standing.IN)), world, world.network, frozenset())
        assert list(asyncio.run(lanes.run())) == list(pool.hosts)
        assert [line for line in world.log if line.endswith("machine")] == [f"{h}.machine" for h in pool.hosts]


class AtOnce(World):
    """A world in which every step ends by itself, at the next turn of the loop."""

    async def _step(self, name: str) -> None:
        await asyncio.sleep(0)
