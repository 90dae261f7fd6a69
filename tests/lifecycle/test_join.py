"""A node comes in: initialise or join, the exact image, the gates of the stage the fleet has reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lifecycle.commands import Step, Verb
from lifecycle.errors import (
    AttachIncomplete,
    ClaimNotOurs,
    ClusterSilent,
    FleetNotReady,
    GenerationDiffers,
    LifecycleError,
    MachineFailed,
    NeverBooted,
    NeverInitialised,
    NeverReady,
    NeverRegistered,
    NotInEtcd,
    PortError,
    RecordMissing,
    RosterMissing,
    SoakFailed,
    StillDegraded,
    WrongImage,
)
from lifecycle.join import DaemonsNotReady, wait_ready
from lifecycle.moved import BudgetNotRecovered
from lifecycle.ports import Budget, Claim, ClaimState, Credentials, Node, Pod, Ports, Power, Verdict
from lifecycle.run import execute
from lifecycle.waiting import WATCHED_S
from tests.lifecycle.fakes import FakeDelivery, FakeKubernetes, FakeRecords, FakeStorage, Tap, ports
from tests.lifecycle.fleets import bring_in, claim, execute_with, fresh, pin, roster, serving, standings, step
from tests.lifecycle.world import Host, World


@pytest.fixture
def world() -> World:
    """w1 has left, and its host runs the next image."""
    world = serving()
    out(world, "w1")
    return world


def out(world: World, node: str, **changes: object) -> None:
    world.pins[node] = pin(node, "g2", **changes)
    step(world, Verb.LEAVE, node)
    step(world, Verb.RELEASE, node)
    step(world, Verb.PROVISION, node, "g2")
    step(world, Verb.ENROL, node, "g2")
    world.changes.clear()
    world.journal.clear()


def join(world: World, node: str = "w1", generation: str = "g2") -> str:
    return step(world, Verb.JOIN, node, generation)


class TestAWorkerJoins:
    """Credentials, registration, Ready, storage, paths; only then it serves."""

    def test_in_this_order(self, world: World) -> None:
        assert join(world) == "w1 serves"
        assert world.changes == [
            "deliver w1 join",
            "withdraw w1",
            "uncordon w1",
            "maintenance over w1",
            "claim w1 joined",
        ]
        assert [" ".join(j[1:]) for j in world.journal] == [
            "credentials",
            "register",
            "storage-in",
            "attach",
            "end served",
        ]
        assert standings(world)["w1"] == "in"
        assert world.claims["w1"].machine_id == "w1-m2"
        assert world.broken == []

    def test_as_soon_as_what_the_api_announces_was_seen_twice(self, world: World) -> None:
        join(world)
        took = {what: s for node, what, s, _ in world.waits if node == "w1"}
        assert took["a new machine registers"] == 20 + WATCHED_S
        assert took["Ready"] == 10  # 30 s after its credentials, and then WATCHED_S, less what registering took

    def test_not_by_a_ready_that_flaps(self, world: World) -> None:
        class Flapping(FakeKubernetes):
            looks = 0

            def node(self, name: str) -> Node | None:
                self.looks += 1
                seen = super().node(name)
                return seen and replace(seen, ready=self.looks in (1, 3, 4))

        flapping = Flapping(world)
        for second in range(5):
            world.later(second, lambda: None)  # something about the node, which makes the gate look
        wait_ready(replace(ports(world), kubernetes=flapping), "w1")
        assert flapping.looks == 4

    def test_a_token_lives_an_hour_at_most(self, world: World) -> None:
        join(world)
        given = world.hosts["w1"].credentials
        assert given is not None
        assert (given.init, given.token, given.endpoint) == (False, "token-3600", "k8s.example:6443")

    def test_credentials_are_gone_whatever_comes_of_it(self, world: World) -> None:
        world.registers = False
        with pytest.raises(NeverRegistered):
            join(world)
        assert world.delivered == set()

    def test_credentials_that_a_killed_join_left_are_gone_once_it_has_left(self, world: World) -> None:
        world.delivered.add("w1")
        step(world, Verb.LEAVE, "w1", "g2")
        assert world.delivered == set()
        world.delivered.add("w1")
        step(world, Verb.RELEASE, "w1", "g2")
        assert world.delivered == set()

    def test_nothing_secret_is_shown(self, world: World) -> None:
        join(world)
        assert "token-3600" not in repr(world.journal) + repr(world.waits) + repr(world.hosts["w1"].credentials)

    def test_again_is_a_check_and_changes_nothing(self, world: World) -> None:
        join(world)
        world.changes.clear()
        world.journal.clear()
        world.nodes["w1"] = replace(world.nodes["w1"], unschedulable=True)  # somebody else's cordon
        assert join(world) == "w1 serves already"
        assert (world.changes, world.journal) == ([], [])
        world.volumes["pv-0"].replicas["w1"] = False
        with pytest.raises(StillDegraded):
            join(world)


class TestAControlPlaneJoins:
    """As a voter that is caught up."""

    def test_back(self) -> None:
        world = serving()
        out(world, "c1")
        assert join(world, "c1") == "c1 serves"
        assert world.members["c1"].voter
        assert "deliver c1 join" in world.changes  # also the one that once initialised the cluster

    @pytest.mark.parametrize(
        ("spoil", "text"),
        [
            ({"voter": False}, "learner, healthy"),
            ({"healthy": False}, "voter, unhealthy"),
            ({"lag": 101}, "101 entries behind, 100 allowed"),
        ],
    )
    def test_not_while_its_member_is_no_voter_that_keeps_up(self, spoil: dict[str, Any], text: str) -> None:
        world = serving()
        world.members["c3"] = replace(world.members["c3"], **spoil)
        with pytest.raises(NotInEtcd, match=text):
            join(world, "c3", "g1")

    def test_without_a_member(self) -> None:
        world = serving()
        del world.members["c3"]
        with pytest.raises(NotInEtcd, match=r"no such member.*--replace"):
            join(world, "c3", "g1")


class TestInitialising:
    """Once, by a control plane, by the record alone."""

    def test_the_first_initialises_the_second_joins(self) -> None:
        world = fresh()
        bring_in(world, "c1")
        bring_in(world, "c2")
        assert world.initialised == "c1"
        assert [c for c in world.changes if c.startswith("deliver")] == ["deliver c1 init", "deliver c2 join"]

    def test_never_because_the_api_is_silent(self, world: World) -> None:
        out_of_reach = serving()
        out(out_of_reach, "c2")
        out_of_reach.api_up = False
        with pytest.raises(ClusterSilent):
            join(out_of_reach, "c2")
        assert out_of_reach.changes == []

    def test_one_control_plane_only_is_told_to(self) -> None:
        """Of two at once the second waits for the first, and joins what it made."""
        world = fresh()
        step(world, Verb.PROVISION, "c2")
        world.initialising = "c1"  # told a moment ago

        class Slow(FakeRecords):
            def initialised_by(self) -> str | None:
                if self.world.now_s > start_s + 60 and "c1" not in self.world.members:
                    bring_in(self.world, "c1")
                return super().initialised_by()

        start_s = world.now_s
        at = ports(world)
        assert execute(Step(Verb.JOIN, "metal", "c2", "g1"), replace(at, records=Slow(world))) == "c2 serves"
        assert [c for c in world.changes if c.startswith("deliver")] == ["deliver c1 init", "deliver c2 join"]

    def test_it_is_on_record_before_it_is_told(self) -> None:
        world = fresh()
        world.registers = False
        step(world, Verb.PROVISION, "c1")
        step(world, Verb.PROVISION, "c2")
        with pytest.raises(ClusterSilent):
            step(world, Verb.JOIN, "c1")
        assert (world.initialising, world.initialised) == ("c1", None)
        with pytest.raises(NeverInitialised, match="c1 was told to"):
            step(world, Verb.JOIN, "c2")
        assert "deliver c2 init" not in world.changes

    def test_one_that_was_given_up_makes_way(self) -> None:
        world = fresh()
        world.registers = False
        step(world, Verb.PROVISION, "c1")
        with pytest.raises(ClusterSilent):
            step(world, Verb.JOIN, "c1")
        step(world, Verb.LEAVE, "c1")
        step(world, Verb.RELEASE, "c1")
        world.registers = True
        bring_in(world, "c2")
        assert world.initialised == "c2"

    @pytest.mark.parametrize("joined", [True, False])
    def test_never_beside_a_cluster_whose_record_is_lost(self, joined: bool) -> None:
        world = serving()
        out(world, "c2")
        world.initialised = None
        if not joined:  # nobody's claim says that there is a cluster, and its API answers
            world.claims = {"c2": world.claims["c2"]}
        with pytest.raises(RecordMissing, match=r"found none for stack metal, (although c1, c3, w1|and an API)"):
            join(world, "c2")
        assert world.changes == []

    def test_a_cluster_that_does_not_come_up(self) -> None:
        world = fresh()
        world.registers = False
        step(world, Verb.PROVISION, "c1")
        with pytest.raises(ClusterSilent, match="after 900 s"):
            step(world, Verb.JOIN, "c1")
        assert world.initialised is None

    def test_a_worker_waits_for_it(self) -> None:
        world = fresh()
        step(world, Verb.PROVISION, "w1")
        with pytest.raises(NeverInitialised, match="no record that any control plane did"):
            step(world, Verb.JOIN, "w1")
        assert world.initialised is None


class TestStages:
    """Before the fleet-ready barrier a readiness asks only for what its stage has."""

    def test_a_control_plane_need_not_be_ready(self) -> None:
        world = fresh()
        step(world, Verb.PROVISION, "c1")
        world.storage_there = False
        world.nodes = StuckNodes()
        assert step(world, Verb.JOIN, "c1") == "c1 serves"
        assert not world.nodes["c1"].ready

    def test_a_worker_is_ready_without_any_storage(self) -> None:
        world = fresh()
        world.storage_there = False
        bring_in(world, "c1")
        bring_in(world, "w1")
        assert standings(world) == {"c1": "in", "w1": "in"}

    def test_storage_that_was_promised_must_answer(self, world: World) -> None:
        world.storage_there = False
        with pytest.raises(PortError):
            join(world)

    def test_the_barrier_opens_once_all_serve(self) -> None:
        world = fresh()
        for node in world.pins:
            assert not roster(world).serving if world.document else True
            bring_in(world, node)
        assert step(world, Verb.GATE) == "7 nodes serve"
        assert roster(world).serving


class StuckNodes(dict[str, Node]):
    """Kubelets that never report Ready: there is no network for pods yet."""

    def __setitem__(self, name: str, node: Node) -> None:
        super().__setitem__(name, replace(node, ready=False))


def no_image(world: World) -> None:
    world.images["g2"] = "OS 39"


def silent(world: World) -> None:
    world.registers = False


def unready(world: World) -> None:
    world.nodes = StuckNodes(world.nodes)


def not_back(world: World) -> None:
    """What left w1 for its turn does not start elsewhere."""
    world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], ready=False)


def broken_elsewhere(world: World) -> None:
    world.pods["apps/db-9"] = Pod("apps", "db-9", "w2", "StatefulSet", ready=False, claims=("data-db-9",))


def no_daemon(world: World) -> None:
    cni = world.pods["kube-system/cni-w1"]
    world.pods["kube-system/cni-w1"] = replace(cni, ready=False, daemon_set="kube-system/cni")


def lost_replica(world: World) -> None:
    world.volumes["pv-2"].replicas["w4"] = False


class TestJoinHalts:
    """The node keeps its slot, so nothing else leaves."""

    @pytest.mark.parametrize(
        ("spoil", "error", "text"),
        [
            (no_image, WrongImage, "OS 39, kubelet v1.36.3 instead of OS g2"),
            (silent, NeverRegistered, "only the Node object of the machine before it, w1-m1"),
            (unready, NeverReady, "its kubelet does not report Ready"),
            (lost_replica, StillDegraded, "pv-2 lacks a replica"),
            (not_back, AttachIncomplete, r"apps/db-0 \(claims data-db-0\)"),
            (no_daemon, DaemonsNotReady, "kube-system/cni-w1 of DaemonSet kube-system/cni"),
        ],
    )
    def test_naming_it(
        self, world: World, spoil: Callable[[World], None], error: type[LifecycleError], text: str
    ) -> None:
        spoil(world)
        with pytest.raises(error, match=text) as e:
            join(world)
        assert "Remedy: runbooks/" in str(e.value)
        assert standings(world)["w1"] == "leaving"
        assert world.claims["w1"].state is ClaimState.PROVISIONING
        assert world.journal[-1][1] == "end"

    def test_a_node_that_somebody_deletes_does_not_serve(self, world: World) -> None:
        class Deleting(FakeStorage):
            gone: Node | None = None

            def is_redundant(self) -> Verdict:
                self.gone = self.gone or self.world.nodes.pop("w1")
                return super().is_redundant()

        storage = Deleting(world)
        with pytest.raises(
            NeverReady, match="no Node object, which somebody deleted; its kubelet registers again once"
        ):
            execute_with(world, Verb.JOIN, "w1", "g2", storage=Tap(world, storage))
        assert standings(world)["w1"] == "leaving"
        assert world.claims["w1"].state is ClaimState.PROVISIONING
        assert storage.gone is not None
        world.nodes["w1"] = storage.gone
        assert join(world) == "w1 serves"

    def test_a_wrong_image_is_not_let_in(self, world: World) -> None:
        world.nodes["w1"] = replace(world.nodes["w1"], unschedulable=False)
        no_image(world)
        with pytest.raises(WrongImage):
            join(world)
        assert world.nodes["w1"].unschedulable

    def test_a_machine_that_says_it_failed_at_once(self, world: World) -> None:
        world.registers = False
        world.failed.add("w1")
        start_s = world.now_s
        with pytest.raises(MachineFailed, match=r"report of w1: state 'failed'.*--replace '\*\*w1.machine'"):
            join(world)
        assert world.now_s - start_s < 60

    def test_a_machine_that_is_off_soon(self, world: World) -> None:
        world.hosts["w1"].power = Power.OFF
        start_s = world.now_s
        with pytest.raises(MachineFailed, match="its power off for"):
            join(world)
        assert world.now_s - start_s <= 120

    def test_a_machine_that_restarts_is_waited_for(self, world: World) -> None:
        world.hosts["w1"].power = Power.OFF
        world.later(10, lambda: setattr(world.hosts["w1"], "power", Power.ON))
        world.later(11, lambda: world.start_kubeadm("w1"))
        assert join(world) == "w1 serves"

    def test_a_controller_that_is_silent_says_nothing_of_the_machine(self, world: World) -> None:
        world.failing = {"machines.power": 99, "machines.progress": 99}
        assert join(world) == "w1 serves"

    def test_not_over_a_pod_that_was_broken_before_it_left(self) -> None:
        world = serving()
        broken_elsewhere(world)
        out(world, "w1")
        assert join(world) == "w1 serves"
        out(world, "w3")
        world.pods["apps/db-2"] = replace(world.pods["apps/db-2"], ready=False)
        with pytest.raises(AttachIncomplete, match=r"not Ready: apps/db-2 \(claims data-db-2\)\."):
            join(world, "w3")

    def test_not_over_a_pod_that_broke_meanwhile_and_never_was_on_it(self, world: World) -> None:
        broken_elsewhere(world)
        assert join(world) == "w1 serves"

    @pytest.mark.parametrize("by_name", [True, False])
    def test_over_one_that_left_it_by_its_claim_too(self, world: World, by_name: bool) -> None:
        """A Deployment's pod has another name on the next node."""
        pod = replace(world.pods.pop("apps/db-0"), ready=False)
        pod = pod if by_name else replace(pod, name="db-5f7c", node="w3")
        world.pods[pod.key] = pod
        with pytest.raises(AttachIncomplete, match=pod.key):
            join(world)

    def test_over_a_volume_that_was_attached_to_it_without_a_pod(self) -> None:
        world = serving()
        del world.pods["apps/db-0"]
        world.budgets.clear()
        world.later(5, lambda: setattr(world.volumes["pv-0"], "attached_to", ""))
        out(world, "w1")
        world.pods["apps/db-0"] = Pod("apps", "db-0", "w2", "StatefulSet", ready=False, claims=("data-db-0",))
        with pytest.raises(AttachIncomplete, match="apps/db-0"):
            join(world)

    def test_not_over_a_daemon_set_that_did_not_serve_on_it_before(self) -> None:
        world = serving()
        no_daemon(world)
        out(world, "w1")
        assert join(world) == "w1 serves"

    def test_a_daemon_that_comes_later_is_waited_for(self, world: World) -> None:
        no_daemon(world)
        cni = world.pods["kube-system/cni-w1"]
        world.later(200, lambda: world.pods.update({"kube-system/cni-w1": replace(cni, ready=True)}))
        assert join(world) == "w1 serves"
        assert world.now_s >= 200

    def test_over_one_that_is_on_it(self) -> None:
        world = serving()
        broken_elsewhere(world)
        out(world, "w1")
        world.pods["apps/db-9"] = replace(world.pods["apps/db-9"], node="w1")
        with pytest.raises(AttachIncomplete, match="apps/db-9"):
            join(world)

    def test_a_new_node_not_over_what_was_broken_before_it_came(self) -> None:
        world = serving()
        broken_elsewhere(world)
        world.pins["w9"], world.hosts["w9"] = pin("w9", fault_domain="z"), Host(Power.OFF, joined=False)
        bring_in(world, "w9")
        assert standings(world)["w9"] == "in"

    def test_a_wrong_image_at_once(self, world: World) -> None:
        no_image(world)
        start_s = world.now_s
        with pytest.raises(WrongImage):
            join(world)
        assert world.now_s - start_s < 60

    def test_paths_that_flap(self, world: World) -> None:
        class Flapping(FakeStorage):
            looks = 0

            def paths_complete(self) -> Verdict:
                Flapping.looks += 1
                return Verdict(Flapping.looks % 2 == 0, ("pv-0 has 1 of 2 paths",))

        with pytest.raises(AttachIncomplete, match=r"pv-0 has 1 of 2 paths|only 1 good"):
            execute_with(world, Verb.JOIN, "w1", "g2", storage=Tap(world, Flapping(world)))

    def test_goes_on_after_the_cause_is_gone(self, world: World) -> None:
        not_back(world)
        with pytest.raises(AttachIncomplete):
            join(world)
        world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], ready=True)
        assert join(world) == "w1 serves"
        assert world.changes.count("deliver w1 join") == 1

    @pytest.mark.parametrize("other", [None, claim("w1", ClaimState.LEFT), claim("w1", ClaimState.JOINED)])
    def test_without_a_claim_to_come_in_with(self, world: World, other: Claim | None) -> None:
        if other is None:
            del world.claims["w1"]
        else:
            world.claims["w1"] = other
        for verb in (Verb.ENROL, Verb.JOIN):
            with pytest.raises(ClaimNotOurs, match=r"no claim|generation g1"):
                step(world, verb, "w1", "g2")
        assert world.changes == []

    @pytest.mark.parametrize("node", ["w2", "c2"])
    @pytest.mark.parametrize("released", [False, True])
    def test_one_that_left_and_is_wanted_back_as_it_was_is_installed_again(self, node: str, released: bool) -> None:
        world = serving()
        step(world, Verb.LEAVE, node)
        if released:
            step(world, Verb.RELEASE, node)
        assert step(world, Verb.ENROL, node) == f"{node} enrolled, out"
        assert join(world, node, "g1") == f"{node} serves"
        assert world.claims[node].machine_id == f"{node}-m2"
        assert world.broken == []

    def test_one_whose_install_was_killed_is_installed_again(self) -> None:
        world = serving()
        step(world, Verb.LEAVE, "w2")
        step(world, Verb.RELEASE, "w2")
        world.boots = False
        with pytest.raises(NeverBooted):
            step(world, Verb.ENROL, "w2")
        world.boots = True
        assert join(world, "w2", "g1") == "w2 serves"
        assert world.changes.count("install w2 g1") == 2

    def test_without_a_roster_although_others_joined(self, world: World) -> None:
        world.document, world.version = "", 0
        for verb in (Verb.ENROL, Verb.JOIN):
            with pytest.raises(RosterMissing, match="although c1, c2, c3, w2, w3, w4 joined"):
                step(world, verb, "w1", "g2")
        assert world.document == ""

    def test_with_a_stack_file_that_changed(self, world: World) -> None:
        for verb in (Verb.ENROL, Verb.JOIN):
            with pytest.raises(GenerationDiffers, match="generation g2 declared, g1 planned"):
                step(world, verb, "w1", "g1")

    def test_after_a_rebuild_elsewhere_it_is_another_machine(self, world: World) -> None:
        join(world)
        world.nodes["w1"] = replace(world.nodes["w1"], machine_id="stranger")
        with pytest.raises(NeverRegistered, match="machine stranger instead of w1-m2"):
            join(world)


