"""What counts as drift, what only a new machine heals, and what is only worth knowing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from lifecycle import labels
from lifecycle.commands import Verb
from lifecycle.drift import Finding, NeverBroughtUp, drift, survey
from lifecycle.errors import LifecycleError, PortError
from lifecycle.identity import differences
from lifecycle.ports import Claim, ClaimState, Controller, Node, Pin
from lifecycle.repair import unwell
from lifecycle.rolls import GIVEN_BACK_S
from tests.lifecycle.fakes import FakeMachines, ports
from tests.lifecycle.fleets import claim, fresh, pin, replace_machine, roster, serving, step
from tests.lifecycle.world import KUBELET, Killed, World

Pins = dict[str, Pin]
Claims = dict[str, Claim]
Nodes = dict[str, Node]
Change = Callable[[Pins, Claims, Nodes], object]


def node(name: str, **changes: object) -> Node:
    """A node that is as pinned."""
    of = pin(name)
    return replace(
        Node(name, True, False, "OS g1", "6.18", KUBELET, f"{name}-m1", f"{name}-b1"),
        labels=labels.labels(of.role, of.fault_domain, stores=of.stores) | {"team": "a"},
        taints=labels.taints(of.role) | {"node.kubernetes.io/unschedulable:NoSchedule"},
        **changes,  # type: ignore[arg-type]  # the test names the fields
    )


def joined(name: str, **changes: object) -> Claim:
    kept = {"machine_id": f"{name}-m1", "kernel": "6.18", "boot_id": f"{name}-b1"}
    return claim(name, ClaimState.JOINED, **{**kept, **changes})  # type: ignore[arg-type]  # likewise


def found(*changes: Change) -> tuple[Finding, ...]:
    """What drift says of c1, w1 and w2 after the changes."""
    names = ("c1", "w1", "w2")
    pins, claims, nodes = {n: pin(n) for n in names}, {n: joined(n) for n in names}, {n: node(n) for n in names}
    for change in changes:
        change(pins, claims, nodes)
    return drift(pins, claims, nodes)


def changed(name: str, **changes: object) -> Change:
    """The node says something else of itself."""
    return lambda pins, claims, nodes: nodes.update({name: replace(nodes[name], **changes)})  # type: ignore[arg-type]


def claimed(name: str, **changes: object) -> Change:
    return lambda pins, claims, nodes: claims.update({name: replace(claims[name], **changes)})  # type: ignore[arg-type]


def declared(name: str, **changes: object) -> Change:
    return lambda pins, claims, nodes: pins.update({name: replace(pins[name], **changes)})  # type: ignore[arg-type]


def without(of: int, name: str) -> Change:
    """of: 0 not declared, 1 no claim, 2 no Node object."""
    return lambda *fleet: fleet[of].pop(name)


def labelled(name: str, **pairs: str | None) -> Change:
    keys = {"zone": labels.ZONE, "storage": labels.STORAGE, "control": labels.CONTROL_PLANE, "team": "team"}

    def change(pins: Pins, claims: Claims, nodes: Nodes) -> None:
        has = {**nodes[name].labels, **{keys[k]: v for k, v in pairs.items()}}
        nodes[name] = replace(nodes[name], labels={k: v for k, v in has.items() if v is not None})

    return change


class TestAFleetAsPinned:
    """Nothing is found, whatever others put on its nodes."""

    def test_is_clean(self) -> None:
        assert found() == ()

    @pytest.mark.parametrize(
        "change",
        [
            labelled("w1", team="b"),
            changed("w1", taints=frozenset({"gpu=yes:NoExecute"})),
            changed("w1", ready=False, unschedulable=True),
            claimed("w1", kernel="", boot_id=""),  # a claim that an older version wrote
            lambda pins, claims, nodes: claims.update({"w9": claim("w9", ClaimState.LEFT)}),
        ],
    )
    def test_and_not_over_what_is_not_the_fleets(self, change: Change) -> None:
        assert found(change) == ()

    def test_a_node_that_retires_is_compared_with_nothing(self) -> None:
        assert found(declared("w1", retire=True), without(2, "w1"), claimed("w1", state=ClaimState.LEFT)) == ()


class TestOneFinding:
    """Each thing that can differ, and whether only a new machine heals it."""

    @pytest.mark.parametrize(
        ("change", "what", "expected", "says", "replaces"),
        [
            (changed("w1", os_image="OS 0"), "image", "OS g1", "OS 0", True),
            (changed("w1", os_image=""), "image", "OS g1", "none", True),
            (changed("w1", kernel="6.19"), "kernel", "6.18", "6.19", True),
            (declared("w1", kernel="6.19"), "kernel", "6.19", "6.18", True),
            (changed("w1", kubelet="v1.35.0"), "kubelet", KUBELET, "v1.35.0", True),
            (changed("w1", machine_id="other"), "machine", "w1-m1", "other", True),
            (without(2, "w1"), "presence", "a node that serves", "no Node object, though machine w1-m1 joined", True),
            (claimed("w1", state=ClaimState.LEFT), "presence", "a node that serves", "a host that is left", False),
            (labelled("w1", zone="x"), "label", f"{labels.ZONE}=a", f"{labels.ZONE}=x", False),
            (labelled("w1", storage=None), "label", f"{labels.STORAGE}=simplyblock-storage-plane", "no io.", False),
            (labelled("w1", control=""), "label", f"no {labels.CONTROL_PLANE}", f"{labels.CONTROL_PLANE}=", False),
            (
                changed("w1", taints=frozenset({f"{labels.OUT_OF_SERVICE}=nodeshutdown:NoExecute"})),
                "taint",
                "none",
                f"{labels.OUT_OF_SERVICE}=nodeshutdown:NoExecute",
                False,
            ),
            (changed("c1", taints=frozenset()), "taint", f"{labels.CONTROL_PLANE}:NoSchedule", "none", False),
            (without(0, "w1"), "presence", "nothing: it is not declared", "a node of this stack", False),
            (without(1, "w1"), "presence", "a node that serves", "machine w1-m1, which this stack never", False),
        ],
    )
    def test_is_named(self, change: Change, what: str, expected: str, says: str, replaces: bool) -> None:
        (finding,) = found(change)
        assert (finding.what, finding.expected, finding.replaces) == (what, expected, replaces)
        assert finding.found.startswith(says)
        assert finding.node in ("w1", "c1")
        assert not finding.information
        assert finding.remedy

    def test_a_declared_node_that_was_never_brought_in(self) -> None:
        (finding,) = found(without(1, "w1"), without(2, "w1"))
        assert (finding.found, finding.remedy) == ("nothing: it was never brought in", "run `pulumi up`")

    def test_a_stranger(self) -> None:
        (finding,) = found(lambda pins, claims, nodes: nodes.update(x9=node("x9")))
        assert (finding.node, finding.found) == ("x9", "a node that is not ours")
        assert "drift.md#stranger" in finding.remedy

    def test_a_host_that_is_held_and_not_declared(self) -> None:
        (finding,) = found(without(0, "w1"), without(2, "w1"))
        assert (finding.found, finding.replaces) == ("a host that is joined", False)

    def test_a_reboot_is_only_worth_knowing(self) -> None:
        (finding,) = found(changed("w1", boot_id="w1-b2"))
        assert (finding.what, finding.replaces, finding.information) == ("boot", False, True)
        assert "rebooted unasked" in finding.found

    def test_another_machine_is_no_reboot(self) -> None:
        assert [f.what for f in found(changed("w1", machine_id="other", boot_id="w1-b2"))] == ["machine"]

    def test_a_label_names_the_command_that_puts_it_back(self) -> None:
        (finding,) = found(labelled("w1", zone="x"))
        assert "`kubectl label node w1 --overwrite topology.kubernetes.io/zone=a`" in finding.remedy


class TestAHostThatCameUpElsewhere:
    """Is in the fault domain that its claim kept; an older claim has none, and the stack file's holds."""

    def test_is_as_it_should_be_there(self) -> None:
        assert found(claimed("w1", fault_domain="z"), labelled("w1", zone="z")) == ()

    def test_and_nowhere_else(self) -> None:
        (one,) = found(claimed("w1", fault_domain="z"))
        assert (one.what, one.expected, one.found) == ("label", f"{labels.ZONE}=z", f"{labels.ZONE}=a")

    def test_of_an_older_claim_is_where_the_stack_file_says(self) -> None:
        assert claim("w1", ClaimState.JOINED).fault_domain == ""
        assert found() == ()


