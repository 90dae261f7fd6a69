"""No path wipes a data disk: whatever fails, is cut off, rolled, retired or destroyed, each holds what it held.

What a machine is told is looked at in tests/components/boot/test_systems.py; here is what the lifecycle makes of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from components import stackfile
from components.environment import Environment
from rehearsal.rack.world import World
from tests.rehearsal.driver import Driver
from tests.rehearsal.fleet import NEW, NODES, OLD, metal

SOME = settings(derandomize=True, deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
MANY = settings(SOME, max_examples=250)

Change = Callable[[dict[str, Any]], None]


def environment(version: str, change: Change = lambda data: None) -> Environment:
    data = stackfile.with_image(copy.deepcopy(metal()), version)
    change(data)
    return stackfile.validate(data, "metal")


def hosts_of(data: dict[str, Any]) -> dict[str, Any]:
    return {n: h for pool in data["pools"].values() for n, h in pool["machines"]["hosts"].items()}


def whole_cluster(data: dict[str, Any]) -> None:
    """Whose OS disks are erased, as far as the stack file may ask for that."""
    data["cluster"]["retire"] = True
    for pool in data["pools"].values():
        pool["machines"]["wipe_os_disk"] = True


def one_host(data: dict[str, Any]) -> None:
    hosts_of(data)["w6"] |= {"retire": True, "wipe_os_disk": True}


def without_it(data: dict[str, Any]) -> None:
    del data["pools"]["workers"]["machines"]["hosts"]["w6"]


@pytest.fixture(scope="module")
def brought_up() -> Driver:
    """The metal fleet, on the older image."""
    driver = Driver(World(seed=1))
    assert driver.up(environment(OLD)) == ""
    return driver


def disks(world: World) -> dict[tuple[str, str], str]:
    """What each data disk of each host holds, by host and serial."""
    return {(h.name, disk): held for h in world.hosts.values() for disk, held in h.markers.items()}


FAULTS = st.one_of(
    st.sampled_from(
        ["never-boots", "never-joins", "wrong-image", "bmc-timeout", "storage-degraded", "volume-stuck"]
    ).flatmap(lambda kind: st.sampled_from(NODES).map(lambda node: f"{kind}:{node}")),
    st.sampled_from(
        [
            "machines.install",
            "machines.power_off",
            "machines.clear_boot_override",
            "records.put_claim",
            "delivery.deliver",
        ]
    ).flatmap(lambda call: st.sampled_from(NODES).map(lambda node: f"fails:{call}:{node}:3")),
    st.tuples(st.integers(1, 45), st.integers(0, 400)).map(lambda at: f"power-cut:{at[0]}:{at[1]}"),
)


Run = tuple[str, tuple[str, ...], int | None]
"""What is asked for; what breaks meanwhile; and how many calls its steps make before their process is killed."""

RUNS = st.lists(
    st.tuples(
        st.sampled_from(["roll", "back", "retire w6", "remove w6", "destroy"]),
        st.lists(FAULTS, max_size=2).map(tuple),
        st.none() | st.integers(0, 4000),
    ),
    min_size=1,
    max_size=4,
)

UPS: dict[str, tuple[str, Change]] = {
    "roll": (NEW, lambda data: None),
    "back": (OLD, lambda data: None),
    "retire w6": (OLD, one_host),
    "remove w6": (OLD, without_it),
}


def power_fails_later(world: World) -> bool:
    """A run that ended before its power cut leaves it to the next, which may well halt."""
    return any(event.kind == "power-cut" for event in world.events)


def keeps_every_disk(brought_up: Driver, seed: int, runs: list[Run]) -> None:
    """Also over the run without any fault that follows, which ends well."""
    driver = brought_up.copy()
    driver.world.seed = seed
    before = disks(driver.world)
    assert len(before) == 12
    retired = environment(OLD, whole_cluster)
    for what, faults, kill_at in runs:
        if what == "destroy":
            driver.up(retired)
            driver.destroy(retired, *faults, kill_at=kill_at)
        else:
            driver.up(environment(*UPS[what]), *faults, kill_at=kill_at)
        assert disks(driver.world) == before, f"after {what} with {faults}, killed at {kill_at}"
    destroyed = "destroy" in (what for what, _, _ in runs)

    def without_a_fault() -> str:
        if not destroyed:
            return driver.up(environment(NEW))
        driver.up(retired)
        return driver.destroy(retired)

    while power_fails_later(driver.world) and without_a_fault():
        assert disks(driver.world) == before
    halted = without_a_fault()
    while "pulumi up --replace" in halted:
        node = halted.split()[1].rstrip(":")
        halted = driver.up(environment(NEW), replace=node)
        assert node not in halted.split(":")[0], "its machine was replaced, and that did not help"
    assert halted == ""
    if destroyed:
        assert {(host.power, host.holds) for host in driver.world.hosts.values()} == {("off", None)}
    assert disks(driver.world) == before
    assert [e for e in driver.entries if e["kind"] == "law" and e["law"] == "data-disks"] == []


class TestEveryDataDisk:
    """Its serial and its contents."""

    @SOME
    @example(seed=1, runs=[("back", ("power-cut:1:7",), None)])
    @example(seed=1, runs=[("roll", (), None), ("back", ("fails:delivery.deliver:cp1:3",), None), ("back", (), 102)])
    @given(seed=st.integers(1, 1000), runs=RUNS)
    def test_survives(self, brought_up: Driver, seed: int, runs: list[Run]) -> None:
        keeps_every_disk(brought_up, seed, runs)

    @pytest.mark.faults
    @MANY
    @given(seed=st.integers(1, 1000), runs=RUNS)
    def test_survives_many(self, brought_up: Driver, seed: int, runs: list[Run]) -> None:
        keeps_every_disk(brought_up, seed, runs)