class TestSoak:
    """A canary is watched before the pool follows."""

    def soaking(self) -> World:
        world = serving()
        out(world, "w1", soak_s=600.0)
        return world

    def test_that_stays_well(self) -> None:
        world = self.soaking()
        join(world)
        assert ("w1", "soak", 600.0, True) in world.waits

    def test_not_ready(self) -> None:
        world = self.soaking()
        world.later(300, lambda: world.nodes.update(w1=replace(world.nodes["w1"], ready=False)))
        with pytest.raises(SoakFailed, match=r"after \d+ of 600 s: not Ready"):
            join(world)
        assert standings(world)["w1"] == "leaving"

    def test_degraded(self) -> None:
        world = self.soaking()
        world.later(300, lambda: world.volumes["pv-2"].replicas.update(w4=False))
        with pytest.raises(SoakFailed, match="pv-2 lacks a replica"):
            join(world)

    def test_a_silent_api_is_no_verdict_until_the_end(self) -> None:
        world = self.soaking()
        world.later(300, lambda: setattr(world, "api_up", False))
        world.later(400, lambda: setattr(world, "api_up", True))
        assert join(world) == "w1 serves"
        world = self.soaking()
        world.later(300, lambda: setattr(world, "api_up", False))
        with pytest.raises(SoakFailed, match="no answer"):
            join(world)


