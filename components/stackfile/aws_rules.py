"""What must hold between the values of machines on AWS, each rule by itself (see components/stackfile/rules.py)."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from components.machines.aws_fields import (
    CLUSTER_NAME_MAX,
    SPREAD_MAX,
    architecture_of,
    has_instance_store,
    region_of,
)
from components.stackfile.aws_sketch import AwsHostSketch
from components.stackfile.problem import Flaw, Path, counted, path_text
from components.stackfile.sketch import Sketch

PREFIX_MIN, PREFIX_MAX = 16, 22
"""A VPC is /16 at most. Beyond /22, a private subnet of six would not hold a /25."""
IOPS_MIN: Final = 3000
IOPS_PER_GIB: Final = 500
IOPS_PER_MIBPS: Final = 4
"""Of gp3 (EBS user guide, "General Purpose SSD volumes"): the first at any size."""

_ON_AWS: Final = {
    "url": "machines ask S3 itself, with the rights of their role",
    "region": "the bucket is made in aws.region",
    "reports": "machines write their reports to S3 themselves",
}
_S3_ITSELF: Final = re.compile(r"https://([^/]*\.)?s3[.-][^/]*amazonaws\.com(\.cn)?(:[0-9]+)?(/|$)")
"""The forms of docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html, and the older ones with a dash."""
_ON_METAL: Final = {
    "url": "the site's gateway to the bucket: firmware signs no request",
    "region": "where the bucket is; it is there already",
}


def block_with_pools(s: Sketch) -> Iterator[Flaw]:
    """Machines on AWS need to know where; without any, a network would be made for nothing."""
    if s.aws.pools and not s.aws.said:
        first = s.aws.pools[0].name
        yield Flaw(
            ("aws",), "nothing", f"the key aws, as pool {first} is of kind aws", "add aws, with region and network"
        )
    if s.aws.said and s.pools is not None and not s.aws.pools and len(s.aws.others) == len(s.pools):
        yield Flaw(("aws",), "aws without a pool there", "aws with a pool of kind aws only", "take aws out")


def one_kind_of_place(s: Sketch) -> Iterator[Flaw]:
    """Machines in racks cannot read a private bucket, and machines on AWS reach nothing in the racks."""
    if not s.aws.pools:
        return
    fix = "make it a stack of its own"
    for path in s.aws.others:
        found = f"another kind beside pool {s.aws.pools[0].name}, which is of kind aws"
        yield Flaw(path, found, "aws in all pools or none", fix)


def store_with_pools(s: Sketch) -> Iterator[Flaw]:
    """Machines on AWS fetch what is theirs from a bucket that the stack makes, with the rights of their role; others
    have no such rights, so a gateway of the site asks a bucket of the site's for them."""
    at: Path = ("boot_store",)
    if s.aws.pools and s.aws.store not in (None, "s3"):
        fix = "write kind: s3 and bucket: with a name for the bucket"
        yield Flaw((*at, "kind"), str(s.aws.store), "s3 with machines on AWS", fix)
    if s.aws.store != "s3":
        return
    if s.aws.pools or s.aws.said:
        for key in s.aws.gateway:
            yield Flaw((*at, key), f"{key} with machines on AWS", "the bucket alone", f"take {key} out; {_ON_AWS[key]}")
    elif s.pools is not None:
        for key, why in _ON_METAL.items():
            if key not in s.aws.gateway:
                yield Flaw((*at, key), "nothing", f"the key {key} ({why})", f"add {key}, or write kind: directory")
        if s.aws.store_url is not None and _S3_ITSELF.match(s.aws.store_url):
            fix = "write the gateway's address; a bucket that answers unsigned requests hands out credentials"
            yield Flaw((*at, "url"), s.aws.store_url, "the site's gateway, not S3 itself", fix)


