"""What a lifecycle step needs of the world: narrow protocols, and the data that crosses them.

Adapters on the field's own libraries fulfil them for real (`lifecycle/adapters`); the rehearsal's
rack fulfils them on virtual time. Nothing here does I/O. Seconds are floats on the `Clock`.
Every method may raise `lifecycle.errors.PortError` when the far side does not answer as it should.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Role(StrEnum):
    """What a node does in Kubernetes."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"


# ---------------------------------------------------------------- what is pinned (from the stack file)


@dataclass(frozen=True)
class Limits:
    """The longest each wait may take, in seconds; every one ends in a halt that names what blocks."""

    slot_s: float = 900
    gate_s: float = 900
    drain_s: float = 900
    detach_s: float = 300
    etcd_s: float = 300
    power_s: float = 180
    boot_s: float = 1800
    join_s: float = 900
    redundancy_s: float = 3600
    attach_s: float = 300


@dataclass(frozen=True)
class Bmc:
    """Where a host's management controller answers: a Redfish system URL. Credentials are the adapter's."""

    url: str
    verify_tls: bool = True


@dataclass(frozen=True)
class Pin:
    """What the stack file of this checkout says of one declared node, resolved when the step runs.

    os_image: the exact `status.nodeInfo.osImage` expected. kubelet: as `v1.36.3`.
    os_disk, data_disks: stable ids (`/dev/disk/by-id/...`). budget: the pool's name;
    max_unavailable: how many of it may be out at once. soak_s: how long the node is watched after it
    joined before the slot is freed (canary only, else 0). generation: digest of what it boots.
    boot_url: where the installer for this generation is published. stores: the node holds replicas.
    """

    node: str
    pool: str
    role: Role
    generation: str
    os_image: str
    kubelet: str
    boot_url: str
    bmc: Bmc
    mac: str
    os_disk: str
    data_disks: tuple[str, ...]
    fault_domain: str
    max_unavailable: int
    stores: bool
    soak_s: float = 0
    retire: bool = False


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


# ---------------------------------------------------------------- time


