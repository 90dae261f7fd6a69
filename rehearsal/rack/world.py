"""The state of the simulated rack: plain data, saved whole as JSON.

Everything random is drawn from the seed and the subject's name (`Rack.draw`), never from the order
of calls, so nothing here holds a random state. Times are seconds on the virtual clock.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from lifecycle.ports import Claim, Progress, Roll, Way


class Host(BaseModel):
    """A machine and its management controller.

    boots: power-ons so far; events of an earlier boot are void. generation: what is on the OS disk.
    markers: what was last written to each data disk; nothing but a wipe changes it. way: of what boots; holds: of
    what the OS disk holds, None for a blank one. serial: "" for the one that the host was delivered with.
    """

    name: str
    fault_domain: str
    power: Literal["on", "off"] = "off"
    boot_override: bool = False
    progress: Progress = Progress.NONE
    boots: int = 0
    installs: int = 0
    generation: str = ""
    os_image: str = ""
    kubelet: str = ""
    os_disk: str = ""
    machine_id: str = ""
    credentials: Literal["", "init", "join"] = ""
    joined: bool = False
    way: Way = Way.KUBEADM
    holds: Way | None = None
    serial: str = ""
    markers: dict[str, str] = Field(default_factory=dict)


KERNEL = "6.18.4-200.fc44.x86_64"
"""What every machine of the rack runs."""


class KubeNode(BaseModel):
    """A Node object. labels, taints: None while they are as the node registered and kubeadm marked it."""

    name: str
    ready: bool = False
    unschedulable: bool = False
    os_image: str = ""
    kubelet: str = ""
    machine_id: str = ""
    boot_id: str = ""
    out_of_service: bool = False
    kernel: str = KERNEL
    labels: dict[str, str] | None = None
    taints: list[str] | None = None
    ready_changed_s: float = 0


class Pod(BaseModel):
    """A pod of an app. phase: pending (no node), attaching, starting, ready, terminating. forced: it was deleted
    past its budget, as its node's pool says, and is not Ready again yet."""

    name: str
    app: str
    node: str = ""
    phase: Literal["pending", "attaching", "starting", "ready", "terminating"] = "pending"
    volume: str = ""
    incarnation: int = 0
    forced: bool = False


class App(BaseModel):
    """A workload. healthy_min: its PodDisruptionBudget's desired healthy pods; None: no budget."""

    name: str
    owner: Literal["StatefulSet", "ReplicaSet", "DaemonSet", ""]
    replicas: int
    healthy_min: int | None = None
    volume_gib: int = 0


class Volume(BaseModel):
    """A volume, its replicas and where it is attached.

    replicas: node -> in sync or not. attached_to: the node with a VolumeAttachment, "" for none;
    in_use: the node that still has it mounted.
    """

    name: str
    claim: str
    size_gib: int
    replicas: dict[str, bool]
    attached_to: str = ""
    in_use: str = ""


class Member(BaseModel):
    """An etcd member."""

    id: str
    node: str
    voter: bool = False
    leader: bool = False
    lag: int = 0


class Moving(BaseModel):
    """A volume on its way with its pod: when it was evicted, unmounted, detached, attached, and served again."""

    pod: str
    from_node: str
    evicted_s: float
    unmounted_s: float | None = None
    detached_s: float | None = None
    to_node: str = ""
    attached_s: float | None = None
    ready_s: float | None = None


class Event(BaseModel):
    """Something that will happen. seq breaks ties in the order of scheduling."""

    at_s: float
    seq: int
    kind: str
    subject: str
    number: int = 0


class World(BaseModel):
    """The whole rack. version: of this shape, so that an old file is refused with words. deleted: the engine's
    resources that it deleted, and did not make again yet."""

    version: int = 1
    seed: int
    now_s: float = 0
    next_seq: int = 0
    hosts: dict[str, Host] = Field(default_factory=dict)
    nodes: dict[str, KubeNode] = Field(default_factory=dict)
    pods: dict[str, Pod] = Field(default_factory=dict)
    apps: dict[str, App] = Field(default_factory=dict)
    volumes: dict[str, Volume] = Field(default_factory=dict)
    members: dict[str, Member] = Field(default_factory=dict)
    moving: dict[str, Moving] = Field(default_factory=dict)
    moved: dict[str, Moving] = Field(default_factory=dict)
    maintenance: set[str] = Field(default_factory=set)
    storage_up: bool = False
    cni_up: bool = False
    settled: bool = False
    resyncing: set[str] = Field(default_factory=set)
    failover_until_s: float = 0
    replicas: int = 2
    paths_until_s: dict[str, float] = Field(default_factory=dict)
    claims: dict[str, Claim] = Field(default_factory=dict)
    initialised_by: str = ""
    initialising_by: str = ""
    served: set[str] = Field(default_factory=set)
    roster: str = ""
    roster_version: int = 0
    roll: Roll | None = None
    roll_version: int = 0
    deleted: set[str] = Field(default_factory=set)
    objects: dict[str, str] = Field(default_factory=dict)
    events: list[Event] = Field(default_factory=list)
    journal_lines: int = 0