def zones_of_region(s: Sketch) -> Iterator[Flaw]:
    """A network is of one region."""
    first: dict[str, Path] = {}
    for path, zone in s.aws.zones or ():
        if s.aws.region is not None and region_of(zone) != s.aws.region:
            yield Flaw(path, zone, f"a zone of {s.aws.region}", f"write {s.aws.region} and the zone's letter")
        elif zone in first:
            yield Flaw(path, f"{zone}, which {path_text(first[zone])} is already", "each zone once", "take one out")
        first.setdefault(zone, path)


def zones_of_network(s: Sketch) -> Iterator[Flaw]:
    """A host can only be where there is a subnet for it."""
    if s.aws.zones is None or any(True for _ in zones_of_region(s)):
        return
    known = [zone for _, zone in s.aws.zones]
    for host in _hosts(s):
        tried: set[str] = set()
        for i, zone in host.zones or ():
            at = (*host.path, "zones", i)
            if zone not in known:
                yield Flaw(at, zone, "a zone of aws.network", f"write {' or '.join(known)}, or add it to aws.network")
            elif zone in tried:
                yield Flaw(at, f"{zone} again", "each zone once", "take one of the two out")
            tried.add(zone)


def one_zone_where_it_counts(s: Sketch) -> Iterator[Flaw]:
    """Addresses and volumes do not move between zones, and a replica that did would leave its fault domain."""
    storing = {name for _, name in s.storage_nodes or ()}
    for pool in s.aws.pools:
        why = "a control plane" if pool.control_plane else f"a host of pool {pool.name}, which stores"
        for host in pool.hosts:
            if host.zones is None or len(host.zones) <= 1:
                continue
            if not pool.control_plane and pool.name not in storing:
                if not host.volumes:
                    continue
                why = "a host with data volumes"
            found = counted(len(host.zones), "zone")
            yield Flaw((*host.path, "zones"), found, f"one zone for {why}", "write the one that it belongs to")


def types_of_architecture(s: Sketch) -> Iterator[Flaw]:
    """An image for one kind of processor does not boot on another; the API would say so at the first launch."""
    for pool in s.aws.pools:
        tried: set[str] = set()
        for i, name in pool.instance_types:
            at = (*pool.path, "machines", "instance_types", i)
            has = architecture_of(name)
            if has is not None and pool.architecture is not None and has != pool.architecture:
                fix = f"write a type of {pool.architecture}, or image.architecture: {has}"
                yield Flaw(at, f"{name}, which is {has}", f"a type of the image's {pool.architecture}", fix)
            elif name in tried:
                yield Flaw(at, f"{name} again", "each instance type once", "take one of the two out")
            tried.add(name)


def spread_has_room(s: Sketch) -> Iterator[Flaw]:
    """A spread placement group takes so many instances in a zone, and no more."""
    extra = {p.name: p.extra for p in s.pools or ()}
    for pool in s.aws.pools:
        if pool.placement != "spread":
            continue
        more = extra.get(pool.name, 0)
        tied = Counter(h.zones[0][1] for h in pool.hosts if h.zones is not None and len(h.zones) == 1)
        for zone, count in sorted((zone, count + more) for zone, count in tied.items()):
            if count > SPREAD_MAX:
                fix = "write placement: partition, or spread the hosts over more zones"
                found = f"spread with {count} hosts in {zone}" + (f", {more} of them for a second time" if more else "")
                at = (*pool.path, "machines", "placement")
                yield Flaw(at, found, f"spread with {SPREAD_MAX} hosts in a zone at most", fix)


def volumes_of_gp3(s: Sketch) -> Iterator[Flaw]:
    """What gp3 gives depends on its size, and its throughput on its operations."""
    for volume in (v for h in _hosts(s) for v in h.volumes):
        if volume.iops is None:
            continue
        most = IOPS_MIN if volume.gib is None else max(IOPS_MIN, volume.gib * IOPS_PER_GIB)
        if volume.gib is not None and volume.iops > most:
            found = f"{volume.iops} for {volume.gib} GiB"
            fix = f"write {most}, or {-(-volume.iops // IOPS_PER_GIB)} GiB"
            yield Flaw((*volume.path, "iops"), found, f"{most} at most: {IOPS_PER_GIB} for each GiB", fix)
        most = volume.iops // IOPS_PER_MIBPS
        if volume.throughput_mibps is not None and volume.throughput_mibps > most:
            found = f"{volume.throughput_mibps} with {volume.iops} iops"
            fix = f"write {most}, or {volume.throughput_mibps * IOPS_PER_MIBPS} iops"
            at = (*volume.path, "throughput_mibps")
            yield Flaw(at, found, f"{most} at most: a quarter of iops", fix)


