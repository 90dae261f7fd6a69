"""The typed shape of `stacks/Pulumi.<stack>.yaml`: what one environment's fleet is.

Validation does no I/O and reports every fault at once. The stack file holds the whole environment
under one key, `ingot:environment`; everything else in it belongs to Pulumi.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, PositiveInt


class Closed(BaseModel, extra="forbid", frozen=True):
    """Every model here: unknown fields are refused, values never change."""


class Image(Closed):
    """One exact release of one OS, as pinned in stacks/images.lock.json."""

    os: Literal["fedora-coreos"] = "fedora-coreos"
    version: str
    architecture: Literal["x86_64", "aarch64"] = "x86_64"


class Bmc(Closed):
    """A host's management controller: the URL of its Redfish system."""

    url: str
    verify_tls: bool = True


class Host(Closed):
    """One bare-metal host. Its name is the node's name for life."""

    bmc: Bmc
    mac: str
    os_disk: str
    data_disks: tuple[str, ...] = ()
    fault_domain: str
    retire: bool = False


class BareMetal(Closed):
    kind: Literal["bare-metal"] = "bare-metal"
    hosts: dict[str, Host]


class PoolRollout(Closed):
    """How a pool's nodes are replaced."""

    strategy: Literal["rolling"] = "rolling"
    max_unavailable: PositiveInt = 1
    canary: bool = False
    soak_s: float = 0


class Pool(Closed):
    """Machines that share a role, an image and a way to roll."""

    role: Literal["control-plane", "worker"]
    machines: BareMetal
    image: Image | None = None
    rollout: PoolRollout = PoolRollout()
    retire: bool = False


class Cluster(Closed):
    """The Kubernetes cluster. endpoint: a stable DNS name or VIP, never a machine."""

    name: str
    kubernetes: str
    endpoint: str
    endpoint_port: int = 6443
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/12"
    retire: bool = False


class BootStore(Closed):
    """Where installers, images and boot configurations are published, and records are kept."""

    url: str
    directory: str


class StoragePolicy(Closed):
    """What an application asks of a volume, whatever the driver."""

    replicas: PositiveInt = 2
    filesystem: Literal["ext4", "xfs"] = "ext4"
    encryption: bool = False
    compression: bool = False
    iops: PositiveInt | None = None
    reclaim: Literal["Delete", "Retain"] = "Delete"
    binding: Literal["WaitForFirstConsumer", "Immediate"] = "WaitForFirstConsumer"
    expansion: bool = True
    default: bool = False


class Simplyblock(Closed):
    kind: Literal["simplyblock"] = "simplyblock"
    chart_version: str
    cluster_id: str
    pool_name: str
    hugepages_mib: PositiveInt = 2048


class Storage(Closed):
    """layout converged: the pools named in `nodes` both run workloads and hold replicas."""

    layout: Literal["converged"] = "converged"
    driver: Simplyblock
    nodes: tuple[str, ...]
    policies: dict[str, StoragePolicy]


class Limits(Closed):
    """The longest each wait may take, in seconds (lifecycle.ports.Limits has the same names)."""

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


class Environment(Closed):
    """One environment: everything `pulumi up` on its stack makes."""

    cluster: Cluster
    image: Image
    boot_store: BootStore
    pools: dict[str, Pool]
    storage: Storage
    limits: Limits = Limits()

    def image_of(self, pool: Pool) -> Image:
        """The pool's own image, or the fleet's."""
        return pool.image or self.image
