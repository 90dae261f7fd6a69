"""A host is claimed before it is written, and a live one is never written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from lifecycle.commands import Step, Verb
from lifecycle.errors import (
    ClaimChanged,
    ControllerUnreachable,
    GenerationDiffers,
    HostClaimed,
    HostStillJoined,
    LifecycleError,
    MachineClaimed,
    NeverBooted,
    NeverPoweredOff,
    NotDeclared,
    NotLeft,
    PortError,
    RecordMissing,
)
from lifecycle.ports import Claim, ClaimState, Controller, Pin, Power, Progress
from lifecycle.run import execute
from tests.lifecycle.fakes import FakeMachines, FakeRecords, Tap, ports
from tests.lifecycle.fleets import claim, execute_with, fresh, pin, roster, serving, step
from tests.lifecycle.world import Host, World

KNOWN = {"serial": "w1-4711"}
"""By which the fake's machine is known."""


@pytest.fixture
def world() -> World:
    return fresh()


def provision(world: World, node: str = "w1", generation: str = "g1") -> str:
    return step(world, Verb.PROVISION, node, generation)


class TestProvision:
    """Claim, power off, install, boot."""

    def test_a_free_host(self, world: World) -> None:
        assert provision(world) == "w1 provisioned with generation g1"
        assert world.changes == ["claim w1 provisioning", "install w1 g1", "claim w1 provisioning"]
        assert world.claims["w1"].installed
        assert world.claims["w1"].identity == KNOWN
        assert [j[1] for j in world.journal] == ["install", "boot"]

    def test_a_running_one_is_powered_off_first(self, world: World) -> None:
        world.hosts["w1"].power = Power.ON
        provision(world)
        assert world.changes[:3] == ["claim w1 provisioning", "power off w1", "install w1 g1"]

    def test_another_machine_is_known_by_what_it_says(self, world: World) -> None:
        provision(world)
        world.claims["w1"] = replace(world.claims["w1"], state=ClaimState.LEFT)
        world.hosts["w1"].serial = "4712"
        provision(world)
        assert world.claims["w1"].identity == {"serial": "w1-4712"}

    def test_again_after_a_kill(self, world: World) -> None:
        provision(world)
        assert provision(world) == "w1 provisioned with generation g1"

    def test_one_whose_last_node_left_remembers_its_machine(self, world: World) -> None:
        world.claims["w1"] = claim("w1", ClaimState.LEFT, "g0", "old")
        provision(world)
        assert world.claims["w1"] == claim("w1", ClaimState.PROVISIONING, "g1", "old", installed=True, identity=KNOWN)

    @pytest.mark.parametrize("retires", [False, True])
    def test_one_that_is_wanted_back_retires_only_if_the_stack_file_says_so(self, world: World, retires: bool) -> None:
        world.claims["w1"] = claim("w1", ClaimState.LEFT, "g0", "old", retiring=not retires)
        world.pins["w1"] = replace(world.pins["w1"], retire=retires)
        provision(world)
        assert world.claims["w1"].retiring is retires

    def test_one_that_another_stack_left_behind(self, world: World) -> None:
        world.claims["w1"] = replace(claim("w1", ClaimState.LEFT, "g0", "old"), stack="other")
        provision(world)
        assert world.claims["w1"] == claim("w1", ClaimState.PROVISIONING, installed=True, identity=KNOWN)

    def test_of_a_serving_node_is_done_already(self) -> None:
        world = serving()
        assert provision(world) == "w1 runs generation g1 already"
        assert world.changes == []

    def test_a_controller_that_does_not_report_is_left_to_the_join(self, world: World) -> None:
        world.install_progress = (Progress.UNKNOWN,)
        assert provision(world) == "w1 provisioned with generation g1"


class Coming(FakeMachines):
    """A kind of machine that can tell one that comes already."""

    def underway(self, host: str, pin: Pin) -> bool:
        at = self.world.hosts[host]
        return at.power is Power.ON and at.generation == pin.generation

    def install(self, host: str, pin: Pin) -> None:
        if not self.underway(host, pin):
            super().install(host, pin)


