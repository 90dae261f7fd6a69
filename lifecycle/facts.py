"""What crosses the ports: plain, frozen data about nodes, pods, volumes, members, machines and claims.

Seconds are floats on the `Clock`. Import these from `lifecycle.ports`, which has them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lifecycle.boot_methods import BootMethod, Erasure


class Role(StrEnum):
    """What a node does in Kubernetes."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"


class Way(StrEnum):
    """How the machines of an operating system come into their cluster (lifecycle/way.py)."""

    KUBEADM = "kubeadm"
    TALOS = "talos"


@dataclass(frozen=True)
class Limits:
    """The longest each wait may take, in seconds; every one ends in a halt that names what blocks."""

    slot_s: float = 900
    gate_s: float = 900
    drain_s: float = 900
    detach_s: float = 300
    etcd_s: float = 300
    power_s: float = 180
    start_s: float = 900
    boot_s: float = 1800
    join_s: float = 900
    redundancy_s: float = 3600
    attach_s: float = 300


class OnTimeout(StrEnum):
    """What happens at the deadline of a drain or a detach."""

    HALT = "halt"
    FORCE = "force"


@dataclass(frozen=True)
class Window:
    """When nodes may leave. days: 0 for Monday. start, end: `HH:MM` on the clocks of `timezone`, an IANA name;
    an end that is not after the start is on the next day."""

    days: tuple[int, ...]
    start: str
    end: str
    timezone: str


@dataclass(frozen=True)
class Rollout:
    """When a roll stops by itself. stop_after: nodes that one run replaces; None: any number. windows: none
    means at any time."""

    stop_after: int | None = None
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True)
class Run:
    """One run of the engine. id: the same for all its steps, another one for any other run.

    host: its machine's name. place: where `pid` means something (one boot of one machine, one namespace of
    processes); "" where the run was named by hand. started_s: when that process began, which tells it from a
    later one of the same pid; on a clock that nobody sets.
    """

    id: str
    host: str = ""
    place: str = ""
    pid: int = 0
    started_s: float = 0

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host and not self.id.startswith(f"{self.host}/") else ""
        return f"run {self.id}{where}" + (f", pid {self.pid}" if self.pid else "")


@dataclass(frozen=True)
class Roll:
    """Who rolls the fleet: the cluster's Lease. generation: grows whenever another run takes it, so that a step
    can tell whether its own run still has it. since_s, renewed_s: moments, as the run's own clock said. age_s: how
    long ago the run showed itself, by the server's clock alone; None if the server does not say."""

    run: Run
    generation: int
    since_s: float
    renewed_s: float
    age_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Controller:
    """What switches a machine: a host's management controller, or a cloud's API. Credentials are the adapter's.

    url: a Redfish system's (https), or `ec2://<region>/<cluster>/<host>`; its scheme says which adapter speaks to it
    (lifecycle.adapters.machines), and no two machines share one.
    """

    url: str
    verify_tls: bool = True


@dataclass(frozen=True)
class DrainPolicy:
    """What a drain may lose of the pods on a node; by default nothing, and the node is not touched.

    empty_dir: pods with emptyDir data are evicted, and the data is gone. unmanaged: pods that nothing makes
    again elsewhere are evicted, which deletes them for good. local_volumes: pods with volumes on the host's own
    disks are evicted; they cannot run until the host is back, and the data is lost where an installation writes.
    """

    empty_dir: bool = False
    unmanaged: bool = False
    local_volumes: bool = False


@dataclass(frozen=True)
class Pin:
    """What the stack file of this checkout says of one declared node, resolved when the step runs.

    os_image: the exact `status.nodeInfo.osImage` expected. kubelet: as `v1.36.3`.
    os_disk, data_disks: stable ids (`/dev/disk/by-id/...`); data_disks: all that survive an
    installation. budget: the pool's name;
    max_unavailable: how many of it may be out at once. soak_s: how long the node is watched after it
    joined before the slot is freed (canary only, else 0). generation: digest of what it boots.
    boot_url: where the installer for this generation is published. stores: the node holds replicas.
    drain_timeout, detach_timeout: what happens at the deadline of each.
    architecture: of the image. kernel: the exact `status.nodeInfo.kernelVersion` expected, "" where the
    image's publisher does not say it (lifecycle/image.py). way: how its machine comes in.
    particulars: what only the adapter of its kind of machine reads. boot: the ways to its installer, tried in this
    order; none where its kind of machine has but one. host: whose node it is, where each generation is a node of its
    own; "" where the node is its host's for life (lifecycle/succession.py). disks_survive: what its storage disks hold
    is there after its machine was replaced. wipe_os_disk: the OS disk is erased once the host has left for good.
    erases: what it boots erases that disk, reports it and switches itself off; it installs nothing.
    """

    node: str
    pool: str
    role: Role
    generation: str
    os_image: str
    kubelet: str
    boot_url: str
    controller: Controller
    mac: str
    os_disk: str
    data_disks: tuple[str, ...]
    fault_domain: str
    max_unavailable: int
    stores: bool
    soak_s: float = 0
    retire: bool = False
    drain_timeout: OnTimeout = OnTimeout.HALT
    detach_timeout: OnTimeout = OnTimeout.HALT
    architecture: str = ""
    kernel: str = ""
    drain: DrainPolicy = DrainPolicy()
    way: Way = Way.KUBEADM
    particulars: object = None
    boot: tuple[BootMethod, ...] = ()
    host: str = ""
    disks_survive: bool = True
    wipe_os_disk: bool = False
    erases: bool = False


