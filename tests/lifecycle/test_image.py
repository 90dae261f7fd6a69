"""The image gate: exactly the pinned image, kernel and kubelet, in one boot of a new machine, seen twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lifecycle import image
from lifecycle.commands import Verb
from lifecycle.errors import FleetNotReady, WrongImage
from lifecycle.ports import ClaimState, Node
from lifecycle.roster import Roster
from tests.lifecycle.fakes import FakeKubernetes, Tap, ports
from tests.lifecycle.fleets import (
    bring_in,
    claim,
    execute_with,
    fresh,
    pin,
    replace_machine,
    roster,
    serving,
    standings,
    step,
)
from tests.lifecycle.world import KUBELET, World

SEEN = Node("w1", True, False, "OS g1", "6.18", KUBELET, "w1-m1", "w1-b1")


class TestMismatches:
    """Every part is compared; a kernel only where one is expected."""

    @pytest.mark.parametrize(
        ("changes", "kernel", "what"),
        [
            ({}, "", ()),
            ({}, "6.18", ()),
            ({"os_image": "OS 0"}, "", ("image",)),
            ({"kernel": "6.17"}, "", ()),
            ({"kernel": "6.17"}, "6.18", ("kernel",)),
            ({"kubelet": "v1.35.0"}, "6.18", ("kubelet",)),
            ({"os_image": "", "kernel": "", "kubelet": ""}, "6.18", ("image", "kernel", "kubelet")),
        ],
    )
    def test_names_what_differs(self, changes: dict[str, str], kernel: str, what: tuple[str, ...]) -> None:
        seen = replace(SEEN, **changes)  # type: ignore[arg-type]  # the table names the fields
        assert tuple(m.what for m in image.mismatches(pin("w1"), seen, kernel)) == what

    def test_a_pinned_kernel_goes_before_a_recorded_one(self) -> None:
        known = Roster(kernels={"OS g1": "6.17"})
        assert image.expected_kernel(pin("w1"), known) == "6.17"
        assert image.expected_kernel(pin("w1", kernel="6.18"), known) == "6.18"

    def test_one_version_holds_another_kernel_for_each_architecture(self) -> None:
        known = Roster(kernels={"OS g1 x86_64": "6.18.x86_64"})
        assert image.expected_kernel(pin("w1", architecture="x86_64"), known) == "6.18.x86_64"
        assert image.expected_kernel(pin("w1", architecture="aarch64"), known) == ""


class TestTheKernelOfAnImage:
    """The first machine that joins says which kernel the image holds; all later ones must run the same."""

    def test_is_recorded_by_the_first(self) -> None:
        world = serving()
        replace_machine(world, "w1", "g1", "g2")
        assert roster(world).kernels == {"OS g2": "6.18"}
        assert (world.claims["w1"].kernel, world.claims["w1"].boot_id) == ("6.18", "w1-b2")

    def test_another_one_is_not_let_in(self) -> None:
        world = serving()
        replace_machine(world, "w1", "g1", "g2")
        world.kernels["w2"] = "6.17"
        with pytest.raises(WrongImage, match=r"OS g2, kernel 6.17, kubelet v1.36.3 instead of OS g2, kernel 6.18, "):
            replace_machine(world, "w2", "g1", "g2")
        assert world.nodes["w2"].unschedulable
        assert standings(world)["w2"] == "leaving"
        assert world.claims["w2"].state is ClaimState.PROVISIONING

    def test_a_pinned_one_is_asked_of_the_first_too(self) -> None:
        world = serving()
        world.pins["w1"] = pin("w1", "g2", kernel="6.19")
        for verb, generation in ((Verb.LEAVE, "g1"), (Verb.RELEASE, "g1"), (Verb.PROVISION, "g2"), (Verb.ENROL, "g2")):
            step(world, verb, "w1", generation)
        with pytest.raises(WrongImage, match=r"kernel 6.18, kubelet v1.36.3 instead of OS g2, kernel 6.19"):
            step(world, Verb.JOIN, "w1", "g2")
        assert roster(world).kernels == {}

    def test_a_fleet_that_comes_up_agrees_on_one(self) -> None:
        world = fresh()
        world.kernels["w3"] = "6.17"
        for node in ("c1", "c2", "c3", "w1"):
            bring_in(world, node)
        assert roster(world).kernels == {"OS g1": "6.18"}
        with pytest.raises(WrongImage, match=r"kernel 6.17"):
            bring_in(world, "w3")

    def test_of_two_that_join_at_once_the_first_to_write_it_down_decides(self) -> None:
        world = serving()
        before = roster(world)
        written = before.model_copy(update={"kernels": {"OS g1": "6.17"}})
        world.document, world.version = written.model_dump_json(), world.version + 1
        joining = claim("w1", ClaimState.PROVISIONING)
        with pytest.raises(WrongImage, match=r"kernel 6.18, .* instead of OS g1, kernel 6.17"):
            image.settle_kernel(ports(world), pin("w1"), joining, SEEN, before)
        assert roster(world).kernels == {"OS g1": "6.17"}

    def test_the_barrier_asks_for_it(self) -> None:
        world = serving()
        replace_machine(world, "w1", "g1", "g2")
        world.nodes["w1"] = replace(world.nodes["w1"], kernel="6.17")
        with pytest.raises(FleetNotReady, match=r"w1 runs OS g2, kernel 6.17, kubelet"):
            step(world, Verb.GATE)


class Restarting(FakeKubernetes):
    """w1's machine is seen in another boot at each of the first looks."""

    def __init__(self, world: World, boots: int) -> None:
        super().__init__(world)
        self.boots, self.looks = boots, 0

    def node(self, name: str) -> Node | None:
        seen = super().node(name)
        if seen is None or not seen.machine_id.endswith("-m2"):
            return seen
        self.looks += 1
        return replace(seen, boot_id=f"boot-{min(self.looks, self.boots)}")


class TestTwoLooks:
    """A machine that restarts between two looks has not been seen twice."""

    @pytest.mark.parametrize(("boots", "looks"), [(1, 2), (2, 3), (4, 5)])
    def test_in_one_boot(self, boots: int, looks: int) -> None:
        world = serving()
        replaced = pin("w1", "g2")
        world.pins["w1"] = replaced
        for verb, generation in ((Verb.LEAVE, "g1"), (Verb.RELEASE, "g1"), (Verb.PROVISION, "g2"), (Verb.ENROL, "g2")):
            step(world, verb, "w1", generation)
        world.run_until(world.now_s + 600)
        restarting = Restarting(world, boots)
        execute_with(world, Verb.JOIN, "w1", "g2", kubernetes=Tap(world, restarting))
        assert world.claims["w1"].boot_id == f"boot-{boots}"
        assert restarting.looks >= looks