class Zoned(FakeMachines):
    """A kind of machine that comes up where there is room."""

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        return {"instance": "i-0", "zone": "z"}


def coming(world: World, generation: str = "g1") -> None:
    """A machine that an earlier run had made, before it was killed."""
    world.hosts["w1"] = Host(Power.ON, Progress.RUNNING, False, generation, 7)


class TestAMachineThatComesAlready:
    """Is gone on with if an earlier run began it, and ended else."""

    def test_of_an_installation_that_was_cut_off(self, world: World) -> None:
        world.claims["w1"] = claim("w1", ClaimState.PROVISIONING)
        coming(world)
        execute_with(world, Verb.PROVISION, "w1", machines=Coming(world))
        assert world.hosts["w1"].machine == 7
        assert world.claims["w1"].installed
        assert any("it is gone on with" in entry[-1] for entry in world.journal)
        assert not any("power off" in change or "install" in change for change in world.changes)

    @pytest.mark.parametrize("state", [ClaimState.LEFT, None])
    def test_but_not_one_that_left(self, world: World, state: ClaimState | None) -> None:
        if state is not None:
            world.claims["w1"] = claim("w1", state, machine_id="w1-m7")
        coming(world)
        execute_with(world, Verb.PROVISION, "w1", machines=Coming(world))
        assert world.hosts["w1"].machine == 8
        assert "power off w1" in world.changes

    def test_nor_one_that_was_begun_for_another_generation(self, world: World) -> None:
        world.claims["w1"] = claim("w1", ClaimState.PROVISIONING, "g0")
        coming(world)
        execute_with(world, Verb.PROVISION, "w1", machines=Coming(world))
        assert world.hosts["w1"].machine == 8


class TestWhereItCameUp:
    """Is its fault domain, whatever the stack file names first."""

    def test_is_kept_in_the_claim(self, world: World) -> None:
        execute_with(world, Verb.PROVISION, "w1", machines=Zoned(world))
        assert world.claims["w1"].fault_domain == "z"

    def test_goes_into_the_roster_and_stays_there(self) -> None:
        world = serving()
        execute_with(world, Verb.LEAVE, "w1")
        execute_with(world, Verb.RELEASE, "w1")
        world.pins["w1"] = replace(world.pins["w1"], generation="g2", os_image="OS g2")
        execute_with(world, Verb.PROVISION, "w1", "g2", machines=Zoned(world))
        execute_with(world, Verb.ENROL, "w1", "g2")
        execute_with(world, Verb.JOIN, "w1", "g2")
        assert world.claims["w1"].fault_domain == "z"
        assert roster(world).nodes["w1"].fault_domain == "z"
        execute(Step(Verb.GATE, "metal"), ports(world))
        assert roster(world).nodes["w1"].fault_domain == "z"

    def test_is_forgotten_with_the_machine(self, world: World) -> None:
        execute_with(world, Verb.PROVISION, "w1", machines=Zoned(world))
        world.claims["w1"] = replace(world.claims["w1"], state=ClaimState.LEFT)
        provision(world)
        assert world.claims["w1"].fault_domain == ""


def gone(world: World) -> None:
    del world.pins["w1"]


def changed(world: World) -> None:
    world.pins["w1"] = pin("w1", "g9")


def taken(world: World) -> None:
    world.claims["w1"] = replace(claim("w1", ClaimState.PROVISIONING), stack="other")


def renamed(world: World) -> None:
    world.claims["x1"] = replace(claim("w1", ClaimState.JOINED), node="x1")


def rewired(world: World) -> None:
    moved = replace(claim("w1", ClaimState.JOINED), node="x1", controller=Controller("https://bmc-x1.example"))
    world.claims["x1"] = replace(moved, stack="other")


def joined(world: World) -> None:
    world.initialised = "c1"
    world.claims["w1"] = claim("w1", ClaimState.JOINED, "g0")


def joined_but_off(world: World) -> None:
    world.initialised = "c1"
    world.claims["w1"] = claim("w1", ClaimState.JOINED)