@dataclass(frozen=True)
class Node:
    """What a Node object says of itself. taints: as lifecycle.labels.taint writes them. ready_changed_s: since
    when it is as Ready as it is; None: it does not say."""

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
    out_of_service: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: frozenset[str] = frozenset()
    ready_changed_s: float | None = None


@dataclass(frozen=True)
class Pod:
    """A pod on a node, with what a drain must know of it.

    owner: kind of its controller, "" for an unmanaged one, and for one whose DaemonSet is gone. mirror: a
    static pod's mirror. storage_daemon: belongs to the storage driver, so it leaves after the volumes.
    claims: names of its PersistentVolumeClaims. local_volumes: PersistentVolumes on the host's own disks.
    ends_s: when the grace of a terminating pod is over. finalizers: who keeps its object even then.
    daemon_set: `namespace/name` of the DaemonSet that made it, "" for all others.
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
    uid: str = ""
    empty_dir: bool = False
    local_volumes: tuple[str, ...] = ()
    ends_s: float | None = None
    finalizers: tuple[str, ...] = ()
    daemon_set: str = ""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Budget:
    """A PodDisruptionBudget as its status stands. pods: the keys of those it selects, of the pods asked for.
    current_healthy: of all its pods."""

    namespace: str
    name: str
    disruptions_allowed: int
    expected_pods: int
    desired_healthy: int
    pods: frozenset[str] = frozenset()
    current_healthy: int = 0

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

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


@dataclass(frozen=True)
class Move:
    """A volume on its way from one node to another with its pod: the moment of each stage, None until it came.

    evicted_s: its pod began to end. unmounted_s: it left the old node's volumesInUse. detached_s: its
    VolumeAttachment there was gone. attached_s: it was attached to `to_node`. ready_s: the pod was Ready there.
    """

    volume: str
    claim: str
    from_node: str
    pod: str = ""
    evicted_s: float | None = None
    unmounted_s: float | None = None
    detached_s: float | None = None
    to_node: str = ""
    attached_s: float | None = None
    ready_s: float | None = None


class Eviction(StrEnum):
    """What the Eviction API answered: it goes (201, or its whole namespace goes), 404, 429."""

    GRANTED = "granted"
    GONE = "gone"
    REFUSED = "refused"


@dataclass(frozen=True)
class Member:
    """An etcd member. name: the node's. lag: entries its applied index is behind the leader's."""

    id: str
    name: str
    voter: bool
    healthy: bool
    leader: bool
    lag: int = 0


@dataclass(frozen=True)
class Verdict:
    """Yes or no, and why: `reasons` names what stands in the way (volumes, nodes), empty when ok."""

    ok: bool
    reasons: tuple[str, ...] = ()


class Power(StrEnum):
    """Power state, as proven by what switches the machine."""

    ON = "on"
    OFF = "off"


class Progress(StrEnum):
    """How far a boot has come (Redfish BootProgress, or what the boot store saw fetched)."""

    NONE = "none"
    INSTALLING = "installing"
    INSTALLED = "installed"
    ELSEWHERE = "booted past its installer"  # the controller shows that its boot override was not followed
    ERASED = "erased"  # the OS disk of a host that left for good
    RUNNING = "running"  # the installed system runs and awaits its join credentials
    UNKNOWN = "unknown"  # this controller does not report it; the join's own gates decide


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
    cluster that retires takes its roster with it. installed: what this generation boots was seen to run, or
    its controller cannot tell; until then a host that is PROVISIONING is installed again.
    kernel, boot_id: of the machine when it joined; "" in a claim that an older version wrote. way: of what is
    installed, as its pin said. fault_domain: where its machine came up, of a host that may be in several; "" where
    the pin says it. mac: of the port that boots, as its pin said; "" in a claim that an older version wrote, and of a
    kind of machine that has none before it runs. identity: what the machine is known by since it was installed
    (lifecycle/identity.py); {} where it does not say, and in a claim that an older version wrote. host: as its pin
    said. erase: what to erase once the host has left, from the moment that it retires."""

    stack: str
    node: str
    generation: str
    state: ClaimState
    controller: Controller
    pool: str
    role: Role
    stores: bool
    machine_id: str = ""
    retiring: bool = False
    installed: bool = False
    kernel: str = ""
    boot_id: str = ""
    way: Way = Way.KUBEADM
    fault_domain: str = ""
    mac: str = ""
    identity: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    erase: Erasure | None = None


@dataclass(frozen=True)
class Credentials:
    """What a node needs to come in; an hour at most, gone after use. Never logged: no repr.

    configuration: all of its machine's, where it takes one; then that alone is handed over."""

    init: bool
    endpoint: str = field(repr=False)
    token: str = field(repr=False, default="")
    pki: Mapping[str, str] = field(repr=False, default_factory=dict)
    configuration: str = field(repr=False, default="")
