"""The typed shape of `stacks/Pulumi.<stack>.yaml`: what one environment's fleet is.

Validation does no I/O and reports every fault at once. The stack file holds the whole environment
under one key, `ingot:environment`; everything else in it belongs to Pulumi.

The models hold what can be said of one value. What must hold between values (a host in one pool only,
quorum, budgets against redundancy) is in components/stackfile/rules.py: make an Environment with
`components.stackfile.validate` or `load`, which apply both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from components.boot_stores import BootStore, address
from components.fields import (
    BootLimit,
    ChartVersion,
    Cidr,
    Closed,
    Count,
    Endpoint,
    HttpsUrl,
    Hugepages,
    Identifier,
    InOrder,
    Iops,
    Label,
    Limit,
    Port,
    Registry,
    Replicas,
    Soak,
    SshKey,
    TimeOfDay,
    TimeServer,
    Timezone,
)
from components.machines import Machines
from components.machines.aws import Aws
from components.machines.contract import Host
from components.releases import Image, KubernetesVersion


class OnTimeout(Closed):
    """What happens when a node's way out reaches a deadline; workers that store nothing only may be forced."""

    drain: Literal["halt", "force"] = "halt"
    """At the end of limits.drain_s; force: the pods that are left are deleted past their disruption budgets."""
    detach: Literal["halt", "force"] = "halt"
    """At the end of limits.detach_s; force: the power is cut and proven off, then the volumes are taken away."""


class Drain(Closed):
    """What a drain of the pool's nodes may lose; where it says nothing, such pods keep their node from leaving."""

    empty_dir: Literal["refuse", "delete"] = "refuse"
    """Pods with emptyDir data. delete: they are evicted, and that data is gone."""
    unmanaged: Literal["refuse", "delete"] = "refuse"
    """Pods without a controller. delete: they are evicted, and nothing makes them again."""
    local_volumes: Literal["refuse", "evict"] = "refuse"
    """Pods with PersistentVolumes on the host's own disks. evict: they cannot run until the host is back."""


class PoolRollout(Closed):
    """How a pool's nodes are replaced."""

    strategy: Literal["rolling", "blue-green"] = "rolling"
    """rolling: replaced in place; data disks and identity are kept. blue-green: a new machine serves before the old one
    leaves; nothing is kept."""
    max_unavailable: Count = 1
    """How many nodes of the pool may be out at once; blue-green takes as many machines more."""
    canary: bool = False
    """Whether the pool's first node goes alone before all others."""
    soak_s: Soak = 0
    """How long the canary is watched before the others follow, in seconds."""
    on_timeout: OnTimeout = OnTimeout()
    """What happens when a drain or a detach reaches its deadline."""
    drain: Drain = Drain()
    """What may be lost when a node is emptied."""

    @property
    def names_nodes(self) -> bool:
        """Whether each generation of a host is a node of its own, with a name of its own."""
        return self.strategy == "blue-green"


class Pool(Closed):
    """Machines that share a role, an image and a way to roll."""

    role: Literal["control-plane", "worker"]
    """What its nodes do in Kubernetes."""
    machines: Machines
    """The machines themselves, of one kind."""
    image: Image | None = None
    """The pool's own image; the fleet's where there is none."""
    rollout: PoolRollout = PoolRollout()
    """How its nodes are replaced."""
    retire: bool = False
    """The whole pool leaves for good, and its volumes may be lost."""


class Cluster(Closed):
    """The Kubernetes cluster. endpoint: a stable DNS name or VIP, never a machine."""

    name: Label
    """The cluster's name."""
    kubernetes: KubernetesVersion
    """The exact release of Kubernetes."""
    endpoint: Endpoint
    """Where the API answers, whichever machine serves it: a DNS name or a virtual IP address."""
    endpoint_port: Port = 6443
    """The API's port."""
    pod_cidr: Cidr = "10.244.0.0/16"
    """Addresses of pods; each node takes a /24 of it (IPv6: a /64)."""
    service_cidr: Cidr = "10.96.0.0/12"
    """Addresses of services."""
    retire: bool = False
    """The whole cluster goes for good, and all its volumes are lost."""


class Settings(Closed):
    """What every machine is configured with besides its image and its part in the cluster."""

    ssh_authorized_keys: tuple[SshKey, ...] = ()
    """Public keys that may log in as `core`; without any there is no login. Not with Talos, which has none."""
    time_servers: tuple[TimeServer, ...] = ()
    """Where the time comes from; the image's own servers where none is named."""
    registry_mirrors: dict[Registry, Annotated[tuple[HttpsUrl, ...], Field(min_length=1)]] = Field(default={})
    """Of each registry, where its images are asked for first, in this order; the registry itself comes last."""


class StoragePolicy(Closed):
    """What an application asks of a volume, whatever the driver."""

    replicas: Replicas = 2
    """Copies of the data, each in a fault domain of its own."""
    filesystem: Literal["ext4", "xfs"] = "ext4"
    """What a volume is formatted with."""
    encryption: bool = False
    """Whether data is encrypted where it is kept."""
    compression: bool = False
    """Whether data is compressed where it is kept."""
    iops: Iops | None = None
    """Operations a second at most; unlimited where nothing is said."""
    reclaim: Literal["Delete", "Retain"] = "Delete"
    """What becomes of a volume whose claim is deleted."""
    binding: Literal["WaitForFirstConsumer", "Immediate"] = "WaitForFirstConsumer"
    """When a volume is made."""
    expansion: bool = True
    """Whether a volume may grow."""
    default: bool = False
    """Whether claims that name no class get this one; one policy at most."""