class TestAStackFileThatSaysSomethingNew:
    """What an up rolls by itself is told from what drifted."""

    def test_the_boot_configuration_differs(self) -> None:
        (finding,) = found(declared("w1", generation="g2"))
        assert (finding.what, finding.expected, finding.found) == ("boot configuration", "g2", "g1")
        assert finding.remedy == "run `pulumi up`: it rolls the node"

    def test_so_does_the_image_and_its_kernel_is_not_asked_for_yet(self) -> None:
        bumped = found(declared("w1", generation="g2", os_image="OS g2", kernel="6.20"))
        assert [(f.what, f.remedy) for f in bumped] == [
            ("boot configuration", "run `pulumi up`: it rolls the node"),
            ("image", "run `pulumi up`"),
        ]


class TestIdentity:
    """The machine under a node is the one that was installed; what cannot be asked is no drift."""

    @pytest.fixture
    def world(self) -> World:
        world = serving()
        for name in world.nodes:
            world.nodes[name] = node(name)
            world.claims[name] = joined(name, identity={"serial": f"{name}-4711"})
        return world

    def said(self, world: World) -> tuple[Finding, ...]:
        return survey(ports(world), "metal").findings()

    def test_as_it_was_installed(self, world: World) -> None:
        assert self.said(world) == ()

    def test_a_swapped_machine_and_what_heals_it(self, world: World) -> None:
        world.hosts["w2"].serial = "9"
        (finding,) = self.said(world)
        assert (finding.node, finding.what) == ("w2", "identity")
        assert (finding.expected, finding.found) == ("serial w2-4711", "serial w2-9: another machine")
        assert finding.replaces
        assert "runbooks/drift.md#another-machine" in finding.remedy
        (sick,) = unwell(survey(ports(world), "metal"))
        assert sick.node == "w2"

    def test_a_replacement_makes_it_known(self, world: World) -> None:
        world.hosts["w2"].serial = "9"
        replace_machine(world, "w2", "g1", "g2")
        assert world.claims["w2"].identity == {"serial": "w2-9"}
        assert [f for f in self.said(world) if f.what == "identity"] == []

    def test_a_claim_that_an_older_version_wrote_is_compared_with_nothing(self, world: World) -> None:
        world.hosts["w2"].serial = "9"
        world.claims["w2"] = replace(world.claims["w2"], identity={})
        assert self.said(world) == ()

    def test_a_controller_that_does_not_answer_is_information(self, world: World) -> None:
        world.failing["machines.identity"] = 1
        (finding,) = self.said(world)
        assert finding.information
        assert "503 from the fake" in finding.found

    def test_a_machine_that_says_nothing_of_itself_is_information(self, world: World) -> None:
        class Mute(FakeMachines):
            def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
                return {}

        at = replace(ports(world), machines=Mute(world))
        assert [f.information for f in survey(at, "metal").findings()] == [True] * len(world.pins)

    def test_a_node_in_its_turn_or_that_retires_is_not_asked(self, world: World) -> None:
        world.pins["w1"] = pin("w1", "g2")
        step(world, Verb.LEAVE, "w1")
        world.pins["w3"] = replace(world.pins["w3"], retire=True)
        world.hosts["w1"].serial = world.hosts["w3"].serial = "9"
        assert [f.what for f in self.said(world) if not f.information] == []

    @pytest.mark.parametrize(
        ("kept", "seen", "differ"),
        [
            ({"mac": "a,b"}, {"mac": "b,c"}, []),
            ({"mac": "a,b"}, {"mac": "c"}, ["mac"]),
            ({"serial": "1", "mac": "a"}, {"serial": "1", "mac": "c"}, ["mac"]),
            ({"serial": "1"}, {"mac": "a"}, []),
            ({"instance": "i-1", "zone": "eu-a"}, {"instance": "i-2", "zone": "eu-b"}, ["instance"]),
        ],
    )
    def test_differs_where_nothing_is_in_common(
        self, kept: dict[str, str], seen: dict[str, str], differ: list[str]
    ) -> None:
        assert [d.key for d in differences(kept, seen)] == differ