class TestEnrol:
    """Lists a node as declared."""

    def test_before_the_cluster_exists(self) -> None:
        world = fresh()
        step(world, Verb.PROVISION, "c1")
        assert step(world, Verb.ENROL, "c1") == "c1 enrols when it joins: there is no cluster yet"
        assert world.document == ""

    def test_a_node_that_is_out(self, world: World) -> None:
        assert step(world, Verb.ENROL, "w1", "g2") == "w1 enrolled, out"
        assert standings(world)["w1"] == "leaving"

    def test_a_node_that_is_in(self) -> None:
        world = serving()
        before = world.document
        assert step(world, Verb.ENROL, "w1") == "w1 enrolled, in"
        assert world.document == before


class TestTheBarrier:
    """Opens for a fleet that is whole, and names what is not."""

    def test_forgets_what_left_for_good(self) -> None:
        world = serving()
        del world.pins["w4"]
        step(world, Verb.LEAVE, "w4")
        assert step(world, Verb.GATE) == "6 nodes serve"
        assert "w4" not in roster(world).nodes

    def test_takes_over_what_is_declared(self) -> None:
        world = serving()
        world.pins["w4"] = replace(world.pins["w4"], pool="other", fault_domain="z")
        step(world, Verb.GATE)
        assert (roster(world).nodes["w4"].pool, roster(world).nodes["w4"].fault_domain) == ("other", "z")

    def test_does_not_wait_for_what_retires(self) -> None:
        world = serving()
        world.pins["w4"] = pin("w4", retire=True)
        step(world, Verb.RETIRE)
        step(world, Verb.LEAVE, "w4")
        assert step(world, Verb.GATE) == "6 nodes serve"

    @pytest.mark.parametrize(
        ("spoil", "text"),
        [
            (lambda w: w.nodes.update(w2=replace(w.nodes["w2"], ready=False)), "w2 is not Ready"),
            (lambda w: w.nodes.pop("w2"), "w2 is not Ready"),
            (lambda w: w.nodes.update(w2=replace(w.nodes["w2"], os_image="OS 0")), "w2 runs OS 0, kubelet v1.36.3"),
            (lambda w: w.pins.update(w9=pin("w9")), "w9 has not joined"),
            (lambda w: w.members.pop("c2"), "c2 is no member"),
            (lambda w: w.members.update(x=replace(w.members["c2"], name="x")), "x is a member unasked"),
            (lambda w: w.members.update(c3=replace(w.members["c3"], voter=False)), "c3 is not a healthy voter"),
            (lambda w: w.volumes["pv-2"].replicas.update(w4=False), "pv-2 lacks a replica"),
        ],
    )
    def test_stays_closed(self, spoil: Callable[[World], object], text: str) -> None:
        world = serving()
        spoil(world)
        with pytest.raises(FleetNotReady, match=text):
            step(world, Verb.GATE)


