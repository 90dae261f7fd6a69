"""Before a run takes the roll it knows that the cluster lets it do all that a roll asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from lifecycle.aws_permissions import BY_ACTION
from lifecycle.commands import Verb
from lifecycle.errors import PortError
from lifecycle.permissions import Forbidden, Owner, permissions
from lifecycle.ports import ClaimState, Run
from lifecycle.stops import CloudNotPermitted, NotPermitted, UnknownMachines
from tests.lifecycle.fakes import FakeAccess
from tests.lifecycle.fleets import bring_in, claim, execute_with, fresh, serving, step
from tests.lifecycle.world import World

WHO = "user ingot-host-lifecycle (groups ingot:host-lifecycle)"
ALL = permissions(Owner.HOST_LIFECYCLE, "simplyblock")
EVICT = next(p for p in ALL if p.resource == "pods/eviction")
PATCH = next(p for p in ALL if (p.verb, p.resource) == ("patch", "nodes"))


@pytest.fixture
def world() -> World:
    return serving()


class Counting(FakeAccess):
    """Counts how often it is asked, and notes who had initialised the cluster when roles were to be made."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.asked = 0
        self.initialised_at_grant: list[str | None] = []

    def grant(self) -> bool:
        self.initialised_at_grant.append(self.world.initialised)
        return super().grant()

    def forbidden(self) -> tuple[Forbidden, ...]:
        self.asked += 1
        return super().forbidden()


class Ignored(FakeAccess):
    """Roles that the API server does not go by."""

    def grant(self) -> bool:
        return True


class TestAPermissionThatIsMissing:
    """Is named, with whom it is missing to, what for and what to do; nothing is touched."""

    @pytest.mark.parametrize("verb", [Verb.LEAVE, Verb.RELEASE, Verb.JOIN, Verb.RETIRE, Verb.GATE, Verb.PROVISION])
    def test_stops_every_step_that_changes_something(self, world: World, verb: Verb) -> None:
        world.forbidden = (Forbidden(EVICT, WHO), Forbidden(PATCH, WHO))
        roster, claims, began_s = world.document, dict(world.claims), world.now_s
        with pytest.raises(NotPermitted) as refused:
            step(world, verb, "w1" if verb not in {Verb.RETIRE, Verb.GATE} else "")
        assert refused.value.names == ("create pods/eviction in all namespaces", "patch nodes in all namespaces")
        said = str(refused.value)
        assert f"{WHO} may not create pods/eviction in all namespaces (to drain a node within" in said
        assert "; nor patch nodes in all namespaces (to cordon" in said
        assert "Nothing was changed." in said
        assert "runbooks/api.md#permitted: `ingot rbac STACK --apply`" in said
        assert (world.changes, world.document, world.claims) == ([], roster, claims)
        assert (world.roll, world.now_s) == (None, began_s)

    def test_lets_go_on_what_only_looks(self, world: World) -> None:
        world.forbidden = (Forbidden(EVICT, WHO),)
        assert '"answered": true' in step(world, Verb.ROSTER)

    def test_is_named_also_where_the_lease_cannot_be_read_for_it(self, world: World) -> None:
        lease = next(p for p in ALL if (p.verb, p.resource) == ("get", "leases"))
        world.forbidden = (Forbidden(lease, WHO),)
        world.failing["rolls.read"] = 99
        with pytest.raises(NotPermitted, match=r"get leases.coordination.k8s.io ingot-roll in ingot-system"):
            step(world, Verb.LEAVE, "w1")
        assert world.changes == []

    def test_is_named_before_another_run_is_waited_for(self, world: World) -> None:
        step(world, Verb.LEAVE, "w1")
        world.run = Run("ci-17", "ci", "another machine", 99, 5.0)
        world.forbidden = (Forbidden(EVICT, WHO),)
        began_s = world.now_s
        with pytest.raises(NotPermitted):
            step(world, Verb.RELEASE, "w1")
        assert world.now_s == began_s


