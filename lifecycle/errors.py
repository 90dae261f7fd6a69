"""What can go wrong in a step: one class a failure, facts as attributes.

Every text names the object, what was expected, what was found, and what to do next. The engine
shows it to the user verbatim, so it never carries a secret.
"""

from __future__ import annotations

from typing import ClassVar


class LifecycleError(Exception):
    """A step halted. `str()` is the whole text that a user sees."""


class PortError(LifecycleError):
    """The far side of a port did not answer as it should.

    what: whom, such as `BMC of w3 at https://bmc-w3.example`. found: its last answer. retry_after_s: as it asked for.
    """

    def __init__(self, what: str, found: str, remedy: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{what}: expected an answer, found {found}. Remedy: {remedy}")
        self.what, self.found, self.remedy, self.retry_after_s = what, found, remedy, retry_after_s


class NeedsAttention(LifecycleError):
    """Something that only a person can put right: asking again cannot help, so no wait goes on over it.

    what: the object, such as `credentials for the BMC of w3`. found: as it is.
    """

    def __init__(self, what: str, found: str, remedy: str) -> None:
        super().__init__(f"{what}: found {found}. Remedy: {remedy}")
        self.what, self.found, self.remedy = what, found, remedy


class Halt(LifecycleError):
    """A step that stops on purpose: something about `node` is not as it must be.

    expected, remedy, shows: the class's own words; `{node}` in them is the node's name.
    untouched: set by the verb that knows that nothing had been changed yet.
    """

    expected: ClassVar[str]
    remedy: ClassVar[str]
    shows: ClassVar[str] = ""
    untouched: bool = False

    def __init__(self, node: str, found: str) -> None:
        super().__init__(node, found)
        self.node, self.found = node, found

    def __str__(self) -> str:
        parts = [f"node {self.node}: expected {self.expected}, found {self.found}."]
        if self.untouched:
            parts.append("Nothing was changed.")
        if self.shows:
            parts.append(f"`{self.shows}` shows more.")
        parts.append(f"Remedy: {self.remedy}")
        return " ".join(parts).replace("{node}", self.node)


# ---------------------------------------------------------------- whose host, which generation


class NotDeclared(Halt):
    """The stack file of this checkout no longer names the node, so it cannot be brought in."""

    expected = "a host of that name in the stack file"
    remedy = "runbooks/stack-file.md#not-declared: run from the checkout that declares {node}"

    def __init__(self, node: str) -> None:
        super().__init__(node, "none")


class GenerationDiffers(Halt):
    """The stack file changed between the plan and the step."""

    expected = "the stack file to boot what was planned"
    remedy = "runbooks/stack-file.md#changed: run `pulumi up` again, from the checkout you mean"

    def __init__(self, node: str, planned: str, declared: str) -> None:
        super().__init__(node, f"generation {declared} declared, {planned or 'none'} planned")
        self.planned, self.declared = planned, declared


class ClaimNotOurs(Halt):
    """A host that this step should bring in is not claimed for it."""

    expected = "the host's claim to be this stack's, for this generation"
    remedy = "runbooks/claims.md#not-ours: replace the machine of {node} with `pulumi up --replace`"


class ClaimChanged(Halt):
    """Somebody else changed the claim while this step ran."""

    expected = "the host's claim as this step had read it"
    remedy = "runbooks/claims.md#changed: make sure that only one `pulumi up` runs, then run it again"


class HostClaimed(Halt):
    """The host belongs to somebody else, whom `found` names: re-imaging it would destroy a node that serves."""

    expected = "a host that is free or claimed by this stack"
    remedy = "runbooks/claims.md#taken: destroy the owner's node first, or name another host"


class MachineClaimed(HostClaimed):
    """Another host's claim names the same controller: it is the same machine under another name."""

    expected = "a controller that no other host's claim names"


class HostStillJoined(Halt):
    """The host's node has not left, so its disk is not written."""

    expected = "a host whose node has left"
    remedy = "runbooks/claims.md#still-joined: let {node} leave, by `pulumi up`, or `ingot node leave` as it says there"


class NotLeft(Halt):
    """A machine cannot be given back while its node is in the cluster."""

    expected = "a node that left before its machine is given back"
    remedy = "runbooks/claims.md#not-left: delete the membership of {node} first, with `pulumi destroy --target`"


class RecordMissing(Halt):
    """Nobody is on record as having initialised the cluster, and yet it is there: nodes joined it, or an API
    answers. Taken for "there is no cluster", it would be left without a drain, or initialised a second time."""

    expected = "the record of who initialised the cluster, since it is there"
    remedy = "runbooks/claims.md#record: restore that record beside the boot store, then run `pulumi up` again"
    shows = "kubectl get nodes -o wide"


class RosterMissing(Halt):
    """There is no roster although nodes joined: without it no budget and no storage gate would hold."""

    expected = "the roster, since nodes have joined"
    remedy = "runbooks/roster.md#missing: restore or rebuild the ConfigMap, then run `pulumi up` again"
    shows = "kubectl get configmap ingot-roster -n ingot-system -o yaml"


class RosterUnreadable(Halt):
    """The roster's document is not one that any version of this project wrote."""

    expected = "a roster that this checkout can read"
    remedy = "runbooks/roster.md#unreadable: restore the ConfigMap, or update the checkout"
    shows = "kubectl get configmap -n ingot-system -o yaml"


class RosterContended(Halt):
    """Others changed the roster at each of a bounded number of tries."""

    expected = "to write the roster"
    remedy = "runbooks/roster.md#contended: run `pulumi up` again, with a lower --parallel"

    def __init__(self, node: str, tries: int) -> None:
        super().__init__(node, f"another writer at each of {tries} tries")
        self.tries = tries


# ---------------------------------------------------------------- refusals that waiting cannot heal


class BudgetNeverAllows(Halt):
    """A PodDisruptionBudget that no state of its pods would ever satisfy."""

    expected = "every PodDisruptionBudget of its pods to allow an eviction at some time"
    remedy = "runbooks/drain.md#never-allows: add a replica or relax the budget, then run `pulumi up` again"
    shows = "kubectl get pdb -A"

    def __init__(self, node: str, budgets: tuple[str, ...]) -> None:
        super().__init__(node, f"PodDisruptionBudget {', '.join(budgets)} that never does")
        self.budgets = budgets


class UnmanagedPods(Halt):
    """Pods that nothing would make again elsewhere."""

    expected = "only pods that a controller makes again elsewhere"
    remedy = "runbooks/drain.md#unmanaged: delete these pods or give them a controller, then run `pulumi up` again"
    shows = "kubectl get pods -A --field-selector spec.nodeName={node}"

    def __init__(self, node: str, pods: tuple[str, ...]) -> None:
        super().__init__(node, f"pods without one: {', '.join(pods)}")
        self.pods = pods


class WrongImage(Halt):
    """The machine came up with something else than what is pinned."""

    expected = "exactly the pinned image"
    remedy = (
        "runbooks/boot.md#wrong-image: check what the boot store publishes, then replace the machine: "
        "`pulumi up --replace '**{node}.machine'`"
    )
    shows = "kubectl get node {node} -o wide"

    def __init__(self, node: str, found: str, pinned: str) -> None:
        super().__init__(node, f"{found} instead of {pinned}")
        self.pinned = pinned


class MachineFailed(Halt):
    """The machine that is to join cannot: it reports that it failed, or its power is off."""

    expected = "its machine to run while it comes in"
    remedy = (
        "runbooks/join.md#machine: see its console, mend what it names, then replace the machine: "
        "`pulumi up --replace '**{node}.machine'`"
    )


class SoakFailed(Halt):
    """A canary came in and did not stay well."""

    expected = "the node to stay well for its whole soak"
    remedy = "runbooks/join.md#soak: look at the node before the rest of the pool gets this image, or revert the image"
    shows = "kubectl describe node {node}"


# ---------------------------------------------------------------- waits that ran out


class WaitedTooLong(Halt):
    """Something did not come about within its limit.

    blocked: what stood in the way when it was last looked at. names: the objects in it.
    limit_s: how long it was waited for.
    """

    def __init__(self, node: str, blocked: str, names: tuple[str, ...], limit_s: float) -> None:
        super().__init__(node, f"after {limit_s:g} s: {blocked}")
        self.blocked, self.names, self.limit_s = blocked, names, limit_s


class ClusterSilent(WaitedTooLong):
    """The API of an initialised cluster does not answer. Nothing is inferred from that."""

    expected = "the cluster's API to answer"
    remedy = "runbooks/api.md#silent, then run `pulumi up` again"
    shows = "kubectl get --raw /readyz?verbose"


class BudgetFull(WaitedTooLong):
    """No slot came free: other nodes are out. `names` are those that hold it."""

    untouched = True
    expected = "its budget to allow one more node out"
    remedy = "runbooks/slots.md#full: heal those nodes first, or say `retire: true`, then run `pulumi up` again"
    shows = ".venv/bin/ingot node roster --stack STACK"


class EtcdNotSafe(WaitedTooLong):
    """etcd would not keep a healthy majority without the node."""

    expected = "etcd to keep a healthy majority without it"
    remedy = "runbooks/etcd.md#margin, then run `pulumi up` again"
    shows = "etcdctl endpoint status --cluster"


class NotRedundant(WaitedTooLong):
    """Volumes lack replicas, so no node may be spent."""

    expected = "storage to be fully redundant before it leaves"
    remedy = "runbooks/storage.md#degraded, then run `pulumi up` again"


class CannotLose(WaitedTooLong):
    """Volumes would lose their last live replica or path with the node."""

    expected = "every volume to keep a live replica and path in another fault domain"
    remedy = "runbooks/storage.md#cannot-lose, then run `pulumi up` again"


class StorageTurnTaken(WaitedTooLong):
    """Another node is just being taken out of storage."""

    expected = "its turn to go into storage maintenance"
    remedy = "runbooks/storage.md#turn, then run `pulumi up` again"


class NotEvacuated(WaitedTooLong):
    """The node still holds replicas, and its disks will not come back."""

    expected = "every replica to have moved off it"
    remedy = "runbooks/storage.md#evacuate, then run `pulumi up` again"


class DrainBlocked(WaitedTooLong):
    """Pods did not go. `names` are the pods; claims and budgets as `namespace/name`."""

    expected = "every pod to be evicted"
    remedy = "runbooks/drain.md#blocked (a host that is dead: runbooks/drain.md#dead-host), then run `pulumi up` again"
    shows = "kubectl get pods -A --field-selector spec.nodeName={node}"
    claims: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()


class VolumesStillAttached(WaitedTooLong):
    """Volumes did not detach. `names` are the volumes and what holds them."""

    expected = "no volume attached, twice in a row"
    remedy = "runbooks/detach.md#stuck, then run `pulumi up` again"
    shows = "kubectl get volumeattachments"


class NoSuccessor(WaitedTooLong):
    """etcd's leader is the node that leaves, and no other member took over."""

    expected = "a caught-up etcd member to take the leadership"
    remedy = "runbooks/etcd.md#leader, then run `pulumi up` again"
    shows = "etcdctl endpoint status --cluster"


class EtcdNotHealthy(WaitedTooLong):
    """etcd is not whole after a member was removed."""

    expected = "etcd to have a leader and only healthy members without it"
    remedy = "runbooks/etcd.md#margin, then run `pulumi up` again"
    shows = "etcdctl endpoint health --cluster"


class ControllerUnreachable(WaitedTooLong):
    """The host's management controller does not answer. url: whom was asked."""

    expected = "its management controller to do as it is told"
    remedy = "runbooks/bmc.md#silent, then run `pulumi up` again"
    url: str = ""


class NeverPoweredOff(WaitedTooLong):
    """The management controller took the order and the host is still on."""

    expected = "proof that the power is off"
    remedy = "runbooks/bmc.md#power, then run `pulumi up` again"


class NeverBooted(WaitedTooLong):
    """The installed system did not come up, or the installer ran twice."""

    expected = "the host to install and boot its pinned image"
    remedy = "runbooks/boot.md#never, then run `pulumi up` again"


class NeverInitialised(WaitedTooLong):
    """No control plane has initialised the cluster, so nothing can join it."""

    expected = "a control plane to have initialised the cluster"
    remedy = "runbooks/join.md#init, then run `pulumi up` again"


class NeverRegistered(WaitedTooLong):
    """No new machine registered under the node's name."""

    expected = "a new machine to register as this node"
    remedy = "runbooks/join.md#register, then run `pulumi up` again"
    shows = "kubectl get node {node} -o yaml"


class NeverReady(WaitedTooLong):
    """The node registered and did not become Ready, or its DaemonSets' pods did not."""

    expected = "the node to be Ready, with its DaemonSets"
    remedy = "runbooks/join.md#ready, then run `pulumi up` again"
    shows = "kubectl describe node {node}"


class NotInEtcd(WaitedTooLong):
    """The control plane's etcd member is not a healthy, caught-up voter."""

    expected = "its etcd member to be a healthy, caught-up voter"
    remedy = "runbooks/etcd.md#not-in: if the member is gone, replace the machine of {node} with `pulumi up --replace`"
    shows = "etcdctl endpoint status --cluster"


class StillDegraded(WaitedTooLong):
    """The node is back and storage is not redundant again."""

    expected = "storage to be fully redundant again"
    remedy = "runbooks/storage.md#rebuild, then run `pulumi up` again"


class AttachIncomplete(WaitedTooLong):
    """Volumes lack paths, or pods with volumes are not Ready."""

    expected = "every path complete and every pod with volumes Ready, twice in a row"
    remedy = "runbooks/attach.md#incomplete, then run `pulumi up` again"
    shows = "kubectl get pods -A -o wide"


class FleetNotReady(WaitedTooLong):
    """The fleet-ready barrier does not open."""

    expected = "the whole fleet to serve"
    remedy = "runbooks/gate.md#closed, then run `pulumi up` again"
    shows = "kubectl get nodes -o wide"