class TestProvisionRefuses:
    """Before it touches the host."""

    @pytest.mark.parametrize(
        ("spoil", "error", "text"),
        [
            (gone, NotDeclared, "expected a host of that name in the stack file, found none"),
            (changed, GenerationDiffers, "generation g9 declared, g1 planned"),
            (taken, HostClaimed, "a claim of stack other for w1"),
            (rewired, MachineClaimed, "MAC address 02:00:00:00:77:01 claimed for x1 by stack other"),
            (renamed, MachineClaimed, "claimed for x1 by stack"),
            (joined, HostStillJoined, "generation g0, joined, power off"),
            (joined_but_off, HostStillJoined, "joined, power off"),
        ],
    )
    def test_untouched(
        self, world: World, spoil: Callable[[World], None], error: type[LifecycleError], text: str
    ) -> None:
        spoil(world)
        with pytest.raises(error, match=text):
            provision(world)
        assert world.changes == []

    def test_while_the_record_of_the_cluster_is_lost(self) -> None:
        world = serving()
        world.initialised = None
        world.claims["w1"] = claim("w1", ClaimState.PROVISIONING)
        for node, verb in (("w2", Verb.PROVISION), ("w1", Verb.PROVISION), ("w1", Verb.RELEASE)):
            with pytest.raises(RecordMissing, match=r"record of who initialised.*runbooks/claims.md#record"):
                step(world, verb, node)
        assert world.changes == []

    @pytest.mark.parametrize("node", ["w1", "c2"])
    def test_a_node_that_a_killed_join_left_in_the_cluster(self, node: str) -> None:
        world = serving()
        world.claims[node] = claim(node, ClaimState.PROVISIONING)
        for verb, error in ((Verb.PROVISION, HostStillJoined), (Verb.RELEASE, NotLeft)):
            with pytest.raises(error, match="from a join that was not finished"):
                step(world, verb, node)
        assert world.changes == []

    def test_a_claim_lost_to_another_writer(self, world: World) -> None:
        class Raced(FakeRecords):
            def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
                taken(self.world)
                return super().put_claim(host, new, expected)

        with pytest.raises(HostClaimed, match="stack other"):
            execute_with(world, Verb.PROVISION, "w1", records=Tap(world, Raced(world)))
        assert world.changes == []

    def test_a_claim_that_never_settles(self, world: World) -> None:
        class Busy(FakeRecords):
            def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
                return False

        with pytest.raises(ClaimChanged, match="another writer at each of 5 tries"):
            execute_with(world, Verb.PROVISION, "w1", records=Tap(world, Busy(world)))


class TestManagementControllers:
    """Fail now and then; a few failures are nothing, silence has a limit."""

    def test_a_few_failures(self, world: World) -> None:
        world.failing = {"machines.install": 3, "machines.power": 2, "machines.progress": 2}
        start_s = world.now_s
        provision(world)
        assert world.now_s - start_s >= 1 + 2 + 4

    def test_silence(self, world: World) -> None:
        world.failing["machines.power"] = 999
        start_s = world.now_s
        with pytest.raises(ControllerUnreachable, match=r"w1: .*https://bmc-w1.example last said: 503 from") as e:
            provision(world)
        assert world.now_s - start_s == world.limits.power_s
        assert e.value.url == "https://bmc-w1.example"
        assert world.journal[-1][1:] == ("end", f"halted: {e.value}")

    def test_one_that_says_how_long_it_is_busy_is_left_alone_so_long(self, world: World) -> None:
        asked_s: list[float] = []

        class Busy(FakeMachines):
            def power(self, host: str, controller: Controller) -> Power:
                asked_s.append(self.world.now_s)
                if len(asked_s) == 1:
                    raise PortError("BMC of w1", "HTTP 503", "wait", retry_after_s=25)
                return super().power(host, controller)

        execute_with(world, Verb.PROVISION, "w1", machines=Tap(world, Busy(world)))
        assert asked_s[1] - asked_s[0] == 25

    def test_an_order_without_effect(self, world: World) -> None:
        class Deaf(FakeMachines):
            def power_off(self, host: str, controller: Controller) -> None: ...

        world.hosts["w1"].power = Power.ON
        with pytest.raises(NeverPoweredOff, match="the power is on"):
            execute_with(world, Verb.PROVISION, "w1", machines=Tap(world, Deaf(world)))
        assert "install w1 g1" not in world.changes


