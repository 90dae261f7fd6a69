"""What can be read of an environment, however broken the rest of it is.

The rules between values look at this, so that they speak also where the shape is wrong elsewhere:
None stands for what could not be read, and a rule that needs it stays silent. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from components.environment import Cluster, OnTimeout, PoolRollout, StoragePolicy
from components.fields import (
    Cidr,
    Count,
    Domain,
    Endpoint,
    Label,
    Mac,
    RedfishSystem,
    Replicas,
    Soak,
    StableDisk,
)
from components.stackfile.aws_sketch import AWS, AwsSketch, aws_sketch, only_zone
from components.stackfile.problem import Path, path_text
from components.stackfile.reading import default, get, read, read_list

_BOOL: TypeAdapter[bool] = TypeAdapter(bool)
_CIDR: TypeAdapter[str] = TypeAdapter(Cidr)
_COUNT: TypeAdapter[int] = TypeAdapter(Count)
_DISK: TypeAdapter[str] = TypeAdapter(StableDisk)
_DOMAIN: TypeAdapter[str] = TypeAdapter(Domain)
_ENDPOINT: TypeAdapter[str] = TypeAdapter(Endpoint)
_LABEL: TypeAdapter[str] = TypeAdapter(Label)
_MAC: TypeAdapter[str] = TypeAdapter(Mac)
_REPLICAS: TypeAdapter[int] = TypeAdapter(Replicas)
_ROLE: TypeAdapter[Literal["control-plane", "worker"]] = TypeAdapter(Literal["control-plane", "worker"])
_SOAK: TypeAdapter[float] = TypeAdapter(Soak)
_TEXT: TypeAdapter[str] = TypeAdapter(str)
_SYSTEM: TypeAdapter[str] = TypeAdapter(RedfishSystem)


@dataclass(frozen=True)
class HostSketch:
    """A host as far as it can be read. name: None if it is no name.

    data_disks: with each one's index in the file; unreadable ones are left out. mounts: names and disks, likewise.
    """

    name: str | None
    path: Path
    mac: str | None
    bmc_url: str | None
    os_disk: str | None
    data_disks: tuple[tuple[int, str], ...] | None
    mounts: tuple[tuple[str, str], ...]
    fault_domain: str | None


@dataclass(frozen=True)
class PoolSketch:
    """A pool as far as it can be read. name: fit to be shown, whatever it is.

    hosts: None if they are no mapping, or an empty one. forced: what its on_timeout says `force` for.
    """

    name: str
    path: Path
    role: Literal["control-plane", "worker"] | None
    hosts: tuple[HostSketch, ...] | None
    max_unavailable: int | None
    canary: bool | None
    soak_s: float | None
    forced: tuple[str, ...]

    @property
    def domains(self) -> frozenset[str] | None:
        """The fault domains of its hosts, or None if one of them cannot be read."""
        found = None if self.hosts is None else [h.fault_domain for h in self.hosts]
        return None if found is None or None in found else frozenset(d for d in found if d is not None)


@dataclass(frozen=True)
class PolicySketch:
    name: str
    path: Path
    replicas: int | None
    default: bool | None


@dataclass(frozen=True)
class Sketch:
    """An environment as far as it can be read. storage_nodes: with each one's index in the file. systems: what
    each `image.os` says, and where. logins: how many SSH keys there are. aws: what there is of machines on AWS."""

    endpoint: str | None
    pod_cidr: str | None
    service_cidr: str | None
    pools: tuple[PoolSketch, ...] | None
    storage_nodes: tuple[tuple[int, str], ...] | None
    policies: tuple[PolicySketch, ...] | None
    systems: tuple[tuple[Path, str], ...]
    logins: int
    aws: AwsSketch

    @property
    def hosts(self) -> tuple[HostSketch, ...]:
        """Every readable host, in file order."""
        return tuple(h for p in self.pools or () for h in p.hosts or ())


def sketch(data: object) -> Sketch:
    """Read what can be read. Raises nothing."""
    cluster, pools, storage = get(data, "cluster"), get(data, "pools"), get(data, "storage")
    named = pools.items() if isinstance(pools, Mapping) and pools else None
    return Sketch(
        endpoint=read(_ENDPOINT, cluster, "endpoint"),
        pod_cidr=read(_CIDR, cluster, "pod_cidr", default(Cluster, "pod_cidr")),
        service_cidr=read(_CIDR, cluster, "service_cidr", default(Cluster, "service_cidr")),
        pools=None if named is None else tuple(_pool(name, pool) for name, pool in named),
        storage_nodes=read_list(_LABEL, storage, "nodes"),
        policies=_policies(get(storage, "policies")),
        systems=tuple(_systems(data)),
        logins=len(read_list(_TEXT, get(data, "settings"), "ssh_authorized_keys", ()) or ()),
        aws=aws_sketch(data),
    )


def _pool(name: object, pool: object) -> PoolSketch:
    path: Path = ("pools", name)
    machines = get(pool, "machines")
    hosts = get(machines, "hosts")
    rollout = get(pool, "rollout", {})
    at, kind = (*path, "machines", "hosts"), get(machines, "kind")
    named = hosts.items() if isinstance(hosts, Mapping) else ()
    found = tuple(_host(n, (*at, n), h, kind) for n, h in named)
    return PoolSketch(
        name=path_text((name,)),
        path=path,
        role=read(_ROLE, pool, "role"),
        hosts=found or None,
        max_unavailable=read(_COUNT, rollout, "max_unavailable", default(PoolRollout, "max_unavailable")),
        canary=read(_BOOL, rollout, "canary", default(PoolRollout, "canary")),
        soak_s=read(_SOAK, rollout, "soak_s", default(PoolRollout, "soak_s")),
        forced=tuple(key for key in OnTimeout.model_fields if get(get(rollout, "on_timeout"), key) == "force"),
    )


def _host(name: object, path: Path, host: object, kind: object) -> HostSketch:
    return HostSketch(
        name=read(_LABEL, {"": name}, ""),
        path=path,
        mac=read(_MAC, host, "mac"),
        bmc_url=read(_SYSTEM, get(host, "bmc"), "url"),
        os_disk=read(_DISK, host, "os_disk"),
        data_disks=None if kind == AWS else read_list(_DISK, host, "data_disks", ()),
        mounts=_mounts(get(host, "mounts")),
        fault_domain=only_zone(host) if kind == AWS else read(_DOMAIN, host, "fault_domain"),
    )


def _policies(policies: object) -> tuple[PolicySketch, ...] | None:
    if not isinstance(policies, Mapping) or not policies:
        return None
    return tuple(
        PolicySketch(
            path_text((name,)),
            ("storage", "policies", name),
            read(_REPLICAS, policy, "replicas", default(StoragePolicy, "replicas")),
            read(_BOOL, policy, "default", default(StoragePolicy, "default")),
        )
        for name, policy in policies.items()
    )


def _systems(data: object) -> Iterator[tuple[Path, str]]:
    pools = get(data, "pools")
    named = pools.items() if isinstance(pools, Mapping) else ()
    images = [(("image",), get(data, "image")), *((("pools", n, "image"), get(p, "image")) for n, p in named)]
    for path, image in images:
        if (os := read(_TEXT, image, "os")) is not None:
            yield (*path, "os"), os


def _mounts(mounts: object) -> tuple[tuple[str, str], ...]:
    named = mounts.items() if isinstance(mounts, Mapping) else ()
    found = ((name, read(_DISK, mount, "disk")) for name, mount in named if isinstance(name, str))
    return tuple((name, disk) for name, disk in found if disk is not None)