def test_credentials_show_nothing() -> None:
    shown = repr(Credentials(True, "k8s:6443", "abc.def", {"ca.key": "PEM"}))
    assert not any(secret in shown for secret in ("k8s", "abc", "PEM"))


def test_what_cannot_be_delivered_halts(world: World) -> None:
    class Full(FakeDelivery):
        def deliver(self, node: str, credentials: Credentials) -> None:
            raise PortError("delivery for w1", "no space left", "see the boot store")

    with pytest.raises(PortError, match="no space left"):
        execute_with(world, Verb.JOIN, "w1", "g2", delivery=Tap(world, Full(world)))
    assert join(world) == "w1 serves"


def test_a_claim_is_plain_data() -> None:
    assert claim("w1", ClaimState.LEFT) == Claim(*vars(claim("w1", ClaimState.LEFT)).values())
    assert Ports.__dataclass_fields__.keys() >= {"clock", "roster"}


def two_lanes() -> World:
    """Both w1 and w4 may be out at once, since they store nothing; each has a pod of the app web."""
    world = serving()
    for name in ("w1", "w4"):
        world.pins[name] = pin(name, max_unavailable=2, fault_domain=f"only-{name}", stores=False)
        world.claims[name] = replace(world.claims[name], stores=False)
    for volume in world.volumes.values():
        volume.replicas = {"w2": True, "w3": True}
    world.pods["apps/web-0"] = Pod("apps", "web-0", "w1", "ReplicaSet")
    world.pods["apps/web-1"] = Pod("apps", "web-1", "w4", "ReplicaSet")
    world.pods["apps/web-2"] = Pod("apps", "web-2", "w2", "ReplicaSet")
    world.budgets["web"] = 2
    return world