class TestNeverBooted:
    """An install has a limit, and a second install is a boot order that is wrong."""

    def test_in_time(self, world: World) -> None:
        world.boots = False
        with pytest.raises(NeverBooted, match=r"after 1800 s: none on /dev/disk/by-id/os, from http://boot.example/"):
            provision(world)

    def test_installs_twice(self, world: World) -> None:
        world.install_progress = (Progress.INSTALLING, Progress.INSTALLED, Progress.INSTALLING)
        start_s = world.now_s
        with pytest.raises(NeverBooted, match="the installer started again"):
            provision(world)
        assert world.now_s - start_s < 200


class TestRelease:
    """Powers off what has left, keeps the claim as left."""

    def test_a_host_whose_node_left(self) -> None:
        world = serving()
        world.claims["w4"] = claim("w4", ClaimState.LEFT, machine_id="w4-m1")
        assert step(world, Verb.RELEASE, "w4") == "w4 released"
        assert world.changes == ["power off w4", "clear override w4"]
        assert world.claims["w4"].state is ClaimState.LEFT

    def test_a_machine_that_another_host_holds_now_is_left_alone(self) -> None:
        world = serving()
        world.claims["w4"] = claim("w4", ClaimState.LEFT, machine_id="w4-m1")
        world.claims["x4"] = replace(claim("w4", ClaimState.JOINED), node="x4")
        assert step(world, Verb.RELEASE, "w4") == "w4 released"
        assert world.changes == []
        assert step(world, Verb.RELEASE, "w4") == "w4 released"

    def test_at_the_controller_that_is_declared_now(self) -> None:
        world = serving()
        world.claims["w4"] = claim("w4", ClaimState.LEFT)
        world.pins["w4"] = pin("w4", controller=Controller("https://new.example"))
        assert self.asked(world) == {"https://new.example"}
        del world.pins["w4"]
        assert self.asked(world) == {"https://bmc-w4.example"}

    def asked(self, world: World) -> set[str]:
        seen: set[str] = set()

        class Noting(FakeMachines):
            def power(self, host: str, controller: Controller) -> Power:
                seen.add(controller.url)
                return super().power(host, controller)

            def clear_boot_override(self, host: str, controller: Controller) -> None:
                seen.add(controller.url)

        execute_with(world, Verb.RELEASE, "w4", machines=Tap(world, Noting(world)))
        return seen

    def test_one_that_never_joined(self, world: World) -> None:
        provision(world)
        assert step(world, Verb.RELEASE, "w1") == "w1 released"
        assert world.claims["w1"].state is ClaimState.LEFT

    def test_not_while_its_node_serves(self) -> None:
        world = serving()
        with pytest.raises(NotLeft, match="joined"):
            step(world, Verb.RELEASE, "w1")
        assert world.changes == []

    @pytest.mark.parametrize("other", [{"stack": "other"}, {"node": "x1"}, {"generation": "g2"}])
    def test_not_what_is_not_ours(self, other: dict[str, str]) -> None:
        world = serving()
        world.claims["w1"] = replace(claim("w1", ClaimState.LEFT), **other)  # type: ignore[arg-type]  # claim fields
        assert "w1 has nothing to release: a claim of stack" in step(world, Verb.RELEASE, "w1")
        assert world.changes == []

    def test_without_a_claim(self, world: World) -> None:
        assert step(world, Verb.RELEASE, "w1") == "w1 has nothing to release: no claim"
        assert world.changes == []

    def test_a_controller_that_is_silent(self) -> None:
        world = serving()
        world.claims["w4"] = claim("w4", ClaimState.LEFT)
        world.failing["machines.power"] = 999
        with pytest.raises(ControllerUnreachable):
            step(world, Verb.RELEASE, "w4")