class TestOrder:
    """Declared nodes as declared, then strangers by name."""

    def test_of_findings(self) -> None:
        def strangers(pins: Pins, claims: Claims, nodes: Nodes) -> None:
            nodes.update(x2=node("x2"), x1=node("x1"))

        all_of_it = found(changed("w2", os_image="OS 0"), changed("c1", kernel="6.0"), strangers)
        assert [f.node for f in all_of_it] == ["c1", "w2", "x1", "x2"]


class TestSurvey:
    """One look at stack file, boot store and cluster; nothing is changed."""

    def test_sees_this_stack_only(self) -> None:
        world = serving()
        world.claims["x1"] = replace(claim("x1", ClaimState.JOINED), stack="other")
        seen = survey(ports(world), "metal")
        assert (list(seen.pins), set(seen.claims)) == (list(world.pins), set(world.pins))
        assert set(seen.nodes) == set(world.nodes)
        assert (seen.now_s, world.changes) == (world.now_s, [])

    def test_without_a_cluster_there_is_nothing_to_compare(self) -> None:
        with pytest.raises(NeverBroughtUp, match="stack metal: expected a cluster that was brought up"):
            survey(ports(fresh()), "metal")

    def test_a_silent_cluster_is_no_drift(self) -> None:
        world = serving()
        world.api_up = False
        with pytest.raises(PortError):
            survey(ports(world), "metal")