class Simplyblock(Closed):
    """simplyblock, installed by its operator."""

    kind: Literal["simplyblock"] = "simplyblock"
    """The driver."""
    chart_version: ChartVersion
    """The exact version of the operator's chart."""
    cluster_id: Identifier
    """The storage cluster's id."""
    pool_name: Identifier
    """The storage pool that volumes are made in."""
    hugepages_mib: Hugepages = 2048
    """Memory that each storage node sets aside, in MiB."""


class Storage(Closed):
    """layout converged: the pools named in `nodes` both run workloads and hold replicas."""

    layout: Literal["converged"] = "converged"
    """Where replicas live."""
    driver: Simplyblock
    """What serves volumes."""
    nodes: tuple[Label, ...] = Field(min_length=1)
    """The pools whose nodes hold replicas."""
    policies: dict[Label, StoragePolicy] = Field(min_length=1)
    """By name; each becomes a StorageClass."""


class Limits(Closed):
    """The longest each wait may take, in seconds (lifecycle.ports.Limits has the same names)."""

    slot_s: Limit = 900
    """Until the roster lets a node leave."""
    gate_s: Limit = 900
    """Until the fleet can spare a node."""
    drain_s: Limit = 900
    """Until a node's pods are gone."""
    detach_s: Limit = 300
    """Until a node's volumes are detached."""
    etcd_s: Limit = 300
    """Until etcd's members are as they should be."""
    power_s: Limit = 180
    """Until a machine's power is proven to be as asked."""
    start_s: Limit = 900
    """Until a host's installer runs, before its next way to boot is tried."""
    boot_s: BootLimit = 1800
    """Until an installed machine runs."""
    join_s: Limit = 900
    """Until a running machine is a Ready node."""
    redundancy_s: Limit = 3600
    """Until every volume has all its replicas again."""
    attach_s: Limit = 300
    """Until volumes and their paths are back."""


class Window(Closed):
    """A time in which nodes may leave, on the clocks of its time zone, whatever they do in spring and autumn."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(min_length=1)
    """The days on which it opens."""
    start: TimeOfDay
    """When it opens, as "22:00"; quoted."""
    end: TimeOfDay
    """When it closes, on the next day if that is not after the start; quoted."""
    timezone: Timezone
    """Whose clocks these are."""


class Rollout(Closed):
    """When a roll stops by itself, between two nodes."""

    stop_after: Count | None = None
    """How many nodes one `pulumi up` replaces at most; no limit where nothing is said."""
    windows: tuple[Window, ...] = ()
    """When nodes may leave; at any time where there is none."""


class Environment(Closed):
    """One environment: everything `pulumi up` on its stack makes."""

    cluster: Cluster
    """The Kubernetes cluster."""
    image: Image
    """What every machine boots, unless its pool says otherwise."""
    boot_store: BootStore
    """Where machines boot from."""
    aws: Aws | None = None
    """Where machines on AWS are; required where a pool is of kind aws, and only there."""
    settings: Settings = Settings()
    """What every machine is configured with besides."""
    pools: Annotated[dict[Label, Pool], InOrder] = Field(min_length=1)
    """The machines, by pool; control planes roll first, then pools in the natural order of their names."""
    storage: Storage
    """Volumes and who keeps them."""
    limits: Limits = Limits()
    """The longest each wait may take."""
    rollout: Rollout = Rollout()
    """When a roll stops by itself."""

    @property
    def store_url(self) -> str:
        """Where machines fetch what components/boot/layout.py says a path of."""
        return address(self.boot_store, self.region)

    @property
    def region(self) -> str:
        """Of the stack on AWS; "" without any."""
        return self.aws.region if self.aws else ""

    @property
    def store_region(self) -> str:
        """Of the boot store's bucket; "" where it is none."""
        store = self.boot_store
        return (store.region or self.region) if store.kind == "s3" else ""

    def image_of(self, pool: Pool) -> Image:
        """The pool's own image, or the fleet's."""
        return pool.image or self.image

    def hosts(self) -> Iterator[tuple[str, str, Host]]:
        """Every host as (pool, name, host), in file order."""
        for pool_name, pool in self.pools.items():
            for name, host in pool.machines.hosts.items():
                yield pool_name, name, host

    def pool_of(self, host: str) -> str | None:
        """The name of the pool that lists the host, or None if no pool does."""
        return next((pool for pool, name, _ in self.hosts() if name == host), None)

    def stores(self, pool: str) -> bool:
        """Whether nodes of the pool of this name hold replicas."""
        return pool in self.storage.nodes

    def retires(self, pool: str, host: str) -> bool:
        """Whether the host is to leave for good: it, its pool or the whole cluster is retired."""
        of = self.pools[pool]
        return self.cluster.retire or of.retire or of.machines.hosts[host].retire

    def wipes(self, pool: str, host: str) -> bool:
        """Whether the host's OS disk is erased once it has left for good."""
        return self.pools[pool].machines.wipes(host)