def storage_has_disks(s: Sketch) -> Iterator[Flaw]:
    """A storage node holds nothing without a data volume or disks of the instance's own."""
    storing = {name for _, name in s.storage_nodes or ()}
    for pool in s.aws.pools:
        if pool.name not in storing or pool.control_plane:
            continue
        if pool.instance_types and all(has_instance_store(name) for _, name in pool.instance_types):
            continue
        for host in pool.hosts:
            if not host.volumes:
                fix = "add a data volume, or write instance types with disks of their own, such as i4i.xlarge"
                expected = f"one data volume at least, as pool {pool.name} stores"
                yield Flaw((*host.path, "data_volumes"), "no data volume", expected, fix)


def name_of_balancer(s: Sketch) -> Iterator[Flaw]:
    """The load balancer is named by the cluster, and AWS takes less than Kubernetes does."""
    name = s.aws.cluster
    if not s.aws.pools or name is None:
        return
    at: Path = ("cluster", "name")
    if len(name) > CLUSTER_NAME_MAX:
        expected = f"{CLUSTER_NAME_MAX} characters at most on AWS"
        yield Flaw(at, f"{len(name)} characters", expected, "write a shorter name; load balancers have short ones")
    elif name.startswith("internal-"):
        yield Flaw(at, name, "a name that does not begin with internal-", "write another; AWS keeps these for itself")


def network_apart(s: Sketch) -> Iterator[Flaw]:
    """Machines, pods and services are told apart by their addresses."""
    if s.aws.cidr is None:
        return
    at: Path = ("aws", "network", "cidr")
    machines = ipaddress.ip_network(s.aws.cidr)
    if machines.version != 4 or not PREFIX_MIN <= machines.prefixlen <= PREFIX_MAX:
        expected = f"an IPv4 range of /{PREFIX_MIN} to /{PREFIX_MAX}"
        yield Flaw(at, str(machines), expected, "write a range such as 10.20.0.0/16")
        return
    for key, cidr in (("pod_cidr", s.pod_cidr), ("service_cidr", s.service_cidr)):
        if cidr is None:
            continue
        other = ipaddress.ip_network(cidr)
        if other.version == 4 and machines.overlaps(other):
            found = f"{machines}, which overlaps cluster.{key} {other}"
            yield Flaw(at, found, "ranges apart", "write ranges that have no address in common")


def addresses_of_aws(s: Sketch) -> Iterator[Flaw]:
    """A load balancer's addresses are AWS's choice, so only a name leads there; the network speaks IPv4."""
    if not s.aws.pools:
        return
    if s.pod_cidr is not None and ipaddress.ip_network(s.pod_cidr).version != 4:
        yield Flaw(("cluster", "pod_cidr"), s.pod_cidr, "IPv4 on AWS", "write a range such as 10.244.0.0/16")
    try:
        ipaddress.ip_address(s.endpoint or "")
    except ValueError:
        return
    fix = "write a DNS name; aws.endpoint_record says who leads it to the load balancer"
    yield Flaw(("cluster", "endpoint"), str(s.endpoint), "a DNS name on AWS", fix)


def _hosts(s: Sketch) -> Iterator[AwsHostSketch]:
    for pool in s.aws.pools:
        yield from pool.hosts


AWS_RULES: Final = (
    block_with_pools,
    one_kind_of_place,
    store_with_pools,
    zones_of_region,
    zones_of_network,
    one_zone_where_it_counts,
    types_of_architecture,
    spread_has_room,
    volumes_of_gp3,
    storage_has_disks,
    name_of_balancer,
    network_apart,
    addresses_of_aws,
)