def lane_out(world: World, node: str) -> None:
    was = world.pins[node]
    fields = {"max_unavailable": 2, "fault_domain": was.fault_domain, "stores": was.stores}
    out(world, node, **fields)


def falls(world: World, *names: str) -> None:
    for name in names:
        world.pods[f"apps/{name}"] = replace(world.pods[f"apps/{name}"], ready=False)


class TestBudgetsRecover:
    """What allowed an eviction before the node's turn allows one again before the node serves."""

    def test_waited_for(self) -> None:
        world = two_lanes()
        lane_out(world, "w1")
        falls(world, "web-0")
        world.later(200, lambda: world.pods.update({"apps/web-0": replace(world.pods["apps/web-0"], ready=True)}))
        until_s = world.now_s + 200
        assert join(world) == "w1 serves"
        assert world.now_s >= until_s

    def test_halts_naming_the_budget(self) -> None:
        world = two_lanes()
        lane_out(world, "w1")
        falls(world, "web-0")
        with pytest.raises(BudgetNotRecovered, match=r"apps/web allows none: 2 healthy, 2 wanted\.") as halted:
            join(world)
        assert halted.value.names == ("apps/web",)
        assert "Remedy: runbooks/join.md#budgets" in str(halted.value)
        assert standings(world)["w1"] == "leaving"
        world.pods["apps/web-0"] = replace(world.pods["apps/web-0"], ready=True)
        assert join(world) == "w1 serves"

    def test_one_good_look_is_not_enough(self) -> None:
        class Flapping(FakeKubernetes):
            looks = 0

            def budgets_named(self, names: frozenset[str]) -> tuple[Budget, ...]:
                Flapping.looks += 1
                allowed = Flapping.looks % 2
                return tuple(replace(b, disruptions_allowed=allowed) for b in super().budgets_named(names))

        world = two_lanes()
        lane_out(world, "w1")
        with pytest.raises(LifecycleError, match=r"apps/web allows none|only 1 good"):
            execute_with(world, Verb.JOIN, "w1", "g2", kubernetes=Tap(world, Flapping(world)))
        assert Flapping.looks > 2

    def test_not_one_that_allowed_none_before(self) -> None:
        world = two_lanes()
        world.pods["apps/web-0"] = replace(world.pods["apps/web-0"], ready=False)
        lane_out(world, "w1")
        falls(world, "web-0")
        assert join(world) == "w1 serves"

    def test_not_one_of_which_no_pod_was_on_it(self) -> None:
        world = two_lanes()
        world.pods["apps/web-0"] = replace(world.pods["apps/web-0"], node="w3")
        lane_out(world, "w1")
        falls(world, "web-2")
        assert join(world) == "w1 serves"

    def test_not_one_that_was_deleted_meanwhile(self) -> None:
        world = two_lanes()
        lane_out(world, "w1")
        del world.budgets["web"]
        falls(world, "web-0")
        assert join(world) == "w1 serves"


