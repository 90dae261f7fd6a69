"""What can be read of the machines on AWS (see components/stackfile/sketch.py). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import TypeAdapter

from components.fields import Cidr, HttpsUrl
from components.machines.aws import AwsMachines, DataVolume
from components.machines.aws_fields import InstanceType, Region, VolumeGib, VolumeIops, VolumeThroughput, Zone
from components.releases import Architecture
from components.stackfile.problem import Path, path_text
from components.stackfile.reading import default, get, read, read_list

AWS: Final = "aws"
"""`machines.kind` of their pools."""
GATEWAY: Final = ("url", "region", "reports")
"""Keys of a bucket that machines in racks boot from."""

_ARCHITECTURE: TypeAdapter[Architecture] = TypeAdapter(Architecture)
_CIDR: TypeAdapter[str] = TypeAdapter(Cidr)
_GIB: TypeAdapter[int] = TypeAdapter(VolumeGib)
_IOPS: TypeAdapter[int] = TypeAdapter(VolumeIops)
_PLACEMENT: TypeAdapter[str] = TypeAdapter(Literal["none", "spread", "partition"])
_REGION: TypeAdapter[str] = TypeAdapter(Region)
_TEXT: TypeAdapter[str] = TypeAdapter(str)
_THROUGHPUT: TypeAdapter[int] = TypeAdapter(VolumeThroughput)
_TYPE: TypeAdapter[str] = TypeAdapter(InstanceType)
_URL: TypeAdapter[str] = TypeAdapter(HttpsUrl)
_ZONE: TypeAdapter[str] = TypeAdapter(Zone)


@dataclass(frozen=True)
class VolumeSketch:
    """A data volume as far as it can be read."""

    path: Path
    gib: int | None
    iops: int | None
    throughput_mibps: int | None


@dataclass(frozen=True)
class AwsHostSketch:
    """A host on AWS as far as it can be read. zones: with each one's index in the file; None if they are no list."""

    path: Path
    zones: tuple[tuple[int, str], ...] | None
    volumes: tuple[VolumeSketch, ...]


@dataclass(frozen=True)
class AwsPoolSketch:
    """A pool on AWS as far as it can be read. instance_types: with each one's index. architecture: of its image."""

    name: str
    path: Path
    control_plane: bool
    instance_types: tuple[tuple[int, str], ...]
    architecture: Architecture | None
    placement: str | None
    hosts: tuple[AwsHostSketch, ...]


@dataclass(frozen=True)
class AwsSketch:
    """All that there is of AWS. said: whether there is an `aws`. zones: of its network, each with where it stands;
    None if one of them cannot be read. others: pools of other kinds of machine. store: `boot_store.kind`. gateway:
    which keys the boot store has that only a bucket behind a gateway does. store_url: one of them."""

    said: bool
    region: str | None
    zones: tuple[tuple[Path, str], ...] | None
    cidr: str | None
    pools: tuple[AwsPoolSketch, ...]
    others: tuple[Path, ...]
    store: str | None
    gateway: tuple[str, ...]
    store_url: str | None
    cluster: str | None


def aws_sketch(data: object) -> AwsSketch:
    """Read what can be read. Raises nothing."""
    aws, pools = get(data, "aws"), get(data, "pools")
    named = pools.items() if isinstance(pools, Mapping) else ()
    network = get(aws, "network")
    return AwsSketch(
        said=aws is not None,
        region=read(_REGION, aws, "region"),
        zones=_network_zones(network),
        cidr=read(_CIDR, network, "cidr"),
        pools=tuple(_pool(n, p, get(data, "image")) for n, p in named if _kind(p) == AWS),
        others=tuple(
            ("pools", n, "machines", "kind") for n, p in named if isinstance(_kind(p), str) and _kind(p) != AWS
        ),
        store=read(_TEXT, get(data, "boot_store"), "kind"),
        gateway=tuple(key for key in GATEWAY if get(get(data, "boot_store"), key) is not None),
        store_url=read(_URL, get(data, "boot_store"), "url"),
        cluster=read(_TEXT, get(data, "cluster"), "name"),
    )


def only_zone(host: object) -> str | None:
    """The one zone that a host may be in, or None."""
    zones = read_list(_ZONE, host, "zones")
    return zones[0][1] if zones is not None and len(zones) == 1 else None


def _kind(pool: object) -> object:
    return get(get(pool, "machines"), "kind")


def _network_zones(network: object) -> tuple[tuple[Path, str], ...] | None:
    at: Path = ("aws", "network")
    subnets, listed = get(network, "subnets"), get(network, "zones")
    if isinstance(subnets, Mapping):
        found = [((*at, "subnets", name), read(_ZONE, {"": name}, "")) for name in subnets]
    elif isinstance(listed, list | tuple):
        found = [((*at, "zones", i), read(_ZONE, {"": name}, "")) for i, name in enumerate(listed)]
    else:
        return None
    whole = tuple((path, zone) for path, zone in found if zone is not None)
    return whole if len(whole) == len(found) else None


def _pool(name: object, pool: object, image: object) -> AwsPoolSketch:
    path: Path = ("pools", name)
    machines, own = get(pool, "machines"), get(pool, "image")
    hosts = get(machines, "hosts")
    of = own if isinstance(own, Mapping) else image
    return AwsPoolSketch(
        name=path_text((name,)),
        path=path,
        control_plane=get(pool, "role") == "control-plane",
        instance_types=read_list(_TYPE, machines, "instance_types") or (),
        architecture=read(_ARCHITECTURE, of, "architecture", "x86_64"),
        placement=read(_PLACEMENT, machines, "placement", default(AwsMachines, "placement")),
        hosts=tuple(_hosts((*path, "machines", "hosts"), hosts)),
    )


def _hosts(at: Path, hosts: object) -> Iterator[AwsHostSketch]:
    for name, host in hosts.items() if isinstance(hosts, Mapping) else ():
        path = (*at, name)
        volumes = get(host, "data_volumes")
        named = volumes.items() if isinstance(volumes, Mapping) else ()
        found = tuple(_volume((*path, "data_volumes", n), v) for n, v in named)
        yield AwsHostSketch(path, read_list(_ZONE, host, "zones"), found)


def _volume(path: Path, volume: object) -> VolumeSketch:
    return VolumeSketch(
        path,
        read(_GIB, volume, "gib"),
        read(_IOPS, volume, "iops", default(DataVolume, "iops")),
        read(_THROUGHPUT, volume, "throughput_mibps", default(DataVolume, "throughput_mibps")),
    )