class Clock(Protocol):
    """Time, as the step knows it. Only these two methods let it pass."""

    def now_s(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def wait(self, about: str, until_s: float) -> None:
        """Return when something about `about` may have changed, at `until_s` at the latest.

        about: `node/<name>`, `pods`, `etcd`, `storage`, `roster` or `host/<name>`. May return early;
        callers look again (lifecycle.waiting.wait_until does).
        """
        ...


# ---------------------------------------------------------------- Kubernetes


@dataclass(frozen=True)
class Node:
    """What a Node object says of itself."""

    name: str
    ready: bool
    unschedulable: bool
    os_image: str
    kernel: str
    kubelet: str
    machine_id: str
    boot_id: str
    volumes_in_use: frozenset[str] = frozenset()
    volumes_attached: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pod:
    """A pod on a node, with what a drain must know of it.

    owner: kind of its controller, "" for an unmanaged one. mirror: a static pod's mirror.
    storage_daemon: belongs to the storage driver, so it leaves after the volumes.
    claims: names of its PersistentVolumeClaims.
    """

    namespace: str
    name: str
    node: str
    owner: str = ""
    mirror: bool = False
    storage_daemon: bool = False
    terminating: bool = False
    ready: bool = True
    claims: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Budget:
    """A PodDisruptionBudget as its status stands. pods: the keys of the pods it selects."""

    namespace: str
    name: str
    disruptions_allowed: int
    expected_pods: int
    desired_healthy: int
    pods: frozenset[str] = frozenset()

    @property
    def never_allows(self) -> bool:
        """No state of its pods would ever allow one eviction (desired healthy >= expected)."""
        return self.expected_pods > 0 and self.desired_healthy >= self.expected_pods


@dataclass(frozen=True)
class Attachment:
    """A VolumeAttachment."""

    name: str
    volume: str
    claim: str
    node: str
    attached: bool


class Eviction(StrEnum):
    """What the Eviction API answered: 201, 404, 429."""

    GRANTED = "granted"
    GONE = "gone"
    REFUSED = "refused"


class Kubernetes(Protocol):
    """The cluster's API, as one owner's ServiceAccount may use it."""

    def answers(self) -> bool:
        """Whether the API is reachable and healthy (/readyz). Never raises."""
        ...

    def node(self, name: str) -> Node | None: ...

    def nodes(self) -> tuple[Node, ...]: ...

    def set_unschedulable(self, name: str, value: bool) -> None: ...

    def delete_node(self, name: str) -> None:
        """Idempotent."""
        ...

    def pods_on(self, node: str) -> tuple[Pod, ...]: ...

    def budgets(self) -> tuple[Budget, ...]: ...

    def evict(self, pod: Pod) -> Eviction: ...

    def delete_pod(self, pod: Pod) -> None:
        """Delete without asking its budgets: only while the whole cluster retires. Idempotent."""
        ...

    def attachments_on(self, node: str) -> tuple[Attachment, ...]: ...

    def unready_claimants(self) -> tuple[Pod, ...]:
        """Pods with claims that are not Ready, wherever they are (also unscheduled)."""
        ...

    def mint_token(self, ttl_s: float) -> str:
        """A fresh bootstrap token `[a-z0-9]{6}.[a-z0-9]{16}`, gone after ttl_s."""
        ...


# ---------------------------------------------------------------- etcd


@dataclass(frozen=True)
class Member:
    """An etcd member. name: the node's. lag: entries its applied index is behind the leader's."""

    id: str
    name: str
    voter: bool
    healthy: bool
    leader: bool
    lag: int = 0


class Etcd(Protocol):
    """etcd, through its own API."""

    def members(self) -> tuple[Member, ...]: ...

    def move_leader(self, to: Member) -> None: ...

    def remove(self, member: Member) -> None: ...


# ---------------------------------------------------------------- storage


@dataclass(frozen=True)
class Verdict:
    """Yes or no, and why: `reasons` names what stands in the way (volumes, nodes), empty when ok."""

    ok: bool
    reasons: tuple[str, ...] = ()


class Storage(Protocol):
    """The storage contract, as one driver honours it (docs: storage contract)."""

    def is_redundant(self) -> Verdict:
        """Every volume has all its replicas in sync and nothing is rebuilding."""
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


# ---------------------------------------------------------------- machines


class Power(StrEnum):
    """Power state, as proven by the management controller."""

    ON = "on"
    OFF = "off"


class Progress(StrEnum):
    """How far a boot has come (Redfish BootProgress, or what the boot store saw fetched)."""

    NONE = "none"
    INSTALLING = "installing"
    INSTALLED = "installed"
    RUNNING = "running"  # the installed system runs and awaits its join credentials
    UNKNOWN = "unknown"  # this controller does not report it; the join's own gates decide


class Machines(Protocol):
    """Hosts, through their management controllers."""

    def power(self, host: str, bmc: Bmc) -> Power: ...

    def power_off(self, host: str, bmc: Bmc) -> None: ...

    def install(self, host: str, pin: Pin) -> None:
        """One-time boot override into the installer at `pin.boot_url`, then power on. The installer
        writes the OS disk named by the pin and nothing else."""
        ...

    def progress(self, host: str, pin: Pin) -> Progress: ...

    def clear_boot_override(self, host: str, bmc: Bmc) -> None: ...


# ---------------------------------------------------------------- records: outside any OS disk


class ClaimState(StrEnum):
    """How far a claimed host has come."""

    PROVISIONING = "provisioning"
    JOINED = "joined"
    LEFT = "left"


@dataclass(frozen=True)
class Claim:
    """Who owns a host. Kept with the boot store, outside the OS disk, so that it survives both the
    node and the machine that ran the step. Carries what `release` needs once the stack file has
    forgotten the host.

    machine_id: of the machine that joined; while PROVISIONING, of the one before it (`join` waits for
    another). retiring: `retire` said that the host leaves for good; kept here too because a whole
    cluster that retires takes its roster with it."""

    stack: str
    node: str
    generation: str
    state: ClaimState
    bmc: Bmc
    pool: str
    role: Role
    stores: bool
    machine_id: str = ""
    retiring: bool = False


class Records(Protocol):
    """Small durable records with compare-and-swap, kept with the boot store."""

    def claim(self, host: str) -> Claim | None: ...

    def put_claim(self, host: str, new: Claim | None, expected: Claim | None) -> bool:
        """Replace `expected` by `new` (None: no claim). False, and nothing changed, if the record
        is not `expected` any more."""
        ...

    def initialised_by(self) -> str | None:
        """The node that initialised this stack's cluster, or None. Never inferred from the API."""
        ...

    def record_initialised(self, node: str) -> bool:
        """Write the record once. False if another node already did."""
        ...


@dataclass(frozen=True)
class Credentials:
    """What a node needs to come in; an hour at most, gone after use. Never logged: no repr."""

    init: bool
    endpoint: str = field(repr=False)
    token: str = field(repr=False, default="")
    pki: Mapping[str, str] = field(repr=False, default_factory=dict)


class Delivery(Protocol):
    """A node's one-time location."""

    def deliver(self, node: str, credentials: Credentials) -> None: ...

    def withdraw(self, node: str) -> None:
        """Idempotent."""
        ...


class Secrets(Protocol):
    """The cluster's certificate authorities and keys, from the stack's own state, when asked."""

    def pki(self, role: Role) -> Mapping[str, str]:
        """File name under /etc/kubernetes/pki -> PEM; for a worker only public parts."""
        ...

    def endpoint(self) -> str: ...


# ---------------------------------------------------------------- the roster's store


class RosterStore(Protocol):
    """One JSON document with a version, in the cluster (a ConfigMap and its resourceVersion)."""

    def read(self) -> tuple[str, str]:
        """(document, version); ("", "") if there is none yet."""
        ...

    def write(self, document: str, version: str) -> bool:
        """Replace the document if its version is still `version`; False otherwise."""
        ...


# ---------------------------------------------------------------- evidence


class Evidence(Protocol):
    """What happened, for the log, the report and the timeline. Carries no secret."""

    def begin(self, node: str, phase: str, detail: str = "") -> None:
        """A phase of a node's way out or in begins; it ends where the next begins or `end` is said.
        phase: one of lifecycle.evidence.PHASES."""
        ...

    def end(self, node: str, outcome: str) -> None:
        """The node's way out or in is over: `served`, `left`, `halted: <first line>`."""
        ...

    def waited(self, node: str, what: str, start_s: float, end_s: float, limit_s: float, met: bool) -> None:
        """A wait ended. limit_s: its length at most."""
        ...

    def note(self, node: str, text: str) -> None: ...


@dataclass(frozen=True)
class Ports:
    """Everything a step may touch."""

    clock: Clock
    pins: Pins
    kubernetes: Kubernetes
    etcd: Etcd
    storage: Storage
    machines: Machines
    records: Records
    delivery: Delivery
    secrets: Secrets
    roster: RosterStore
    evidence: Evidence
