"""What a lifecycle step needs of the world: narrow protocols; the data that crosses them is in `facts`.

Adapters on the field's own libraries fulfil them for real (`lifecycle/adapters`); the rehearsal's
rack fulfils them on virtual time. Nothing here does I/O. Seconds are floats on the `Clock`.
Every method may raise `lifecycle.errors.PortError` when the far side does not answer as it should.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from lifecycle.boot_methods import BootMethod, Erasure
from lifecycle.cloud import Cloud, Nowhere
from lifecycle.errors import PortError
from lifecycle.evidence import Evidence
from lifecycle.facts import (
    Attachment,
    Budget,
    Claim,
    ClaimState,
    Controller,
    Credentials,
    DrainPolicy,
    Eviction,
    Limits,
    Member,
    Move,
    Node,
    OnTimeout,
    Pin,
    Pod,
    Power,
    Progress,
    Role,
    Roll,
    Rollout,
    Run,
    Verdict,
    Way,
    Window,
)
from lifecycle.machine_api import MachineApi, Machines
from lifecycle.permissions import Access

__all__ = [
    "Access",
    "Attachment",
    "BootMethod",
    "Budget",
    "Claim",
    "ClaimState",
    "Clock",
    "Cloud",
    "Controller",
    "Credentials",
    "Delivery",
    "DrainPolicy",
    "Erasure",
    "Etcd",
    "Eviction",
    "Evidence",
    "Fence",
    "Kubernetes",
    "Limits",
    "MachineApi",
    "Machines",
    "Member",
    "Move",
    "Node",
    "OnTimeout",
    "Pin",
    "Pins",
    "Pod",
    "Ports",
    "Power",
    "Progress",
    "Records",
    "Role",
    "Roll",
    "Rollout",
    "Rolls",
    "RosterStore",
    "Run",
    "Secrets",
    "Storage",
    "Verdict",
    "Way",
    "Window",
]


class Pins(Protocol):
    """The stack file of this checkout, read when the step runs."""

    def pin(self, node: str) -> Pin | None:
        """The declared node, or None if the stack file no longer names it."""
        ...

    def declared(self) -> tuple[str, ...]:
        """All declared nodes, in file order."""
        ...

    def limits(self) -> Limits:
        """The deadlines in force."""
        ...

    def rollout(self) -> Rollout:
        """When a roll stops by itself."""
        ...

    def eraser(self, claim: Claim, erasure: Erasure) -> Pin:
        """What the claimed host boots to erase its OS disk, declared or not."""
        ...


class Clock(Protocol):
    """Time, as the step knows it. Only these two methods let it pass."""

    def now_s(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def wait(self, about: str, until_s: float) -> None:
        """Return when something about `about` may have changed, at `until_s` at the latest.

        about: `node/<name>` (its Node, and what is attached to it), `pods/<node>` (also: a budget of one of them
        allows more than before), `claimants` (what `unready_claimants` answers), `budgets` (one begins or ceases
        to allow something), `roster` (also: a node became Ready or ceased to be), `etcd`, `storage` or `host/<name>`.
        May return early; callers look again (lifecycle.waiting.wait_until does).
        """
        ...


class Kubernetes(Protocol):
    """The cluster's API, as one owner's ServiceAccount may use it."""

    def answers(self) -> bool:
        """Whether the API is reachable and healthy (/readyz). Never raises."""
        ...

    def node(self, name: str) -> Node | None: ...

    def nodes(self) -> tuple[Node, ...]: ...

    def set_unschedulable(self, name: str, value: bool) -> None: ...

    def set_out_of_service(self, name: str, value: bool) -> None:
        """Taint (or clear) a node as shut down for good: its pods are forgotten and its volumes detached.
        Only once its power is proven off. Idempotent; does nothing if there is no such Node."""
        ...

    def delete_node(self, name: str) -> None:
        """Idempotent."""
        ...

    def pods_on(self, node: str) -> tuple[Pod, ...]: ...

    def budgets(self, node: str = "") -> tuple[Budget, ...]:
        """Those that select a pod on `node`, with these pods; of no node in particular all, with all their pods."""
        ...

    def budgets_named(self, names: frozenset[str]) -> tuple[Budget, ...]:
        """Those of `names` (`namespace/name`) that there are, by name, without their pods."""
        ...

    def evict(self, pods: Sequence[Pod]) -> Mapping[str, Eviction | PortError]:
        """Ask for all of them, none waiting for another: what was answered, by the pods' keys; the error where that
        was no answer, which says nothing of the other pods."""
        ...

    def delete_pod(self, pod: Pod) -> None:
        """Delete without asking its budgets, with its grace period: only while the whole cluster retires, or
        where its node's pool says `force`. Idempotent."""
        ...

    def attachments_on(self, node: str) -> tuple[Attachment, ...]: ...

    def unready_claimants(self) -> tuple[Pod, ...]:
        """Pods with claims that are not Ready, wherever they are (also unscheduled)."""
        ...

    def moves(self, node: str) -> tuple[Move, ...]:
        """The last move of each volume that left `node`, as far as it was watched."""
        ...

    def mint_token(self, ttl_s: float) -> str:
        """A fresh bootstrap token `[a-z0-9]{6}.[a-z0-9]{16}`, gone after ttl_s."""
        ...


class Etcd(Protocol):
    """etcd, through its own API."""

    def members(self) -> tuple[Member, ...]: ...

    def move_leader(self, to: Member) -> None: ...

    def remove(self, member: Member) -> None: ...


