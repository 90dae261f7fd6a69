"""What ends a roll without anything being wrong with a node: it was asked to stop, or it is another run's turn."""

from __future__ import annotations

from lifecycle.errors import Halt, WaitedTooLong


class StoppedAsAsked(Halt):
    """The roll ends between two nodes because somebody, or the stack file, said so.

    `ingot up` ends with an exit code of its own then: nothing has to be mended.
    """

    untouched = True


class RollPaused(StoppedAsAsked):
    """Somebody paused the roll."""

    expected = "the roll to go on"
    remedy = "runbooks/roll.md#paused: `ingot pause STACK --resume` when it may go on, then run `pulumi up` again"


class RollStopped(StoppedAsAsked):
    """The stack file's `rollout` ends the roll here. next_s: when nodes may leave again, None for in the next run."""

    expected = "the stack file to let one more node leave in this run"
    remedy = "runbooks/roll.md#stopped: nothing is wrong; run `pulumi up` again then"

    def __init__(self, node: str, found: str, next_s: float | None) -> None:
        super().__init__(node, found)
        self.next_s = next_s


class RollTaken(WaitedTooLong):
    """Another run rolls this fleet. `names`: that run."""

    untouched = True
    expected = "no other run to roll this fleet"
    remedy = "runbooks/roll.md#taken: let that run end, or stop it, then run `pulumi up` again"
    shows = "kubectl get lease ingot-roll -n ingot-system -o yaml"


class NotPermitted(WaitedTooLong):
    """The cluster does not let the run do all that a roll asks of it. `names`: each permission that is missing."""

    expected = "its run to be permitted all that a roll asks of the cluster"
    remedy = (
        "runbooks/api.md#permitted: `ingot rbac STACK --apply`, or have whoever administers the cluster apply what "
        "`ingot rbac STACK` prints, then run `pulumi up` again"
    )

    def __init__(self, node: str, blocked: str, names: tuple[str, ...], limit_s: float = 0.0) -> None:
        super().__init__(node, blocked, names, limit_s)
        self.found = blocked  # how long roles that were just made were waited for says nothing


class CloudNotPermitted(NotPermitted):
    """The account that the machines are in does not let the run do all that a roll asks of it."""

    untouched = True
    expected = "its run to be permitted all that a roll asks of AWS"
    remedy = (
        "runbooks/aws.md#permission: grant what `ingot aws policy STACK` prints to whoever runs the steps, then run "
        "`pulumi up` again"
    )


class UnknownMachines(Halt):
    """Machines say that they are this stack's, and no claim knows them: records were lost, or somebody launched them.
    names: their hosts. Taken for what a stopped run left behind, one that serves would be ended."""

    untouched = True
    expected = "a claim for every machine that is tagged as this stack's"
    remedy = (
        "runbooks/aws.md#unknown: restore the records, or terminate these by hand once you know that nothing needs "
        "them, then run `pulumi up` again"
    )

    def __init__(self, node: str, found: str, names: tuple[str, ...]) -> None:
        super().__init__(node, found)
        self.names = names


class RollLost(Halt):
    """Another run took the roll over while this step was busy."""

    expected = "its run to have the roll still"
    remedy = "runbooks/roll.md#lost: let the other run end, then run `pulumi up` again"
    shows = "kubectl get lease ingot-roll -n ingot-system -o yaml"


class EngineGone(Halt):
    """The engine that asked for this step has ended: whatever the step did now, nobody would know of it."""

    expected = "the engine that asked for this step to be there"
    remedy = "runbooks/roll.md#engine: run `pulumi up` again, it goes on from here"
