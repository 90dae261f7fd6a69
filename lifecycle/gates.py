"""What must hold before a node may leave: quorum, budgets, redundancy.

Looks only; changes nothing. `require` is asked before the node is touched and again just before each
step that spends something (style R3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle import drain, etcd, losses
from lifecycle.errors import BudgetNeverAllows, CannotLose, EtcdNotSafe, Halt, NotRedundant, PortError
from lifecycle.ports import Budget, Claim, ClaimState, DrainPolicy, Node, OnTimeout, Pin, Pod, Ports, Role, Verdict
from lifecycle.retire import Retirement
from lifecycle.waiting import RETRY_S, Blocked, wait_until


class BudgetsOverlap(Halt):
    """Pods that more than one PodDisruptionBudget selects: the Eviction API refuses those, whatever the budgets
    allow. pods: with their budgets."""

    expected = "at most one PodDisruptionBudget for each of its pods"
    remedy = "runbooks/drain.md#overlap: leave one budget for each of these pods, then run `pulumi up` again"
    shows = "kubectl get pdb -A -o wide"

    def __init__(self, node: str, pods: tuple[str, ...]) -> None:
        super().__init__(node, f"several for {'; for '.join(pods)}")
        self.pods = pods


@dataclass(frozen=True)
class Leaving:
    """A node on its way out, and what is known of it.

    pin: None if the stack file no longer names it. seen: its Node object, None if there is none.
    itself_out: it did not serve when it asked to leave, or was cordoned for it in an earlier run, so what it
    lacks itself must not keep it from being replaced; what others lack does. serving: the fleet-ready barrier
    was reached once; before that, storage may not be there yet. rules: the pin that says how its pool's nodes leave:
    its own, or its successor's.
    """

    ports: Ports
    claim: Claim
    pin: Pin | None
    retirement: Retirement
    seen: Node | None
    itself_out: bool
    serving: bool
    rules: Pin | None = None

    @property
    def node(self) -> str:
        return self.claim.node

    @property
    def returns(self) -> bool:
        """Whether the same host, disks and identity come back: it is declared and does not retire."""
        return self.pin is not None and self.retirement is Retirement.NO

    @property
    def keeps_replicas(self) -> bool:
        """Whether the replicas on its disks are served again afterwards: it returns with them, and still stores."""
        pin = self.pin
        return pin is not None and pin.stores and pin.disks_survive and self.retirement is Retirement.NO

    @property
    def forces_drain(self) -> bool:
        """Whether its pods go at the drain's deadline, whatever their budgets say."""
        return self.rules is not None and self.rules.drain_timeout is OnTimeout.FORCE and self._may_be_forced

    @property
    def forces_detach(self) -> bool:
        """Whether its power is cut at the detach's deadline, whatever is attached."""
        return self.rules is not None and self.rules.detach_timeout is OnTimeout.FORCE and self._may_be_forced

    @property
    def _may_be_forced(self) -> bool:
        """By the claim too, which says what the host was when it joined: the stack file may have changed since."""
        pin, claim = self.rules, self.claim
        roles = {claim.role} | ({pin.role} if pin else set())
        return roles == {Role.WORKER} and not claim.stores and not (pin and pin.stores)

    @property
    def pair_refused(self) -> bool:
        """Whether one of two etcd members that serve is too much to spare: not one that retires, or never
        came in."""
        return self.returns and self.claim.state is not ClaimState.PROVISIONING


def require(leaving: Leaving) -> None:
    """Return once every gate holds in one and the same look; they may heal within `gate_s`.

    Raises EtcdNotSafe, NotRedundant, CannotLose; at once BudgetNeverAllows, BudgetsOverlap, UnmanagedPods
    and DataWouldBeLost, which no waiting heals. Does nothing if the whole cluster retires.
    """
    if leaving.retirement is Retirement.CLUSTER:
        return

    def look() -> bool | Blocked:
        _refuse_pods(leaving)
        return _etcd_blocks(leaving) or storage_blocks(leaving) or True

    wait_until(
        look,
        what="quorum, disruption budgets and redundancy",
        node=leaving.node,
        about="storage",
        ports=leaving.ports,
        limit_s=leaving.ports.pins.limits().gate_s,
        error=NotRedundant,
    )


def _etcd_blocks(leaving: Leaving) -> Blocked | None:
    if leaving.claim.role is not Role.CONTROL_PLANE:
        return None
    try:
        members = leaving.ports.etcd.members()
    except PortError as silent:  # a wait's own word for a port that is silent would be storage's
        return Blocked(str(silent), error=EtcdNotSafe, about="etcd", look_s=max(RETRY_S, silent.retry_after_s))
    why = etcd.unsafe_without(members, leaving.node, pair_refused=leaving.pair_refused)
    return Blocked(why, error=EtcdNotSafe, about="etcd") if why else None


def _refuse_pods(leaving: Leaving) -> None:
    """Raises UnmanagedPods, DataWouldBeLost, BudgetNeverAllows and BudgetsOverlap. A retiring node is drained past
    none; in a pool that forces its drains a budget holds until their deadline, and no longer."""
    pods = [p for p in drain.workloads(leaving.ports.kubernetes.pods_on(leaving.node)) if not p.terminating]
    losses.refuse(leaving.node, pods, leaving.rules.drain if leaving.rules else DrainPolicy())
    if leaving.forces_drain:
        return
    keys, budgets = {p.key for p in pods}, leaving.ports.kubernetes.budgets(leaving.node)
    never = sorted(f"{b.namespace}/{b.name}" for b in budgets if b.never_allows and b.pods & keys)
    if never:
        raise BudgetNeverAllows(leaving.node, tuple(never))
    several = [f"{key} ({', '.join(of)})" for key in sorted(keys) if len(of := _names_of(budgets, key)) > 1]
    if several:
        raise BudgetsOverlap(leaving.node, tuple(several))


def _names_of(budgets: Sequence[Budget], pod: str) -> list[str]:
    return sorted(f"{b.namespace}/{b.name}" for b in budgets if pod in b.pods)


def unready_daemons(ports: Ports, node: str) -> tuple[Pod, ...]:
    """The node's pods of DaemonSets that are not Ready, and are to be."""
    pods = ports.kubernetes.pods_on(node)
    return tuple(p for p in pods if p.owner == "DaemonSet" and not p.ready and not p.terminating)


def told(daemon: Pod) -> str:
    """The DaemonSet of such a pod, which outlives it."""
    return f"DaemonSet {daemon.daemon_set or daemon.key}"


def storage_blocks(leaving: Leaving) -> Blocked | None:
    """Why storage cannot spare the node now, or None. Retirement was said with its losses listed."""
    if leaving.retirement is not Retirement.NO:
        return None
    try:
        storage = leaving.ports.storage
        lose = storage.can_lose(leaving.node)
        if not lose.ok:
            return _blocked(lose, CannotLose)
        whole = storage.is_redundant_but(leaving.node) if leaving.itself_out else storage.is_redundant()
    except PortError:
        if leaving.serving:
            raise
        return None  # no storage was ever promised before the fleet-ready barrier
    return None if whole.ok else _blocked(whole, NotRedundant)


def _blocked(verdict: Verdict, error: type[CannotLose] | type[NotRedundant]) -> Blocked:
    return Blocked("; ".join(verdict.reasons) or "storage gave no reason", verdict.reasons, error, "storage")
