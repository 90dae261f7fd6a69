"""A node leaves safely or not at all; a halt names what blocks and keeps the slot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lifecycle import slots
from lifecycle.commands import Verb
from lifecycle.errors import (
    BudgetFull,
    BudgetNeverAllows,
    CannotLose,
    ClaimChanged,
    ClusterSilent,
    ControllerUnreachable,
    DrainBlocked,
    EtcdNotHealthy,
    EtcdNotSafe,
    LifecycleError,
    NeedsAttention,
    NoSuccessor,
    NotEvacuated,
    NotRedundant,
    PortError,
    RecordMissing,
    RosterMissing,
    UnmanagedPods,
    VolumesStillAttached,
)
from lifecycle.gates import BudgetsOverlap
from lifecycle.ports import Claim, ClaimState, Member, Move, Node, Pod, Ports, Power, Verdict
from tests.lifecycle.fakes import FakeEtcd, FakeEvidence, FakeKubernetes, FakeRecords, FakeStorage, Tap, ports
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
from tests.lifecycle.world import World


@pytest.fixture
def world() -> World:
    return serving()


def leave(world: World, node: str, generation: str = "g1") -> str:
    return step(world, Verb.LEAVE, node, generation)


def phases(world: World, node: str) -> list[str]:
    return [" ".join(entry[1:]) for entry in world.journal if entry[0] == node and entry[1] != "note"]


class TestAWorkerLeaves:
    """Slot, gates, cordon, workloads, volumes, storage; only then it has left."""

    def test_in_this_order(self, world: World) -> None:
        assert leave(world, "w1") == "w1 left"
        assert world.changes == ["cordon w1", "evict apps/db-0", "maintenance w1", "claim w1 left"]
        assert phases(world, "w1") == ["slot", "gates", "cordon", "drain", "detach", "storage-out", "end left"]
        assert world.broken == []

    def test_keeps_its_slot_until_it_is_back(self, world: World) -> None:
        leave(world, "w1")
        assert standings(world)["w1"] == "leaving"
        with pytest.raises(BudgetFull, match="w1"):
            leave(world, "w2")

    def test_not_before_what_its_machine_boots_next_is_at_hand(self, world: World) -> None:
        world.pins["w1"], world.unfetched = replace(world.pins["w1"], generation="g2"), {"g2"}
        with pytest.raises(NeedsAttention, match="publisher"):
            leave(world, "w1")
        assert (world.changes, standings(world)["w1"]) == ([], "in")
        world.unfetched.clear()
        assert leave(world, "w1") == "w1 left"

    def test_a_boot_store_that_fails_is_named_and_no_controller(self, world: World) -> None:
        world.failing["machines.prepare"] = 1
        with pytest.raises(PortError, match=r"machines\.prepare") as failed:
            leave(world, "w1")
        assert "bmc" not in str(failed.value)
        assert (world.changes, standings(world)["w1"]) == ([], "in")

    def test_one_that_does_not_return_boots_nothing_next(self, world: World) -> None:
        world.unfetched = {world.pins["w1"].generation}
        world.claims["w1"] = replace(world.claims["w1"], retiring=True)
        assert leave(world, "w1") == "w1 left"

    def test_a_storage_nodes_object_stays(self, world: World) -> None:
        leave(world, "w1")
        assert world.nodes["w1"].unschedulable

    def test_daemons_and_mirrors_stay(self, world: World) -> None:
        world.pods["kube-system/proxy"] = Pod("kube-system", "proxy", "w1", "Node", mirror=True)
        leave(world, "w1")
        assert not [c for c in world.changes if "kube-system" in c]

    def test_storage_pods_go_last(self, world: World) -> None:
        world.pods["sb/sn"] = Pod("sb", "sn", "w1", "ReplicaSet", storage_daemon=True)
        leave(world, "w1")
        order = [c for c in world.changes if c in ("evict apps/db-0", "maintenance w1", "evict sb/sn")]
        assert order == ["evict apps/db-0", "maintenance w1", "evict sb/sn"]

    def test_says_how_its_volumes_moved(self, world: World) -> None:
        world.moves = [Move("pv-0", "apps/data-db-0", "w1"), Move("pv-1", "apps/data-db-1", "w2")]
        leave(world, "w1")
        assert [entry[2] for entry in world.journal if entry[1] == "note"] == ["volume pv-0 left w1"]

    def test_waits_for_a_budget_that_heals(self, world: World) -> None:
        key = "apps/db-2"
        world.pods[key] = replace(world.pods[key], ready=False)
        world.later(60, lambda: world.pods.update({key: replace(world.pods[key], ready=True)}))
        assert leave(world, "w1") == "w1 left"


class TestAControlPlaneLeaves:
    """etcd first loses its leader to a caught-up member, then the member, and is whole before power goes."""

    def test_with_its_member_and_node_object(self, world: World) -> None:
        leave(world, "c2")
        assert world.changes == ["cordon c2", "remove member c2", "delete node c2", "claim c2 left"]

    def test_leadership_goes_to_a_member_already_rolled(self, world: World) -> None:
        world.pins |= {name: pin(name, "g2") for name in ("c1", "c2")}
        replace_machine(world, "c3", "g1", "g2")
        world.changes.clear()
        leave(world, "c1")
        assert world.changes[1:3] == ["leader c3", "remove member c1"]

    def test_leadership_never_goes_to_one_that_lags(self, world: World) -> None:
        world.members["c2"] = replace(world.members["c2"], lag=5000)
        leave(world, "c1")
        assert "leader c3" in world.changes

    def test_no_successor(self, world: World) -> None:
        for name in ("c2", "c3"):
            world.members[name] = replace(world.members[name], lag=5000)
        with pytest.raises(NoSuccessor, match="no other member is a healthy, caught-up voter"):
            leave(world, "c1")
        assert "c1" in world.members

    def test_a_removal_that_etcd_refuses_for_a_while_is_asked_for_again(self, world: World) -> None:
        """etcd calls itself unhealthy for seconds after a member started."""
        world.failing["etcd.remove"] = 3
        assert leave(world, "c2") == "c2 left"
        assert world.changes == ["cordon c2", "remove member c2", "delete node c2", "claim c2 left"]

    def test_but_not_for_ever(self, world: World) -> None:
        world.failing["etcd.remove"] = 10**6
        begun_s = world.now_s
        with pytest.raises(EtcdNotHealthy, match=r"after 300 s: .*503 from the fake"):
            leave(world, "c2")
        assert world.now_s - begun_s < 400
        assert "c2" in world.members

    def test_nor_once_another_member_fell_ill_or_the_claim_is_another(self, world: World) -> None:
        class Refusing(FakeEtcd):
            def remove(self, member: Member) -> None:
                self.spoil()
                raise PortError("etcd member c2, remove", "HTTP 503 etcdserver: unhealthy cluster", "ask again")

            def spoil(self) -> None:
                self.world.members["c3"] = replace(self.world.members["c3"], healthy=False)

        with pytest.raises(EtcdNotSafe, match="1 healthy of 2 without it, 2 needed"):
            execute_with(world, Verb.LEAVE, "c2", etcd=Tap(world, Refusing(world)))

        class Losing(Refusing):
            def spoil(self) -> None:
                self.world.claims["c2"] = replace(self.world.claims["c2"], stack="thief")

        world.members["c3"] = replace(world.members["c3"], healthy=True)
        with pytest.raises(ClaimChanged):
            execute_with(world, Verb.LEAVE, "c2", etcd=Tap(world, Losing(world)))

    def test_one_whose_removal_was_done_though_its_answer_was_lost(self, world: World) -> None:
        class Lost(FakeEtcd):
            def remove(self, member: Member) -> None:
                super().remove(member)
                raise PortError("etcd member c2, remove", "ReadTimeout", "ask again")

        assert execute_with(world, Verb.LEAVE, "c2", etcd=Tap(world, Lost(world))) == "c2 left"

    def test_not_whole_afterwards(self, world: World) -> None:
        class Limping(FakeEtcd):
            def remove(self, member: object) -> None:
                super().remove(self.world.members["c2"])
                self.world.members["c3"] = replace(self.world.members["c3"], leader=False)
                self.world.members["c1"] = replace(self.world.members["c1"], leader=False)

        with pytest.raises(EtcdNotHealthy, match="no leader"):
            execute_with(world, Verb.LEAVE, "c2", etcd=Tap(world, Limping(world)))


class TestNothingToLeave:
    """Deletes run again for machines already gone, and for hosts that belong to somebody else now."""

    def refuses(self, world: World, text: str) -> None:
        assert text in leave(world, "w1")
        assert (world.changes, world.journal, standings(world)["w1"]) == ([], [], "in")

    def test_no_claim(self, world: World) -> None:
        del world.claims["w1"]
        self.refuses(world, "w1 has nothing to leave: no claim")

    @pytest.mark.parametrize(
        "other",
        [
            {"stack": "other"},
            {"node": "x1"},
            {"generation": "g2"},
            {"state": ClaimState.LEFT},
        ],
    )
    def test_a_claim_that_is_not_for_this(self, world: World, other: dict[str, str]) -> None:
        world.claims["w1"] = replace(world.claims["w1"], **other)  # type: ignore[arg-type]  # fields of a claim
        self.refuses(world, "w1 has nothing to leave: a claim of stack")

    def test_twice(self, world: World) -> None:
        leave(world, "w1")
        world.changes.clear()
        assert "nothing to leave" in leave(world, "w1")
        assert world.changes == []

    def test_a_claim_taken_away_meanwhile_is_not_overwritten(self, world: World) -> None:
        class Stolen(FakeRecords):
            def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
                self.world.claims[host] = replace(self.world.claims[host], stack="thief")
                return super().put_claim(host, new, expected)

        with pytest.raises(ClaimChanged, match="stack thief"):
            execute_with(world, Verb.LEAVE, "w1", records=Tap(world, Stolen(world)))
        assert world.claims["w1"].stack == "thief"


def lag(world: World) -> None:
    world.members["c3"] = replace(world.members["c3"], voter=False)


def sick(world: World) -> None:
    world.members["c3"] = replace(world.members["c3"], healthy=False)


def pair(world: World) -> None:
    del world.members["c3"]


def single(world: World) -> None:
    world.members = {"c2": replace(world.members["c2"], leader=True)}


def unmanaged(world: World) -> None:
    world.pods["apps/shell"] = Pod("apps", "shell", "w1")


def never(world: World) -> None:
    world.budgets["db"] = 3


def overlapping(world: World) -> None:
    world.budgets["db-0"] = 0


def silent(world: World) -> None:
    world.failing["etcd.members"] = 10**6


def degraded(world: World) -> None:
    world.volumes["pv-2"].replicas["w4"] = False


def last_copy(world: World) -> None:
    world.volumes["pv-0"].replicas["w2"] = False


class TestLeaveRefuses:
    """A node that cannot be spared stays as it is, and its slot is free for another."""

    @pytest.mark.parametrize(
        ("node", "spoil", "error", "text"),
        [
            ("c2", lag, EtcdNotSafe, "learner c3 is not a voter yet"),
            ("c2", sick, EtcdNotSafe, "1 healthy of 2 without it, 2 needed; unhealthy: c3"),
            ("c2", pair, EtcdNotSafe, "two members; c1 would be the only copy"),
            ("c2", single, EtcdNotSafe, "it is the only member"),
            ("c2", silent, EtcdNotSafe, "503 from the fake"),
            ("w1", unmanaged, UnmanagedPods, "apps/shell"),
            ("w1", never, BudgetNeverAllows, "PodDisruptionBudget apps/db that never does"),
            ("w1", overlapping, BudgetsOverlap, r"several for apps/db-0 \(apps/db, apps/db-0\)"),
            ("w1", degraded, NotRedundant, "pv-2 lacks a replica"),
            ("c2", degraded, NotRedundant, "pv-2 lacks a replica"),
            ("w1", last_copy, CannotLose, "pv-0 has its last|apps/data-db-0 has its last"),
        ],
    )
    def test_and_changes_nothing(
        self, world: World, node: str, spoil: Callable[[World], None], error: type[LifecycleError], text: str
    ) -> None:
        spoil(world)
        with pytest.raises(error, match=text) as e:
            leave(world, node)
        assert "Nothing was changed." in str(e.value)
        assert "Remedy: runbooks/" in str(e.value)
        assert world.changes == []
        assert standings(world)[node] == "in"
        assert phases(world, node)[-1].startswith(f"end halted: node {node}: expected")

    @pytest.mark.parametrize("spoil", [unmanaged, never, overlapping])
    def test_at_once_what_cannot_heal(self, world: World, spoil: Callable[[World], None]) -> None:
        spoil(world)
        before_s = world.now_s
        with pytest.raises(LifecycleError):
            leave(world, "w1")
        assert world.now_s == before_s

    def test_after_waiting_for_what_may_heal(self, world: World) -> None:
        degraded(world)
        world.later(300, lambda: world.volumes["pv-2"].replicas.update({"w4": True}))
        assert leave(world, "w1") == "w1 left"

    def test_a_silent_api(self, world: World) -> None:
        world.api_up = False
        with pytest.raises(ClusterSilent):
            leave(world, "w1")
        assert world.changes == []

    def test_a_second_node_of_the_budget(self, world: World) -> None:
        world.pins["w1"] = pin("w1", "g2")
        leave(world, "w1")
        world.changes.clear()
        for node in ("w2", "c1"):  # as --continue-on-error makes the engine ask
            with pytest.raises(BudgetFull):
                leave(world, node)
        assert world.changes == []


class TestLeaveHalts:
    """After the cordon a failure keeps the node cordoned and its slot held: nothing else leaves."""

    def halted(self, world: World, node: str) -> None:
        assert world.nodes[node].unschedulable
        assert standings(world)[node] == "leaving"
        assert world.claims[node].state is ClaimState.JOINED
        assert world.broken == []

    def test_drain(self, world: World) -> None:
        world.pods["apps/db-2"] = replace(world.pods["apps/db-2"], ready=False)
        with pytest.raises(DrainBlocked, match="apps/db-0 refused by its budget") as e:
            leave(world, "w1")
        assert (e.value.names, e.value.claims, e.value.budgets) == (("apps/db-0",), ("apps/data-db-0",), ("apps/db",))
        assert "PersistentVolumeClaim apps/data-db-0; PodDisruptionBudget apps/db" in str(e.value)
        assert "Nothing was changed" not in str(e.value)
        self.halted(world, "w1")

    def test_detach(self, world: World) -> None:
        world.detaches = False
        world.pods["apps/db-0"] = replace(world.pods["apps/db-0"], claims=())  # only the attachment is left
        with pytest.raises(VolumesStillAttached, match=r"VolumeAttachment va-pv-0 of PersistentVolume pv-0") as e:
            leave(world, "w1")
        assert "pv-0" in e.value.names
        assert "runbooks/detach.md#stuck" in str(e.value)
        self.halted(world, "w1")

    def test_detach_counts_only_looks_in_a_row(self, world: World) -> None:
        world.pods.pop("apps/db-0")
        world.volumes["pv-0"].attached_to = ""
        world.later(0.3, lambda: setattr(world.volumes["pv-0"], "attached_to", "w1"))
        world.later(33, lambda: setattr(world.volumes["pv-0"], "attached_to", ""))
        leave(world, "w1")
        assert next(w for w in world.waits if w[1] == "volumes detach")[2] == 33.5

    def test_goes_on_where_it_stood(self, world: World) -> None:
        world.pods["apps/db-2"] = replace(world.pods["apps/db-2"], ready=False)
        with pytest.raises(DrainBlocked):
            leave(world, "w1")
        world.pods["apps/db-2"] = replace(world.pods["apps/db-2"], ready=True)
        assert leave(world, "w1") == "w1 left"
        assert world.changes.count("cordon w1") == 1

    def test_reverted_its_join_heals_it(self, world: World) -> None:
        world.pods["apps/db-2"] = replace(world.pods["apps/db-2"], ready=False)
        with pytest.raises(DrainBlocked):
            leave(world, "w1")
        world.pods["apps/db-2"] = replace(world.pods["apps/db-2"], ready=True)
        assert step(world, Verb.JOIN, "w1") == "w1 serves"
        assert (standings(world)["w1"], world.nodes["w1"].unschedulable) == ("in", False)

    def test_what_broke_during_the_drain_is_seen_before_storage_is_told(self, world: World) -> None:
        world.later(4, lambda: world.volumes["pv-0"].replicas.update({"w2": False}))
        with pytest.raises(CannotLose):
            leave(world, "w1")
        assert "maintenance w1" not in world.changes
        assert roster(world).storage_turn == ""
        self.halted(world, "w1")


class TestANodeThatIsOut:
    """What it lacks itself must not keep it from being replaced."""

    def test_its_own_missing_replicas_do_not_block_it(self, world: World) -> None:
        replica_halted(world, "w1")
        assert leave(world, "w1", "g2") == "w1 left"

    def test_the_last_live_replica_does(self, world: World) -> None:
        replica_halted(world, "w1")
        world.volumes["pv-0"].replicas = {"w1": True, "w2": False}
        with pytest.raises(CannotLose):
            leave(world, "w1", "g2")

    def test_a_dead_machine_can_be_replaced(self, world: World) -> None:
        world.nodes["w4"] = replace(world.nodes["w4"], ready=False)
        world.volumes["pv-2"].replicas["w4"] = False
        assert leave(world, "w4") == "w4 left"

    def test_a_join_that_failed_half_way_leaves_etcd_and_cluster(self, world: World) -> None:
        leave(world, "c3")
        step(world, Verb.RELEASE, "c3", "g1")
        world.pins["c3"] = pin("c3", "g2")
        world.images["g2"] = "OS other"
        with pytest.raises(LifecycleError):
            bring_in(world, "c3", "g2")
        assert "c3" in world.members
        assert world.claims["c3"].state is ClaimState.PROVISIONING
        assert leave(world, "c3", "g2") == "c3 left"
        assert "c3" not in world.members
        assert "c3" not in world.nodes
        assert world.claims["c3"].machine_id == "c3-m2"  # the next join must not mistake it for its own
        assert world.broken == []

    def test_the_second_control_plane_of_a_first_bring_up_may_be_made_again(self) -> None:
        world = fresh()
        bring_in(world, "c1")
        world.images["g1"] = "OS other"
        with pytest.raises(LifecycleError):
            bring_in(world, "c2")
        world.run_until(world.now_s + 60)
        assert [m.voter for m in world.members.values()] == [True, True]
        assert leave(world, "c2") == "c2 left"
        assert list(world.members) == ["c1"]


def replica_halted(world: World, node: str) -> None:
    """`node` was replaced and its join halted because its replicas do not come back."""
    world.pins[node] = pin(node, "g2")
    leave(world, node)
    step(world, Verb.RELEASE, node, "g1")
    world.limits = replace(world.limits, redundancy_s=10)
    with pytest.raises(LifecycleError):
        bring_in(world, node, "g2")
    world.limits = replace(world.limits, redundancy_s=3600)


class TestBeforeTheClusterExists:
    """There is nothing to leave but the claim."""

    def test_only_the_claim_changes(self) -> None:
        world = fresh()
        world.claims["w1"] = claim("w1", ClaimState.PROVISIONING)
        assert leave(world, "w1") == "w1 left"
        assert world.changes == ["claim w1 left"]

    def test_storage_that_was_never_promised_is_not_asked_for(self, world: World) -> None:
        world.document = world.document.replace('"serving":true', '"serving":false')
        world.storage_there = False
        assert leave(world, "w1") == "w1 left"

    def test_storage_that_was_promised_must_answer(self, world: World) -> None:
        world.storage_there = False
        with pytest.raises(NotRedundant, match="storage: expected an answer"):
            leave(world, "w1")
        assert world.changes == []


class TestRecordsThatAreLost:
    """Absent is not the same as never written: nodes that joined prove that both were."""

    @pytest.mark.parametrize("state", [ClaimState.JOINED, ClaimState.PROVISIONING])
    def test_who_initialised(self, world: World, state: ClaimState) -> None:
        world.initialised = None
        world.claims["w1"] = claim("w1", state)
        with pytest.raises(RecordMissing, match=r"none for stack metal, although .* joined.*claims.md#record"):
            leave(world, "w1")
        assert world.changes == []

    @pytest.mark.parametrize("state", [ClaimState.JOINED, ClaimState.PROVISIONING])
    def test_the_roster(self, world: World, state: ClaimState) -> None:
        world.document, world.version = "", 0
        world.claims["w1"] = claim("w1", state)
        with pytest.raises(RosterMissing, match=r"although c1, c2, c3.* joined.*roster.md#missing"):
            leave(world, "w1")
        assert (world.changes, world.document) == ([], "")

    def test_the_roster_of_another_stack_proves_nothing(self) -> None:
        world = fresh()
        world.claims["w4"] = replace(claim("w4", ClaimState.JOINED), stack="other")
        bring_in(world, "c1")
        assert standings(world) == {"c1": "in"}


class TestAStepThatOutlivesItsEngine:
    """What it does not own any more it does not touch; each act looks again."""

    @pytest.mark.parametrize(
        ("node", "at", "never"),
        [
            ("w1", "slot", "cordon w1"),
            ("c2", "etcd-out", "remove member c2"),
            ("w1", "storage-out", "maintenance w1"),
        ],
    )
    def test_stops(self, world: World, node: str, at: str, never: str) -> None:
        class Taken(FakeEvidence):
            def begin(self, node: str, phase: str, detail: str = "") -> None:
                if phase == at:
                    self.world.claims[node] = replace(self.world.claims[node], state=ClaimState.LEFT)

        with pytest.raises(ClaimChanged):
            execute_with(world, Verb.LEAVE, node, evidence=Tap(world, Taken(world)))
        assert never not in world.changes

    def test_before_the_node_object_goes(self, world: World) -> None:
        class Taken(FakeStorage):
            def evacuate(self, node: str) -> Verdict:
                self.world.claims[node] = replace(self.world.claims[node], state=ClaimState.LEFT)
                return Verdict(True)

        del world.pins["w1"]
        with pytest.raises(ClaimChanged):
            execute_with(world, Verb.LEAVE, "w1", storage=Tap(world, Taken(world)))
        assert "w1" in world.nodes

    def test_a_member_that_comes_at_the_last_moment_stays(self, world: World) -> None:
        class Rejoined(FakeEtcd):
            def move_leader(self, to: Member) -> None:
                super().move_leader(to)
                self.world.members["c1"] = replace(self.world.members["c1"], id="c1-2")

        execute_with(world, Verb.LEAVE, "c1", etcd=Tap(world, Rejoined(world)))
        assert world.members["c1"].id == "c1-2"

    def test_a_later_member_of_the_name_stays(self, world: World) -> None:
        class Replaced(FakeEvidence):
            def begin(self, node: str, phase: str, detail: str = "") -> None:
                if phase == "etcd-out":
                    self.world.members["c2"] = replace(self.world.members["c2"], id="c2-2")

        execute_with(world, Verb.LEAVE, "c2", evidence=Tap(world, Replaced(world)))
        assert world.members["c2"].id == "c2-2"


class TestASecondTry:
    """A node that an earlier run cordoned still serves: it may go only if that could go now."""

    def cordoned(self, world: World, node: str) -> None:
        slots.take_slot(ports(world), world.claims[node], world.pins[node])
        world.nodes[node] = replace(world.nodes[node], unschedulable=True)

    def test_not_while_another_replica_is_missing(self, world: World) -> None:
        self.cordoned(world, "w1")
        degraded(world)
        with pytest.raises(NotRedundant, match="pv-2 lacks a replica"):
            leave(world, "w1")
        assert "maintenance w1" not in world.changes

    def test_though_its_own_are_missing(self, world: World) -> None:
        self.cordoned(world, "w1")
        world.volumes["pv-0"].replicas["w1"] = False
        assert leave(world, "w1") == "w1 left"

    def test_not_one_of_two_members_that_serve(self, world: World) -> None:
        self.cordoned(world, "c2")
        pair(world)
        with pytest.raises(EtcdNotSafe, match="c1 would be the only copy"):
            leave(world, "c2")
        assert "c2" in world.members


class TestANodeThatSomebodyDeletes:
    """Leaves all the same: its pods, volumes, member and replicas are still there to be moved."""

    @pytest.mark.parametrize("at", ["set_unschedulable", "evict", "attachments_on"])
    @pytest.mark.parametrize("node", ["w1", "c2"])
    def test_in_the_middle(self, world: World, node: str, at: str) -> None:
        key = f"apps/app-{node}"
        world.pods[key] = Pod("apps", f"app-{node}", node, "ReplicaSet", uid="u")

        class Deleting(FakeKubernetes):
            def __getattribute__(self, name: str) -> object:
                if name == at:
                    self.world.nodes.pop(node, None)
                return super().__getattribute__(name)

        assert execute_with(world, Verb.LEAVE, node, kubernetes=Tap(world, Deleting(world))) == f"{node} left"
        assert world.pods[key].node != node
        assert node not in world.members
        assert standings(world)[node] == "leaving"
        assert world.broken == []


class TestADeadHost:
    """Nobody ends its pods. Its power goes first, proven; then the cluster gives them up."""

    def dies(self, world: World, node: str, *, off: bool) -> None:
        world.nodes[node] = replace(world.nodes[node], ready=False)
        if off:
            world.hosts[node].power = Power.OFF
        key = "apps/db-0"
        world.pods[key] = replace(world.pods[key], terminating=True, ready=False)
        world.volumes["pv-0"].replicas[node] = False

    @pytest.mark.parametrize("off", [True, False])
    def test_is_replaced(self, world: World, off: bool) -> None:
        self.dies(world, "w1", off=off)
        assert leave(world, "w1") == "w1 left"
        order = [c for c in world.changes if c in ("power off w1", "w1 out of service", "w1 back in service")]
        assert order == ["power off w1"] * (not off) + ["w1 out of service", "w1 back in service"]
        assert world.hosts["w1"].power is Power.OFF
        assert world.pods["apps/db-0"].node != "w1"

    def test_goes_on_after_a_kill(self, world: World) -> None:
        self.dies(world, "w1", off=True)
        world.nodes["w1"] = replace(world.nodes["w1"], out_of_service=True, unschedulable=True)
        slots.take_slot(ports(world), world.claims["w1"], world.pins["w1"])
        world.given_up("w1")
        assert leave(world, "w1") == "w1 left"
        assert not world.nodes["w1"].out_of_service

    def test_whose_power_is_unknown_keeps_its_pods(self, world: World) -> None:
        self.dies(world, "w1", off=True)
        world.failing["machines.power"] = 999
        with pytest.raises(ControllerUnreachable):
            leave(world, "w1")
        assert "w1 out of service" not in world.changes
        assert roster(world).storage_turn == ""

    def test_one_that_comes_back_is_drained_as_any_other(self, world: World) -> None:
        world.nodes["w1"] = replace(world.nodes["w1"], ready=False)
        world.later(120, lambda: world.nodes.update(w1=replace(world.nodes["w1"], ready=True)))
        assert leave(world, "w1") == "w1 left"
        assert "power off w1" not in world.changes

    def test_its_kubelets_own_list_of_volumes_says_nothing(self, world: World) -> None:
        self.dies(world, "w1", off=True)

        class Stale(FakeKubernetes):
            def node(self, name: str) -> Node | None:
                seen = super().node(name)
                return replace(seen, volumes_in_use=frozenset({"pv-0"})) if seen else None

        assert execute_with(world, Verb.LEAVE, "w1", kubernetes=Tap(world, Stale(world))) == "w1 left"


class TestANodeNoLongerDeclared:
    """It is gated like any other, but its disks do not come back."""

    def test_moves_its_replicas_and_frees_its_slot(self, world: World) -> None:
        del world.pins["w1"]
        assert leave(world, "w1") == "w1 left"
        assert [c for c in world.changes if "pv" in c or "node" in c] == ["moved pv-0 to w3", "delete node w1"]
        assert leave(world, "w2") == "w2 left"

    def test_is_off_the_roster_at_the_latest_when_asked_again(self, world: World) -> None:
        del world.pins["w1"]

        class Silent(FakeKubernetes):
            def answers(self) -> bool:
                return world.claims["w1"].state is not ClaimState.LEFT

        execute_with(world, Verb.LEAVE, "w1", kubernetes=Tap(world, Silent(world)))
        assert standings(world)["w1"] == "out"
        assert "nothing to leave" in leave(world, "w1")
        assert "w1" not in standings(world)

    def test_holds_a_slot_while_it_leaves(self, world: World) -> None:
        at = ports(world)
        slots.take_slot(at, world.claims["w1"], world.pins.pop("w1"))
        with pytest.raises(BudgetFull, match="w1"):
            leave(world, "w2")

    def test_replicas_that_do_not_move(self, world: World) -> None:
        class Stuck(FakeStorage):
            def evacuate(self, node: str) -> Verdict:
                return Verdict(False, ("pv-0 finds no room",))

        del world.pins["w1"]
        with pytest.raises(NotEvacuated, match="pv-0 finds no room"):
            execute_with(world, Verb.LEAVE, "w1", storage=Tap(world, Stuck(world)))


class TestANodeWhosePoolStoresNoLonger:
    """It returns, and its disks hold nothing that is served again."""

    def test_moves_its_replicas(self, world: World) -> None:
        world.pins["w1"] = pin("w1", "g2", pool="web", stores=False)
        assert leave(world, "w1") == "w1 left"
        assert [c for c in world.changes if "pv" in c or "node" in c or "maintenance" in c] == [
            "moved pv-0 to w3",
            "delete node w1",
        ]
        assert standings(world)["w1"] == "leaving"


class TestANodeWhoseDisksGoWithItsMachine:
    """It returns and stores again, with empty disks: to it, nothing may be promised back."""

    def test_moves_its_replicas(self, world: World) -> None:
        world.pins["w1"] = pin("w1", "g2", disks_survive=False)
        assert leave(world, "w1") == "w1 left"
        assert [c for c in world.changes if "pv" in c or "maintenance" in c] == ["moved pv-0 to w3"]


def test_a_port_that_fails_in_the_middle_halts_with_its_own_words(world: World) -> None:
    world.failing["kubernetes.set_unschedulable"] = 1
    with pytest.raises(PortError, match="503"):
        leave(world, "w1")
    assert leave(world, "w1") == "w1 left"


def test_ports_are_a_fresh_process_each(world: World) -> None:
    at: Ports = ports(world)
    assert at.clock.now_s() == world.now_s