class Storage(Protocol):
    """The storage contract, as one driver honours it (docs: storage contract)."""

    def is_redundant(self) -> Verdict:
        """Every volume has all its replicas in sync and nothing is rebuilding."""
        ...

    def is_redundant_but(self, node: str) -> Verdict:
        """The same, save for what only `node`'s own absence or sickness accounts for."""
        ...

    def can_lose(self, node: str) -> Verdict:
        """Every volume keeps a live replica and a live path in another fault domain without `node`."""
        ...

    def begin_maintenance(self, node: str) -> None:
        """The node's disks and identity will return: keep its replicas, do not rebuild. Idempotent."""
        ...

    def end_maintenance(self, node: str) -> None:
        """The node is back: resynchronise. Idempotent."""
        ...

    def evacuate(self, node: str) -> Verdict:
        """Start or continue moving every replica off `node`; ok once it holds none. Idempotent."""
        ...

    def paths_complete(self) -> Verdict:
        """Every attached volume has its full count of live NVMe/TCP paths."""
        ...

    def only_on(self, node: str) -> tuple[str, ...]:
        """Volumes (as `namespace/claim`) that would be lost with `node`."""
        ...


class Records(Protocol):
    """Small durable records with compare-and-swap, kept with the boot store."""

    def claim(self, host: str) -> Claim | None: ...

    def claims(self) -> Mapping[str, Claim]:
        """Every claim, of all stacks, by host."""
        ...

    def holder(self, host: str, controller: Controller) -> str:
        """Which other host holds the machine behind `bmc`, in words (lifecycle.owners.holder); "" if none does."""
        ...

    def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
        """Replace `expected` by `new` (None: no claim). False, and nothing changed, if the record
        is not `expected` any more. Raises MachineClaimed, and nothing changed, if `new` takes a machine that
        the claim of another host holds (lifecycle.owners says when)."""
        ...

    def initialised_by(self) -> str | None:
        """The node that initialised this stack's cluster, or None. Never inferred from the API."""
        ...

    def record_initialised(self, node: str) -> bool:
        """Write the record once. False if another node already did."""
        ...

    def initialising_by(self) -> str | None:
        """The node that was, or is just being, told to initialise this stack's cluster, or None."""
        ...

    def record_initialising(self, node: str) -> bool:
        """Say so, before it is told. False, and nothing changed, while another node is on record."""
        ...

    def forget_initialising(self, node: str) -> None:
        """`node` will not: its power is off and nothing joined it. Idempotent; leaves another node's."""
        ...


class Delivery(Protocol):
    """A node's one-time location."""

    def deliver(self, node: str, credentials: Credentials) -> None: ...

    def withdraw(self, node: str) -> None:
        """Idempotent."""
        ...


class Secrets(Protocol):
    """The cluster's authorities and keys, from the stack's own state, when asked."""

    def pki(self, role: Role) -> Mapping[str, str]:
        """File name under /etc/kubernetes/pki -> PEM; for a worker only public parts."""
        ...

    def endpoint(self) -> str: ...

    def configuration(self, pin: Pin) -> str:
        """Of a machine of Way.TALOS all it is told: the cluster's secrets, and what its generation covers."""


class RosterStore(Protocol):
    """One JSON document with a version, in the cluster (a ConfigMap and its resourceVersion)."""

    def read(self) -> tuple[str, str]:
        """(document, version); ("", "") if there is none yet."""
        ...

    def write(self, document: str, version: str) -> bool:
        """Replace the document if its version is still `version`; False otherwise."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Between a read and its write: steps that would else lose each other's races may wait here for one
        another. `write` decides all the same."""
        ...


class Rolls(Protocol):
    """Which run of the engine rolls the fleet: one Lease in the cluster, and the engine's process here."""

    def run(self) -> Run:
        """The run that asked for this step. Always the same."""
        ...

    def engine_lives(self) -> bool:
        """Whether the process that asked for this step is still there. Asks nobody else."""
        ...

    def lives(self, run: Run) -> bool | None:
        """Whether that run's process is there; None where it cannot be known from here."""
        ...

    def read(self) -> tuple[Roll | None, str]:
        """(the roll, version); (None, "") if no run ever rolled this cluster."""
        ...

    def write(self, roll: Roll, version: str) -> bool:
        """Replace the roll if its version is still `version`; False otherwise."""
        ...

    def keep(self, renew: Callable[[], None], every_s: float) -> AbstractContextManager[None]:
        """While inside, `renew` runs about every so many seconds, whatever the step is busy with."""
        ...


class Fence(Protocol):
    """Whether a step may still act (lifecycle.rolls)."""

    def alive(self, node: str) -> None:
        """Return unless it is known that the step's run is over. Asks no cluster, so ask it often."""
        ...

    def check(self, node: str) -> None:
        """Return if the step's run has the roll now; asked just before what cannot be taken back."""
        ...


class Open:
    """The fence of what changes nothing."""

    def alive(self, node: str) -> None: ...

    def check(self, node: str) -> None: ...


_OPEN, _NOWHERE = Open(), Nowhere()


@dataclass(frozen=True)
class Ports:
    """Everything a step may touch. fence: put there by `lifecycle.run.execute`. cloud: of a fleet that has one."""

    clock: Clock
    pins: Pins
    kubernetes: Kubernetes
    etcd: Etcd
    storage: Storage
    machines: Machines
    records: Records
    delivery: Delivery
    secrets: Secrets
    machine_api: MachineApi
    roster: RosterStore
    rolls: Rolls
    access: Access
    evidence: Evidence
    fence: Fence = _OPEN
    cloud: Cloud = _NOWHERE