class TestDuringARoll:
    """A node that is just replaced did not drift; one whose step halted, or whose run is over, is left to somebody."""

    @pytest.fixture
    def world(self) -> World:
        """w1 has left for its next image, and its run goes on."""
        world = serving()
        for name in world.nodes:
            world.nodes[name], world.claims[name] = node(name), joined(name)
        world.pins["w1"] = pin("w1", "g2")
        step(world, Verb.LEAVE, "w1")
        return world

    def said(self, world: World) -> list[tuple[str, str, bool]]:
        seen = survey(ports(world), "metal")
        return [(f.node, f.found, f.information) for f in drift(seen.pins, seen.claims, seen.nodes, seen.turning)]

    def test_it_is_information(self, world: World) -> None:
        told = "in the middle of its turn of a roll that goes on"
        assert self.said(world) == [("w1", f"a host that is left, {told}", True)]
        step(world, Verb.RELEASE, "w1")
        step(world, Verb.PROVISION, "w1", "g2")
        assert self.said(world) == [("w1", f"a host that is provisioning, {told}", True)]

    def test_also_while_it_leaves_and_one_that_is_not_declared_any_more(self) -> None:
        world = serving()
        for name in world.nodes:
            world.nodes[name], world.claims[name] = node(name), joined(name)
        del world.pins["w1"]
        world.detaches = False
        world.kill_at, world.calls = 60, 0
        with pytest.raises(Killed):
            step(world, Verb.LEAVE, "w1")
        world.dead, world.kill_at = False, 0
        assert roster(world).nodes["w1"].slot_since_s is not None
        assert [(n, information) for n, _, information in self.said(world)] == [("w1", True)]

    def test_the_others_are_compared_as_ever(self, world: World) -> None:
        world.nodes["w2"] = replace(world.nodes["w2"], os_image="OS 0")
        assert [(n, information) for n, _, information in self.said(world)] == [("w1", True), ("w2", False)]

    def test_not_once_its_step_halted(self, world: World) -> None:
        world.boots = False
        step(world, Verb.RELEASE, "w1")
        with pytest.raises(LifecycleError):
            step(world, Verb.PROVISION, "w1", "g2")
        assert [(n, information) for n, _, information in self.said(world)] == [("w1", False)]

    @pytest.mark.parametrize("ends", ["its process is gone", "it gave its Lease back", "silent on another machine"])
    def test_not_once_its_run_is_over(self, world: World, ends: str) -> None:
        assert world.roll is not None
        if ends.startswith("its process"):
            world.ended.add(world.run.id)
        elif ends.startswith("it gave"):
            world.roll = replace(world.roll, renewed_s=GIVEN_BACK_S)
        else:
            world.roll = replace(world.roll, run=replace(world.run, place="elsewhere"))
            assert self.said(world)[0][2], "it may be about to renew"
            world.now_s += 1000
        assert self.said(world) == [("w1", "a host that is left", False)]

    def test_a_lost_roster_is_for_the_steps_to_say(self, world: World) -> None:
        world.document, world.version = "", 0
        assert [(n, information) for n, _, information in self.said(world)] == [("w1", True)]


class TestANodeThatIsSucceeded:
    """A host whose next node is still to be made: one finding, of the node that serves."""

    def test_is_rolled_by_the_next_up(self) -> None:
        new = replace(pin("w1", "g2"), node="w1-g2", host="w1")
        claims, nodes = {"w1": joined("w1")}, {"w1": node("w1")}
        (only,) = drift({new.node: new}, claims, nodes)
        assert (only.node, only.what, only.expected, only.found) == ("w1", "boot configuration", "g2", "g1")
        assert only.remedy == "run `pulumi up`: w1-g2 takes its place"

    def test_is_missed_if_it_is_gone(self) -> None:
        new = replace(pin("w1", "g2"), node="w1-g2", host="w1")
        found = drift({new.node: new}, {"w1": joined("w1")}, {})
        assert [f.what for f in found] == ["boot configuration", "presence"]

    def test_in_its_turn_is_information(self) -> None:
        new = replace(pin("w1", "g2"), node="w1-g2", host="w1")
        (only,) = drift({new.node: new}, {"w1": joined("w1")}, {"w1": node("w1")}, frozenset({"w1"}))
        assert only.information

    def test_beside_its_successor_is_one_that_an_up_takes_out(self) -> None:
        new = replace(pin("w2"), node="w1-g2", host="w1")
        claims = {"w1": joined("w1"), "w1-g2": replace(joined("w2"), node="w1-g2", host="w1")}
        found = drift({new.node: new}, claims, {"w1": node("w1"), "w1-g2": replace(node("w2"), name="w1-g2")})
        assert [(f.node, f.what, f.remedy) for f in found if f.node == "w1"] == [
            ("w1", "presence", "run `pulumi up`: it takes the node out")
        ]