class TestLanesDoNotWaitForEachOther:
    """What another node that is out has to do with is that node's to wait for."""

    def test_over_a_budget_that_is_at_its_limit_for_both(self) -> None:
        world = two_lanes()
        lane_out(world, "w1")
        lane_out(world, "w4")
        falls(world, "web-1")
        assert join(world) == "w1 serves"
        with pytest.raises(BudgetNotRecovered, match="apps/web"):
            join(world, "w4")

    def test_but_over_one_below_its_limit(self) -> None:
        world = two_lanes()
        lane_out(world, "w1")
        lane_out(world, "w4")
        falls(world, "web-0", "web-1")
        with pytest.raises(BudgetNotRecovered, match="1 healthy, 2 wanted"):
            join(world)

    def test_over_a_pod_that_the_later_one_took_from_where_it_went(self) -> None:
        world = two_lanes()
        world.budgets.clear()
        lane_out(world, "w1")
        world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], node="w4")
        lane_out(world, "w4")
        world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], node="w2", ready=False)
        assert join(world) == "w1 serves"
        with pytest.raises(AttachIncomplete, match="apps/db-0"):
            join(world, "w4")

    def test_over_a_pod_on_a_node_that_is_out(self) -> None:
        world = two_lanes()
        world.budgets.clear()
        lane_out(world, "w1")
        world.nodes["w2"] = replace(world.nodes["w2"], ready=False)
        world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], node="w2", ready=False)
        assert join(world) == "w1 serves"