class Account:
    """Fulfils lifecycle.cloud.Cloud."""

    def __init__(self, missing: tuple[Forbidden, ...] = (), found: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self.missing, self.found, self.asked = missing, found or {}, 0

    def forbidden(self) -> tuple[Forbidden, ...]:
        self.asked += 1
        return self.missing

    def machines(self) -> Mapping[str, tuple[str, ...]]:
        return self.found


LAUNCH = Forbidden(BY_ACTION["ec2:RunInstances"], "arn:aws:iam::1:user/runner")


class TestTheAccountOfTheMachines:
    """Is asked before anything is touched, and so is who knows the machines in it."""

    @pytest.mark.parametrize("verb", [Verb.LEAVE, Verb.RELEASE, Verb.PROVISION])
    def test_that_lacks_a_permission_stops_a_roll(self, world: World, verb: Verb) -> None:
        with pytest.raises(CloudNotPermitted) as refused:
            execute_with(world, verb, "w1", cloud=Account((LAUNCH,)))
        said = str(refused.value)
        assert "arn:aws:iam::1:user/runner may not ec2:RunInstances on what an instance is launched with" in said
        assert "Nothing was changed." in said
        assert "runbooks/aws.md#permission: grant what `ingot aws policy STACK` prints" in said
        assert (world.changes, world.roll) == ([], None)

    def test_that_lacks_one_stops_the_first_bring_up_too(self) -> None:
        world = fresh()
        with pytest.raises(CloudNotPermitted):
            execute_with(world, Verb.PROVISION, "c1", cloud=Account((LAUNCH,)))
        assert (world.changes, world.claims) == ([], {})

    def test_is_asked_once_a_roll(self, world: World) -> None:
        account = Account()
        for verb in (Verb.LEAVE, Verb.RELEASE):
            execute_with(world, verb, "w1", cloud=account)
        assert account.asked == 1

    def test_with_machines_that_no_claim_knows_stops_it_by_their_names(self, world: World) -> None:
        account = Account(found={"w1": ("instance i-1",), "w9": ("instance i-9 (running)", "instance i-8 (stopped)")})
        with pytest.raises(UnknownMachines) as unknown:
            execute_with(world, Verb.LEAVE, "w1", cloud=account)
        assert unknown.value.names == ("w9",)
        said = str(unknown.value)
        assert "none for instance i-9 (running), instance i-8 (stopped) for w9" in said
        assert "Nothing was changed." in said
        assert "runbooks/aws.md#unknown" in said
        assert (world.changes, world.roll) == ([], None)

    def test_whose_records_are_lost_keeps_its_machines(self) -> None:
        world = fresh()
        with pytest.raises(UnknownMachines, match="instance i-1 for w1"):
            execute_with(world, Verb.PROVISION, "w1", cloud=Account(found={"w1": ("instance i-1",)}))
        assert world.changes == []

    def test_with_what_a_stopped_run_left_behind_goes_on(self) -> None:
        world = fresh()
        world.claims["w1"] = claim("w1", ClaimState.PROVISIONING)
        account = Account(found={"w1": ("instance i-1",)})
        assert execute_with(world, Verb.PROVISION, "w1", cloud=account) == "w1 provisioned with generation g1"

    def test_claimed_by_another_stack_it_is_not_ours(self, world: World) -> None:
        world.claims["w1"] = replace(world.claims["w1"], stack="other")
        with pytest.raises(UnknownMachines):
            execute_with(world, Verb.LEAVE, "w2", cloud=Account(found={"w1": ("instance i-1",)}))


class TestARoll:
    """Asks once, however many steps it has."""

    def test_is_asked_for_once(self, world: World) -> None:
        access = Counting(world)
        for verb in (Verb.LEAVE, Verb.RELEASE):
            execute_with(world, verb, "w1", access=access)
        execute_with(world, Verb.LEAVE, "w1", access=access)
        assert access.asked == 1

    def test_of_another_run_asks_again(self, world: World) -> None:
        access = Counting(world)
        execute_with(world, Verb.LEAVE, "w1", access=access)
        world.engine_ends("run-b")
        execute_with(world, Verb.RELEASE, "w1", access=access)
        assert access.asked == 2

    def test_is_not_begun_while_nobody_can_tell(self, world: World) -> None:
        world.failing["access.forbidden"] = 99
        with pytest.raises(PortError, match=r"access\.forbidden"):
            step(world, Verb.LEAVE, "w1")
        assert world.changes == []
        assert world.roll is None


class TestAClusterWithoutRoles:
    """Is given them by the first step that has its authority."""

    def test_when_it_is_initialised_before_anybody_else_may_join(self) -> None:
        world = fresh()
        world.roles, world.forbidden = False, tuple(Forbidden(p, WHO) for p in ALL)
        access = Counting(world)
        step(world, Verb.PROVISION, "c1")
        step(world, Verb.ENROL, "c1")
        execute_with(world, Verb.JOIN, "c1", access=access)
        assert access.initialised_at_grant == [None]
        assert "the roles hold" in [what for _, what, _, _ in world.waits]
        bring_in(world, "c2")
        assert world.changes.count("roles made") == 1

    def test_when_it_was_brought_up_before_there_were_any(self, world: World) -> None:
        world.roles, world.forbidden = False, tuple(Forbidden(p, WHO) for p in ALL)
        assert step(world, Verb.LEAVE, "w1") == "w1 left"
        assert world.changes[0] == "roles made"
        assert ("w1", "note", "the cluster had no roles for the steps that roll it: they were made") in world.journal

    def test_and_halts_if_they_do_not_come_to_hold(self, world: World) -> None:
        world.roles = False
        world.forbidden = (Forbidden(EVICT, WHO),)
        access = Ignored(world)
        with pytest.raises(NotPermitted) as refused:
            execute_with(world, Verb.LEAVE, "w1", access=access)
        assert "Nothing was changed" not in str(refused.value)
