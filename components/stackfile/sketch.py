"""What can be read of an environment, however broken the rest of it is.

The rules between values look at this, so that they speak also where the shape is wrong elsewhere:
None stands for what could not be read, and a rule that needs it stays silent. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from components.environment import Cluster, OnTimeout, PoolRollout, StoragePolicy
from components.fields import (
    Cidr,
    Closed,
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
from components.stackfile.problem import Path, path_text

T = TypeVar("T")

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
    each `image.os` says, and where. logins: how many SSH keys there are."""

    endpoint: str | None
    pod_cidr: str | None
    service_cidr: str | None
    pools: tuple[PoolSketch, ...] | None
    storage_nodes: tuple[tuple[int, str], ...] | None
    policies: tuple[PolicySketch, ...] | None
    systems: tuple[tuple[Path, str], ...]
    logins: int

    @property
    def hosts(self) -> tuple[HostSketch, ...]:
        """Every readable host, in file order."""
        return tuple(h for p in self.pools or () for h in p.hosts or ())


def sketch(data: object) -> Sketch:
    """Read what can be read. Raises nothing."""
    cluster, pools, storage = _get(data, "cluster"), _get(data, "pools"), _get(data, "storage")
    named = pools.items() if isinstance(pools, Mapping) and pools else None
    return Sketch(
        endpoint=_read(_ENDPOINT, cluster, "endpoint"),
        pod_cidr=_read(_CIDR, cluster, "pod_cidr", _default(Cluster, "pod_cidr")),
        service_cidr=_read(_CIDR, cluster, "service_cidr", _default(Cluster, "service_cidr")),
        pools=None if named is None else tuple(_pool(name, pool) for name, pool in named),
        storage_nodes=_list(_LABEL, storage, "nodes"),
        policies=_policies(_get(storage, "policies")),
        systems=tuple(_systems(data)),
        logins=len(_list(_TEXT, _get(data, "settings"), "ssh_authorized_keys", ()) or ()),
    )


def _pool(name: object, pool: object) -> PoolSketch:
    path: Path = ("pools", name)
    machines = _get(pool, "machines")
    hosts = _get(machines, "hosts")
    rollout = _get(pool, "rollout", {})
    at = (*path, "machines", "hosts")
    return PoolSketch(
        name=path_text((name,)),
        path=path,
        role=_read(_ROLE, pool, "role"),
        hosts=tuple(_host(n, (*at, n), h) for n, h in hosts.items()) if isinstance(hosts, Mapping) and hosts else None,
        max_unavailable=_read(_COUNT, rollout, "max_unavailable", _default(PoolRollout, "max_unavailable")),
        canary=_read(_BOOL, rollout, "canary", _default(PoolRollout, "canary")),
        soak_s=_read(_SOAK, rollout, "soak_s", _default(PoolRollout, "soak_s")),
        forced=tuple(key for key in OnTimeout.model_fields if _get(_get(rollout, "on_timeout"), key) == "force"),
    )


def _host(name: object, path: Path, host: object) -> HostSketch:
    return HostSketch(
        name=_read(_LABEL, {"": name}, ""),
        path=path,
        mac=_read(_MAC, host, "mac"),
        bmc_url=_read(_SYSTEM, _get(host, "bmc"), "url"),
        os_disk=_read(_DISK, host, "os_disk"),
        data_disks=_list(_DISK, host, "data_disks", ()),
        mounts=_mounts(_get(host, "mounts")),
        fault_domain=_read(_DOMAIN, host, "fault_domain"),
    )


def _policies(policies: object) -> tuple[PolicySketch, ...] | None:
    if not isinstance(policies, Mapping) or not policies:
        return None
    return tuple(
        PolicySketch(
            path_text((name,)),
            ("storage", "policies", name),
            _read(_REPLICAS, policy, "replicas", _default(StoragePolicy, "replicas")),
            _read(_BOOL, policy, "default", _default(StoragePolicy, "default")),
        )
        for name, policy in policies.items()
    )


def _systems(data: object) -> Iterator[tuple[Path, str]]:
    pools = _get(data, "pools")
    named = pools.items() if isinstance(pools, Mapping) else ()
    images = [(("image",), _get(data, "image")), *((("pools", n, "image"), _get(p, "image")) for n, p in named)]
    for path, image in images:
        if (os := _read(_TEXT, image, "os")) is not None:
            yield (*path, "os"), os


def _mounts(mounts: object) -> tuple[tuple[str, str], ...]:
    named = mounts.items() if isinstance(mounts, Mapping) else ()
    read = ((name, _read(_DISK, mount, "disk")) for name, mount in named if isinstance(name, str))
    return tuple((name, disk) for name, disk in read if disk is not None)


def _default(model: type[Closed], field: str) -> Any:
    """What the models take where the file says nothing."""
    return model.model_fields[field].default


def _get(data: object, key: str, default: object = None) -> object:
    return data.get(key, default) if isinstance(data, Mapping) else None


def _read(as_type: TypeAdapter[T], data: object, key: str, default: T | None = None) -> T | None:
    """data[key] as its type; the default where the key is absent; None where it cannot be read."""
    if not isinstance(data, Mapping):
        return None
    if key not in data:
        return default
    try:
        return as_type.validate_python(data[key])
    except ValidationError:
        return None


def _list(as_type: TypeAdapter[T], data: object, key: str, default: Any = None) -> tuple[tuple[int, T], ...] | None:
    """The readable items of the list data[key] with their indices; None if it is no list."""
    if not isinstance(data, Mapping):
        return None
    items = data.get(key, default)
    if not isinstance(items, list | tuple):
        return None
    read = ((i, _read(as_type, {"": item}, "")) for i, item in enumerate(items))
    return tuple((i, item) for i, item in read if item is not None)
